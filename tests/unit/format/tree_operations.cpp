// SPDX-License-Identifier: BSL-1.0
#include <mailfs/format/tree_operations.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

using namespace mailfs;
using namespace mailfs::format;

namespace {

std::string hex(bytes_view bytes) {
    std::string text;
    for (auto octet : bytes) {
        constexpr std::string_view digits = "0123456789abcdef";
        text += digits[std::to_integer<unsigned>(octet) >> 4];
        text += digits[std::to_integer<unsigned>(octet) & 15];
    }
    return text;
}

guid id(std::uint64_t n) { return guid::from_words(0x0102030405060708, n); }

tree_transaction one_of_each() {
    tree_transaction t;
    t.create({id(1), 0x10, 4, true, "a"}).remove({id(2)}).rename({id(3), "from", "to"}).subscribe({true, "sub"});
    t.metadata({id(4), true, "key", "value"});
    return t;
}

}  // namespace

// These bytes are in the logs of users: they change only together with the major version.
TEST_CASE("tree operations: the bytes are those of docs/formats/tree.md") {
    tree_transaction t;
    t.create({id(1), 0x10, 4, true, "a"});
    CHECK(hex(t.bytes()) ==
          "0100"
          "0200"
          "28000000"
          "0102030405060708"
          "0000000000000001"
          "10000000"
          "0400"
          "0100"
          "6100000000000000");
    tree_transaction r;
    r.rename({id(3), "a", "bc"});
    CHECK(hex(r.bytes()) ==
          "0300"
          "0000"
          "28000000"
          "0102030405060708"
          "0000000000000003"
          "0100"
          "0200"
          "00000000"
          "6162630000000000");
}

TEST_CASE("tree operations: what is written is read back in order") {
    auto const t = one_of_each();
    bytes_view rest = t.bytes();
    auto const create = std::get<tree_create>(take_tree_operation(rest).value());
    CHECK(create.id == id(1));
    CHECK(create.uid_validity == 0x10);
    CHECK(create.use == 4);
    CHECK(create.if_absent);
    CHECK(create.name == "a");
    CHECK(std::get<tree_remove>(take_tree_operation(rest).value()).id == id(2));
    auto const rename = std::get<tree_rename>(take_tree_operation(rest).value());
    CHECK(rename.id == id(3));
    CHECK(rename.from == "from");
    CHECK(rename.to == "to");
    auto const subscribe = std::get<tree_subscribe>(take_tree_operation(rest).value());
    CHECK(subscribe.on);
    CHECK(subscribe.name == "sub");
    auto const metadata = std::get<tree_metadata>(take_tree_operation(rest).value());
    CHECK(metadata.id == id(4));
    CHECK(metadata.present);
    CHECK(metadata.key == "key");
    CHECK(metadata.value == "value");
    CHECK(!take_tree_operation(rest));
}

TEST_CASE("tree operations: a kind from the future is unknown, and its flag says whether it may be skipped") {
    tree_transaction t;
    t.remove({id(1)});
    std::vector<std::byte> bytes(t.bytes().begin(), t.bytes().end());
    bytes[0] = std::byte{200};
    bytes_view rest = bytes;
    CHECK(!std::get<tree_unknown>(take_tree_operation(rest).value()).may_skip);
    CHECK(rest.empty());
    bytes[2] = std::byte{1};
    rest = bytes;
    CHECK(std::get<tree_unknown>(take_tree_operation(rest).value()).may_skip);
}

TEST_CASE("tree operations: fields that a later version appends are ignored") {
    tree_transaction t;
    t.remove({id(1)});
    std::vector<std::byte> bytes(t.bytes().begin(), t.bytes().end());
    bytes.resize(bytes.size() + 8, std::byte{7});
    bytes[4] = static_cast<std::byte>(bytes.size());
    bytes_view rest = bytes;
    CHECK(std::get<tree_remove>(take_tree_operation(rest).value()).id == id(1));
    CHECK(!take_tree_operation(rest));
}

TEST_CASE("tree operations: any bytes are taken apart without reading beyond them, and come to an end") {
    auto const t = one_of_each();
    std::mt19937 random(1);
    for (int round = 0; round < 20'000; ++round) {
        // A buffer of its own, so that a sanitizer sees a read beyond the end.
        std::vector<std::byte> bytes(t.bytes().begin(), t.bytes().end());
        bytes.resize(random() % (bytes.size() + 1));
        bytes.shrink_to_fit();
        for (auto flips = random() % 4; flips > 0 && !bytes.empty(); --flips)
            bytes[random() % bytes.size()] ^= static_cast<std::byte>(1U << random() % 8);
        bytes_view rest = bytes;
        std::size_t taken = 0;
        while (take_tree_operation(rest)) ++taken;
        REQUIRE(taken <= t.bytes().size() / 8);
    }
}
