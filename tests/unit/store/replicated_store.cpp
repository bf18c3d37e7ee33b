// SPDX-License-Identifier: BSL-1.0
// A whole store whose nodes have a disk each: its tree, its mailboxes and its mail.
#include <mailfs/store/store.hpp>

#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/dbox/replicated_dbox.hpp>
#include <mailfs/dbox/single_dbox.hpp>
#include <mailfs/fs/faulty_fs.hpp>
#include <mailfs/fs/power_cut.hpp>
#include <mailfs/host/sim_host.hpp>
#include <mailfs/index/index.hpp>
#include <mailfs/log/lockless_log.hpp>
#include <mailfs/replication/multimaster.hpp>
#include <mailfs/store/purge.hpp>
#include <mailfs/transport/sim_transport.hpp>

#include "unit/store/cluster_fixture.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using namespace mailfs;

namespace {

constexpr sim_time ms = 1000, second = 1000 * ms;
using policy = multimaster<sim_transport, sim_host>;
using index_type = mailfs::index<lockless_log, faulty_fs<>, policy>;

/// With a disk of its own.
template <class Format>
struct node : test::store_node<store<index_type, replicated_dbox<Format, sim_transport, sim_host>>> {
    using node::store_node::store_node;

    void start() { this->template start_on<policy>(disk); }
    void lose_power() {
        auto found = disk.after(power_cut::lose_all, 1);
        this->network.vanish(this->options.self.node);
        this->kill();
        disk = faulty_fs<>(std::move(found));
        this->host.boot_again();
    }

    faulty_fs<> disk;
};

template <class Format>
struct cluster : test::store_cluster<node<Format>> {
    explicit cluster(std::uint32_t count) {
        for (std::uint32_t n = 1; n <= count; ++n) this->nodes.push_back(std::make_unique<node<Format>>(this->world, this->network, n, count));
        for (auto& n : this->nodes) n->start();
        this->world.run_for(second);
    }
    std::size_t bodies(std::uint32_t n) { return (*this)[n].account->core()->mails.count(); }
};

using multi = multi_dbox<faulty_fs<>, sim_host>;
using single = single_dbox<faulty_fs<>, sim_host>;

}  // namespace

TEST_CASE_TEMPLATE("store over nodes: an account made on one is there on all, and mail appended on any is read on each", Format, single, multi) {
    cluster<Format> c(3);
    REQUIRE(c.open_on_all() == "");
    CHECK(c.append(1, "INBOX", "one") == "");
    CHECK(c.append(2, "INBOX", "two") == "");
    CHECK(c.append(3, "INBOX", "three") == "");
    c.world.run_for(second);  // two of them have it
    for (std::uint32_t n = 1; n <= 3; ++n) CHECK(c.read(n, "INBOX") == "one two three ");
}

TEST_CASE("store over nodes: flags, copies, moves, expunges and mailboxes made on one node are seen on the others") {
    cluster<multi> c(2);
    REQUIRE(c.open_on_all() == "");
    CHECK(c.append(1, "INBOX", "one") == "");
    CHECK(c.append(1, "INBOX", "two") == "");
    CHECK(c.run(2, [](auto& at) -> asio::awaitable<void> {
        co_await at.account->create("kept");
        auto inbox = co_await at.account->open("INBOX");
        auto kept = co_await at.account->open("kept");
        auto const first = uid_set::one(inbox.view().uids().ranges().front().first);
        co_await inbox.copy_to(first, kept);
        co_await inbox.set_flags(first, {flag_mode::add, flag::deleted, {}, {}});
        co_await inbox.expunge(first);
    }) == "");
    c.world.run_for(second);
    for (std::uint32_t n = 1; n <= 2; ++n) {
        CHECK(c.read(n, "INBOX") == "two ");
        CHECK(c.read(n, "kept") == "one ");
    }
    CHECK(c.run(1, [](auto& at) -> asio::awaitable<void> {
        auto inbox = co_await at.account->open("INBOX");
        auto kept = co_await at.account->open("kept");
        auto all = inbox.view().uids();
        co_await inbox.move_to(all, kept);
        co_await at.account->rename("kept", "older");
    }) == "");
    c.world.run_for(second);
    for (std::uint32_t n = 1; n <= 2; ++n) {
        CHECK(c.read(n, "INBOX") == "");
        CHECK(c.read(n, "older") == "one two ");
    }
}

