// SPDX-License-Identifier: BSL-1.0
#include <mailfs/replication/multimaster.hpp>

#include <mailfs/fs/faulty_fs.hpp>
#include <mailfs/host/sim_host.hpp>
#include <mailfs/index/index.hpp>
#include <mailfs/log/lockless_log.hpp>
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

using policy = multimaster<sim_transport, sim_host>;
using set_type = replica_set<sim_transport, sim_host>;
/// It takes so little at once that a great fold does not fit into a record.
struct small_appends : faulty_fs<> {
    small_appends() = default;
    small_appends(faulty_fs<> fs) : faulty_fs<>(std::move(fs)) {}

    static constexpr fs_traits traits = [] {
        auto t = faulty_fs<>::traits;
        t.append_size_max = 256U << 10;
        return t;
    }();
    struct file : faulty_fs<>::file {
        explicit file(faulty_fs<>::file f) : faulty_fs<>::file(std::move(f)) {}
        asio::awaitable<std::uint64_t> append(bytes_view bytes) {
            if (bytes.size() > traits.append_size_max) throw error(errc::too_big, "a file", "one append is too big");
            return faulty_fs<>::file::append(bytes);
        }
    };
    asio::awaitable<std::optional<file>> open(std::string_view path) {
        auto f = co_await faulty_fs<>::open(path);
        if (!f) co_return std::nullopt;
        co_return file(std::move(*f));
    }
};
using box = mailfs::index<lockless_log, small_appends, policy>;

constexpr sim_time ms = 1000, second = 1000 * ms;
guid const object = guid::from_words(7, 7);

/// One machine: its disk outlives its processes.
struct machine {
    machine(sim_world& w, sim_network& n, std::uint32_t number, std::uint32_t of) : world(w), network(n), host(w, sim_clock(w), number) {
        options.cluster = guid::from_words(1, 1);
        options.self = {number, number};
        for (std::uint32_t p = 1; p <= of; ++p)
            if (p != number) options.peers.push_back({p, p});
    }
    void start() {
        process = sim_process::start(world, options.self.node);
        network.come_up(options.self.node);
        transport.emplace(network, process, sim_clock(world));
        set = std::make_unique<set_type>(*transport, host, options);
        mail = std::make_unique<box>(disk, "box", policy(*set));
        process->spawn(set->run());
    }
    void open() {
        process->spawn([](machine& m) -> asio::awaitable<void> { m.opened = co_await m.mail->open(); }(*this), [](std::exception_ptr) {});
    }
    void make() {
        process->spawn([](machine& m) -> asio::awaitable<void> {
            format::mailbox_transaction t;
            t.raise(77, 1);
            auto const bytes = t.bytes();
            m.opened = co_await m.mail->create(object, bytes);
        }(*this));
    }
    void kill() {
        process->kill();
        mail.reset();
        set.reset();
        transport.reset();
        process.reset();
        opened.reset();
    }
    mailbox_state const& state() const { return mail->state(); }
    position at() const { return state().stream().at; }

    sim_world& world;
    sim_network& network;
    sim_host host;
    small_appends disk;
    replication_options options;
    std::shared_ptr<sim_process> process;
    std::optional<sim_transport> transport;
    std::unique_ptr<set_type> set;
    std::unique_ptr<box> mail;
    std::optional<bool> opened;
};

struct result {
    bool done = false;
    std::string error;
    mailbox_outcome outcome;
};

struct cluster {
    explicit cluster(std::uint32_t nodes, std::uint64_t seed = 1) : world(seed), network(world) {
        network.set_delay(100, 300);
        for (std::uint32_t n = 1; n <= nodes; ++n) machines.push_back(std::make_unique<machine>(world, network, n, nodes));
        for (auto& m : machines) m->start();
    }
    ~cluster() {
        for (auto& m : machines)
            if (m->process) m->kill();
    }
    machine& operator[](std::uint32_t n) { return *machines[n - 1]; }
    bool run(std::function<bool()> until, sim_time limit = 10 * second) { return world.run_until(world.now() + limit, until); }

