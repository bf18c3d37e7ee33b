// SPDX-License-Identifier: BSL-1.0
#include <mailfs/index/column.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <tuple>

using namespace mailfs;

namespace {

/// A column of the numbers 0..rows-1 as a snapshot would map it.
struct mapped_column {
    explicit mapped_column(std::uint64_t rows) {
        for (std::uint64_t n = 0; n < rows; ++n) values.push_back(n);
        found.bytes = std::as_writable_bytes(std::span(values));
        found.offset = 4096;
        auto const step = column<std::uint64_t>::block_rows;
        for (std::size_t at = 0; at < values.size(); at += step)
            found.checksums.push_back(
                crc32c(std::as_bytes(std::span(values).subspan(at, std::min(step, values.size() - at)))));
        source = std::make_shared<snapshot_source>("index.3");
    }
    column<std::uint64_t> map() const { return {found, source}; }

    std::vector<std::uint64_t> values;
    format::snapshot_reader::found found;
    std::shared_ptr<snapshot_source> source;
};

constexpr std::size_t block = column<std::uint64_t>::block_rows;

}  // namespace

TEST_CASE("column: mapped rows and added rows are one column") {
    mapped_column const in(3 * block + 5);
    auto c = in.map();
    c.push_back(77);
    REQUIRE(c.size() == 3 * block + 6);
    CHECK(c[0] == 0);
    CHECK(c[3 * block + 4] == 3 * block + 4);
    CHECK(c[3 * block + 5] == 77);
    c.at(block) = 5;
    c.at(3 * block + 5) = 6;
    CHECK(c[block] == 5);
    CHECK(c[3 * block + 5] == 6);
    std::vector<std::byte> bytes;
    c.copy(3 * block + 3, 3 * block + 6, bytes);
    std::uint64_t const expected[] = {3 * block + 3, 3 * block + 4, 6};
    REQUIRE(bytes.size() == sizeof expected);
    CHECK(std::memcmp(bytes.data(), expected, sizeof expected) == 0);
}

TEST_CASE("column: damage is told with file and offset by whoever touches its block first, and by nobody else") {
    mapped_column in(3 * block);
    auto const c = in.map();
    in.values[block + 7] ^= 1;
    CHECK(c[block - 1] == block - 1);
    CHECK(c[2 * block] == 2 * block);
    CHECK(!in.source->damaged);
    for (int again = 0; again < 2; ++again) {
        try {
            std::ignore = c[2 * block - 1];
            FAIL("damage was not seen");
        } catch (error const& e) {
            CHECK(e.code() == errc::corrupt);
            CHECK(e.file() == "index.3");
            CHECK(e.offset() == 4096 + block * sizeof(std::uint64_t));
        }
    }
    CHECK(in.source->damaged);
    CHECK(!c.readable());
    CHECK(!c.readable(block));
    CHECK(c.readable(block - 1));
    CHECK_THROWS_AS(c.mapped(), error);
    CHECK_THROWS_AS(c.touch(0, block + 1), error);
    CHECK_NOTHROW(c.touch(0, block));
}

TEST_CASE("column: mending replaces what is damaged, and leaves alone what was read or written before") {
    mapped_column in(2 * block), good(2 * block);
    auto c = in.map();
    c.at(3) = 1000;
    in.values[block] ^= 1;
    CHECK(c.is_like(good.found));
    c.mend(good.found);
    CHECK(c[3] == 1000);
    CHECK(c[block] == block);
    CHECK(c.readable());
    mapped_column const other(block);
    CHECK(!c.is_like(other.found));
}
