// SPDX-License-Identifier: BSL-1.0
// A whole store, its tree, its mailboxes and its mail, on one filesystem that several nodes reach, and whose create() elects masters.
// Nodes with a disk each: replicated_store.cpp.
#include <mailfs/store/store.hpp>

#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/dbox/single_dbox.hpp>
#include <mailfs/fs/faulty_fs.hpp>
#include <mailfs/host/sim_host.hpp>
#include <mailfs/index/index.hpp>
#include <mailfs/log/lockless_log.hpp>
#include <mailfs/replication/multimaster.hpp>
#include <mailfs/transport/sim_transport.hpp>

#include "unit/store/cluster_fixture.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using namespace mailfs;

namespace {

constexpr sim_time ms = 1000, second = 1000 * ms;
using policy = multimaster<sim_transport, sim_host, shared_store>;
using index_type = mailfs::index<lockless_log, faulty_fs<>, policy>;

/// With a way of its own to the store.
template <class Format>
struct node : test::store_node<store<index_type, Format>> {
    node(sim_world& w, sim_network& n, memory_fs f, std::uint32_t number, std::uint32_t of) : node::store_node(w, n, number, of), files(std::move(f)) {}

    void start() {
        way.emplace(files);
        this->template start_on<policy>(*way);
    }
    bool is_tree_master() const { return this->account && this->account->core()->tree.role() == mailfs::detail::member_role::master; }

    memory_fs files;
    std::optional<faulty_fs<>> way;
};

template <class Format>
struct cluster : test::store_cluster<node<Format>> {
    explicit cluster(std::uint32_t count) {
        this->rest = 5 * ms;
        for (std::uint32_t n = 1; n <= count; ++n) this->nodes.push_back(std::make_unique<node<Format>>(this->world, this->network, files, n, count));
        for (auto& n : this->nodes) n->start();
        this->world.run_for(second);
        REQUIRE(this->open_on_all() == "");
    }
    std::string restart(std::uint32_t n) {
        (*this)[n].start();
        return this->open(n);
    }
    std::string create(std::uint32_t n, std::string name) {
        return this->run(n, [=](auto& at) -> asio::awaitable<void> { co_await at.account->create(name); });
    }
    std::string rename(std::uint32_t n, std::string from, std::string to) {
        return this->run(n, [=](auto& at) -> asio::awaitable<void> { co_await at.account->rename(from, to); });
    }
    std::string remove(std::uint32_t n, std::string name) {
        return this->run(n, [=](auto& at) -> asio::awaitable<void> { co_await at.account->remove(name); });
    }
    /// The mailboxes that the account has on that node.
    std::string names(std::uint32_t n) {
        std::string all;
        auto const why = this->run(n, [&](auto& at) -> asio::awaitable<void> {
            auto const list = co_await at.account->list();
            for (auto const& m : list) all += m.name + ' ';
        });
        return why.empty() ? all : why;
    }
    std::uint32_t tree_master() {
        for (auto& n : this->nodes)
            if (n->is_tree_master()) return n->options.self.node;
        return 0;
    }
    void cut_off() {
        this->network.cut(1, 2);
        this->network.cut(2, 1);
    }
    void heal() {
        this->network.heal(1, 2);
        this->network.heal(2, 1);
    }
    std::uint64_t calls() const {
        std::uint64_t all = 0;
        for (auto& n : this->nodes) all += n->way->faults().calls();
        return all;
    }
    std::size_t boxes() const {
        std::vector<std::string> found;
        for (auto const& path : files.paths()) {
            auto const at = path.find("/box/");
            if (at != path.npos) found.push_back(path.substr(0, path.find('/', at + 5)));
        }
        std::sort(found.begin(), found.end());
        return std::size_t(std::unique(found.begin(), found.end()) - found.begin());
    }

    memory_fs files;
};

using multi = multi_dbox<faulty_fs<>, sim_host>;
using single = single_dbox<faulty_fs<>, sim_host>;

}  // namespace

TEST_CASE_TEMPLATE("store that nodes share: an account is there on all, and mail appended on any is read on each", Format, single, multi) {
    cluster<Format> c(2);
    CHECK(c.append(1, "INBOX", "one") == "");
    CHECK(c.append(2, "INBOX", "two") == "");
    c.world.run_for(second);
    for (std::uint32_t n = 1; n <= 2; ++n) CHECK(c.read(n, "INBOX") == "one two ");
}

TEST_CASE("store that nodes share: of two nodes that make one account at once one makes it") {
    cluster<single> c(2);
    int opened = 0;
    for (auto& n : c.nodes)
        n->process->spawn([](node<single>& at, int& count) -> asio::awaitable<void> {
            at.account = co_await at.here->account("bob");
            ++count;
        }(*n, opened));
    REQUIRE(c.world.run_until(c.world.now() + 10 * second, [&] { return opened == 2; }));
    CHECK(c.append(1, "INBOX", "one") == "");
    CHECK(c.append(2, "INBOX", "two") == "");
    for (std::uint32_t n = 1; n <= 2; ++n) CHECK(c.read(n, "INBOX") == "one two ");
}

