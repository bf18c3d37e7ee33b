// SPDX-License-Identifier: BSL-1.0
// The rules of the log on the real code, each with the fault it is for. What replay alone decides: log_replay.cpp
#include <mailfs/log/lockless_log.hpp>

#include <mailfs/fs/faulty_fs.hpp>
#include <mailfs/fs/latency_fs.hpp>
#include <mailfs/fs/memory_fs.hpp>

#include "support/run.hpp"
#include "unit/log/log_fixture.hpp"

#include <asio/experimental/awaitable_operators.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <string>

using namespace mailfs;
using namespace mailfs::test;

namespace {

using fs_type = faulty_fs<>;
using log_type = lockless_log::on<fs_type, test_host, tiny_state>;
using appended = log_type::appended;

guid const object = guid::from_words(1, 2);

/// One machine: its disk, its clock, its boots. What it is told is done at once; nothing waits.
struct machine {
    fs_type fs;
    test_host host;
    log_options options{.rotate_size_min = 1U << 20};
    std::uint64_t counter = 0;

    machine() = default;
    explicit machine(log_options o) : options(o) {}

    log_type log() const { return log_type(fs, host, "box", options); }
    dot next_dot() { return {{0, 1}, ++counter}; }

    asio::awaitable<bool> create() {
        auto made = log();
        auto const id = next_dot();
        co_return co_await made.create(object, id, {}, {});
    }
    asio::awaitable<appended> append(log_type& log, tiny_transaction const& t, durability d = durability::none) {
        auto const id = next_dot();
        auto out = co_await log.append(id, {}, t.bytes());
        if (d == durability::stored) co_await log.sync();
        co_return out;
    }
    /// The id that a new message got.
    asio::awaitable<std::uint32_t> deliver(log_type& log, std::uint64_t value, durability d = durability::none) {
        tiny_transaction const t(value);
        auto const done = co_await append(log, t, d);
        co_return done.outcome.first_id;
    }
    /// A process that is killed in an append which leaves so many bytes.
    asio::awaitable<void> die_in_append(std::uint64_t bytes) {
        auto victim = log();
        co_await victim.open();
        fs.faults().tear(1, bytes, errc::closed);
        try {
            co_await deliver(victim, 666);
        } catch (std::system_error const&) {
        }
    }
    void cut_power(power_cut how, std::uint64_t seed = 1) {
        fs = fs_type(fs.after(how, seed));
        ++host.in().boot;
    }
    /// What would be there after a power cut, on a machine of its own.
    machine after(power_cut how, std::uint64_t seed = 1) const {
        machine m(options);
        m.fs = fs_type(fs.after(how, seed));
        m.host.in() = host.in();
        m.host.in().seed += seed;
        ++m.host.in().boot;
        m.counter = counter + 1000;
        return m;
    }
    std::vector<std::byte> bytes(std::string_view name) const { return fs.inner().bytes_of("box/" + std::string(name)); }
    /// Damage, which power cuts later in the test know nothing of.
    void put(std::string_view name, bytes_view b) { memory_fs(fs.inner()).put("box/" + std::string(name), b); }
    bool has(std::string_view name) const {
        auto const all = fs.inner().paths();
        return std::find(all.begin(), all.end(), "box/" + std::string(name)) != all.end();
    }
    std::uint64_t size(std::string_view name) const { return bytes(name).size(); }
    void rot(std::string_view name, std::uint64_t at) {
        auto b = bytes(name);
        b[static_cast<std::size_t>(at)] ^= std::byte{1};
        put(name, b);
    }
};

template <class Body>
void on_machine(Body body, log_options options = {.rotate_size_min = 1U << 20}) {
    machine m(options);
    test::run([&]() -> asio::awaitable<void> {
        bool const made = co_await m.create();
        CHECK(made);
        co_await body(m);
    });
}

using ids = std::map<std::uint32_t, std::uint64_t>;
ids messages(log_type const& log) {
    ids out;
    for (auto const& [id, m] : log.machine().messages) out.emplace(id, m.value);
    return out;
}

template <class T>
asio::awaitable<std::optional<error>> failure_of(asio::awaitable<T> work) {
    try {
        co_await std::move(work);
    } catch (error const& e) {
        co_return e;
    }
    co_return std::nullopt;
}

asio::awaitable<void> try_to_catch_up(log_type& log) {
    for (int i = 0; i < 3; ++i) {
        auto const failed = co_await failure_of(log.catch_up());
        if (!failed) break;
    }
}

power_cut const cuts[] = {power_cut::lose_all, power_cut::keep_all, power_cut::cut,
                          power_cut::appends,  power_cut::pages,    power_cut::garbage};

}  // namespace

