// SPDX-License-Identifier: BSL-1.0
// Nodes that share a store: what differs from nodes with their own disks (multimaster.cpp).
#include <mailfs/replication/multimaster.hpp>

#include <mailfs/fs/faulty_fs.hpp>
#include <mailfs/host/sim_host.hpp>
#include <mailfs/index/index.hpp>
#include <mailfs/log/lockless_log.hpp>
#include <mailfs/replication/detail/mutant.hpp>
#include <mailfs/transport/sim_transport.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using namespace mailfs;

namespace {

using policy = multimaster<sim_transport, sim_host, shared_store>;
using set_type = replica_set<sim_transport, sim_host>;
using box = mailfs::index<lockless_log, faulty_fs<>, policy>;

constexpr sim_time ms = 1000, second = 1000 * ms;
guid const object = guid::from_words(7, 7);

using mailfs::detail::reached;
std::uint64_t hits(reached what) { return mailfs::detail::reached_so_far()[static_cast<std::size_t>(what)]; }

struct result {
    bool done = false;
    std::string error;
    mailbox_outcome outcome;
};

/// One process after another, each with a way of its own to the store.
struct machine {
    machine(sim_world& w, sim_network& n, memory_fs s, shared_store r, std::uint32_t number, std::uint32_t of)
        : world(w), network(n), host(w, sim_clock(w), number), store(std::move(s)), rules(r) {
        options.cluster = guid::from_words(1, 1);
        options.self = {number, number};
        for (std::uint32_t p = 1; p <= of; ++p)
            if (p != number) options.peers.push_back({p, p});
    }
    void start() {
        way.emplace(store);
        process = sim_process::start(world, options.self.node);
        network.come_up(options.self.node);
        transport.emplace(network, process, sim_clock(world));
        set = std::make_unique<set_type>(*transport, host, options);
        mail = std::make_unique<box>(*way, "box", policy(*set, rules));
        process->spawn(set->run());
    }
    void make() { make(*mail); }
    void make(box& b) {
        opened.reset();
        process->spawn([](machine& m, box& fresh) -> asio::awaitable<void> {
            format::mailbox_transaction t;
            t.raise(77, 1);
            auto const bytes = t.bytes();
            m.made = co_await fresh.create(object, bytes);
            m.opened = true;
        }(*this, b));
    }
    void make_second() {
        second = std::make_unique<box>(*way, "second", policy(*set, rules));
        make(*second);
    }
    void open() {
        process->spawn([](machine& m) -> asio::awaitable<void> { m.opened = co_await m.mail->open(); }(*this), [](std::exception_ptr) {});
    }
    void kill() {
        process->kill();
        second.reset();
        mail.reset();
        set.reset();
        transport.reset();
        process.reset();
        opened.reset();
    }
    mailbox_state const& state() const { return mail->state(); }
    bool is_master() const { return mail->role() == mailfs::detail::member_role::master; }

