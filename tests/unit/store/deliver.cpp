// SPDX-License-Identifier: BSL-1.0
#include <mailfs/store/deliver.hpp>

#include <mailfs/store/rebuild.hpp>

#include "purge_fixture.hpp"
#include "store_fixture.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace mailfs::test::deliver_tests {

namespace {

using faulty_single = store_on<faulty_fs<>, single_dbox>;

struct no_links_fs : memory_fs {
    void link() = delete;
};

std::vector<recipient> people(int count) {
    std::vector<recipient> all;
    for (int n = 0; n < count; ++n) all.push_back({"user" + std::to_string(n)});
    return all;
}

using counted_single = store_on<network_fs, single_dbox>;
using counted_multi = network_multi;

// What the INBOX of each has, first message alone.
template <class Store>
asio::awaitable<std::string> first_of(Store& s, std::string name) {
    auto account = co_await s.account(name);
    auto box = co_await account.open("INBOX");
    auto const bytes = co_await box.read(box.view().uid(1));
    co_return text_of(bytes);
}

}  // namespace

TEST_CASE_TEMPLATE("deliver: a body for many accounts is stored once", On, counted_single, counted_multi) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open(durability::stored);
        auto to = people(20);
        for (auto const& r : to) co_await s.account(r.account);
        to.push_back({"user3"});
        std::string const text(100'000, 'x');
        new_message message;
        message.bytes = as_bytes(text);
        auto& counts = f.fs.counts();
        counts.reset();
        auto const done = co_await mailfs::deliver(s, to, message);
        for (auto const& d : done) CHECK(d.reason == "");
        CHECK(counts.bytes_created + counts.bytes_appended < text.size() + 40'000);
        CHECK(counts.link == 20);
        std::uint64_t files = 0;
        for (auto const& r : people(20)) {
            auto const read = co_await first_of(s, r.account);
            CHECK(read == text);
            auto account = co_await s.account(r.account);
            auto mails = account.core()->make_format();
            auto const all = co_await mails.files();
            files += all.size();
        }
        CHECK(files == 20);  // names
    });
}

TEST_CASE("deliver: where a file of its own is not worth it, or the filesystem has no links, each account has a body") {
    store_fixture<counted_multi> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto const to = people(10);
        std::string const text(20'000, 'x');
        new_message message;
        message.bytes = as_bytes(text);
        co_await mailfs::deliver(s, to, message);
        CHECK(f.fs.counts().link == 0);
        CHECK(f.fs.counts().bytes_appended > 10 * text.size());
    });
    static_assert(!sharing_format<multi_dbox<no_links_fs, clocked_host>> && message_format<multi_dbox<no_links_fs, clocked_host>>);
}

