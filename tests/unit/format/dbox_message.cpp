// SPDX-License-Identifier: BSL-1.0
#include <mailfs/format/dbox_message.hpp>

#include <mailfs/format/dbox_scanner.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace mailfs;

namespace {

constexpr std::uint64_t nonce = 0x0123'4567'89ab'cdefU;

guid numbered(std::uint64_t n) { return guid::from_words(0xa0a1'a2a3'a4a5'a6a7U, n); }

/// A dbox file in the making.
struct dbox_bytes {
    std::vector<std::byte> bytes;

    dbox_bytes() { put(as_bytes(make_dbox_file_header(0x0198'7654'3210'abcdU, nonce, 1'700'000'000'000U))); }

    void put(bytes_view more) { bytes.insert(bytes.end(), more.begin(), more.end()); }
    void pad() { bytes.resize((bytes.size() + dbox_alignment - 1) / dbox_alignment * dbox_alignment); }

    /// Appends a message; returns its offset.
    std::uint64_t add(std::uint64_t n, std::string_view body) {
        auto const offset = bytes.size();
        auto const header = make_dbox_message_header(nonce, numbered(n), 1'700'000'000'123U, numbered(99), 1'700'000'000'456U, as_bytes(body));
        put(as_bytes(header));
        put(as_bytes(body));
        pad();
        put(as_bytes(make_dbox_trailer(header)));
        return offset;
    }
};

std::string hex(bytes_view bytes) {
    std::string text;
    for (auto const octet : bytes) {
        text += "0123456789abcdef"[std::to_integer<unsigned>(octet) >> 4];
        text += "0123456789abcdef"[std::to_integer<unsigned>(octet) & 15];
    }
    return text;
}

std::vector<dbox_found> scan(bytes_view bytes) {
    std::vector<dbox_found> all;
    dbox_scanner scanner(bytes, nonce);
    while (auto const found = scanner.next()) all.push_back(*found);
    return all;
}

bool tiles(std::vector<dbox_found> const& finds, std::size_t file_size) {
    std::uint64_t end = sizeof(dbox_file_header);
    for (auto const& found : finds) {
        if (found.offset != end || found.size == 0) return false;
        end += found.size;
    }
    return end == std::max(file_size, sizeof(dbox_file_header));
}

std::size_t count(std::vector<dbox_found> const& finds, dbox_find what) {
    return static_cast<std::size_t>(
        std::count_if(finds.begin(), finds.end(), [&](auto const& f) { return f.what == what; }));
}

}  // namespace

TEST_CASE("dbox_message: the bytes of version 1.0 never change") {
    // Right to change with a new major version only, and then these stay as what an old file looks like.
    dbox_bytes file;
    file.add(1, "Hi\n");
    CHECK(hex(file.bytes) ==
          "896d64626f780d0a01000000000000000000000000000000cdab103254769801"
          "efcdab89674523010068e5cf8b010000000000000000000000000000c41e84c0"
          "efcdab89674523016d61696c01000000a0a1a2a3a4a5a6a70000000000000001"
          "030000000000000003000000000000007b68e5cf8b010000a0a1a2a3a4a5a6a7"
          "00000000000000633e8b930cc869e5cf8b0100000000000000000000759ec4bb"
          "48690a00000000001032547698badcfea0a1a2a3a4a5a6a70000000000000001"
          "03000000000000003e8b930c471616e4");
}

TEST_CASE("dbox_message: a header decodes to what was encoded") {
    auto const encoded = make_dbox_message_header(nonce, numbered(7), 42, numbered(8), 43, as_bytes("body"));
    dbox_message_header header;
    CHECK(!decode(as_bytes(encoded), nonce, header));
    CHECK(header.id == numbered(7).octets);
    CHECK(header.mailbox == numbered(8).octets);
    CHECK(header.size == 4);
    CHECK(header.stored_size == 4);
    CHECK(header.received_ms == 42);
    CHECK(header.written_ms == 43);
    CHECK(dbox_body_checksum(header, as_bytes("body")) == header.body_checksum);
    CHECK(dbox_body_checksum(header, as_bytes("bodY")) != header.body_checksum);
    CHECK(!check_is_message(header, numbered(7)));
    CHECK(check_is_message(header, numbered(8))->code == errc::corrupt);
}

TEST_CASE("dbox_message: a header cut short or zeroed is missing, with any bit flipped is damaged") {
    auto const encoded = make_dbox_message_header(nonce, numbered(7), 42, {}, 43, as_bytes("body"));
    dbox_message_header header;
    for (std::size_t n = 0; n < sizeof header; ++n)
        CHECK(decode(as_bytes(encoded).first(n), nonce, header)->code == errc::body_missing);
    std::vector<std::byte> bytes(sizeof header);
    CHECK(decode(bytes, nonce, header)->code == errc::body_missing);
    CHECK(decode(bytes, std::nullopt, header)->code == errc::body_missing);
    for (std::size_t bit = 0; bit < sizeof header * 8; ++bit) {
        bytes.assign(as_bytes(encoded).begin(), as_bytes(encoded).end());
        bytes[bit / 8] ^= std::byte{1} << (bit % 8);
        CHECK(decode(bytes, nonce, header)->code == errc::corrupt);
        CHECK(decode(bytes, std::nullopt, header)->code == errc::corrupt);
    }
}

TEST_CASE("dbox_message: a valid header with another file's nonce is refused") {
    auto const foreign = make_dbox_message_header(nonce + 1, numbered(7), 42, {}, 43, as_bytes("body"));
    dbox_message_header header;
    CHECK(decode(as_bytes(foreign), nonce, header)->code == errc::corrupt);
    CHECK(!decode(as_bytes(foreign), std::nullopt, header));
}

TEST_CASE("dbox_message: sizes beyond all bounds, kind 0, unknown kinds and compressions are refused though checksummed") {
    auto const refuse = [](auto change) {
        auto encoded = make_dbox_message_header(nonce, numbered(7), 42, {}, 43, as_bytes("body"));
        change(encoded);
        encoded.checksum = detail::own_checksum(encoded, detail::dbox_seed(encoded.sync));
        dbox_message_header header;
        auto fault = decode(as_bytes(encoded), nonce, header);
        if (!fault) fault = check_is_message(header, numbered(7));
        return fault ? fault->code : errc{};
    };
    CHECK(refuse([](auto&) {}) == errc{});
    CHECK(refuse([](auto& h) { h.stored_size = ~std::uint64_t{0}; }) == errc::corrupt);
    CHECK(refuse([](auto& h) { h.stored_size = dbox_stored_size_max + 1; }) == errc::corrupt);
    CHECK(refuse([](auto& h) { h.size = 5; }) == errc::corrupt);
    CHECK(refuse([](auto& h) { h.kind = 0; }) == errc::corrupt);
    CHECK(refuse([](auto& h) { h.kind = 77; }) == errc::newer_version);
    CHECK(refuse([](auto& h) { h.compression = 77; }) == errc::newer_version);
    CHECK(refuse([](auto& h) { h.reserved[3] = 1; }) == errc{});
    CHECK(refuse([](auto& h) { h.sync = 0; }) == errc::corrupt);
}

TEST_CASE("dbox_message: a file of a newer minor version is read, of a newer major version or feature refused") {
    auto const refuse = [](auto change) {
        auto encoded = make_dbox_file_header(1, nonce, 2);
        change(encoded);
        encoded.checksum = detail::own_checksum(encoded, 0);
        dbox_file_header header;
        auto const fault = decode(as_bytes(encoded), header);
        return fault ? fault->code : errc{};
    };
    CHECK(refuse([](auto&) {}) == errc{});
    CHECK(refuse([](auto& h) { h.minor = 9; }) == errc{});
    CHECK(refuse([](auto& h) { h.required = dbox_feature_compression; }) == errc{});
    CHECK(refuse([](auto& h) { h.optional = ~0U; }) == errc{});
    CHECK(refuse([](auto& h) { h.major = 2; }) == errc::newer_version);
    CHECK(refuse([](auto& h) { h.required = 2; }) == errc::newer_version);
    CHECK(refuse([](auto& h) { h.major = 0; }) == errc::corrupt);
    CHECK(refuse([](auto& h) { h.nonce = 0; }) == errc::corrupt);
    CHECK(refuse([](auto& h) { h.nonce = ~std::uint64_t{0}; }) == errc::corrupt);
    CHECK(refuse([](auto& h) { h.magic[0] = 'x'; }) == errc::corrupt);
}

TEST_CASE("dbox_message: a file header cut short or zeroed is missing, with any bit flipped is damaged") {
    auto const encoded = make_dbox_file_header(1, nonce, 2);
    dbox_file_header header;
    for (std::size_t n = 0; n < sizeof header; ++n)
        CHECK(decode(as_bytes(encoded).first(n), header)->code == errc::body_missing);
    std::vector<std::byte> bytes(sizeof header);
    CHECK(decode(bytes, header)->code == errc::body_missing);
    for (std::size_t bit = 0; bit < sizeof header * 8; ++bit) {
        bytes.assign(as_bytes(encoded).begin(), as_bytes(encoded).end());
        bytes[bit / 8] ^= std::byte{1} << (bit % 8);
        CHECK(decode(bytes, header)->code == errc::corrupt);
    }
}

TEST_CASE("dbox_scanner: finds every message of a sound file, in order") {
    dbox_bytes file;
    std::vector<std::uint64_t> offsets;
    for (std::uint64_t n = 0; n < 20; ++n) offsets.push_back(file.add(n, std::string(n, 'x')));
    auto const finds = scan(file.bytes);
    REQUIRE(finds.size() == 20);
    CHECK(tiles(finds, file.bytes.size()));
    for (std::size_t n = 0; n < 20; ++n) {
        CHECK(finds[n].what == dbox_find::record);
        CHECK(finds[n].offset == offsets[n]);
        CHECK(finds[n].header.id == numbered(n).octets);
    }
}

TEST_CASE("dbox_scanner: any flipped bit costs one message at most, and what was lost is told") {
    dbox_bytes file;
    file.add(1, "first message\n");
    file.add(2, "");
    file.add(3, std::string(17, '\0'));
    for (std::size_t bit = 0; bit < file.bytes.size() * 8; ++bit) {
        auto bytes = file.bytes;
        bytes[bit / 8] ^= std::byte{1} << (bit % 8);
        std::uint64_t recovered = 0;
        REQUIRE(!find_dbox_nonce(bytes, recovered));
        REQUIRE(recovered == nonce);
        auto const finds = scan(bytes);
        REQUIRE(tiles(finds, bytes.size()));
        auto const sound = count(finds, dbox_find::record);
        REQUIRE(sound >= 2);
        REQUIRE(sound + count(finds, dbox_find::damaged_body) + count(finds, dbox_find::damage) == 3);
    }
}

TEST_CASE("dbox_scanner: cut at any length, the messages before the cut are found") {
    dbox_bytes file;
    file.add(1, "first message\n");
    auto const second = file.add(2, "second\n");
    auto const third = file.add(3, "");
    for (std::size_t n = 0; n <= file.bytes.size(); ++n) {
        auto const finds = scan(bytes_view(file.bytes).first(n));
        REQUIRE(tiles(finds, n));
        auto const sound = count(finds, dbox_find::record);
        REQUIRE(sound >= (n >= third ? 2U : n >= second ? 1U : 0U));
        REQUIRE(sound <= 3);
    }
}

TEST_CASE("dbox_scanner: a message that holds another dbox file never yields that file's messages") {
    dbox_bytes file;
    auto const foreign_header = make_dbox_message_header(nonce + 1, numbered(66), 1, {}, 2, as_bytes("forged"));
    std::string const forged(as_text(as_bytes(foreign_header)));
    auto const offset = file.add(1, forged + "forged..");
    auto const after = file.add(2, "good");
    file.bytes[offset] ^= std::byte{1};  // the outer header is lost: the scanner walks through the body
    auto const finds = scan(file.bytes);
    REQUIRE(finds.size() == 2);
    CHECK(finds[0].what == dbox_find::damage);
    CHECK(finds[1].offset == after);
}

TEST_CASE("dbox_scanner: nested headers that each claim the rest of the file cost linear time") {
    dbox_bytes file;
    auto const room = std::size_t{8} << 20;
    for (std::size_t at = 0; at + sizeof(dbox_message_header) < room; at += sizeof(dbox_message_header)) {
        dbox_message_header header = make_dbox_message_header(nonce, numbered(at), 1, {}, 2, bytes_view{});
        header.stored_size = room - at - sizeof header;
        header.checksum = detail::own_checksum(header, detail::dbox_seed(header.sync));
        file.put(as_bytes(header));
    }
    file.bytes.resize(sizeof(dbox_file_header) + room);
    auto const last = file.add(1, "still found");
    auto const finds = scan(file.bytes);  // some 90,000 headers; quadratic would be 360 GB of checksums
    CHECK(tiles(finds, file.bytes.size()));
    CHECK(finds.back().offset == last);
    CHECK(finds.back().what == dbox_find::record);
}

TEST_CASE("find_dbox_nonce: a damaged header is made up for by the first message, a newer version is not") {
    dbox_bytes file;
    std::uint64_t found = 0;
    file.bytes[33] ^= std::byte{1};
    CHECK(find_dbox_nonce(file.bytes, found)->code == errc::corrupt);
    file.add(1, "x");
    CHECK(!find_dbox_nonce(file.bytes, found));
    CHECK(found == nonce);
    auto newer = make_dbox_file_header(1, nonce, 2);
    newer.major = 2;
    newer.checksum = detail::own_checksum(newer, 0);
    std::copy(as_bytes(newer).begin(), as_bytes(newer).end(), file.bytes.begin());
    CHECK(find_dbox_nonce(file.bytes, found)->code == errc::newer_version);
    CHECK(find_dbox_nonce({}, found)->code == errc::body_missing);
}
