// SPDX-License-Identifier: BSL-1.0
#include <mailfs/format/snapshot.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <numeric>
#include <string>

using namespace mailfs;
using namespace mailfs::format;

namespace {

constexpr std::size_t numbers = 20'000;  // of 8 bytes: three blocks

struct alignas(64) line {
    std::byte bytes[64];
};
/// Bytes at an address like a mapping's.
struct aligned_copy {
    explicit aligned_copy(bytes_view in) : lines((in.size() + 63) / 64), size(in.size()) {
        std::copy(in.begin(), in.end(), span().begin());
    }
    std::span<std::byte> span() { return {lines.empty() ? nullptr : lines.front().bytes, size}; }
    std::vector<line> lines;
    std::size_t size;
};

std::vector<std::byte> example() {
    std::vector<std::uint64_t> values(numbers);
    std::iota(values.begin(), values.end(), 0U);
    auto const all = std::as_bytes(std::span(values));
    snapshot_writer writer;
    writer.add(column_id::received, 8, {all.first(80), all.subspan(80)});
    writer.add(column_id::keywords, 1, {as_bytes("some text")});
    writer.add(column_id::metadata, 1, {});
    snapshot_header h;
    h.rows = numbers;
    return writer.finish(h);
}

template <class T>
using edit = std::function<void(T&)>;

// Changes a layout in the bytes and makes the checksums right again, as a hostile writer would.
template <class T>
std::vector<std::byte> edited(std::size_t offset, edit<T> const& change) {
    auto bytes = example();
    auto value = load<T>(bytes_view(bytes).subspan(offset));
    change(value);
    std::memcpy(bytes.data() + offset, &value, sizeof value);
    auto h = load<snapshot_header>(bytes);
    auto const table_size = 3 * sizeof(snapshot_column) + 4 * sizeof(le32);
    h.table_checksum = crc32c(bytes_view(bytes).subspan(sizeof h, table_size));
    h.checksum = snapshot_writer::header_checksum(h);
    std::memcpy(bytes.data(), &h, sizeof h);
    return bytes;
}
std::vector<std::byte> with_header(edit<snapshot_header> const& change) { return edited(0, change); }
std::vector<std::byte> with_column(std::size_t i, edit<snapshot_column> const& change) {
    return edited(sizeof(snapshot_header) + i * sizeof(snapshot_column), change);
}

errc refusal(std::vector<std::byte> const& bytes) {
    aligned_copy copy(bytes);
    try {
        snapshot_reader const in(copy.span(), "box/index.5");
    } catch (error const& e) {
        CHECK(e.file() == "box/index.5");
        CHECK(e.offset() <= bytes.size());
        return static_cast<errc>(e.code().value());
    }
    return {};
}

}  // namespace

TEST_CASE("snapshot: columns come back as they went in, aligned, with a checksum for each block") {
    auto const bytes = example();
    aligned_copy copy(bytes);
    snapshot_reader const in(copy.span(), "index.5");
    auto const column = in.get(column_id::received, 8);
    CHECK(column.bytes.size() == numbers * 8);
    CHECK(column.offset % snapshot_alignment == 0);
    REQUIRE(column.checksums.size() == 3);
    CHECK(column.checksums[2] == crc32c(bytes_view(column.bytes).subspan(2 * snapshot_block)));
    CHECK(as_text(in.get_checked(column_id::keywords)) == "some text");
    CHECK(in.get_checked(column_id::metadata).empty());
    CHECK(in.header().rows == numbers);
    CHECK_THROWS_WITH_AS(in.get(column_id::uid, 4), doctest::Contains("lacks column 1"), error);
    CHECK_THROWS_WITH_AS(in.get(column_id::received, 4), doctest::Contains("another size"), error);
}

TEST_CASE("snapshot: a head that lies about sizes is refused, though its checksums are right") {
    CHECK(refusal(with_header([](auto&) {})) == errc{});
    CHECK(refusal(with_header([](auto& h) { h.file_size = h.file_size + 1; })) == errc::corrupt);
    CHECK(refusal(with_header([](auto& h) { h.size = 64; })) == errc::corrupt);
    for (unsigned count : {2U, 4U, 255U, 256U, 257U, 0x0800'0000U, 0xffff'ffffU})
        CHECK(refusal(with_header([&](auto& h) { h.column_count = count; })) == errc::corrupt);
    auto const end = std::uint64_t{example().size()};
    for (std::uint64_t offset :
         {std::uint64_t{0}, std::uint64_t{64}, std::uint64_t{256}, end / 64 * 64, end / 64 * 64 + 64, ~std::uint64_t{63}})
        CHECK(refusal(with_column(0, [&](auto& c) { c.offset = offset; })) == errc::corrupt);
    CHECK(refusal(with_column(0, [](auto& c) { c.offset = c.offset + 8; })) == errc::corrupt);
    for (std::uint64_t count : {std::uint64_t{numbers + 1}, std::uint64_t{1} << 61, ~std::uint64_t{0}})
        CHECK(refusal(with_column(0, [&](auto& c) { c.count = count; })) == errc::corrupt);
    for (unsigned size : {0U, 16U, 0x10001U, 0xffff'ffffU})
        CHECK(refusal(with_column(0, [&](auto& c) { c.element_size = size; })) == errc::corrupt);
    for (unsigned blocks : {0U, 2U, 4U, 0xffff'ffffU})
        CHECK(refusal(with_column(0, [&](auto& c) { c.block_count = blocks; })) == errc::corrupt);
    CHECK(refusal(with_column(1, [](auto& c) { c.first_block = 2; })) == errc::corrupt);
    CHECK(refusal(with_column(1, [](auto& c) { c.offset = 512; })) == errc::corrupt);  // over column 0
}

TEST_CASE("snapshot: what a newer version wrote is refused as that; damage does not pass for it") {
    CHECK(refusal(with_header([](auto& h) { h.major = 2; })) == errc::newer_version);
    for (std::uint64_t const unknown : {1U, 4U}) CHECK(refusal(with_header([unknown](auto& h) { h.features_required = unknown; })) == errc::newer_version);
    CHECK(refusal(with_header([](auto& h) { h.minor = 9; })) == errc{});
    CHECK(refusal(with_header([](auto& h) { h.features_optional = 1; })) == errc{});
    auto bytes = example();
    bytes[8] ^= std::byte{2};  // major
    CHECK(refusal(bytes) == errc::corrupt);
}

TEST_CASE("snapshot: each bit of the head counts, and each cut") {
    auto const good = example();
    auto const head = sizeof(snapshot_header) + 3 * sizeof(snapshot_column) + 4 * sizeof(le32);
    for (std::size_t bit = 0; bit < head * 8; ++bit) {
        auto bytes = good;
        bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
        if (refusal(bytes) != errc::corrupt) FAIL("bit ", bit);
    }
    for (std::size_t size = 0; size < good.size(); size += size < 1000 ? 1 : 4093) {
        auto bytes = good;
        bytes.resize(size);
        if (refusal(bytes) != errc::corrupt) FAIL("size ", size);
    }
}