    sim_world& world;
    sim_network& network;
    sim_host host;
    memory_fs store;
    shared_store rules;
    replication_options options;
    std::optional<faulty_fs<>> way;
    std::shared_ptr<sim_process> process;
    std::optional<sim_transport> transport;
    std::unique_ptr<set_type> set;
    std::unique_ptr<box> mail, second;
    std::optional<bool> opened;
    bool made = false;
};

struct cluster {
    explicit cluster(std::uint32_t nodes, shared_store rules = {}) : world(1), network(world) {
        network.set_delay(100, 300);
        for (std::uint32_t n = 1; n <= nodes; ++n) machines.push_back(std::make_unique<machine>(world, network, store, rules, n, nodes));
        for (auto& m : machines) m->start();
        (*this)[1].make();
        REQUIRE(run([&] { return (*this)[1].opened.has_value(); }));
        for (std::uint32_t n = 2; n <= nodes; ++n) (*this)[n].open();
        REQUIRE(run([&] { return all_open(); }));
        world.run_for(second);  // all follow, and the master knows
    }
    ~cluster() {
        for (auto& m : machines)
            if (m->process) m->kill();
    }
    machine& operator[](std::uint32_t n) { return *machines[n - 1]; }
    bool run(std::function<bool()> until, sim_time limit = 10 * second) { return world.run_until(world.now() + limit, until); }
    bool all_open() {
        for (auto& m : machines)
            if (m->process && !(m->opened && *m->opened)) return false;
        return true;
    }
    bool all_equal() {
        auto const first = machines.front()->state().dump();
        for (auto& m : machines)
            if (m->state().dump() != first) return false;
        return true;
    }
    std::shared_ptr<result> append(std::uint32_t node, std::uint64_t number, durability d = durability::stored) { return append((*this)[node], *(*this)[node].mail, number, d); }
    std::shared_ptr<result> append(machine& at, box& to, std::uint64_t number, durability d) {
        format::mailbox_transaction t;
        message_entry m;
        m.id = guid::from_words(number, number);
        m.size = 10;
        t.append(m);
        return propose(at, to, t, d);
    }
    std::shared_ptr<result> expunge_first(machine& at, box& from) {
        format::mailbox_transaction t;
        t.expunge(uid_set::one(from.state().rows().uid[0]), false);
        return propose(at, from, t, durability::none);
    }
    std::shared_ptr<result> propose(machine& at, box& to, format::mailbox_transaction const& t, durability d) {
        auto const r = std::make_shared<result>();
        std::vector<std::byte> const copy(t.bytes().begin(), t.bytes().end());
        at.process->spawn([](box& b, std::vector<std::byte> operations, durability wanted, std::shared_ptr<result> out) -> asio::awaitable<void> {
            try {
                out->outcome = co_await b.propose(operations, wanted);
            } catch (std::exception const& e) {
                out->error = e.what();
            }
            out->done = true;
        }(to, copy, d, r));
        return r;
    }
    void append_stored(std::uint32_t node, std::uint64_t first, std::uint64_t count) {
        for (auto n = first; n < first + count; ++n) {
            auto const r = append(node, n);
            REQUIRE(run([&] { return r->done; }));
            CHECK(r->error == "");
        }
    }
    std::uint32_t master() { return (*this)[1].is_master() ? 1 : 2; }
    void cut_off() {
        network.cut(1, 2);
        network.cut(2, 1);
    }
    void heal() {
        network.heal(1, 2);
        network.heal(2, 1);
    }
    bool has_file(std::string const& name) const {
        auto const all = store.paths();
        return std::find(all.begin(), all.end(), "box/" + name) != all.end();
    }
    std::size_t files(std::string const& kind) const {
        auto const all = store.paths();
        return std::size_t(std::count_if(all.begin(), all.end(), [&](auto const& p) { return p.starts_with("box/" + kind); }));
    }
    void restart(std::uint32_t node) {
        (*this)[node].start();
        (*this)[node].open();
        REQUIRE(run([&] { return (*this)[node].opened.value_or(false); }));
    }

    sim_world world;
    sim_network network;
    memory_fs store;
    std::vector<std::unique_ptr<machine>> machines;
};

}  // namespace

TEST_CASE("shared store: what was acknowledged as stored survives the loss of every node") {
    cluster c(2);
    auto const a = c.append(1, 1), b = c.append(2, 2);
    REQUIRE(c.run([&] { return a->done && b->done; }));
    CHECK(a->error == "");
    CHECK(b->error == "");
    auto const shown = c[2].state().uid_next();
    c[1].kill();
    c[2].kill();
    c.restart(2);
    CHECK(c[2].state().counters().messages == 2);
    CHECK(c[2].state().uid_next() >= shown);
    auto const d = c.append(2, 3);
    REQUIRE(c.run([&] { return d->done; }));
    CHECK(d->outcome.first_uid >= shown);
}

TEST_CASE("shared store: who takes over writes what the master before had not") {
    cluster c(2);
    c[1].way->faults().disk_full_after(0);
    c[2].way->faults().disk_full_after(0);
    auto const a = c.append(1, 1, durability::none);
    REQUIRE(c.run([&] { return a->done; }));
    CHECK(a->error == "");
    std::uint32_t const master = c[1].is_master() ? 1 : 2, other = 3 - master;
    c[master].kill();
    c[other].way->faults().disk_has_room();
    REQUIRE(c.run([&] { return c[other].is_master(); }));
    c[other].kill();
    c.restart(other);
    CHECK(c[other].state().counters().messages == 1);
}

