// SPDX-License-Identifier: BSL-1.0
// Old mail on a second filesystem.
#include <mailfs/store/purge.hpp>

#include <mailfs/fs/tiered.hpp>

#include "purge_fixture.hpp"
#include "store_fixture.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace mailfs::test::purge_tiered_tests {

namespace {

constexpr std::uint64_t day = 86'400'000;

template <template <class, class> class Format>
using two_tiers = store_on<tiered<memory_fs, memory_fs>, Format>;
using tiered_single = two_tiers<single_dbox>;
using tiered_multi = two_tiers<multi_dbox>;

template <class On>
struct tiers {
    memory_fs fast, slow;
    clocked_host host;
    typename On::fs fs{fast, slow};

    std::size_t mail_files(memory_fs const& in) const {
        auto const all = in.paths();
        return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [](auto const& p) { return p.find("/mail/") != p.npos; }));
    }
};

// Rounds a grace period apart, as many as it takes.
template <class On>
asio::awaitable<purge_report> lower_all(typename On::account account, clocked_host host, purge_options how = {.lower_after_ms = 30 * day}) {
    purger_on<On> purger(account, how);
    purge_report sum;
    for (int rounds = 0; rounds < 4; ++rounds) {
        auto const one = co_await round_of(purger, {.mailboxes = 2, .files = 3, .bytes = 1000});  // incremental
        sum.files_lowered += one.files_lowered;
        sum.bytes_lowered += one.bytes_lowered;
        sum.files_removed += one.files_removed;
        sum.files_stuck += one.files_stuck;
        host.pass(grace);
    }
    co_return sum;
}
template <class Mailbox>
asio::awaitable<std::string> all_of(Mailbox& box) {
    std::string text;
    co_await box.refresh();
    auto mails = box.fetch(box.view().uids());
    while (true) {
        auto const one = co_await mails.next();
        if (!one) break;
        text += (one->error ? '<' + one->reason + '>' : text_of(one->bytes).substr(0, 2)) + ' ';
    }
    co_return text;
}

}  // namespace

TEST_CASE_TEMPLATE("purge: mail that got old moves to the second filesystem, and is read from there", On, tiered_single, tiered_multi) {
    tiers<On> t;
    run([&]() -> asio::awaitable<void> {
        auto s = open_store<On>(t.fs, t.host);
        auto a = co_await s.account("alice");
        auto box = co_await a.open("INBOX");
        for (int n = 10; n < 20; ++n) co_await deliver(box, std::to_string(n) + std::string(700, 'x'));
        t.host.pass(31 * day);
        for (int n = 20; n < 25; ++n) co_await deliver(box, std::to_string(n) + std::string(700, 'x'));
        auto const none = co_await lower_all<On>(a, t.host, {});
        CHECK(none.files_lowered == 0);
        auto const before = t.mail_files(t.fast);
        auto const did = co_await lower_all<On>(a, t.host);
        CHECK(did.files_stuck == 0);
        CHECK(did.bytes_lowered > 10 * 700);
        CHECK(did.files_lowered == t.mail_files(t.slow));
        CHECK(t.mail_files(t.fast) + t.mail_files(t.slow) == before);
        CHECK(t.mail_files(t.fast) >= 1);
        if (std::is_same_v<On, tiered_single>) CHECK(t.mail_files(t.slow) == 10);
        std::string const all = "10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 ";
        auto const here = co_await all_of(box);
        CHECK(here == all);
        auto other = open_store<On>(t.fs, t.host);
        auto b = co_await other.account("alice");
        auto same = co_await b.open("INBOX");
        auto const there = co_await all_of(same);
        CHECK(there == all);
        auto const again = co_await lower_all<On>(a, t.host);
        CHECK(again.files_lowered == 0);
    });
}

TEST_CASE_TEMPLATE("purge: what is out of use goes from the second filesystem, too", On, tiered_single, tiered_multi) {
    tiers<On> t;
    run([&]() -> asio::awaitable<void> {
        auto s = open_store<On>(t.fs, t.host);
        auto a = co_await s.account("alice");
        auto box = co_await a.open("INBOX");
        for (int n = 10; n < 20; ++n) co_await deliver(box, std::to_string(n) + std::string(700, 'x'));
        t.host.pass(31 * day);
        co_await deliver(box, "20");
        co_await lower_all<On>(a, t.host);
        auto const lowered = t.mail_files(t.slow);
        REQUIRE(lowered >= 3);
        uid_set most;
        most.add(1, 9);
        co_await box.expunge(most, false);
        co_await lower_all<On>(a, t.host);
        co_await lower_all<On>(a, t.host);
        CHECK(t.mail_files(t.slow) <= 2);
        auto const left = co_await all_of(box);
        CHECK(left == "19 20 ");
    });
}

TEST_CASE("purge: a file that was written to at the mark before stays on the first filesystem, however old its mail is") {
    tiers<tiered_multi> t;
    run([&]() -> asio::awaitable<void> {
        auto s = open_store<tiered_multi>(t.fs, t.host, 1'000'000);
        auto a = co_await s.account("alice");
        auto box = co_await a.open("INBOX");
        co_await deliver(box, "10");
        purger_on<tiered_multi> purger(a, {.lower_after_ms = 1});
        for (int n = 11; n < 30; ++n) {
            t.host.pass(grace / 3);  // the writer goes on in its file
            co_await round_of(purger);
            co_await deliver(box, std::to_string(n));
            CHECK(t.mail_files(t.slow) == 0);
        }
        t.host.pass(2 * grace);
        co_await round_of(purger);
        t.host.pass(2 * grace);
        auto const last = co_await round_of(purger);
        CHECK(last.files_lowered == 1);
        co_await deliver(box, "30");
        auto const all = co_await all_of(box);
        CHECK(all == "10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 ");
    });
}

TEST_CASE("purge: a second filesystem that is full or away leaves old mail where it is, and says so") {
    using fs_type = tiered<memory_fs, faulty_fs<>>;
    using on = store_on<fs_type, multi_dbox>;
    memory_fs const fast;
    faulty_fs<> const slow;
    clocked_host const host;
    run([&]() -> asio::awaitable<void> {
        auto s = open_store<on>(fs_type(fast, slow), host);
        auto a = co_await s.account("alice");
        auto box = co_await a.open("INBOX");
        for (int n = 10; n < 20; ++n) co_await deliver(box, std::to_string(n) + std::string(700, 'x'));
        host.pass(31 * day);
        slow.faults().disk_full_after(0);
        auto const did = co_await lower_all<on>(a, host);
        CHECK(did.files_lowered == 0);
        CHECK(did.files_stuck >= 3);
        auto const all = co_await all_of(box);
        CHECK(all == "10 11 12 13 14 15 16 17 18 19 ");
        slow.faults().disk_has_room();
        auto const later = co_await lower_all<on>(a, host);
        CHECK(later.files_lowered >= 3);
        auto const still = co_await all_of(box);
        CHECK(still == all);
    });
}

}  // namespace mailfs::test::purge_tiered_tests
