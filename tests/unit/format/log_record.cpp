// SPDX-License-Identifier: BSL-1.0
#include <mailfs/format/log_record.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string_view>

using namespace mailfs;
using namespace mailfs::format;

namespace {

constexpr std::uint32_t seed = 0x1234'5678;

std::vector<std::byte> record_of(std::string_view payload) {
    record_header h;
    h.kind = 1;
    h.node = 2;
    h.incarnation = 3;
    h.counter = 4;
    h.stamp = 5;
    std::vector<std::byte> out;
    encode_record(out, h, as_bytes(payload), seed);
    return out;
}

}  // namespace

TEST_CASE("log record: what was encoded is decoded, padded with zeros to a multiple of 8") {
    for (std::size_t size = 0; size < 40; ++size) {
        std::string const payload(size, 'x');
        auto const bytes = record_of(payload);
        CHECK(bytes.size() == 68 + (size + 7) / 8 * 8);
        CHECK(bytes.size() == record_size(size));
        auto const r = decode_record(bytes, seed);
        REQUIRE(r);
        CHECK(r->kind() == record_kind::transaction);
        CHECK(r->dot() == dot{{2, 3}, 4});
        CHECK(r->stamp() == stamp{5});
        CHECK(as_text(r->payload.first(size)) == payload);
        for (auto const b : r->payload.subspan(size)) CHECK(b == std::byte{0});
    }
}

TEST_CASE("log record: no bit flipped, no byte missing, no other nonce passes") {
    auto const bytes = record_of("some operations");
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        auto flipped = bytes;
        flipped[bit / 8] ^= std::byte{1} << bit % 8;
        CHECK(!decode_record(flipped, seed));
    }
    for (std::size_t size = 0; size < bytes.size(); ++size) CHECK(!decode_record(bytes_view(bytes).first(size), seed));
    CHECK(!decode_record(bytes, seed + 1));
    CHECK(record_seed(1) != record_seed(2));
}

TEST_CASE("log record: sizes and kinds that no writer writes are refused, though their checksums be right") {
    auto const with = [](std::uint32_t size, std::uint8_t kind) {
        std::vector<std::byte> bytes(256);
        record_header h;
        h.kind = kind;
        h.size = size;
        h.header_checksum = record_header_checksum(h, seed);
        auto const payload = size >= 68 && size <= bytes.size() ? size - 68 : 0;
        h.payload_checksum = crc32c(bytes_view(bytes).subspan(64, payload), h.header_checksum);
        std::memcpy(bytes.data(), &h, sizeof h);
        le32 const end = record_end;
        if (size >= 68 && size <= bytes.size()) std::memcpy(bytes.data() + size - 4, &end, 4);
        return decode_record(bytes, seed).has_value();
    };
    CHECK(with(68, 1));
    CHECK(with(252, 1));
    CHECK(!with(68, 0));
    for (std::uint32_t const size : {0U, 8U, 64U, 67U, 69U, 72U, 260U, record_size_max + 4, 0xffff'fffcU, 0xffff'ffffU})
        CHECK(!with(size, 1));
    CHECK(record_size(payload_size_max(record_size_max)) <= record_size_max);
    CHECK(record_size(payload_size_max(record_size_max) + 1) > record_size_max);
}

TEST_CASE("log record: zeros in the place of what is missing never make a torn one whole") {
    std::string payload(24, 'x');
    payload.append(16, '\0');
    auto const record = record_of(payload);
    for (std::size_t size = 0; size < record.size(); ++size) {
        std::vector<std::byte> torn(record.begin(), record.begin() + static_cast<std::ptrdiff_t>(size));
        torn.resize(record.size() + 100);
        CHECK(!decode_record(torn, seed));
    }
}

TEST_CASE("log record: the next one is found at any offset, behind any bytes") {
    auto const record = record_of("operations");
    for (auto const fill : {std::byte{0}, std::byte{0xa7}, std::byte{0xff}})
        for (std::size_t before = 0; before < 100; ++before) {
            std::vector<std::byte> bytes(before, fill);
            bytes.insert(bytes.end(), record.begin(), record.end());
            CHECK(find_record(bytes, 0, seed) == before);
            CHECK(find_record(bytes, before + 1, seed) == bytes.size());
        }
    CHECK(find_record({}, 0, seed) == 0);
}

TEST_CASE("log record: the head of a record is told from damage to a whole one") {
    auto const record = record_of("twelve bytes");
    for (std::size_t size = 1; size < record.size(); ++size) CHECK(is_torn(bytes_view(record).first(size), seed));
    for (std::size_t at = 0; at < record.size(); ++at) {
        auto rotten = record;
        rotten[at] ^= std::byte{1};
        CHECK(!is_torn(rotten, seed));
    }
}

TEST_CASE("log record: heads of several records in a row are told from damage, too") {
    auto const record = record_of("twelve bytes");
    auto const piece = [&](std::size_t size) { return bytes_view(record).first(size); };
    for (std::size_t first : {1U, 3U, 29U, 64U, 75U})
        for (std::size_t second : {1U, 5U, 63U, 70U}) {
            std::vector<std::byte> bytes;
            for (auto const part : {piece(first), piece(second), piece(first)})
                bytes.insert(bytes.end(), part.begin(), part.end());
            CHECK(is_torn(bytes, seed));
            auto rotten = record;
            rotten[70] ^= std::byte{1};
            bytes.insert(bytes.end(), rotten.begin(), rotten.end());
            CHECK(!is_torn(bytes, seed));
        }
}

TEST_CASE("log record: the chain tells apart what replicas must agree on, and nothing else") {
    auto const bytes = record_of("operations");
    auto const base = chain_hash(0, *decode_record(bytes, seed));
    CHECK(chain_hash(0, *decode_record(bytes, seed)) == base);
    CHECK(chain_hash(1, *decode_record(bytes, seed)) != base);
    auto const other = record_of("Operations");
    CHECK(chain_hash(0, *decode_record(other, seed)) != base);
    auto r = *decode_record(bytes, seed);
    r.header.base_offset = 7;
    r.header.base_next_id = 7;
    r.header.synced = 7;
    CHECK(chain_hash(0, r) == base);
    for (auto const field : {0, 1, 2, 3}) {
        auto changed = r;
        if (field == 0) changed.header.node = 9;
        if (field == 1) changed.header.incarnation = 9;
        if (field == 2) changed.header.counter = 9;
        if (field == 3) changed.header.stamp = 9;
        CHECK(chain_hash(0, changed) != base);
    }
}
