// SPDX-License-Identifier: BSL-1.0
// Threads that share nothing but the files: a store for each, over copies of one filesystem.
#include <mailfs/store/store.hpp>

#include "store_fixture.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace mailfs::test::store_threads_tests {

namespace {

inline constexpr int threads_count = 4;
inline constexpr int rounds = 40;

// Delivers into one mailbox, makes mailboxes of its own and of everyone's, moves what it delivered.
template <class On>
asio::awaitable<void> work(typename On::fs fs, int who, std::vector<uid_t>& delivered, std::atomic<int>& made) {
    store_options options;
    options.durability = durability::none;
    options.log.rotate_size_min = 2048;
    auto const host = ticking_host(1);  // of this thread alone
    host.chance->seed(static_cast<std::uint64_t>(who) + 100);
    typename On::store s(fs, options, host);
    auto a = co_await s.account("alice");
    auto inbox = co_await a.open("INBOX");
    auto const own = "own/" + std::to_string(who);
    co_await a.create(own);
    auto box = co_await a.open(own);
    for (int i = 0; i < rounds; ++i) {
        auto const body = std::to_string(who) + '.' + std::to_string(i);
        auto const uid = co_await deliver(inbox, body);
        delivered.push_back(uid);
        auto const copied = co_await inbox.copy_to(uid_set::one(uid), box);
        if (copied.uids.size() != 1) throw error(errc::corrupt, "test", "a message that was just delivered is gone");
        auto const shared = "all/" + std::to_string(i % 8);
        auto const why = co_await failure_of(a.create(shared));
        if (!why)
            ++made;
        else if (why != errc::exists)
            throw std::system_error(why);
    }
}

}  // namespace

TEST_CASE_TEMPLATE("store: threads deliver, copy and make mailboxes at once, and all of it is there once", On, memory_single,
                   posix_multi) {
    store_fixture<On> f;
    std::vector<std::vector<uid_t>> delivered(threads_count);
    std::atomic<int> made{0}, failed{0};
    std::vector<std::thread> threads;
    for (int who = 0; who < threads_count; ++who)
        threads.emplace_back([&, who] {
            try {
                run([&]() -> asio::awaitable<void> {
                    co_await work<On>(f.fs, who, delivered[static_cast<std::size_t>(who)], made);
                });
            } catch (std::exception const& e) {
                ++failed;
                std::fputs(e.what(), stderr);
            }
        });
    for (auto& t : threads) t.join();
    CHECK(failed == 0);
    CHECK(made == 8);
    std::set<uid_t> uids;
    for (auto const& mine : delivered) {
        CHECK(std::is_sorted(mine.begin(), mine.end()));
        uids.insert(mine.begin(), mine.end());
    }
    CHECK(uids.size() == threads_count * rounds);
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        auto const names = co_await names_of(a);
        CHECK(names == "INBOX all all/0 all/1 all/2 all/3 all/4 all/5 all/6 all/7 own own/0 own/1 own/2 own/3");
        auto const boxes = co_await f.fs.list("alice/box");
        CHECK(boxes.size() == 15);
        auto inbox = co_await a.open("INBOX");
        CHECK(inbox.view().messages() == threads_count * rounds);
        for (int who = 0; who < threads_count; ++who) {
            auto box = co_await a.open("own/" + std::to_string(who));
            auto mails = box.fetch(box.view().uids());
            for (int i = 0; i < rounds; ++i) {
                auto const one = co_await mails.next();
                REQUIRE(one.has_value());
                CHECK(text_of(one->bytes) == std::to_string(who) + '.' + std::to_string(i));
            }
        }
    });
}

}  // namespace mailfs::test::store_threads_tests