    std::shared_ptr<result> propose(std::uint32_t node, format::mailbox_transaction const& t, durability d = durability::none) {
        auto const r = std::make_shared<result>();
        auto const bytes = t.bytes();
        std::vector<std::byte> const copy(bytes.begin(), bytes.end());
        (*this)[node].process->spawn([](machine& m, std::vector<std::byte> operations, durability wanted, std::shared_ptr<result> out) -> asio::awaitable<void> {
            try {
                out->outcome = co_await m.mail->propose(operations, wanted);
            } catch (std::exception const& e) {
                out->error = e.what();
            }
            out->done = true;
        }((*this)[node], copy, d, r));
        return r;
    }
    std::shared_ptr<result> append(std::uint32_t node, std::uint64_t number, durability d = durability::stored) {
        format::mailbox_transaction t;
        message_entry m;
        m.id = guid::from_words(number, number);
        m.size = 10;
        t.append(m);
        return propose(node, t, d);
    }
    bool all_equal() {
        auto const first = machines.front()->state().dump();
        for (auto& m : machines)
            if (m->state().dump() != first) return false;
        return true;
    }
    std::string tell() {
        std::string out;
        for (auto& m : machines) {
            if (!m->mail) continue;
            auto const& st = m->state().stream();
            out += "\n  node " + std::to_string(m->options.self.node) + " role " + std::to_string(int(m->mail->role())) + " serves " +
                   std::to_string(m->mail->can_serve()) + " messages " + std::to_string(m->state().counters().messages) + " uid_next " +
                   std::to_string(m->state().uid_next()) + " history";
            for (auto const& e : st.history()) out += " " + std::to_string(e.epoch) + ":" + std::to_string(e.n);
            try {
                if (m->mail->failure()) std::rethrow_exception(m->mail->failure());
            } catch (std::exception const& e) {
                out += std::string(" failure ") + e.what();
            }
        }
        return out;
    }
    bool all_open() {
        for (auto& m : machines)
            if (!m->opened || !*m->opened) return false;
        return true;
    }
    void open_all() {
        (*this)[1].make();
        REQUIRE(run([&] { return (*this)[1].opened.has_value(); }));
        REQUIRE(*(*this)[1].opened);
        for (std::size_t n = 2; n <= machines.size(); ++n) (*this)[static_cast<std::uint32_t>(n)].open();
        REQUIRE(run([&] { return all_open(); }));
    }

    sim_world world;
    sim_network network;
    std::vector<std::unique_ptr<machine>> machines;
};

format::mailbox_transaction flags(uid_t uid, flag f) {
    format::mailbox_transaction t;
    t.change_flags(uid_set::one(uid), {flag_mode::add, f, {}, {}});
    return t;
}

}  // namespace

TEST_CASE("multimaster: a mailbox made on one node opens on the others, and all hold the same state") {
    cluster c(3);
    c.open_all();
    auto const a = c.append(1, 1), b = c.append(2, 2), d = c.append(3, 3);
    REQUIRE(c.run([&] { return a->done && b->done && d->done; }));
    CHECK(a->error == "");
    CHECK(b->error == "");
    CHECK(d->error == "");
    CHECK(a->outcome.first_uid != b->outcome.first_uid);
    CHECK(a->outcome.appended == 1);
    auto const f = c.propose(2, flags(b->outcome.first_uid, flag::seen));
    REQUIRE(c.run([&] { return f->done; }));
    CHECK(f->outcome.changed.contains(b->outcome.first_uid));
    CHECK(c.run([&] { return c.all_equal(); }, 2 * second));
    CHECK(c[1].state().counters().messages == 3);
    CHECK(c[3].mail->role() == detail::member_role::member);
}