TEST_CASE("shared store: two nodes that reach it and not each other take turns, and nothing is lost") {
    cluster c(2);
    mailfs::detail::reached_so_far() = {};
    c.network.cut(1, 2);
    c.network.cut(2, 1);
    c.world.run_for(3 * second);
    auto const a = c.append(1, 1), b = c.append(2, 2);
    REQUIRE(c.run([&] { return a->done && b->done; }));
    CHECK(a->error == "");
    CHECK(b->error == "");
    CHECK(hits(reached::flush_lost) > 0);
    CHECK(hits(reached::claim_with_fold) > 0);
    c.network.heal(1, 2);
    c.network.heal(2, 1);
    REQUIRE(c.run([&] { return c.all_equal() && c[1].state().counters().messages == 2; }, 3 * second));
}

TEST_CASE("shared store: a master without it goes on until the unflushed bound, then refuses what it has not ordered") {
    shared_store rules;
    rules.unflushed_max = 1000;
    cluster c(2, rules);
    for (std::uint32_t n = 1; n <= 2; ++n) c[n].way->faults().disk_full_after(0);
    std::uint32_t const master = c[1].is_master() ? 1 : 2;
    auto const first = c.append(master, 1, durability::none);
    REQUIRE(c.run([&] { return first->done; }));
    CHECK(first->error == "");
    std::vector<std::shared_ptr<result>> more;
    for (std::uint64_t n = 2; n < 20; ++n) more.push_back(c.append(master, n, durability::none));
    auto const begun = c.world.now();
    REQUIRE(c.run([&] { return more.back()->done; }));
    CHECK(c.world.now() - begun <= 5100 * ms);
    CHECK(more.back()->error.find("busy") != std::string::npos);
    auto const kept = c[master].state().counters().messages;
    CHECK(kept < 20);
    for (std::uint32_t n = 1; n <= 2; ++n) c[n].way->faults().disk_has_room();
    c.world.run_for(second);
    REQUIRE(c.run([&] { return c.all_equal(); }, 3 * second));
    CHECK(c[1].state().counters().messages == kept);  // what was refused did not happen
}

TEST_CASE("shared store: beyond the unflushed bound what only takes away is ordered, before what waits") {
    shared_store rules;
    rules.unflushed_max = 1000;
    cluster c(2, rules);
    auto const master = c.master(), other = 3 - master;
    for (std::uint32_t n = 1; n <= 2; ++n) c[n].way->faults().disk_full_after(0);
    std::vector<std::shared_ptr<result>> more;
    for (std::uint64_t n = 1; n < 20; ++n) more.push_back(c.append(master, n, durability::none));
    c.world.run_for(100 * ms);
    auto const kept = c[master].state().counters().messages;
    REQUIRE(kept < 19);
    auto const taken = c.expunge_first(c[other], *c[other].mail);
    REQUIRE(c.run([&] { return taken->done; }, 100 * ms));
    CHECK(taken->error == "");
    CHECK(c[master].state().counters().messages == kept - 1);
    auto const own = c.expunge_first(c[master], *c[master].mail);  // behind what it proposed before, which is given up
    REQUIRE(c.run([&] { return own->done; }, 6 * second));
    for (std::uint32_t n = 1; n <= 2; ++n) c[n].way->faults().disk_has_room();
    REQUIRE(c.run([&] { return c.all_equal(); }, 3 * second));
}

TEST_CASE("shared store: all mailboxes of a node together have a bound, beyond which they wait for one another") {
    cluster c(1);
    auto& node = c[1];
    node.kill();
    node.options.unflushed_node_max = 1000;
    c.restart(1);
    node.make_second();
    REQUIRE(c.run([&] { return node.opened.has_value(); }));
    auto const first = c.append(node, *node.second, 1, durability::stored);
    REQUIRE(c.run([&] { return first->done && node.set->unflushed() == 0; }));
    auto const fill = [&](std::uint64_t from) {
        node.way->faults().disk_full_after(0);
        for (auto n = from; n < from + 19; ++n) c.append(1, n);
        c.world.run_for(100 * ms);
    };
    fill(1);
    auto const kept = node.state().counters().messages;
    CHECK(kept > 0);
    CHECK(kept < 19);
    auto const waits = c.append(node, *node.second, 2, durability::stored);
    c.world.run_for(100 * ms);
    CHECK(node.second->state().counters().messages == 1);
    CHECK(node.set->unflushed() <= 1000);
    node.way->faults().disk_has_room();
    REQUIRE(c.run([&] { return node.set->unflushed() <= 200; }, 200 * ms));  // the flush is tried every 100 ms
    REQUIRE(c.run([&] { return waits->done; }, 10 * ms));                    // and is all that it waits for
    CHECK(waits->error == "");
    REQUIRE(c.run([&] { return node.state().counters().messages == 19 && node.set->unflushed() == 0; }, second));

    fill(20);
    CHECK(node.state().counters().messages < 38);
    auto const expunged = c.expunge_first(node, *node.second);
    c.world.run_for(100 * ms);
    CHECK(node.second->state().counters().messages == 1);  // ordered, not acknowledged
    CHECK(!expunged->done);
    node.way->faults().disk_has_room();
    REQUIRE(c.run([&] { return expunged->done; }, second));
    node.second->close();
    node.mail->close();
    CHECK(node.set->unflushed() == 0);
}

