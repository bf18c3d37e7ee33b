// SPDX-License-Identifier: BSL-1.0
#include <mailfs/format/cache_record.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace mailfs;

namespace {

guid const message = guid::from_words(0x0001'0203'0405'0607U, 0x0809'0a0b'0c0d'0e0fU);
guid const box = guid::from_words(0xa0a1'a2a3'a4a5'a6a7U, 0x0000'0000'0000'0001U);
constexpr std::uint64_t nonce = 0x1122'3344'5566'7788U;

std::vector<std::byte> example_record() {
    std::vector<std::byte> out;
    format::cache_field_view const fields[] = {{1, as_bytes(std::string_view("(NIL)"))}, {4, as_bytes(std::string_view("Hello"))}};
    format::encode_cache_record(out, message, 64, fields, nonce);
    return out;
}
std::string hex(bytes_view bytes) {
    std::string out;
    for (auto const b : bytes) {
        constexpr char digits[] = "0123456789abcdef";
        out += digits[std::to_integer<unsigned>(b) >> 4];
        out += digits[std::to_integer<unsigned>(b) & 15U];
    }
    return out;
}

}  // namespace

TEST_CASE("cache_record: the bytes are those of docs/formats/cache.md") {
    auto const h = format::make_cache_file_header(box, 3, nonce, 1'700'000'000'000);
    CHECK(hex(format::detail::cache_bytes(h)) ==
          "6d66734343480d0a01000000" "40000000" "a0a1a2a3a4a5a6a70000000000000001" "0300000000000000"
          "8877665544332211" "0068e5cf8b010000" "00000000" "fe699371");
    CHECK(hex(example_record()) ==
          "c59e3bd6" "48000000" "ad776d17" "00000000" "000102030405060708090a0b0c0d0e0f" "4000000000000000"
          "01000000" "05000000" "284e494c29000000" "04000000" "05000000" "48656c6c6f000000");
}

TEST_CASE("cache_record: what was encoded is decoded") {
    auto const bytes = example_record();
    CHECK(format::cache_record_extent(bytes) == bytes.size());
    auto const record = format::decode_cache_record(bytes, nonce);
    REQUIRE(record);
    CHECK(record->header.id == message.octets);
    CHECK(record->header.previous == 64);
    auto rest = record->fields;
    auto const first = format::take_cache_field(rest), second = format::take_cache_field(rest);
    REQUIRE(first);
    REQUIRE(second);
    CHECK(first->id == 1);
    CHECK(as_text(first->value) == "(NIL)");
    CHECK(second->id == 4);
    CHECK(as_text(second->value) == "Hello");
    CHECK_FALSE(format::take_cache_field(rest));
}

TEST_CASE("cache_record: a record with any bit flipped, cut anywhere, or of another file is none") {
    auto const whole = example_record();
    for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
        auto bytes = whole;
        bytes[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
        CHECK_FALSE(format::decode_cache_record(bytes, nonce));
    }
    for (std::size_t size = 0; size < whole.size(); ++size) CHECK_FALSE(format::decode_cache_record(bytes_view(whole).first(size), nonce));
    CHECK_FALSE(format::decode_cache_record(whole, nonce + 1));
}

TEST_CASE("cache_record: fields that no writer could have written end the list") {
    auto fields = [](std::initializer_list<std::uint8_t> octets) {
        std::vector<std::byte> bytes;
        for (auto o : octets) bytes.push_back(std::byte{o});
        bytes_view rest = bytes;
        return format::take_cache_field(rest).has_value();
    };
    CHECK(fields({1, 0, 0, 0, 0, 0, 0, 0}));                 // an empty value
    CHECK_FALSE(fields({0, 0, 0, 0, 0, 0, 0, 0}));           // a hole
    CHECK_FALSE(fields({1, 0, 0, 0, 1, 0, 0, 0}));           // beyond the end
    CHECK_FALSE(fields({1, 0, 0, 0, 255, 255, 255, 255}));
    CHECK_FALSE(fields({1, 0, 0, 0}));
}

TEST_CASE("cache_record: a file of another mailbox, number, version or with any bit flipped is refused") {
    auto const good = format::make_cache_file_header(box, 3, nonce, 1);
    CHECK_FALSE(format::check(good, box, 3));
    CHECK(format::check(good, message, 3));
    CHECK(format::check(good, box, 4));
    for (std::size_t bit = 0; bit < sizeof good * 8; ++bit) {
        auto bad = good;
        reinterpret_cast<unsigned char*>(&bad)[bit / 8] ^= static_cast<unsigned char>(1U << bit % 8);
        CHECK(format::check(bad, box, 3));
    }
}
