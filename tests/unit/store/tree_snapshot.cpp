// SPDX-License-Identifier: BSL-1.0
#include <mailfs/store/tree_snapshot.hpp>

#include "tree_fixture.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace mailfs;
using namespace mailfs::test;

namespace {

tree_state small_tree() {
    tree_fixture f;
    f.create("INBOX", 1), f.create("a/b", 2), f.subscribe("a"), f.subscribe("x"), f.subscribe("x", false);
    f.metadata(2, "key", "value"), f.metadata(0, "gone", "x"), f.metadata(0, "gone", "", false);
    return std::move(f.tree);
}

// Loads bytes that are right by checksum, so that the checks behind it are seen at work.
std::string refusal(std::vector<std::byte> bytes, bool with_checksum = true) {
    if (with_checksum && bytes.size() >= sizeof(tree_snapshot_header)) {
        le32 const sum = mailfs::detail::tree_checksum(bytes);
        std::memcpy(bytes.data() + offsetof(tree_snapshot_header, checksum), &sum, sizeof sum);
    }
    bytes.shrink_to_fit();
    try {
        decode_tree(bytes, "tree/index.7");
    } catch (error const& e) {
        CHECK(e.file() == "tree/index.7");
        return e.what();
    }
    return "";
}

template <class T>
std::vector<std::byte> patched(std::size_t offset, T value) {
    auto bytes = small_tree().dump();
    std::memcpy(bytes.data() + offset, &value, sizeof value);
    return bytes;
}

}  // namespace

TEST_CASE("tree snapshot: goes out and in unchanged, tombstones and marks too") {
    auto const tree = small_tree();
    auto const bytes = tree.dump();
    auto const contents = decode_tree(bytes, "t");
    CHECK(contents == tree.contents());
    CHECK(encode_tree(contents) == bytes);
    CHECK(small_tree().dump() == bytes);
}

TEST_CASE("tree snapshot: every cut is refused") {
    auto const bytes = small_tree().dump();
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        std::vector<std::byte> const cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
        REQUIRE(refusal(cut, false) != "");
        REQUIRE(refusal(cut, true) != "");
    }
}

TEST_CASE("tree snapshot: every flipped bit is refused") {
    auto bytes = small_tree().dump();
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        bytes[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
        REQUIRE(refusal(bytes, false) != "");
        bytes[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    }
}

TEST_CASE("tree snapshot: any change under a right checksum loads as valid contents or is refused") {
    auto const original = small_tree().dump();
    for (std::size_t at = 0; at < original.size(); ++at)
        for (int value : {0, 1, 0x7f, 0xff}) {
            auto bytes = original;
            bytes[at] = static_cast<std::byte>(value);
            if (auto const why = refusal(bytes); why.empty()) {
                le32 const sum = mailfs::detail::tree_checksum(bytes);
                std::memcpy(bytes.data() + offsetof(tree_snapshot_header, checksum), &sum, sizeof sum);
                auto const contents = decode_tree(bytes, "t");
                REQUIRE(decode_tree(encode_tree(contents), "t") == contents);
            }
        }
}

TEST_CASE("tree snapshot: the refusal says why") {
    CHECK(refusal({}).find("too short") != std::string::npos);
    CHECK(refusal(patched(0, 'X')).find("not the snapshot") != std::string::npos);
    CHECK(refusal(patched(offsetof(tree_snapshot_header, major), le16{2})).find("newer version") != std::string::npos);
    CHECK(refusal(patched(offsetof(tree_snapshot_header, minor), le16{9})) == "");
    CHECK(refusal(patched(offsetof(tree_snapshot_header, features_required), le64{2})).find("newer version") !=
          std::string::npos);
    CHECK(refusal(patched(offsetof(tree_snapshot_header, size), le64{1})).find("another size") != std::string::npos);
    CHECK(refusal(patched(offsetof(tree_snapshot_header, mailbox_count), le32{0xffff'ffff})).find("more records") !=
          std::string::npos);
    CHECK(refusal(patched(offsetof(tree_snapshot_header, mailbox_count), le32{1})).find("tree/index.7, offset") !=
          std::string::npos);
    CHECK(refusal(patched(offsetof(tree_snapshot_header, uid_validity_last), le32{16})).find("UIDVALIDITY") !=
          std::string::npos);
    auto bytes = small_tree().dump();
    bytes.resize(bytes.size() + 1);
    CHECK(refusal(bytes).find("another size") != std::string::npos);
}

// These bytes are on the disks of users: they change only together with the major version.
TEST_CASE("tree snapshot: the bytes are those of docs/formats/tree.md") {
    tree_contents c;
    c.object = numbered_guid(99);
    c.uid_validity_last = 16;
    change_mark const mark{stamp::at(1001), {{1, 5}, 1}};
    c.mailboxes["a"] = {numbered_guid(1), 16, special_use::drafts, mark, mark};
    c.subscriptions["a"] = {true, mark};
    c.metadata[{numbered_guid(1), "k"}] = {true, "v", mark};
    std::string text;
    for (auto octet : encode_tree(c)) {
        constexpr std::string_view digits = "0123456789abcdef";
        text += digits[std::to_integer<unsigned>(octet) >> 4];
        text += digits[std::to_integer<unsigned>(octet) & 15];
    }
    CHECK(text ==
          "6d6673545245450a"
          "0100"
          "0000"
          "00000000"
          "00000000000000000000000000000063"
          "2001000000000000"
          "0000000000000000"
          "10000000"
          "01000000"
          "01000000"
          "01000000"
          "00000000"
          "a5babbd7"
          "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
          "000000000000000000000000000000011000000004000100"
          "0000e903000000000100000005000000000000000100000000000000"
          "0000e903000000000100000005000000000000000100000000000000"
          "61"
          "01000100"
          "0000e903000000000100000005000000000000000100000000000000"
          "61"
          "000000000000000000000000000000010100010001000000"
          "0000e903000000000100000005000000000000000100000000000000"
          "6b76");
}