TEST_CASE("shared store: strict: who does not reach it refuses within five seconds, and can be read") {
    shared_store rules;
    rules.strict = true;
    cluster c(2, rules);
    auto const a = c.append(1, 1, durability::none);
    REQUIRE(c.run([&] { return a->done; }));
    for (std::uint32_t n = 1; n <= 2; ++n) c[n].way->faults().disk_full_after(0);
    std::uint32_t const master = c[1].is_master() ? 1 : 2;
    auto const lost = c.append(master, 2, durability::none);  // it finds out by this one
    c.world.run_for(second);
    auto const refused = c.append(master, 3, durability::none);
    auto const begun = c.world.now();
    REQUIRE(c.run([&] { return refused->done && lost->done; }));
    CHECK(c.world.now() - begun <= 5100 * ms);
    CHECK(lost->error.find("unknown") != std::string::npos);
    CHECK(refused->error.find("no master that takes changes") != std::string::npos);
    CHECK(c[master].mail->can_serve());
    CHECK(c[master].state().counters().messages >= 1);
}

TEST_CASE("shared store: a master that closes writes what waits") {
    shared_store rules;
    rules.flush_ms = rules.idle_ms = 3'600'000;
    cluster c(2, rules);
    std::uint32_t const master = c[1].is_master() ? 1 : 2;
    auto const a = c.append(master, 1, durability::none);
    REQUIRE(c.run([&] { return a->done; }));
    c[3 - master].kill();
    c[master].mail->close();
    c.world.run_for(100 * ms);
    c[master].kill();
    c.restart(master);
    CHECK(c[master].state().counters().messages == 1);
}

TEST_CASE("shared store: sync returns when the store has all that is shown, on the master and on others") {
    shared_store rules;
    rules.flush_ms = rules.idle_ms = 1000;
    cluster c(2, rules);
    auto const a = c.append(1, 1, durability::none);
    REQUIRE(c.run([&] { return a->done && c.all_equal(); }));
    int synced = 0;
    for (std::uint32_t n = 1; n <= 2; ++n)
        c[n].process->spawn([](machine& m, int& count) -> asio::awaitable<void> {
            co_await m.mail->sync();
            ++count;
        }(c[n], synced));
    REQUIRE(c.run([&] { return synced == 2; }, 3 * second));
    c[1].kill();
    c[2].kill();
    c.restart(1);
    CHECK(c[1].state().counters().messages == 1);
}

TEST_CASE("shared store: of two nodes that make one mailbox one makes it, and the other opens it") {
    cluster c(2);
    c[1].kill();
    c[2].kill();
    memory_fs empty;
    for (std::uint32_t n = 1; n <= 2; ++n) {
        c[n].store = empty;
        c[n].made = false;
        c[n].start();
        c[n].make();
    }
    REQUIRE(c.run([&] { return c[1].opened.has_value() && c[2].opened.has_value(); }));
    CHECK(c[1].made != c[2].made);
    CHECK(c.run([&] { return c.all_equal(); }, 3 * second));
}