TEST_CASE("multimaster: when the master dies another takes its place, and nothing acknowledged is lost") {
    cluster c(3);
    c.open_all();
    auto const a = c.append(2, 1);
    REQUIRE(c.run([&] { return a->done; }));
    c[1].kill();
    auto const b = c.append(2, 2), d = c.append(3, 3);
    REQUIRE(c.run([&] { return b->done && d->done; }, 5 * second));
    CHECK(b->error == "");
    CHECK(d->error == "");
    c[1].start();
    c[1].open();
    REQUIRE(c.run([&] { return c.all_open(); }));
    CHECK_MESSAGE(c.run([&] { return c.all_equal(); }, 2 * second), c.tell());
    CHECK(c[1].state().counters().messages == 3);
}

TEST_CASE("multimaster: both sides of a split go on, and are folded into one") {
    cluster c(2);
    c.open_all();
    auto const a = c.append(1, 1);
    REQUIRE(c.run([&] { return a->done; }));
    REQUIRE(c.run([&] { return c.all_equal(); }));
    c.network.cut(1, 2);
    c.network.cut(2, 1);
    c.world.run_for(second);
    auto const b = c.append(1, 2), d = c.append(2, 3);
    REQUIRE(c.run([&] { return b->done && d->done; }));
    CHECK(b->error == "");
    CHECK(d->error == "");
    CHECK(!c.all_equal());
    c.network.heal(1, 2);
    c.network.heal(2, 1);
    CHECK_MESSAGE(c.run([&] { return c.all_equal(); }, 5 * second), c.tell());
    CHECK(c[1].state().counters().messages == 3);
}

TEST_CASE("multimaster: alone a node serves from its own disk after two seconds, and what it acknowledges is there after a power cut") {
    cluster c(3);
    c.open_all();
    auto const a = c.append(1, 1);
    REQUIRE(c.run([&] { return a->done; }));
    c[2].kill();
    c[3].kill();
    c.world.run_for(second);
    auto const b = c.append(1, 2, durability::none);
    REQUIRE(c.run([&] { return b->done; }));
    CHECK(b->error == "");
    c[1].disk = faulty_fs<>(c[1].disk.after(power_cut::lose_all, 1));
    c[1].kill();
    c[1].host.boot_again();
    auto const begun = c.world.now();
    c[1].start();
    c[1].open();
    REQUIRE(c.run([&] { return c[1].opened.has_value(); }));
    CHECK(*c[1].opened);
    CHECK(c.world.now() - begun < 3 * second);
    CHECK(c[1].state().counters().messages == 2);
}

TEST_CASE("multimaster: neither UIDNEXT nor HIGHESTMODSEQ falls when a node is started again, though it lost what it showed") {
    cluster c(2);
    c.open_all();
    auto const a = c.append(1, 1);
    REQUIRE(c.run([&] { return a->done; }));
    c.network.cut(1, 2);
    c.network.cut(2, 1);
    c.world.run_for(second);
    for (std::uint64_t n = 10; n < 20; ++n) {  // shown by node 1, on no disk but its own
        auto const r = c.append(1, n, durability::none);
        REQUIRE(c.run([&] { return r->done; }));
    }
    auto const uid_next = c[1].state().uid_next();
    auto const modseq = c[1].state().highest_modseq();
    c[1].disk = faulty_fs<>(c[1].disk.after(power_cut::lose_all, 1));
    c[1].kill();
    c[1].host.boot_again();
    c.network.heal(1, 2);
    c.network.heal(2, 1);
    c[1].start();
    c[1].open();
    REQUIRE(c.run([&] { return c.all_open(); }));
    CHECK(c[1].state().uid_next() >= uid_next);
    CHECK(c[1].state().highest_modseq() > modseq);
    auto const r = c.append(2, 30);
    REQUIRE(c.run([&] { return r->done; }));
    CHECK(r->outcome.first_uid >= uid_next);
}

TEST_CASE("multimaster: a node without a link to the master follows by way of another") {
    cluster c(3);
    c.open_all();
    c.network.cut(1, 3);
    c.network.cut(3, 1);
    c.world.run_for(3 * second);
    auto const a = c.append(3, 1), b = c.append(1, 2), d = c.append(2, 3);
    REQUIRE(c.run([&] { return a->done && b->done && d->done; }));
    CHECK(a->error == "");
    CHECK(b->error == "");
    CHECK(d->error == "");
    CHECK_MESSAGE(c.run([&] { return c.all_equal(); }, 3 * second), c.tell());
    int masters = 0;
    for (auto& m : c.machines) masters += m->mail->role() == detail::member_role::master ? 1 : 0;
    CHECK_MESSAGE(masters == 1, c.tell());
}

