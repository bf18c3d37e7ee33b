// SPDX-License-Identifier: BSL-1.0
#include <mailfs/types/uid_set.hpp>

#include <doctest/doctest.h>

#include <random>
#include <set>

using namespace mailfs;

namespace {

uid_set of(std::set<uid_t> const& uids) {
    uid_set out;
    for (auto u : uids) out.add(u);
    return out;
}

}  // namespace

TEST_CASE("uid_set: ranges in any order make the same set as their numbers one by one") {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        uid_set set;
        std::set<uid_t> model;
        for (auto n = random() % 12; n > 0; --n) {
            auto const first = static_cast<uid_t>(1 + random() % 60), last = static_cast<uid_t>(first + random() % 9);
            if (random() % 2 == 0)
                set.add(first, last);
            else
                set.add(last, first);
            for (auto u = first; u <= last; ++u) model.insert(u);
            CHECK(set == of(model));
        }
        CHECK(set.size() == model.size());
        CHECK(set.empty() == model.empty());
        std::set<uid_t> listed;
        set.for_each([&](uid_t u) { listed.insert(u); });
        CHECK(listed == model);
        for (uid_t u = 0; u < 75; ++u) CHECK(set.contains(u) == model.contains(u));
        for (std::size_t i = 1; i < set.ranges().size(); ++i) CHECK(set.ranges()[i].first > set.ranges()[i - 1].last + 1);
        if (!set.empty()) CHECK(uid_set::parse(set.text(), 1) == set);
    }
}

TEST_CASE("uid_set: the ends of the number range are numbers like others") {
    uid_set set{{uid_max, uid_max}, {1, 1}};
    CHECK(set.size() == 2);
    set.add(1, uid_max);
    CHECK(set.ranges().size() == 1);
    CHECK(set.size() == uid_max);
    CHECK(set.contains(uid_max));
    CHECK(uid_set::one(uid_max).text() == "4294967295");
    set.add(uid_max);
    CHECK(set.size() == uid_max);
    set.clear();
    CHECK(set.empty());
    CHECK(set == uid_set{});
}

TEST_CASE("uid_set: a copy and a moved-to set are the set") {
    uid_set one = uid_set::one(3), many{{1, 2}, {5, 9}};
    auto const one_copy = one, many_copy = many;
    auto const one_moved = std::move(one), many_moved = std::move(many);
    CHECK(one_copy == one_moved);
    CHECK(many_copy == many_moved);
    CHECK(many_moved.text() == "1:2,5:9");
}

TEST_CASE("uid_set: parse reads sequence sets and refuses all else") {
    CHECK(uid_set::parse("4,1:2,3", 9) == uid_set{{1, 4}});
    CHECK(uid_set::parse("7:5", 9) == uid_set{{5, 7}});
    CHECK(uid_set::parse("*", 9) == uid_set::one(9));
    CHECK(uid_set::parse("12:*", 9) == uid_set{{9, 12}});
    CHECK(uid_set::parse("*", 0) == uid_set::one(1));
    for (auto const* text :
         {"", ",", "1,", ",1", "0", "1:0", "1:", ":1", "1:2:3", "a", "1 ", "-1", "+1", "4294967296", "**", "1;2"}) {
        CAPTURE(text);
        CHECK(!uid_set::parse(text, 9));
    }
}
