// SPDX-License-Identifier: BSL-1.0
#include <mailfs/store/search_query.hpp>

#include "store_fixture.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace mailfs::test::search_query_tests {

namespace {

bool has_keyword(message_row const& row, std::string const& name) {
    return std::find(row.keywords.begin(), row.keywords.end(), name) != row.keywords.end();
}

// The rules once more, over rows as a view shows them.
bool matches(message_row const& r, search_query const& q) {
    if (q.uids && !q.uids->contains(r.uid)) return false;
    if ((r.flags & q.set) != q.set || (r.flags & q.unset) != flag::none) return false;
    for (auto const& k : q.keywords_set)
        if (!has_keyword(r, k)) return false;
    for (auto const& k : q.keywords_unset)
        if (has_keyword(r, k)) return false;
    return r.modseq >= q.modseq_min && r.size >= q.size_min && r.size <= q.size_max && r.received_ms >= q.received_min_ms &&
           r.received_ms <= q.received_max_ms && r.saved_ms >= q.saved_min_ms && r.saved_ms <= q.saved_max_ms;
}

std::uint32_t below(std::mt19937& random, std::uint32_t end) { return static_cast<std::uint32_t>(random() % end); }

search_query random_query(std::mt19937& random, modseq_t newest) {
    search_query q;
    auto const now_and_then = [&] { return random() % 3 == 0; };
    if (now_and_then()) q.uids = uid_set{{1 + below(random, 30), 30 + below(random, 40)}, {90, uid_max}};
    if (now_and_then()) q.set = static_cast<flag>(random() % 32);
    if (now_and_then()) q.unset = static_cast<flag>(1U << random() % 5);
    if (now_and_then()) q.keywords_set.push_back("k" + std::to_string(random() % 4));
    if (now_and_then()) q.keywords_unset.push_back("k" + std::to_string(random() % 4));
    if (now_and_then()) q.modseq_min = newest - random() % 60;
    if (now_and_then()) q.size_min = below(random, 30);
    if (now_and_then()) q.size_max = below(random, 60);
    if (now_and_then()) q.received_min_ms = random() % 1'000'000;
    if (now_and_then()) q.received_max_ms = random() % 1'000'000;
    if (now_and_then()) q.saved_min_ms = 1;
    return q;
}

}  // namespace

TEST_CASE("search: finds what a plain look through the rows of the view finds") {
    store_fixture<memory_single> f;
    run([&]() -> asio::awaitable<void> {
        std::mt19937 random(11);
        auto s = f.open();
        auto a = co_await s.account("alice");
        auto box = co_await a.open("INBOX");
        for (int i = 0; i < 100; ++i) {
            append_options options{static_cast<flag>(random() % 32), {}, 1 + random() % 1'000'000};
            for (auto n = random() % 3; n > 0; --n) options.keywords.push_back("k" + std::to_string(random() % 3));
            co_await deliver(box, std::string(random() % 60, 'x'), options);
        }
        co_await box.refresh();
        for (int i = 0; i < 300; ++i) {
            if (i % 10 == 0) {  // some go and some change, and the view may not have noticed
                uid_set one;
                one.add(1 + below(random, 100));
                co_await box.expunge(one, false);
                flag_change const change{flag_mode::replace, static_cast<flag>(random() % 32), {"k1"}, {}};
                one.add(1 + below(random, 100));
                co_await box.set_flags(one, change);
            }
            if (i % 40 == 0) co_await box.refresh();
            auto const query = random_query(random, box.view().highest_modseq());
            uid_set expected;
            box.view().uids().for_each([&](uid_t uid) {
                auto const row = box.view().row(uid);
                if (row && matches(*row, query)) expected.add(uid);
            });
            auto const found = box.search(query);
            REQUIRE(found == expected);
        }
        auto const everything = box.search({});
        CHECK(everything == box.view().uids());
        search_query nowhere;
        nowhere.uids = uid_set{};
        CHECK(box.search(nowhere).empty());
    });
}

}  // namespace mailfs::test::search_query_tests