TEST_CASE("multimaster: mastership follows use, and no UID is left out by that") {
    cluster c(3);
    c.open_all();
    std::uint64_t number = 0;
    auto const begun = c.world.now();
    while (c[3].mail->role() != detail::member_role::master && c.world.now() - begun < 30 * second) {
        auto const r = c.append(3, ++number, durability::none);
        REQUIRE(c.run([&] { return r->done; }));
        CHECK(r->error == "");
        c.world.run_for(100 * ms);
    }
    CHECK_MESSAGE(c[3].mail->role() == detail::member_role::master, c.tell());
    CHECK(c[3].state().counters().messages == number);
    CHECK(c.run([&] { return c.all_equal(); }, 2 * second));
}

TEST_CASE("multimaster: a master whose disk fails hands over to one whose disk works, and writes its own anew") {
    cluster c(3);
    c.open_all();
    auto const a = c.append(1, 1);
    REQUIRE(c.run([&] { return a->done; }));
    REQUIRE(c[1].mail->role() == detail::member_role::master);
    auto faulty = c[1].disk;
    SUBCASE("full") { faulty.faults().disk_full_after(0); }
    SUBCASE("a sync fails") { faulty.faults().fail(fs_verb::sync, 1); }
    SUBCASE("an append is torn") { faulty.faults().tear(1, 10, errc::io); }
    auto const b = c.append(2, 2), d = c.append(3, 3);
    REQUIRE(c.run([&] { return b->done && d->done; }));
    CHECK(b->error == "");
    CHECK(d->error == "");
    CHECK(c.run([&] { return c[1].mail->role() != detail::member_role::master; }, second));
    CHECK(c[1].mail->can_serve());
    faulty.faults().disk_has_room();
    CHECK_MESSAGE(c.run([&] { return c.all_equal(); }, 3 * second), c.tell());
    CHECK(c[1].state().counters().messages == 3);
    REQUIRE(c.run([&] { return c[1].mail->role() == detail::member_role::member; }));
    auto const e = c.append(1, 4);
    REQUIRE(c.run([&] { return e->done; }));
    CHECK(e->error == "");
    // What it has written since then counts alone.
    c.world.run_for(second);
    c.network.cut(1, 2), c.network.cut(2, 1), c.network.cut(1, 3), c.network.cut(3, 1);
    c[1].kill();
    faulty_fs<> found(faulty.after(power_cut::lose_all, 7));
    c[1].disk = found;
    c[1].start();
    c[1].open();
    REQUIRE_MESSAGE(c.run([&] { return c[1].opened.has_value(); }), c.tell());
    CHECK(c[1].state().counters().messages == 4);
}