// --- seal: log.<n> is synced before log.<n+1> is made --------------------------------------------------------

namespace {

struct rotation_run {
    bool finished = false;  // and was not stopped
    std::uint64_t rotated = 0;
};

asio::awaitable<void> deliver_and_rotate(machine& m, rotation_run& run) {
    auto a = m.log();
    co_await a.open();
    for (std::uint64_t i = 1; i <= 3; ++i) co_await m.deliver(a, i);
    co_await a.rotate();
    run.finished = true;
}
asio::awaitable<void> check_first_file(machine& later) {
    co_await later.fs.remove("box/index.2");
    auto b = later.log();
    co_await b.open();
    CHECK(messages(b) == ids{{1, 1}, {2, 2}, {3, 3}});
}
// Whatever a power cut leaves of a run that was stopped in some call: the first file is whole if there is a second.
asio::awaitable<void> rotate_until(machine& m, std::uint64_t stop, rotation_run& run) {
    co_await m.create();
    m.fs.faults().stop_at(m.fs.faults().calls() + stop, stop);
    co_await failure_of(deliver_and_rotate(m, run));
    for (auto const how : cuts) {
        auto later = m.after(how, stop);
        if (!later.has("log.2")) continue;
        ++run.rotated;
        co_await check_first_file(later);
    }
}

}  // namespace

TEST_CASE("seal: whenever the power is cut, the next file's existence proves the one before it whole") {
    rotation_run run;
    for (std::uint64_t stop = 1; !run.finished; ++stop) {
        machine m;
        test::run(rotate_until, m, stop, run);
    }
    CHECK(run.rotated > 0);
}

TEST_CASE("seal: a writer that finds its record behind another's seal appends it again to the next file, once") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log(), b = m.log();
        co_await a.open();
        co_await b.open();
        co_await m.deliver(a, 1);
        co_await a.rotate();
        auto const id = co_await m.deliver(b, 2);
        CHECK(id == 2);
        CHECK(b.number() == 2);
        co_await a.catch_up();
        CHECK(a.machine().dump() == b.machine().dump());
        CHECK(messages(a) == ids{{1, 1}, {2, 2}});
    });
}

TEST_CASE(
    "seal: one that rotted costs nothing, and neither does damage beside it, since the next header tells where we stood") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log();
        co_await a.open();
        co_await m.deliver(a, 1);
        auto const last = a.offset();
        co_await m.deliver(a, 2);
        auto const seal = a.offset();
        co_await a.rotate();
        co_await m.deliver(a, 3);
        co_await m.fs.remove("box/index.2");
        m.rot("log.1", seal);
        auto b = m.log();
        co_await b.open();
        CHECK(b.machine().dump() == a.machine().dump());
        co_await m.fs.remove("box/index.2");
        m.rot("log.1", last + 70);
        auto c = m.log();
        co_await c.open();
        CHECK(messages(c) == ids{{1, 1}, {3, 3}});
        CHECK(c.machine().stream().at == a.machine().stream().at);
        CHECK(c.machine().next_id() == a.machine().next_id());
        CHECK(c.bytes_lost() == seal - last);
    });
}