TEST_CASE_TEMPLATE("deliver: purge takes a shared body from who expunged it, and from nobody else", On, memory_single, memory_multi) {
    clocked_host const host;
    typename On::fs const fs;
    run([&]() -> asio::awaitable<void> {
        auto s = open_store<On>(fs, host);
        std::string const text(100'000, 'x');
        new_message message;
        message.bytes = as_bytes(text);
        auto const to = people(3);
        co_await mailfs::deliver(s, to, message);
        for (auto const* name : {"user0", "user2"}) {  // the first is who wrote it
            auto account = co_await s.account(name);
            auto box = co_await account.open("INBOX");
            co_await box.expunge(uid_set::one(1), false);
            auto const purged = co_await purge_all<On>(account, host);
            CHECK(purged.files_removed >= 1);
            auto mails = account.core()->make_format();
            auto const left = co_await mails.files();
            CHECK(left.empty());
            auto const read = co_await first_of(s, "user1");
            CHECK(read == text);
        }
    });
}

TEST_CASE("deliver: a rebuild puts a shared body back where nobody knows of it, and not where it was expunged") {
    clocked_host const host;
    memory_fs fs;
    run([&]() -> asio::awaitable<void> {
        auto s = open_store<memory_multi>(fs, host);
        std::string const text(100'000, 'x');
        new_message message;
        message.bytes = as_bytes(text);
        auto const to = people(3);
        co_await mailfs::deliver(s, to, message);
        rebuild_options options;
        options.homeless_to = "Found";
        auto one = co_await s.account("user1");
        auto box = co_await one.open("INBOX");
        co_await box.expunge(uid_set::one(1), false);
        auto const expunged = co_await rebuild(s, "user1", options, {});
        CHECK(expunged.homeless == 0);
        CHECK(expunged.expunged == 1);
        auto two = co_await s.account("user2");
        auto const inbox = co_await id_of(two, "INBOX");
        for (auto const* file : {"/log.1", "/index.1"}) co_await fs.remove("user2/box/" + inbox.hex() + file);
        typename memory_multi::store anew(fs, purge_store_options(), host);
        auto const lost = co_await rebuild(anew, "user2", options, {});
        CHECK(lost.homeless_adopted == 1);
    });
}

TEST_CASE_TEMPLATE("deliver: when the power is cut in any call, whoever was told that it is stored has the shared body", On, faulty_single, faulty_multi) {
    using sound = std::conditional_t<std::is_same_v<On, faulty_multi>, memory_multi, memory_single>;
    std::string const text(70'000, 'x');
    auto to = people(3);
    to.push_back({"user1"});
    std::uint64_t n = 1, told = 0;
    for (bool stopped = true; stopped; ++n) {
        CAPTURE(n);
        store_fixture<On> f;
        std::vector<delivered> done;
        run([&]() -> asio::awaitable<void> {
            auto s = f.open(durability::stored);
            for (auto const& r : to) co_await s.account(r.account);
            f.fs.faults().stop_at(f.fs.faults().calls() + n, n);
            new_message message;
            message.bytes = as_bytes(text);
            done = co_await mailfs::deliver(s, to, message);
        });
        stopped = f.fs.faults().stopped();
        for (auto const how : {power_cut::lose_all, power_cut::keep_all})
            run([&]() -> asio::awaitable<void> {
                store_options options;
                options.durability = durability::stored;
                typename sound::store s(f.fs.after(how, n), options, f.host);
                for (std::size_t i = 0; i < to.size(); ++i) {
                    if (done[i].error) continue;
                    ++told;
                    auto account = co_await s.account(to[i].account);
                    auto box = co_await account.open("INBOX");
                    auto const read = co_await box.read(done[i].uid);
                    CHECK(text_of(read) == text);
                }
            });
    }
    CHECK(n > 20);
    CHECK(told > 40);
}

TEST_CASE_TEMPLATE("deliver: each recipient has a copy, and what fails for one is told for that one", On, memory_single, network_multi) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto const body = bytes_view(as_bytes("Subject: to all\r\n\r\n"));
        auto to = people(20);
        to.push_back({"user3"});
        to.push_back({"user4", "Not there"});
        to.push_back({"", "INBOX"});
        new_message message;
        message.bytes = body;
        message.flags = flag::flagged;
        auto const done = co_await mailfs::deliver(s, to, message);
        REQUIRE(done.size() == to.size());
        for (std::size_t n = 0; n < to.size(); ++n) {
            bool const fails = n >= 21;
            CHECK((done[n].uid == 0) == fails);
            CHECK(static_cast<bool>(done[n].error) == fails);
            CHECK(done[n].reason.empty() == !fails);
        }
        CHECK(done[21].error == errc::not_found);
        CHECK(done[22].error == errc::bad_name);
        for (int n = 0; n < 20; ++n) {
            auto account = co_await s.account("user" + std::to_string(n));
            auto box = co_await account.open("INBOX");
            CHECK(box.view().messages() == (n == 3 ? 2 : 1));
            auto const read = co_await box.read(box.view().uid(1));
            CHECK(text_of(read) == text_of(body));
            CHECK(box.view().flags(box.view().uid(1)) == flag::flagged);
        }
    });
}

TEST_CASE("deliver: recipients do not wait for each other") {
    network_multi::fs const slow(latency_fs<memory_fs>(memory_fs(), fs_delays::all(std::chrono::milliseconds(3))));
    run([&]() -> asio::awaitable<void> {
        auto const timed = [&](int count) -> asio::awaitable<double> {
            network_multi::store s(slow, store_options{}, ticking_host(1));
            new_message message;
            message.bytes = as_bytes("a message");
            auto const to = people(count);
            auto const begun = std::chrono::steady_clock::now();
            auto const done = co_await mailfs::deliver(s, to, message);
            for (auto const& d : done) CHECK(!d.error);
            co_return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
        };
        co_await timed(16);  // makes the accounts
        auto const one = co_await timed(1);
        auto const all = co_await timed(16);
        CHECK(all < 10 * one);  // 16 one after the other
    });
}

}  // namespace mailfs::test::deliver_tests