TEST_CASE("shared store: a member covers what its master leaves long, and removes it when that is safe") {
    shared_store rules;
    rules.files_max = 1000;
    rules.late_ms = 2000;
    cluster c(2, rules);
    auto const master = c.master(), other = 3 - master;
    c[other].kill();
    c[other].rules.files_max = 4;
    c.restart(other);
    REQUIRE(c[master].is_master());
    c.append_stored(master, 1, 12);
    CHECK(c.run([&] { return c.files("index.") > 0; }, second));
    CHECK(c[master].is_master());
    CHECK(c.has_file("log.1"));
    CHECK(c.run([&] { return !c.has_file("log.1") && c.files("log.") < 8; }, 3 * second));
    c.append_stored(master, 13, 1);
    c[1].kill();
    c[2].kill();
    c.restart(1);
    CHECK(c[1].state().counters().messages == 13);
}

TEST_CASE("shared store: who opens a long log covers it") {
    shared_store rules;
    rules.files_max = 1000;
    cluster c(2, rules);
    c.append_stored(1, 1, 8);
    c[1].kill();
    c[2].kill();
    CHECK(c.files("index.") == 0);
    c[2].rules.files_max = 4;
    c.restart(2);
    CHECK(c.run([&] { return c.files("index.") > 0; }, second));
    c[2].kill();
    c.restart(1);
    CHECK(c[1].state().counters().messages == 8);
}

TEST_CASE("shared store: what a node covered before it died is removed by another, what opens an epoch when it is old") {
    shared_store rules;
    rules.files_max = 4;
    rules.late_ms = 5000;
    rules.keep_epochs_ms = 60'000;
    cluster c(2, rules);
    c.append_stored(c.master(), 1, 6);
    REQUIRE(c.run([&] { return c.files("index.") > 0; }, second));
    c[1].kill();
    c[2].kill();
    CHECK(c.has_file("log.1"));
    c.restart(2);  // which takes two seconds
    c.world.run_for(2 * second);
    CHECK(c.has_file("log.1"));  // a create may still be late
    c.world.run_for(2 * second);
    CHECK(!c.has_file("log.1"));
    CHECK(c.has_file("log.2"));
    c.world.run_for(60 * second);
    CHECK(!c.has_file("log.2"));
    c.append_stored(2, 7, 1);
    CHECK(c[2].state().counters().messages == 7);
}

TEST_CASE("shared store: a snapshot that fails, half of the removal, and a node that comes and goes meanwhile lose nothing") {
    shared_store rules;
    rules.files_max = 3;
    rules.late_ms = 300;
    cluster c(2, rules);
    std::uint64_t number = 0;
    for (std::uint64_t call = 1; call < 30; ++call) {
        auto const master = c.master();
        c[master].way->faults().stop_at(c[master].way->faults().calls() + call, call);  // it dies in there
        auto const a = c.append(3 - master, ++number);
        REQUIRE(c.run([&] { return a->done; }));
        CHECK(a->error == "");
        c.world.run_for(400 * ms);
        c[master].kill();
        c.restart(master);
    }
    c[1].kill();
    c[2].kill();
    c.restart(1);
    CHECK(c[1].state().counters().messages == number);
    CHECK(c.files("index.") <= 3);
}

TEST_CASE("shared store: a master that slept until what shut it out was gone looks before it believes what it wrote") {
    shared_store rules;
    rules.files_max = 2;
    rules.late_ms = 500;
    rules.keep_epochs_ms = 4000;
    rules.sleep_ms = 3000;
    for (bool const looks : {true, false}) {
        cluster c(2, rules);
        auto const master = c.master(), other = 3 - master;
        auto const epoch = c[master].state().stream().at.epoch;
        mailfs::detail::planted() = {looks ? mailfs::detail::mutant::none : mailfs::detail::mutant::store_slept_not_looked, 0};
        mailfs::detail::reached_so_far() = {};
        c.cut_off();
        c[master].process->pause();
        REQUIRE(c.run([&] { return c[other].is_master(); }));
        c.append_stored(other, 1, 4);
        c.world.run_for(10 * second);
        CHECK(c[master].state().stream().at.epoch == epoch);
        c[master].process->go_on();
        auto const a = c.append(master, 5);
        REQUIRE(c.run([&] { return a->done; }));
        mailfs::detail::planted() = {};
        CHECK(a->error == "");
        CHECK(hits(reached::slept) > 0);
        c[1].kill();
        c[2].kill();
        c.restart(other);
        CHECK(c[other].state().counters().messages == (looks ? 5 : 4));  // what was acknowledged would be lost
    }
}