TEST_CASE("multimaster: a master alone with a disk that fails acknowledges nothing, and beyond a bound it takes expunges alone") {
    cluster c(2);
    for (auto& m : c.machines) m->options.unflushed_max = 1000;
    for (auto& m : c.machines) m->kill(), m->start();
    c.open_all();
    auto const a = c.append(1, 1);
    REQUIRE(c.run([&] { return a->done; }));
    c[2].kill();
    REQUIRE(c.run([&] { return c[1].mail->role() == detail::member_role::master; }));
    c.world.run_for(second);
    auto faulty = c[1].disk;
    faulty.faults().disk_full_after(0);
    std::vector<std::shared_ptr<result>> all;
    all.push_back(c.append(1, 2));
    c.world.run_for(100 * ms);
    for (std::uint64_t n = 3; n < 12; ++n) all.push_back(c.append(1, n));
    c.world.run_for(second);
    auto const refused = static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [](auto const& r) { return r->done; }));
    CHECK(refused >= 2);
    CHECK(refused < 9);
    CHECK(c[1].state().counters().messages == 11 - refused);
    for (auto const& r : all)
        if (r->done) CHECK_MESSAGE(r->error.find("no room") != std::string::npos, r->error);
    auto const store = c.propose(1, flags(a->outcome.first_uid, flag::seen), durability::stored);
    format::mailbox_transaction t;
    t.expunge(uid_set::one(a->outcome.first_uid), false);
    auto const expunge = c.propose(1, t, durability::stored);
    c.world.run_for(second);
    CHECK(store->done);
    CHECK_FALSE(expunge->done);
    CHECK_FALSE(c[1].state().find(a->outcome.first_uid));
    faulty.faults().disk_has_room();
    REQUIRE(c.run([&] { return expunge->done; }, 2 * second));
    CHECK(expunge->error == "");
    CHECK(expunge->outcome.held == copies_held{1, 1});
    for (auto const& r : all) REQUIRE(c.run([&] { return r->done; }, second));
    auto const again = c.append(1, 99);
    REQUIRE(c.run([&] { return again->done; }, second));
    CHECK(again->error == "");
}

TEST_CASE("multimaster: the outcome tells how many nodes hold a change, fewer than were asked for where no more are up") {
    cluster c(3);
    c.open_all();
    c.world.run_for(second);
    auto const a = c.append(1, 1);
    REQUIRE(c.run([&] { return a->done; }));
    CHECK(a->outcome.held.on_disk >= 2);
    auto const f = c.propose(2, flags(a->outcome.first_uid, flag::seen));
    REQUIRE(c.run([&] { return f->done; }));
    CHECK(f->outcome.held.in_memory >= 2);
    c[2].kill();
    c[3].kill();
    c.world.run_for(second);
    auto const b = c.append(1, 2, durability::none), d = c.append(1, 3);
    REQUIRE(c.run([&] { return b->done && d->done; }));
    CHECK(b->outcome.held == copies_held{1, 1});  // asked for in memory twice: on all disks there are
    CHECK(d->outcome.held == copies_held{1, 1});
}

namespace {

struct latency {
    double mean_ms, worst_ms;
};
// Of changes through a member, and of appends that are synced, one after the other, while node 3 is what `trouble` makes of it.
latency latency_of(std::function<void(cluster&)> const& trouble) {
    cluster c(3);
    c.open_all();
    c.world.run_for(second);
    if (trouble) trouble(c);
    constexpr std::uint64_t count = 400;
    sim_time sum = 0, worst = 0;
    for (std::uint64_t n = 1; n <= count; ++n) {
        auto const began = c.world.now();
        auto const r = n % 2 == 1 ? c.append(2, n) : c.propose(2, flags(static_cast<uid_t>(1 + n / 4), flag::seen));
        REQUIRE(c.run([&] { return r->done; }));
        REQUIRE(r->error == "");
        sum += c.world.now() - began;
        worst = std::max(worst, c.world.now() - began);
        c.world.run_for(5 * ms);
    }
    return {static_cast<double>(sum) / count / ms, static_cast<double>(worst) / ms};
}
void stall_again_and_again(cluster& c) {
    for (std::uint32_t n = 1; n <= 2; ++n) c.network.stall_connections(3, n, 0, 200 * ms), c.network.stall_connections(n, 3, 0, 200 * ms);
    c.world.after(230 * ms, [&c] { stall_again_and_again(c); });
}

}  // namespace

TEST_CASE("multimaster: a member that stalls, stands still or is dead adds less than a twentieth to the latency of the others") {
    auto const sound = latency_of({});
    MESSAGE("sound: mean " << sound.mean_ms << " ms, worst " << sound.worst_ms);
    auto const holds = [&](std::string const& what, std::function<void(cluster&)> const& trouble) {
        auto const l = latency_of(trouble);
        MESSAGE(what << ": mean " << l.mean_ms << " ms, worst " << l.worst_ms);
        CHECK(l.mean_ms <= sound.mean_ms * 1.05);
        CHECK(l.worst_ms <= sound.worst_ms * 1.5);
    };
    holds("stalls", stall_again_and_again);
    holds("stands still", [](cluster& c) { c[3].process->pause(); });
    holds("dead", [](cluster& c) { c[3].process->kill(); });
}