TEST_CASE("store that nodes share: mailboxes made, renamed and removed on one are so on the other") {
    cluster<single> c(2);
    CHECK(c.create(1, "a") == "");
    CHECK(c.create(2, "b/c") == "");
    CHECK(c.append(1, "b/c", "one") == "");
    CHECK(c.rename(1, "b", "d") == "");
    CHECK(c.append(2, "d/c", "two") == "");
    CHECK(c.remove(2, "a") == "");
    c.world.run_for(second);
    for (std::uint32_t n = 1; n <= 2; ++n) {
        CHECK(c.names(n) == "INBOX d d/c ");
        CHECK(c.read(n, "d/c") == "one two ");
    }
    CHECK(c.create(1, "d") .find("taken") != std::string::npos);
}

TEST_CASE("store that nodes share: when the tree's master dies another goes on, and it comes back to what was done") {
    cluster<single> c(2);
    CHECK(c.create(1, "a") == "");
    CHECK(c.create(2, "b") == "");
    for (int round = 0; round < 3; ++round) {
        auto const master = c.tree_master(), other = 3 - master;
        REQUIRE(master != 0);
        c[master].kill();
        auto const name = "made" + std::to_string(round);
        CHECK(c.create(other, name) == "");
        CHECK(c.append(other, name, "mail") == "");
        CHECK(c.rename(other, round % 2 == 0 ? "a" : "z", round % 2 == 0 ? "z" : "a") == "");
        CHECK(c.restart(master) == "");
        c.world.run_for(second);
        CHECK(c.read(master, name) == "mail ");
        CHECK(c.names(1) == c.names(2));
    }
    CHECK(c.remove(1, "z") == "");
    c[1].kill();
    c[2].kill();
    CHECK(c.restart(2) == "");
    CHECK(c.names(2) == "INBOX b made0 made1 made2 ");
}

TEST_CASE("store that nodes share: two that reach it and not each other go on by turns, and nothing that was made is lost") {
    cluster<single> c(2);
    CHECK(c.create(1, "both") == "");
    CHECK(c.create(1, "old") == "");
    c.world.run_for(second);
    c.cut_off();
    c.world.run_for(second);
    CHECK(c.create(1, "here") == "");
    CHECK(c.create(2, "there") == "");
    CHECK(c.rename(1, "both", "renamed") == "");
    CHECK(c.remove(2, "old") == "");
    CHECK(c.append(1, "INBOX", "one") == "");
    CHECK(c.append(2, "INBOX", "two") == "");
    c.heal();
    c.world.run_for(3 * second);
    for (std::uint32_t n = 1; n <= 2; ++n) {
        CHECK(c.names(n) == "INBOX here renamed there ");
        CHECK(c.read(n, "INBOX").size() == std::string("one two ").size());
    }
}

TEST_CASE("store that nodes share: a master that reaches neither it nor the others refuses, and comes back to what they did") {
    cluster<single> c(2);
    CHECK(c.create(1, "a") == "");
    CHECK(c.append(1, "a", "one") == "");
    c.world.run_for(second);
    auto const master = c.tree_master(), other = 3 - master;
    REQUIRE(master != 0);
    c.cut_off();
    c[master].way->faults().disk_full_after(0);
    auto const begun = c.world.now();
    CHECK(c.create(master, "refused") != "");
    CHECK(c.world.now() - begun < 6 * second);
    CHECK(c.names(master) == "INBOX a ");  // and can be read
    CHECK(c.create(other, "b") == "");
    CHECK(c.rename(other, "a", "c") == "");
    CHECK(c.append(other, "c", "two") == "");
    c[master].way->faults().disk_has_room();
    c.heal();
    c.world.run_for(3 * second);
    for (std::uint32_t n = 1; n <= 2; ++n) {
        CHECK(c.names(n) == "INBOX b c ");
        CHECK(c.read(n, "c") == "one two ");
    }
    CHECK(c.create(master, "refused") == "");
}

TEST_CASE("store that nodes share: a mailbox that was removed is gone for who has it open, and leaves no files") {
    cluster<single> c(2);
    CHECK(c.create(1, "a") == "");
    CHECK(c.append(1, "a", "one") == "");
    CHECK(c.append(2, "a", "two") == "");
    c.world.run_for(second);
    REQUIRE(c.boxes() == 2);
    for (std::uint32_t n = 1; n <= 2; ++n) {
        CHECK(c.remove(n, "a") == "");
        CHECK(c.append(3 - n, "a", "three").find("is no mailbox") != std::string::npos);
        c.world.run_for(3 * second);
        auto const calls = c.calls();
        c.world.run_for(10 * second);
        CHECK(c.calls() == calls);  // nobody looks for it
        CHECK(c.boxes() == 1);
        CHECK(c.create(n, "a") == "");
        CHECK(c.append(3 - n, "a", "new") == "");
        CHECK(c.read(n, "a") == "new ");
    }
}