// --- scar: who syncs names the damage before its own record --------------------------------------------------

TEST_CASE("scar: what was acknowledged as stored behind a torn record survives every power cut") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        co_await m.die_in_append(50);
        auto a = m.log();
        co_await a.open();
        auto const id = co_await m.deliver(a, 2, durability::stored);
        CHECK(id == 1);
        for (auto const how : cuts) {
            auto later = m.after(how);
            auto b = later.log();
            co_await b.open();
            CHECK(messages(b) == ids{{1, 2}});
        }
    });
}

TEST_CASE("scar: what lies behind a torn record in a sealed file survives every power cut") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        co_await m.die_in_append(50);
        auto a = m.log();
        co_await a.open();
        co_await m.deliver(a, 2);
        m.fs.faults().fail(fs_verb::create, 1, errc::no_space);
        auto const full = co_await failure_of(a.rotate());
        CHECK(full);  // sealed and synced, and nobody could make the next file
        for (auto const how : cuts) {
            auto later = m.after(how);
            auto b = later.log();
            co_await b.open();
            CHECK(messages(b) == ids{{1, 2}});
        }
    });
}

TEST_CASE("scar: it is written once, and before the sync that it is for") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        co_await m.die_in_append(50);
        auto a = m.log();
        co_await a.open();
        co_await m.deliver(a, 2);
        auto const appends = m.fs.faults().calls(fs_verb::append);
        m.fs.faults().fail(fs_verb::sync, 1);
        auto const failed = co_await failure_of(a.sync());
        CHECK(failed);
        CHECK(m.fs.faults().calls(fs_verb::append) == appends + 1);
        auto b = m.log();
        co_await b.open();
        co_await b.sync();
        CHECK(m.fs.faults().calls(fs_verb::append) == appends + 1);
    });
}

// --- restart -------------------------------------------------------------------------------------------------

TEST_CASE("restart: what a power cut took leaves its UIDs and MODSEQs behind for ever") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log();
        co_await a.open();
        for (std::uint64_t i = 1; i <= 5; ++i) co_await m.deliver(a, i);
        auto const shown = a.machine().stream().at;
        for (auto const how : cuts) {
            auto later = m.after(how);
            auto b = later.log();
            co_await b.open();
            auto const id = co_await later.deliver(b, 100);
            CHECK(id > 5);
            CHECK(b.machine().stream().at > shown);
            for (auto const& [uid, value] : messages(b)) CHECK((uid == value || value == 100));
        }
    });
}

TEST_CASE("restart: a reader alone sees neither UIDNEXT nor MODSEQ lower than they were before the power cut") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log();
        co_await a.open();
        for (std::uint64_t i = 1; i <= 5; ++i) co_await m.deliver(a, i);
        m.cut_power(power_cut::lose_all);
        auto b = m.log();
        co_await b.open();
        CHECK(b.machine().next_id() >= a.machine().next_id());
        CHECK(b.machine().stream().at >= a.machine().stream().at);
        auto again = m.after(power_cut::lose_all);  // nothing of the second boot was synced
        auto c = again.log();
        co_await c.open();
        CHECK(c.machine().next_id() >= b.machine().next_id());
        CHECK(c.machine().stream().at >= b.machine().stream().at);
    });
}

TEST_CASE("restart: where nothing can be written, a log of an earlier boot is read all the same") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log();
        co_await a.open();
        co_await m.deliver(a, 1, durability::stored);
        m.cut_power(power_cut::lose_all);
        m.fs.faults().disk_full_after(0);
        auto b = m.log();
        bool const there = co_await b.open();
        CHECK(there);
        CHECK(messages(b) == ids{{1, 1}});
        auto const full = co_await failure_of(m.deliver(b, 2));
        CHECK(full->code() == errc::no_space);
        m.fs.faults().disk_has_room();
        auto const id = co_await m.deliver(b, 3);
        CHECK(id == 2 + unsynced_ids_max);
    });
}