TEST_CASE("multimaster: a member that was away catches up from the log on a peer's disk, and from a snapshot where that is smaller") {
    for (bool const small : {true, false}) {
        detail::reached_so_far() = {};
        cluster c(2);
        for (auto& m : c.machines) m->options.ring_size = 500;
        for (auto& m : c.machines) m->kill(), m->start();
        c.open_all();
        for (std::uint64_t n = 1; n <= 50; ++n) {
            auto const a = c.append(1, n, durability::none);
            REQUIRE(c.run([&] { return a->done; }));
        }
        REQUIRE(c.run([&] { return c.all_equal(); }));
        auto const before = detail::reached_so_far();
        c.network.cut(1, 2), c.network.cut(2, 1);
        c.world.run_for(second);
        // Only one side moves, and it need not open an epoch for that.
        auto const master = c[1].mail->role() == detail::member_role::master ? 1U : 2U;
        for (std::uint64_t n = 0; n < (small ? 10U : 400U); ++n) {
            auto const f = c.propose(master, flags(1, n % 2 == 0 ? flag::seen : flag::flagged));
            REQUIRE(c.run([&] { return f->done; }));
        }
        c.network.heal(1, 2), c.network.heal(2, 1);
        REQUIRE(c.run([&] { return c.all_equal(); }, 5 * second));
        auto const hits = [&](detail::reached r) { return detail::reached_so_far()[static_cast<std::size_t>(r)] - before[static_cast<std::size_t>(r)]; };
        CHECK(hits(detail::reached::lagging) > 0);
        CHECK((hits(detail::reached::caught_up_by_log) > 0) == small);
        CHECK((hits(detail::reached::caught_up_by_snapshot) > 0) != small);
    }
}

TEST_CASE("multimaster: a fold too big for a frame reaches every node, and is whole at once") {
    cluster c(3);
    c.open_all();
    c.network.cut(3, 1), c.network.cut(1, 3), c.network.cut(3, 2), c.network.cut(2, 3);
    c.world.run_for(second);
    std::uint64_t number = 0;
    for (int n = 0; n < 40; ++n)
        for (std::uint32_t const node : {1U, 3U}) {
            format::mailbox_transaction t;
            for (int k = 0; k < 256; ++k) {
                message_entry m;
                m.id = guid::from_words(++number, node);
                m.size = 1;
                t.append(m);
            }
            auto const r = c.propose(node, t);
            REQUIRE(c.run([&] { return r->done; }));
            REQUIRE(r->error == "");
        }
    auto const before = c[3].state().counters().messages;
    REQUIRE(before == number / 2);
    c.network.heal(3, 1), c.network.heal(1, 3), c.network.heal(3, 2), c.network.heal(2, 3);
    CHECK_MESSAGE(c.run([&] {
        auto const count = c[1].state().counters().messages;
        CHECK((count == before || count == number));
        return count == number && c.all_equal();
    }, 10 * second), c.tell());
}

TEST_CASE("multimaster: a node whose disk comes from a backup waits for a peer, and leaves behind what it may have shown") {
    for (auto const how : {disk_history::restored, disk_history::forgotten}) {
        cluster c(2);
        c.open_all();
        auto const a = c.append(1, 1);
        REQUIRE(c.run([&] { return a->done; }));
        REQUIRE(c.run([&] { return c.all_equal(); }));
        auto const backup = c[2].disk.after(power_cut::keep_all, 0);
        c.network.cut(1, 2), c.network.cut(2, 1);
        c.world.run_for(second);
        auto const b = c.append(2, 2);  // of which nobody else hears
        REQUIRE(c.run([&] { return b->done; }));
        auto const shown = c[2].at();
        c[2].kill();
        c[2].disk = faulty_fs<>(backup);
        c[2].options.disk = how;
        c[2].start();
        c[2].open();
        bool const alone = c.run([&] { return c[2].opened.has_value(); }, 10 * second);
        CHECK(alone == (how == disk_history::forgotten));
        c.network.heal(1, 2), c.network.heal(2, 1);
        REQUIRE(c.run([&] { return c[2].opened.has_value() && c.all_equal(); }, 5 * second));
        CHECK(c[2].state().uid_next() > b->outcome.first_uid);
        CHECK(c[2].at() > shown);
        auto const d = c.append(2, 3);
        REQUIRE(c.run([&] { return d->done; }));
        CHECK(d->outcome.first_uid > b->outcome.first_uid);
    }
}

