// SPDX-License-Identifier: BSL-1.0
#include <mailfs/index/keyword_table.hpp>

#include <doctest/doctest.h>

using namespace mailfs;

namespace {

std::vector<std::byte> encoded_names(keyword_table const& t) {
    std::vector<std::byte> out;
    t.encode_names(out);
    return out;
}
std::vector<std::byte> encoded_sets(keyword_table const& t) {
    std::vector<std::byte> out;
    for (std::uint32_t s = 1; s < t.set_count(); ++s) keyword_table::encode_set(out, t.members(s));
    return out;
}

keyword_table example() {
    keyword_table t;
    for (auto const* name : {"$Work", "later", "\xc3\x84", "x"}) t.number(name);
    t.id_of({0, 2});
    t.id_of({1});
    t.id_of({0, 1, 2, 3});
    return t;
}

}  // namespace

TEST_CASE("keyword_table: a name keeps its first number and spelling, whatever case it comes in") {
    keyword_table t;
    CHECK(t.number("$Work") == 0U);
    CHECK(t.number("other") == 1U);
    CHECK(t.number("$WORK") == 0U);
    CHECK(t.find("$work") == 0U);
    CHECK(!t.find("$wor"));
    CHECK(t.names() == std::vector<std::string>{"$Work", "other"});
}

TEST_CASE("keyword_table: beyond names_max new names are refused, and known ones still found") {
    keyword_table t;
    for (std::size_t n = 0; n < keyword_table::names_max; ++n) REQUIRE(t.number("k" + std::to_string(n)));
    CHECK(!t.number("one more"));
    CHECK(t.number("K17") == 17U);
}

TEST_CASE("keyword_table: a change of a set is the set of the change, and equal sets have one number") {
    auto t = example();
    auto const ab = t.id_of({0, 1});
    CHECK(t.changed(0, flag_mode::add, {1, 2}) == t.id_of({1, 2}));
    CHECK(t.changed(ab, flag_mode::add, {1}) == ab);
    CHECK(t.members(t.changed(ab, flag_mode::add, {2})) == keyword_table::set{0, 1, 2});
    CHECK(t.members(t.changed(ab, flag_mode::remove, {0, 3})) == keyword_table::set{1});
    CHECK(t.changed(ab, flag_mode::remove, {0, 1}) == 0);
    CHECK(t.changed(ab, flag_mode::remove, {}) == ab);
    CHECK(t.changed(ab, flag_mode::replace, {}) == 0);
    CHECK(t.members(~0U).empty());
}

TEST_CASE("keyword_table: decode brings back what was encoded") {
    auto const t = example();
    auto const names = encoded_names(t), sets = encoded_sets(t);
    keyword_table again;
    REQUIRE(again.decode(names, sets));
    CHECK(again.names() == t.names());
    REQUIRE(again.set_count() == t.set_count());
    for (std::uint32_t s = 0; s < t.set_count(); ++s) CHECK(again.members(s) == t.members(s));
}

TEST_CASE("keyword_table: cut or senseless bytes are refused") {
    auto const t = example();
    auto const names = encoded_names(t), sets = encoded_sets(t);
    for (std::size_t cut = 1; cut < sets.size(); ++cut) {
        keyword_table part;
        bool const border = cut == 12 || cut == 20;  // between two sets
        CHECK(part.decode(names, bytes_view(sets).first(cut)) == border);
    }
    for (std::size_t cut = 1; cut < 7; ++cut) {
        keyword_table part;
        CHECK(!part.decode(bytes_view(names).first(cut), {}));
    }
    auto refused = [&](auto... words) {
        std::vector<std::byte> bytes;
        for (le32 const w : {le32(static_cast<unsigned>(words))...}) {
            auto const raw = format::view_of(w);
            bytes.insert(bytes.end(), raw.begin(), raw.end());
        }
        keyword_table part;
        return !part.decode(names, bytes);
    };
    CHECK(!refused(2, 0, 1));
    CHECK(refused(2, 1, 0));  // does not ascend
    CHECK(refused(2, 1, 1));
    CHECK(refused(1, 4));               // no such name
    CHECK(refused(0));                  // the empty set, which is always there
    CHECK(refused(1, 2, 1, 2));         // a set twice
    CHECK(refused(0xffff'ffff, 0, 1));  // longer than the bytes
    std::vector<std::byte> twice(names);
    twice.insert(twice.end(), names.begin(), names.end());
    keyword_table part;
    CHECK(!part.decode(twice, {}));
}