TEST_CASE("restart: it is synced before the first record that relies on it") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log();
        co_await a.open();
        auto const t = tiny_transaction::mark(1, 1);
        co_await m.deliver(a, 1, durability::stored);
        co_await m.append(a, t, durability::stored);  // which vouches for the message, so that the bound asks for no sync
        m.cut_power(power_cut::lose_all);
        auto b = m.log(), c = m.log();
        co_await b.open();
        co_await c.open();
        auto const shown = co_await m.append(c, t);  // relies on the restart that b wrote
        m.cut_power(power_cut::lose_all);
        auto d = m.log();
        co_await d.open();
        auto const next = co_await m.append(d, t);
        CHECK(next.outcome.at > shown.outcome.at);
    });
}

TEST_CASE("restart: records between a hole and the end are void, and a seal there is void") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log();
        co_await a.open();
        co_await m.deliver(a, 1, durability::stored);
        auto const hole = a.offset();
        co_await m.deliver(a, 2);
        co_await m.deliver(a, 3);
        m.fs.faults().fail(fs_verb::sync, 1);
        auto const failed = co_await failure_of(a.rotate());
        CHECK(failed);  // the seal is there, and not synced
        m.cut_power(power_cut::keep_all);
        m.rot("log.1", hole);
        auto b = m.log();
        co_await b.open();
        auto const id = co_await m.deliver(b, 4);
        CHECK(id == 2 + unsynced_ids_max);
        CHECK(messages(b) == ids{{1, 1}, {id, 4}});
        CHECK(b.number() == 1);
        auto c = m.log();
        co_await c.open();
        CHECK(c.machine().dump() == b.machine().dump());
    });
}

TEST_CASE("restart: one is written for a boot, however many processes open the log") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log();
        co_await a.open();
        co_await m.deliver(a, 1);
        m.cut_power(power_cut::keep_all);
        auto b = m.log();
        co_await b.open();
        auto const size = m.size("log.1");
        auto c = m.log();
        co_await c.open();
        CHECK(m.size("log.1") == size);
        CHECK(c.machine().next_id() == 2 + unsynced_ids_max);
    });
}

// --- bound ---------------------------------------------------------------------------------------------------

TEST_CASE("bound: a writer syncs before it gives away more ids than a restart leaves behind") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log();
        co_await a.open();
        std::uint32_t shown = 0;
        for (std::uint64_t i = 0; i < 20; ++i) {
            tiny_transaction const t(i * 1000, 1000);
            auto const done = co_await m.append(a, t);
            shown = done.outcome.first_id + 999;
            auto later = m.after(power_cut::lose_all);
            auto b = later.log();
            co_await b.open();
            CHECK(b.machine().next_id() > shown);
        }
        CHECK(shown == 20'000);
        CHECK(m.fs.faults().calls(fs_verb::sync) <= 5);
    });
}

TEST_CASE("bound: a reader syncs before it shows more unsynced ids than a restart leaves behind") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log(), b = m.log(), reader = m.log();
        co_await a.open();
        co_await b.open();
        tiny_transaction const many(0, 4000), more(10'000, 4000);
        co_await m.append(a, many);
        CHECK(m.fs.faults().calls(fs_verb::sync) == 0);
        co_await m.append(b, more);  // b has not read what a wrote, and learns of it only now
        CHECK(m.fs.faults().calls(fs_verb::sync) == 1);
        m.fs.faults().fail(fs_verb::sync, 1);
        auto const failed = co_await failure_of(reader.open());
        CHECK(failed);
        auto other = m.log();
        co_await other.open();
        CHECK(other.machine().next_id() == 8001);
        auto later = m.after(power_cut::lose_all);
        auto c = later.log();
        co_await c.open();
        CHECK(c.machine().next_id() > 8000);
    });
}