TEST_CASE("multimaster: where a disk from an older copy gave one position two histories, both are kept and every call says so") {
    for (auto const ring : {std::size_t{1} << 20, std::size_t{1}}) {  // what is behind the place is in memory, or in the log alone
        cluster c(2);
        c[2].kill();
        c[2].options.ring_size = ring;
        c[2].start();
        c.open_all();
        auto const has = [&](std::uint32_t node, std::uint64_t number) {
            auto const& rows = c[node].state().rows();
            for (std::size_t row = 0; row < rows.count(); ++row)
                if (rows.id[row] == guid::from_words(number, number)) return true;
            return false;
        };
        auto const a = c.append(1, 1);
        REQUIRE(c.run([&] { return a->done && c.all_equal(); }));
        c.world.run_for(second);
        auto const backup = c[1].disk.after(power_cut::keep_all, 0);
        auto const alone = [&](std::uint64_t number) {
            c[1].start();
            c[1].open();
            REQUIRE(c.run([&] { return c[1].opened.has_value(); }));
            auto const r = c.append(1, number);
            REQUIRE(c.run([&] { return r->done; }));
            return r->outcome.at;
        };
        c[2].kill(), c[1].kill();
        auto const at = alone(2);  // in an epoch of which the backup does not know
        c[2].start();
        c[2].open();
        REQUIRE(c.run([&] { return c[2].opened && c.all_equal(); }));
        c[1].kill();
        c.network.cut(1, 2), c.network.cut(2, 1);
        c[1].disk = faulty_fs<>(backup);
        REQUIRE(alone(3) == at);  // and here is that epoch again
        auto const d = c.append(2, 4);
        REQUIRE(c.run([&] { return d->done; }));
        c.network.heal(1, 2), c.network.heal(2, 1);
        REQUIRE(c.run([&] { return c[1].mail->failure() != nullptr; }));
        auto const e = c.append(1, 5);
        REQUIRE(c.run([&] { return e->done; }));
        CHECK_MESSAGE(e->error.find("box: node 2 has other changes at position ") == 0, e->error);
        auto const f = c.append(2, 6);
        REQUIRE(c.run([&] { return f->done; }));
        CHECK(f->error == "");
        CHECK((has(2, 2) && !has(2, 3) && has(2, 4) && has(2, 6)));
        c[1].kill();
        c[1].start();
        c[1].process->spawn([](box& b) -> asio::awaitable<void> { co_await b.open(); }(*c[1].mail), [&](std::exception_ptr thrown) { c[1].opened = !thrown; });
        REQUIRE(c.run([&] { return c[1].opened.has_value(); }));
        CHECK(!*c[1].opened);
        CHECK((!has(1, 2) && has(1, 3)));
        c[1].kill();
        c[1].disk = {};  // as the error says
        c[1].start();
        c[1].open();
        CHECK(c.run([&] { return c[1].opened && c.all_equal(); }));
    }
}

