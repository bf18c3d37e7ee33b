// SPDX-License-Identifier: BSL-1.0
#include <mailfs/index/rank_set.hpp>

#include <doctest/doctest.h>

#include <random>
#include <set>
#include <utility>
#include <vector>

using mailfs::rank_set;

namespace {

// Each question, answered by counting.
void check(rank_set const& set, std::set<std::size_t> const& model, std::size_t end) {
    REQUIRE(set.size() == model.size());
    std::size_t in = 0, absent = 0;
    for (std::size_t row = 0; row < end; ++row) {
        bool const there = model.contains(row);
        if (set.contains(row) != there || set.rank(row) != in) FAIL("row ", row);
        if (!there && set.select_absent(absent++) != row) FAIL("absent row ", row);
        in += there ? 1U : 0U;
    }
    std::vector<std::pair<std::size_t, std::size_t>> runs, expected;
    set.for_each_absent_run(end, [&](std::size_t first, std::size_t last) { runs.emplace_back(first, last); });
    for (std::size_t row = 0; row < end; ++row) {
        if (model.contains(row)) continue;
        if (!expected.empty() && expected.back().second == row)
            ++expected.back().second;
        else
            expected.emplace_back(row, row + 1);
    }
    CHECK(runs == expected);
}

}  // namespace

TEST_CASE("rank_set: counts and finds as a plain set would, at any density") {
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        rank_set set;
        std::set<std::size_t> model;
        std::size_t const rows = 1 + random() % 3000;
        for (std::size_t n = random() % (2 * rows); n > 0; --n) {
            std::size_t const row = random() % rows;
            CHECK(set.insert(row) == model.insert(row).second);
        }
        check(set, model, rows + 700);
    }
}

TEST_CASE("rank_set: block and word borders, filled one by one from either end") {
    rank_set up, down;
    std::set<std::size_t> up_model, down_model;
    for (std::size_t n = 0; n < 1100; ++n) {
        up.insert(n), up_model.insert(n);
        down.insert(1099 - n), down_model.insert(1099 - n);
        if (n % 64 != 0 && n % 64 != 63) continue;
        check(up, up_model, 1200);
        check(down, down_model, 1200);
    }
}

TEST_CASE("rank_set: empty, nothing is before anything") {
    rank_set set;
    check(set, {}, 10);
    CHECK(set.select_absent(1'000'000'000) == 1'000'000'000);
    CHECK(set.rank(1'000'000'000) == 0);
    set.insert(5);
    set.clear();
    check(set, {}, 10);
}