TEST_CASE("bound: a reader's sync names torn records too, or what lies behind them would be unsafe all the same") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log();
        co_await a.open();
        for (std::uint64_t i = 0; i < 3; ++i) {
            auto writer = m.log();
            co_await writer.open();
            co_await m.die_in_append(50 + i);
            tiny_transaction const t(i * 10'000, 3000);
            co_await m.append(writer, t);
        }
        auto reader = m.log();
        co_await reader.open();
        auto const shown = reader.machine().next_id();
        CHECK(shown == 9001);
        for (auto const how : cuts) {
            auto later = m.after(how);
            auto b = later.log();
            co_await b.open();
            CHECK(b.machine().next_id() >= shown);
            for (auto const& [id, value] : messages(b)) CHECK(reader.machine().messages.at(id).value == value);
        }
    });
}

TEST_CASE("bound: a transaction that allocates more than that is refused") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log();
        co_await a.open();
        tiny_transaction const all(1, unsynced_ids_max), too_many(1, unsynced_ids_max + 1);
        co_await m.append(a, all);
        auto const refused = co_await failure_of(m.append(a, too_many));
        CHECK(refused->code() == errc::too_big);
        CHECK(a.machine().next_id() == 1 + unsynced_ids_max);
        co_await m.append(a, all);
    });
}

// --- base ----------------------------------------------------------------------------------------------------

TEST_CASE("base: a record that rots costs itself; UIDs, flags and MODSEQ behind it stay as they were") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log(), b = m.log();
        co_await a.open();
        co_await b.open();
        std::vector<std::uint64_t> begins;
        for (std::uint64_t i = 1; i <= 6; ++i) {
            begins.push_back(a.offset());
            co_await m.deliver(i % 2 ? a : b, i);
            co_await a.catch_up();
        }
        auto const last_mark = tiny_transaction::mark(6, 6);
        co_await m.append(b, last_mark);
        co_await a.catch_up();
        auto const healthy = m.bytes("log.1");
        for (std::uint64_t lost = 1; lost <= 6; ++lost) {
            m.rot("log.1", begins[lost - 1] + 65);
            auto c = m.log();
            co_await c.open();
            auto expected = messages(a);
            expected.erase(static_cast<std::uint32_t>(lost));
            CHECK(messages(c) == expected);
            CHECK(!c.machine().mark_went_astray);
            CHECK(c.machine().stream().at == a.machine().stream().at);
            CHECK(c.machine().next_id() == 7);
            m.put("log.1", healthy);
        }
    });
}

TEST_CASE("base: after rot, a new boot reads on to the end") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log();
        co_await a.open();
        co_await m.deliver(a, 1, durability::stored);
        auto const rotten = a.offset();
        co_await m.deliver(a, 2, durability::stored);
        co_await m.deliver(a, 3, durability::stored);
        co_await m.deliver(a, 4, durability::stored);
        m.cut_power(power_cut::lose_all);
        m.rot("log.1", rotten);
        auto b = m.log();
        co_await b.open();
        CHECK(messages(b) == ids{{1, 1}, {3, 3}, {4, 4}});
    });
}

// --- files that go missing -----------------------------------------------------------------------------------

TEST_CASE("missing: a log that is gone while its snapshot is there leaves its UIDs and MODSEQs behind, and all goes on") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log();
        co_await a.open();
        co_await m.deliver(a, 1);
        co_await a.rotate();
        for (std::uint64_t i = 2; i < 5; ++i) co_await m.deliver(a, i);
        co_await m.fs.remove("box/log.2");
        auto b = m.log();
        co_await b.open();
        auto const id = co_await m.deliver(b, 9);
        CHECK(id > 4);
        CHECK(b.machine().stream().at > a.machine().stream().at);
        CHECK(b.number() == 2);
        CHECK(messages(b) == ids{{1, 1}, {id, 9}});
        auto c = m.log();
        co_await c.open();
        CHECK(c.machine().dump() == b.machine().dump());
    });
}