TEST_CASE("multimaster: a member that reaches a branch which its master does not asks to be the master, and folds") {
    detail::reached_so_far() = {};
    cluster c(3);
    c.open_all();
    auto const a = c.append(1, 1);
    REQUIRE(c.run([&] { return a->done && c.all_equal(); }));
    REQUIRE(c[1].mail->role() == detail::member_role::master);
    for (auto const n : {2U, 3U}) c.network.cut(1, n), c.network.cut(n, 1);
    c.world.run_for(second);
    auto const b = c.append(1, 2), d = c.append(2, 3), e = c.append(3, 4);
    REQUIRE(c.run([&] { return b->done && d->done && e->done; }));
    REQUIRE(c[2].mail->role() == detail::member_role::master);
    c.network.heal(1, 3), c.network.heal(3, 1);
    CHECK_MESSAGE(c.run([&] { return c.all_equal() && c[1].state().counters().messages == 4; }, 5 * second), c.tell());
    CHECK(c[3].mail->role() == detail::member_role::master);
    CHECK(detail::reached_so_far()[static_cast<std::size_t>(detail::reached::handover_asked)] > 0);
}

TEST_CASE("multimaster: what is kept for a fold goes once every node has it") {
    cluster c(2);
    c.open_all();
    auto const a = c.append(1, 1);
    REQUIRE(c.run([&] { return a->done; }));
    auto const f = c.propose(2, flags(a->outcome.first_uid, flag::seen));
    REQUIRE(c.run([&] { return f->done; }));
    CHECK(c[1].state().is_unsettled());
    CHECK(c.run([&] { return !c[1].state().is_unsettled() && !c[2].state().is_unsettled(); }, 5 * second));
    auto const at = c[1].at();
    c.world.run_for(10 * second);
    CHECK(c[1].at() == at);  // a quiet mailbox stays quiet
}

TEST_CASE("multimaster: a state of many pieces reaches a node that has none, unless it is beyond what that holds") {
    cluster c(2);
    c[1].make();
    REQUIRE(c.run([&] { return c[1].opened.has_value(); }));
    for (std::uint64_t n = 0; n < 20; ++n) {
        format::mailbox_transaction t;
        for (std::uint64_t k = 0; k < 200; ++k) {
            message_entry m;
            m.id = guid::from_words(n, k);
            t.append(m);
        }
        auto const r = c.propose(1, t);
        REQUIRE(c.run([&] { return r->done; }));
        CHECK(r->outcome.appended == 200);
    }
    CHECK(c[1].state().dump().size() > 3 * detail::member<mailbox_state>::piece_size);
    c[2].kill();
    c[2].options.state_size_max = 3 * detail::member<mailbox_state>::piece_size;
    c[2].start(), c[2].open();
    CHECK(!c.run([&] { return c.all_open(); }));
    c[2].kill();
    c[2].options.state_size_max = replication_options().state_size_max;
    c[2].start(), c[2].open();
    REQUIRE(c.run([&] { return c.all_open(); }));
    CHECK(c.all_equal());
}

TEST_CASE("multimaster: calls end when the journal is closed, or after five seconds") {
    cluster c(2);
    c.open_all();
    c.network.cut(1, 2);
    c.network.cut(2, 1);
    auto const a = c.append(2, 1);  // the silence has not been noticed
    c[2].mail->close();
    REQUIRE(c.run([&] { return a->done; }));
    CHECK(a->error.find("closed") != std::string::npos);
    auto const b = c.append(2, 2);
    REQUIRE(c.run([&] { return b->done; }));
    CHECK(b->error.find("not open") != std::string::npos);
}

TEST_CASE("multimaster: what was ordered leaves its room to what is proposed next, up to the largest transaction") {
    cluster c(2);
    c.open_all();
    c.world.run_for(second);  // node 2 is pushed to
    auto const flags_of = [](std::uint32_t ranges) {
        uid_set uids;
        for (std::uint32_t n = 1; n <= ranges; ++n) uids.add(2 * n, 2 * n);
        format::mailbox_transaction t;
        t.change_flags(uids, {flag_mode::add, flag::seen, {}, {}});
        return t;
    };
    auto const small = c.propose(1, flags_of(25'000), durability::stored), large = c.propose(1, flags_of(110'000), durability::stored);
    REQUIRE(c.run([&] { return small->done && large->done; }));
    CHECK(small->error == "");
    CHECK(large->error == "");
    CHECK(c[2].at() == c[1].at());
    REQUIRE_MESSAGE(c.run([&] { return c.all_equal(); }), c.tell());
}