TEST_CASE("store over nodes: each node comes to have all mail on its own disk, whatever it missed") {
    cluster<multi> c(3);
    REQUIRE(c.open_on_all() == "");
    c[3].kill();
    c.world.run_for(second);
    std::string all;
    for (int n = 0; n < 20; ++n) {
        auto const text = std::to_string(n) + std::string(n % 5 == 0 ? 200'000 : 10, 'x');
        CHECK(c.append(1 + static_cast<std::uint32_t>(n) % 2, "INBOX", text) == "");
        all += text + ' ';
    }
    c[3].start();
    CHECK(c.run(3, [](auto& at) -> asio::awaitable<void> { at.account = co_await at.here->account("alice"); }) == "");
    CHECK(c.soon([&] { return c.bodies(3) == 20; }));
    c[1].kill();
    c[2].kill();
    c[3].lose_power();
    c[3].start();
    CHECK(c.run(3, [](auto& at) -> asio::awaitable<void> { at.account = co_await at.here->account("alice"); }) == "");
    CHECK(c.read(3, "INBOX") == all);
}

TEST_CASE("store over nodes: both sides of a split go on, and have each other's mail when they meet") {
    cluster<single> c(2);
    REQUIRE(c.open_on_all() == "");
    CHECK(c.append(1, "INBOX", "before") == "");
    c.world.run_for(5 * second);  // the other node opens what it had not
    c.network.cut(1, 2);
    c.network.cut(2, 1);
    c.world.run_for(second);
    CHECK(c.append(1, "INBOX", "here") == "");
    CHECK(c.append(2, "INBOX", "there") == "");
    CHECK(c.bodies(1) == 2);
    c.network.heal(1, 2);
    c.network.heal(2, 1);
    CHECK(c.soon([&] { return c.bodies(1) == 3 && c.bodies(2) == 3; }, 10 * second));
    auto const there = c.read(1, "INBOX");
    CHECK(there == c.read(2, "INBOX"));
    CHECK(there.size() == std::string("before here there ").size());
}

TEST_CASE("store over nodes: a body that only an unreachable node has is an error of that fetch alone, and comes later") {
    cluster<single> c(3);
    for (auto& n : c.nodes) CHECK(n->options.copies_on_disk == 2);
    REQUIRE(c.open_on_all() == "");
    CHECK(c.append(1, "INBOX", "one") == "");
    CHECK(c.soon([&] { return c.bodies(3) == 1; }));
    auto const id = [&] {
        auto const& s = c[3].here->services()->indexes;
        for (auto const& k : s.keys())
            if (auto const i = s.find(k); i && i->state().counters().messages == 1) return i->state().rows().id[0];
        return guid{};
    }();
    for (std::uint32_t n = 2; n <= 3; ++n)  // it goes on two of three disks
        CHECK(c.run(n, [=](auto& at) -> asio::awaitable<void> {
            auto const file = "alice/mail/" + id.hex().substr(0, 2) + "/" + id.hex();
            mail_file const gone{file, at.account->core()->mails.file_number(id, {})};
            co_await at.account->core()->mails.remove(gone);
        }) == "");
    c.network.cut(1, 3);
    c.network.cut(3, 1);
    c.network.cut(1, 2);
    c.network.cut(2, 1);
    c.world.run_for(second);
    auto const why = c.read(3, "INBOX");
    CHECK(why.find("no node that has it can be reached") != why.npos);
    CHECK(c.append(3, "INBOX", "two") == "");
    c.network.heal(1, 2);
    c.network.heal(2, 1);
    c.network.heal(1, 3);
    c.network.heal(3, 1);
    c.world.run_for(5 * second);
    CHECK(c.read(3, "INBOX") == "one two ");
}

TEST_CASE_TEMPLATE("store over nodes: purge gives back what no mailbox has, and keeps what one has, on each node alone", Format, single, multi) {
    cluster<Format> c(2);
    REQUIRE(c.open_on_all() == "");
    CHECK(c.append(1, "INBOX", "one") == "");
    CHECK(c.append(2, "INBOX", "two") == "");
    CHECK(c.run(1, [](auto& at) -> asio::awaitable<void> {
        auto inbox = co_await at.account->open("INBOX");
        auto const first = uid_set::one(inbox.view().uids().ranges().front().first);
        co_await inbox.expunge(first, false);
    }) == "");
    c.world.run_for(2 * second);
    REQUIRE(c.bodies(2) == 2);
    auto const round = [&](std::uint32_t n) {
        return c.run(n, [](auto& at) -> asio::awaitable<void> {
            purger p(*at.account);
            for (;;) {
                auto const report = co_await p.step();
                if (report.complete()) break;
            }
        });
    };
    CHECK(round(2) == "");
    c.world.run_for(4000 * second);  // more than the grace period
    CHECK(round(2) == "");
    CHECK(c.bodies(2) == (std::is_same_v<Format, single> ? 1 : 2));  // in multi_dbox they share a file or two
    CHECK(c.bodies(1) == 2);
    CHECK(c.read(2, "INBOX") == "two ");
    CHECK(c.read(1, "INBOX") == "two ");
}