TEST_CASE("missing: in the last epoch, which only a forger reaches, what was lost is followed by a log that can be read") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto forged = m.bytes("log.1");
        auto h = format::load<format::log_header>(forged);
        h.epoch = epoch_max - 3;
        h.checksum = format::log_header_checksum(h);
        std::memcpy(forged.data(), &h, sizeof h);
        m.put("log.1", forged);
        auto a = m.log();
        co_await a.open();
        co_await a.rotate();
        co_await m.fs.remove("box/log.2");
        auto b = m.log();
        co_await b.open();
        auto const id = co_await m.deliver(b, 9);
        auto const at = b.machine().stream().at;
        CHECK(at.epoch == epoch_max - 3);
        auto const refused = co_await failure_of(b.leave_behind());
        CHECK(refused->code() == errc::corrupt);
        m.cut_power(power_cut::keep_all);
        auto c = m.log();
        co_await c.open();
        CHECK(messages(c) == ids{{id, 9}});
        CHECK(c.machine().stream().at == at);
        CHECK(c.machine().stream().boot == m.host.boot());
    });
}

TEST_CASE("missing: a snapshot or an older generation may go at any time") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log();
        co_await a.open();
        co_await m.deliver(a, 1);
        co_await a.rotate();
        co_await m.deliver(a, 2);
        for (std::string const name : {"index.2", "log.1"}) {
            co_await m.fs.remove("box/" + name);
            auto b = m.log();
            co_await b.open();
            CHECK(b.machine().dump() == a.machine().dump());
        }
        co_await m.fs.remove("box/index.2");
        auto c = m.log();
        auto const failed = co_await failure_of(c.open());
        CHECK(failed->code() == errc::corrupt);
    });
}

// --- processes that sleep ------------------------------------------------------------------------------------

namespace {
log_options const rotate_always{.rotate_size_min = 1, .rotate_share = 1'000'000};
}

TEST_CASE("sleeper: a process that slept over many rotations finds the newest state, reading or writing") {
    on_machine(
        [](machine& m) -> asio::awaitable<void> {
            auto a = m.log(), reader = m.log(), writer = m.log();
            co_await a.open();
            co_await reader.open();
            co_await writer.open();
            for (std::uint64_t i = 1; i <= 20; ++i) co_await m.deliver(a, i);
            auto const names = co_await m.fs.list("box");
            CHECK(names.size() == 4);
            co_await reader.catch_up();
            CHECK(reader.machine().dump() == a.machine().dump());
            auto const id = co_await m.deliver(writer, 21);
            CHECK(id == 21);
            co_await a.catch_up();
            CHECK(messages(a) == messages(writer));
        },
        rotate_always);
}

TEST_CASE("sleeper: a name that was removed and made again by another sleeper misleads nobody") {
    on_machine(
        [](machine& m) -> asio::awaitable<void> {
            auto a = m.log(), reader = m.log(), writer = m.log();
            co_await a.open();
            co_await reader.open();
            co_await writer.open();
            co_await m.deliver(a, 1);
            auto const second = m.bytes("log.2");
            for (std::uint64_t i = 2; i <= 20; ++i) co_await m.deliver(a, i);
            bool const made = co_await m.fs.create("box/log.2", second, durability::stored);
            CHECK(made);
            auto const id = co_await m.deliver(writer, 21);
            CHECK(id == 21);
            CHECK(writer.number() > 20);
            co_await reader.catch_up();
            CHECK(reader.machine().dump() == writer.machine().dump());
        },
        rotate_always);
}

// --- when things fail ----------------------------------------------------------------------------------------

TEST_CASE("append: one whose answer was lost is found by reading on, and counts once") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log();
        co_await a.open();
        m.fs.faults().lose_answer(fs_verb::append, 1);
        auto const id = co_await m.deliver(a, 1);
        CHECK(id == 1);
        CHECK(messages(a) == ids{{1, 1}});
    });
}

TEST_CASE("append: a torn one did not happen, and the next one stands behind the remains") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log();
        co_await a.open();
        m.fs.faults().tear(1, 70);
        auto const failed = co_await failure_of(m.deliver(a, 1));
        CHECK(failed->code() == errc::no_space);
        auto const id = co_await m.deliver(a, 2, durability::stored);
        CHECK(id == 1);
        auto later = m.after(power_cut::lose_all);
        auto b = later.log();
        co_await b.open();
        CHECK(messages(b) == ids{{1, 2}});
    });
}

TEST_CASE("append: one that cannot be read back may have happened, and the same again takes effect once") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log(), b = m.log();
        co_await a.open();
        co_await b.open();
        co_await m.deliver(b, 1);
        m.fs.faults().fail(fs_verb::read, 1);
        auto const id = m.next_dot();
        tiny_transaction const t(2);
        auto const failed = co_await failure_of(a.append(id, {}, t.bytes()));
        CHECK(failed->code() == errc::may_have_happened);
        auto const again = co_await a.append(id, {}, t.bytes());
        CHECK(messages(a) == ids{{1, 1}, {2, 2}});
        CHECK(again.verdict == admission::fresh);  // the first of the two, seen only now
        auto const third = co_await a.append(id, {}, t.bytes());
        CHECK(third.verdict == admission::repeat);
        CHECK(messages(a) == ids{{1, 1}, {2, 2}});
    });
}

TEST_CASE("append: a full disk refuses it, whatever is full first, and afterwards all is well") {
    for (std::uint64_t room = 0;; room += 7) {
        bool done = false;
        on_machine(
            [&](machine& m) -> asio::awaitable<void> {
                auto a = m.log();
                co_await a.open();
                co_await m.deliver(a, 1);
                m.fs.faults().disk_full_after(room);
                std::uint64_t delivered = 1;
                try {
                    for (; delivered < 4; ++delivered) co_await m.deliver(a, delivered + 1);
                } catch (error const& e) {
                    CHECK(e.code() == errc::no_space);
                }
                done = delivered == 4 && a.rotation_failure() == nullptr;
                m.fs.faults().disk_has_room();
                co_await m.deliver(a, 100);
                auto b = m.log();
                co_await b.open();
                CHECK(a.machine().dump() == b.machine().dump());
                CHECK(a.machine().messages.size() == delivered + 1);
            },
            rotate_always);
        if (done) break;
    }
}

TEST_CASE("open: a snapshot that cannot be written is no reason to fail") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log();
        co_await a.open();
        co_await m.deliver(a, 1);
        co_await a.rotate();
        co_await m.deliver(a, 2);
        co_await m.fs.remove("box/index.2");
        m.fs.faults().disk_full_after(0);
        auto b = m.log();
        bool const there = co_await b.open();
        CHECK(there);
        CHECK(b.machine().dump() == a.machine().dump());
        CHECK(b.rotation_failure() != nullptr);
        m.fs.faults().disk_has_room();
        auto c = m.log();
        co_await c.open();
        CHECK(m.has("index.2"));
    });
}

TEST_CASE("reload: whichever call of it fails, the next one starts anew and nothing is mixed up") {
    for (std::uint64_t n = 1, failures = 0;; ++n) {
        on_machine(
            [&](machine& m) -> asio::awaitable<void> {
                auto a = m.log(), b = m.log();
                co_await a.open();
                co_await b.open();
                for (std::uint64_t i = 1; i <= 6; ++i) co_await m.deliver(a, i);
                auto& faults = m.fs.faults();
                auto const verb = static_cast<fs_verb>((n - 1) % fs_verb_count);
                faults.fail(verb, (n - 1) / fs_verb_count + 1);
                auto const failed = co_await failure_of(b.catch_up());
                if (failed) {
                    ++failures;
                    co_await try_to_catch_up(b);
                }
                CHECK(a.machine().dump() == b.machine().dump());
                co_await failure_of(m.deliver(b, 7));
                co_await try_to_catch_up(b);
                co_await try_to_catch_up(a);
                CHECK(a.machine().dump() == b.machine().dump());
            },
            rotate_always);
        if (n > 6 * fs_verb_count) {
            CHECK(failures >= 4);
            break;
        }
    }
}

TEST_CASE("open: a log that is cut short is appended to no more") {
    on_machine([](machine& m) -> asio::awaitable<void> {
        auto a = m.log();
        co_await a.open();
        co_await m.deliver(a, 1);
        auto const seal = a.offset();
        co_await a.rotate();
        co_await m.fs.remove("box/index.2");
        auto bytes = m.bytes("log.1");
        bytes.resize(static_cast<std::size_t>(seal) - 8);
        m.put("log.1", bytes);
        auto b = m.log();
        auto const opened = co_await failure_of(b.open());
        CHECK(opened->code() == errc::corrupt);
        auto const delivered = co_await failure_of(m.deliver(b, 2));
        CHECK(delivered->code() == errc::corrupt);
        CHECK(m.size("log.1") == bytes.size());
        CHECK(m.size("log.2") == sizeof(format::log_header));
    });
}

TEST_CASE("sync: it never answers for a log that could not be loaded") {
    on_machine(
        [](machine& m) -> asio::awaitable<void> {
            auto a = m.log(), b = m.log();
            co_await a.open();
            co_await b.open();
            for (std::uint64_t i = 1; i <= 6; ++i) co_await m.deliver(a, i);
            m.fs.faults().fail(fs_verb::map, 1);
            auto const failed = co_await failure_of(b.catch_up());
            CHECK(failed);
            CHECK(b.number() == 0);
            CHECK(b.offset() == 0);
            m.fs.faults().fail(fs_verb::map, 1);
            auto const sync = co_await failure_of(b.sync());
            CHECK(sync);
            co_await b.sync();
        },
        rotate_always);
}

TEST_CASE("create: there is no second log where one was, though its first file be gone") {
    on_machine(
        [](machine& m) -> asio::awaitable<void> {
            auto a = m.log();
            co_await a.open();
            for (std::uint64_t i = 1; i <= 6; ++i) co_await m.deliver(a, i);
            bool const made = co_await m.create();
            CHECK(!made);
            CHECK(!m.has("log.1"));
        },
        rotate_always);
}

TEST_CASE("rotation: options that make no sense are survived") {
    on_machine(
        [](machine& m) -> asio::awaitable<void> {
            auto a = m.log();
            co_await a.open();
            for (std::uint64_t i = 1; i <= 6; ++i) co_await m.deliver(a, i);
            CHECK(a.number() > 1);
        },
        {.rotate_size_min = 0, .rotate_share = 0, .generations_kept = 0});
}

TEST_CASE("rotation: while one caller writes the snapshot, another's append goes on") {
    using slow_fs = latency_fs<memory_fs>;
    using slow_log = lockless_log::on<slow_fs, test_host, tiny_state>;
    std::vector<int> ended;
    test::run([&]() -> asio::awaitable<void> {
        memory_fs const disk;
        slow_log log(slow_fs(disk, {.create = std::chrono::milliseconds(20)}), test_host(), "box", {});
        co_await log.create(object, {{0, 1}, 1}, {}, {});
        co_await log.open();
        auto rotate = [&]() -> asio::awaitable<void> {
            co_await log.rotate();
            CHECK(disk.paths() == std::vector<std::string>{"box/index.2", "box/log.1", "box/log.2"});
            ended.push_back(1);
        };
        auto append = [&]() -> asio::awaitable<void> {
            tiny_transaction const t(7);
            auto const bytes = t.bytes();
            co_await log.append({{0, 1}, 2}, {}, bytes);
            CHECK(log.number() == 2);
            ended.push_back(2);
        };
        using namespace asio::experimental::awaitable_operators;
        co_await (rotate() && append());
    });
    CHECK(ended == std::vector<int>{2, 1});
}
