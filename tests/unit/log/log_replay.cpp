// SPDX-License-Identifier: BSL-1.0
#include <mailfs/log/log_replay.hpp>

#include "unit/log/log_fixture.hpp"

#include <doctest/doctest.h>

using namespace mailfs;
using namespace mailfs::test;

namespace {

using ids = std::vector<std::pair<std::uint32_t, std::uint64_t>>;  // id, message

/// A reader of boot `now` of a log that was begun in boot `then`.
struct reader {
    tiny_state state;
    log_replay<tiny_state> replay;

    explicit reader(std::uint64_t now = 1, std::uint64_t then = 1)
        : replay((state.stream().boot = boot_number(then), state), log_bytes::seed, boot_number(now), log_bytes::begin) {}

    replay_halt feed(log_bytes const& log) { return replay.feed(log.from(replay.position())); }
    ids messages() const {
        ids out;
        for (auto const& [id, m] : state.messages) out.emplace_back(id, m.value);
        return out;
    }
};

}  // namespace

TEST_CASE("log_replay: records apply in order, and a repeated transaction does nothing") {
    log_bytes log;
    log.message(10);
    log.transaction(tiny_transaction(20, 2));
    log.repeat();
    log.message(30);
    reader r;
    CHECK(r.feed(log) == replay_halt::end);
    CHECK(r.messages() == ids{{1, 10}, {2, 20}, {3, 21}, {4, 30}});
    CHECK(r.replay.position() == log.end());
    CHECK(r.state.stream().at == position{0, 3});
}

TEST_CASE("log_replay: a writer learns what became of its own transaction among others") {
    log_bytes log;
    log.message(10);
    log.message(20);
    log.message(30);
    reader r;
    r.replay.watch({{1, 1}, 2});
    r.feed(log);
    CHECK(r.replay.verdict() == admission::fresh);
    CHECK(r.replay.outcome().first_id == 2);
    CHECK(r.replay.outcome().at == position{0, 2});
}

TEST_CASE("log_replay: an incomplete record at the end is not there yet, and counts when it is whole") {
    log_bytes log;
    log.message(10);
    auto const at = log.message(20);
    for (auto size = at; size < log.end(); ++size) {
        log_bytes part = log;
        part.cut(size);
        reader r;
        CHECK(r.feed(part) == replay_halt::end);
        CHECK(r.messages() == ids{{1, 10}});
        CHECK(r.replay.position() == at);
        CHECK(r.replay.open_damage().empty());
        r.feed(log);
        CHECK(r.messages() == ids{{1, 10}, {2, 20}});
    }
}

TEST_CASE("log_replay: a torn record is passed over when a record follows, at any offset and after any remainder") {
    for (std::size_t size = 1; size < 80; ++size) {
        log_bytes log;
        log.message(10);
        auto const at = log.torn(size);
        log.message(20);
        reader r;
        CHECK(r.feed(log) == replay_halt::end);
        CHECK(r.messages() == ids{{1, 10}, {2, 20}});
        CHECK(r.replay.open_damage() == std::vector<log_damage>{{at, at + size}});
    }
}

// --- seal ----------------------------------------------------------------------------------------------------

TEST_CASE("seal: the first one ends the file, and what stands behind it is void") {
    log_bytes log;
    log.message(10);
    auto const seal = log.seal();
    log.message(20);
    log.seal();
    reader r;
    CHECK(r.feed(log) == replay_halt::sealed);
    CHECK(r.replay.seal_offset() == seal);
    CHECK(r.messages() == ids{{1, 10}});
    CHECK(r.feed(log) == replay_halt::sealed);
    CHECK(r.messages() == ids{{1, 10}});
}

TEST_CASE("seal: one that is damaged holds, alone or with its neighbours, when the next file tells its place") {
    log_bytes log;
    auto const last = log.message(10);
    auto const seal = log.seal();
    log.message(20);
    log.rot(seal);
    {
        reader r;
        r.replay.ends_at(seal);
        CHECK(r.feed(log) == replay_halt::sealed);
        CHECK(r.messages() == ids{{1, 10}});
    }
    log.rot(last);
    {
        reader r;
        r.replay.ends_at(seal);
        CHECK(r.feed(log) == replay_halt::sealed);
        CHECK(r.messages().empty());
        CHECK(r.replay.bytes_lost() == seal - last);
    }
    log.cut(seal);
    reader r;
    r.replay.ends_at(seal);
    CHECK(r.feed(log) == replay_halt::sealed);
}

TEST_CASE("seal: a file that ends before the place where its seal must be is not taken for whole") {
    log_bytes log;
    log.message(10);
    log.message(20);
    auto const seal = log.seal();
    for (auto size = log_bytes::begin; size < seal; ++size) {
        log_bytes part = log;
        part.cut(size);
        reader r;
        r.replay.ends_at(seal);
        CHECK(r.feed(part) == replay_halt::end);
    }
}

// --- scar ----------------------------------------------------------------------------------------------------

TEST_CASE("scar: damage without one stops a reader of a later boot; with one it reads on") {
    log_bytes log;
    log.message(10);
    auto const first = log.torn(40);
    auto const last = log.message(20);
    {
        reader r(2);
        CHECK(r.feed(log) == replay_halt::doubt);
        CHECK(r.messages() == ids{{1, 10}});
        CHECK(r.replay.void_from() == first);
    }
    log.scar({{first, last}});
    reader r(2);
    CHECK(r.feed(log) == replay_halt::end);
    CHECK(r.messages() == ids{{1, 10}, {2, 20}});
    CHECK(r.replay.open_damage().empty());
}

TEST_CASE("scar: it counts wherever it stands, even behind a seal") {
    log_bytes log;
    auto const first = log.torn(40);
    auto const last = log.message(20);
    log.seal();
    log.scar({{first, last}});
    reader r(2);
    CHECK(r.feed(log) == replay_halt::sealed);
    CHECK(r.messages() == ids{{1, 20}});
}

TEST_CASE("scar: damage that reaches beyond it is in doubt from there on") {
    log_bytes log;
    auto const first = log.torn(40);
    auto const last = log.message(20);
    log.message(30);
    log.scar({{first, last}});
    log.rot(last);  // now one piece of damage from `first` to message 30
    reader r(2);
    CHECK(r.feed(log) == replay_halt::doubt);
    CHECK(r.messages().empty());
    CHECK(r.replay.void_from() == last);
}

TEST_CASE("scar: damage before a restart is settled, and needs none") {
    log_bytes log;
    auto const first = log.torn(40);
    auto const last = log.message(20);
    log.message(30);
    log.scar({{first, last}});
    log.rot(last);  // the power cut took message 20: damage of which a part is named
    log.restart(1, 2, last);
    log.message(40);
    reader r(2);
    CHECK(r.feed(log) == replay_halt::end);
    CHECK(r.messages() == ids{{1 + unsynced_ids_max, 40}});
    CHECK(r.replay.open_damage().empty());
}

TEST_CASE("scar: several in any order, overlapping and read again and again, are one set") {
    log_bytes log;
    std::vector<log_damage> damage;
    for (int i = 0; i < 4; ++i) {
        auto const first = log.torn(50);
        damage.push_back({first, log.message(static_cast<std::uint64_t>(i))});
    }
    log.scar({damage[3], damage[1]});
    log.scar({damage[2], damage[0], {damage[0].first, damage[1].last}, {7, 7}, {9, 8}});
    log.torn(10);
    reader r(2);
    for (int i = 0; i < 3; ++i) CHECK(r.feed(log) == replay_halt::doubt);  // the torn tail
    CHECK(r.messages().size() == 4);
}

TEST_CASE("scar: one written by this process closes the damage it knew of") {
    log_bytes log;
    log.torn(40);
    log.message(20);
    reader r;
    r.feed(log);
    CHECK(r.replay.open_damage().size() == 1);
    r.replay.scarred();
    CHECK(r.replay.open_damage().empty());
}

// --- restart -------------------------------------------------------------------------------------------------

TEST_CASE("restart: it voids what lies from void_from to itself, a seal too, and raises UIDNEXT and the epoch") {
    log_bytes log;
    log.message(10);
    auto const doubt = log.garbage(64);
    log.message(20);
    log.seal();
    log.restart(1, 2, doubt);
    log.message(30);
    for (std::uint64_t const boot : {1U, 2U, 3U}) {
        reader r(boot);
        CHECK(r.feed(log) == replay_halt::end);
        CHECK(r.messages() == ids{{1, 10}, {2 + unsynced_ids_max, 30}});
        CHECK(r.state.stream().at == position{16, 1});
        CHECK(r.state.stream().boot == boot_number(2));
    }
}

TEST_CASE("restart: the first of a boot counts, and others do nothing") {
    log_bytes log;
    log.message(10);
    auto const end = log.message(20);
    log.restart(1, 2, log.end());
    log.restart(1, 2, end);
    log.restart(2, 2, end);
    log.restart(7, 3, end);
    log.message(30);
    reader r(2);
    CHECK(r.feed(log) == replay_halt::end);
    CHECK(r.messages() == ids{{1, 10}, {2, 20}, {3 + unsynced_ids_max, 30}});
    CHECK(r.state.stream().at == position{16, 1});
}

TEST_CASE("restart: one behind a seal that it does not void is void") {
    log_bytes log;
    log.message(10);
    log.seal();
    log.restart(1, 2, log.end());
    reader r(2);
    CHECK(r.feed(log) == replay_halt::sealed);
    CHECK(r.state.stream().boot == boot_number(1));
}

TEST_CASE("restart: a later one may void an earlier one, with all that relied on it") {
    log_bytes log;
    log.message(10);
    auto const doubt = log.garbage(24);
    auto const first = log.restart(1, 2, log.end());
    log.message(20);
    log.restart(2, 3, doubt);
    log.message(30);
    CHECK(first > doubt);
    reader r(3);
    CHECK(r.feed(log) == replay_halt::end);
    CHECK(r.messages() == ids{{1, 10}, {2 + unsynced_ids_max, 30}});
    CHECK(r.state.stream().boot == boot_number(3));
}

TEST_CASE("restart: behind a seal that an earlier one voided, the next boot's counts too") {
    log_bytes log;
    auto const doubt = log.garbage(24);
    log.seal();
    log.restart(1, 2, doubt);
    log.message(10);
    log.restart(2, 3, log.end());
    log.message(20);
    reader r(3);
    CHECK(r.feed(log) == replay_halt::end);
    CHECK(r.messages() == ids{{1 + unsynced_ids_max, 10}, {2 + 2 * unsynced_ids_max, 20}});
}

TEST_CASE("restart: one that voids what was applied asks for the state anew") {
    log_bytes log;
    log.message(10);
    auto const at = log.message(20);
    reader r;
    r.feed(log);
    log.restart(1, 2, at);
    CHECK(r.feed(log) == replay_halt::voided);
    reader anew;
    CHECK(anew.feed(log) == replay_halt::end);
    CHECK(anew.messages() == ids{{1, 10}});
}

TEST_CASE("restart: void_from outside of the file's records, or behind the restart itself, makes it void") {
    for (std::uint64_t const void_from :
         {std::uint64_t{0}, log_bytes::begin - 1, std::uint64_t{100'000}, std::uint64_t{0xffff'ffff}}) {
        log_bytes log;
        log.message(10);
        log.restart(1, 2, void_from);
        log.message(20);
        reader r;
        CHECK(r.feed(log) == replay_halt::end);
        CHECK(r.messages() == ids{{1, 10}, {2, 20}});
        CHECK(r.state.stream().boot == boot_number(1));
    }
}

TEST_CASE("doubt: in a later boot it begins with the first damage, a torn tail too, and ends with that boot's restart") {
    log_bytes log;
    log.message(10);
    auto const doubt = log.torn(30);
    reader r(2);
    CHECK(r.feed(log) == replay_halt::doubt);
    CHECK(r.replay.void_from() == doubt);
    log.restart(1, 2, doubt);
    log.message(20);
    log.torn(20);
    CHECK(r.feed(log) == replay_halt::end);
    CHECK(r.messages() == ids{{1, 10}, {2 + unsynced_ids_max, 20}});
    log.message(30);
    CHECK(r.feed(log) == replay_halt::end);
    CHECK(r.messages().size() == 3);
}

TEST_CASE("doubt: a file that has a successor was synced whole, and is read on in any boot") {
    log_bytes log;
    log.message(10);
    log.garbage(64);
    log.message(20);
    auto const seal = log.seal();
    reader r(2);
    CHECK(r.feed(log) == replay_halt::doubt);
    r.replay.ends_at(seal);
    CHECK(r.feed(log) == replay_halt::sealed);
    CHECK(r.messages() == ids{{1, 10}, {2, 20}});
}

TEST_CASE("rot: damage that a later record knew to be on stable storage does not stop a reader of a later boot") {
    log_bytes log;
    log.message(10);
    auto const rotten = log.message(20);
    auto const next = log.message(30);
    log.message(40, {.offset = next, .next_id = 3, .n = 2, .synced = next});
    log.rot(rotten, 3);
    reader r(2);
    CHECK(r.feed(log) == replay_halt::end);
    CHECK(r.messages() == ids{{1, 10}, {3, 30}, {4, 40}});
}

TEST_CASE("rot: a record vouches only for what stands before it") {
    log_bytes log;
    log.message(10, {.synced = 0xffff'ffff});
    auto const doubt = log.garbage(32);
    log.message(20);
    reader r(2);
    CHECK(r.feed(log) == replay_halt::doubt);
    CHECK(r.replay.void_from() == doubt);
}

// --- base ----------------------------------------------------------------------------------------------------

TEST_CASE("base: the first later record from beyond the damage tells how many ids and transactions it took") {
    log_bytes log;
    log.message(10);
    auto const rotten = log.transaction(tiny_transaction(20, 3));
    auto const beside = log.message(30, {.offset = rotten, .next_id = 2, .n = 1});
    log.message(40, {.offset = beside, .next_id = 5, .n = 2});
    reader whole;
    whole.feed(log);
    log.rot(rotten);
    reader r;
    CHECK(r.feed(log) == replay_halt::end);
    CHECK(r.messages() == ids{{1, 10}, {5, 30}, {6, 40}});
    CHECK(r.state.stream().at == whole.state.stream().at);
    CHECK(r.state.next_id() == whole.state.next_id());
}

TEST_CASE("base: damage that took nothing, and damage that nobody tells of, takes none") {
    log_bytes log;
    log.message(10);
    log.torn(30);
    auto const next = log.message(20);
    log.message(30, {.offset = next, .next_id = 2, .n = 1});
    auto const rotten = log.message(40);
    log.message(50, {.offset = rotten, .next_id = 4, .n = 3});
    log.rot(rotten);
    reader r;
    CHECK(r.feed(log) == replay_halt::end);
    CHECK(r.messages() == ids{{1, 10}, {2, 20}, {3, 30}, {4, 50}});
}

TEST_CASE("base: a torn record took nothing, so what a base tells of belongs to the damage behind it") {
    for (std::size_t size = 1; size < 80; ++size) {
        log_bytes log;
        log.message(10);
        log.torn(size);
        auto const between = log.message(20);
        auto const rotten = log.message(30, {.offset = between, .next_id = 2, .n = 1});
        auto const last = log.message(40);
        log.message(50, {.offset = last, .next_id = 4, .n = 3});
        log.rot(rotten + 64);
        reader r;
        CHECK(r.feed(log) == replay_halt::end);
        CHECK(r.messages() == ids{{1, 10}, {2, 20}, {4, 40}, {5, 50}});
    }
}

TEST_CASE("base: a record behind doubt tells nothing, for it is about to be void") {
    log_bytes log;
    auto const named = log.garbage(84);  // a torn record once, and named as such; the power cut left zeros
    auto const first = log.message(10);
    auto const lost = log.message(20, {.offset = first, .next_id = 1, .n = 0});
    auto const behind = log.message(30);
    log.message(40, {.offset = behind, .next_id = 3, .n = 2});
    log.scar({{named, first}});
    log.rot(lost);
    reader before(2), after(2);
    CHECK(before.feed(log) == replay_halt::doubt);
    CHECK(before.messages() == ids{{1, 10}});
    log.restart(1, 2, lost);
    CHECK(after.feed(log) == replay_halt::end);
    CHECK(after.messages() == ids{{1, 10}});
}

TEST_CASE("base: a count of transactions from another epoch is no measure") {
    log_bytes log;
    auto const rotten = log.message(10);
    log.restart(1, 2, log.end());
    auto const end = log.end();
    log.message(20, {.offset = end, .next_id = 2 + unsynced_ids_max, .n = 900});
    log.rot(rotten);
    reader r(2);
    CHECK(r.feed(log) == replay_halt::end);
    CHECK(r.messages() == ids{{2 + unsynced_ids_max, 20}});
    CHECK(r.state.stream().at == position{16, 1});
}

TEST_CASE("base: an absurd one runs out of ids, and of nothing else") {
    log_bytes log;
    auto const rotten = log.message(10);
    auto const end = log.end();
    log.message(20, {.offset = end, .next_id = 0xffff'ffff, .n = 0xffff'ffff});
    log.rot(rotten);
    reader r;
    CHECK(r.feed(log) == replay_halt::end);
    CHECK(r.state.stream().at.n <= 1);  // a new epoch, once the count is used up
}

// --- bound ---------------------------------------------------------------------------------------------------

TEST_CASE("bound: replay halts before more ids are given away than a restart leaves behind, until they are synced") {
    log_bytes log;
    log.transaction(tiny_transaction(0, unsynced_ids_max));
    auto const second = log.message(1);
    log.transaction(tiny_transaction(10'000, unsynced_ids_max));
    reader r;
    CHECK(r.feed(log) == replay_halt::id_limit);
    CHECK(r.state.next_id() == 1 + unsynced_ids_max);
    CHECK(r.replay.position() == second);
    r.replay.durable(r.state.next_id());
    CHECK(r.feed(log) == replay_halt::id_limit);
    CHECK(r.state.next_id() == 2 + unsynced_ids_max);
    r.replay.covered(log.end());
    CHECK(r.feed(log) == replay_halt::end);
    CHECK(r.state.next_id() == 2 + 2 * unsynced_ids_max);
    CHECK(r.replay.id_limit() == r.state.next_id() + unsynced_ids_max);
}

TEST_CASE("bound: a sync covers nothing behind damage that no scar names") {
    log_bytes log;
    log.message(1);
    log.torn(40);
    log.transaction(tiny_transaction(0, unsynced_ids_max));
    log.message(2);
    reader r;
    r.replay.covered(log.end());
    CHECK(r.feed(log) == replay_halt::id_limit);
    CHECK(r.state.next_id() == 2 + unsynced_ids_max);
}

TEST_CASE("bound: ids that a later record knew to be on stable storage need no sync") {
    log_bytes log;
    log.transaction(tiny_transaction(0, unsynced_ids_max));
    log.transaction(tiny_transaction(5000, unsynced_ids_max));
    reader r;
    CHECK(r.feed(log) == replay_halt::id_limit);
    auto const end = log.end();
    log.message(1, {.synced = end});
    reader again;
    CHECK(again.feed(log) == replay_halt::end);
    CHECK(again.state.next_id() == 2 + 2 * unsynced_ids_max);
}

// --- versions and hostile records ----------------------------------------------------------------------------

TEST_CASE("log_replay: a record of an unknown kind stops the reader, unless it may be skipped") {
    log_bytes log;
    log.message(10);
    log.record(static_cast<format::record_kind>(77), {}, format::record_may_skip);
    log.message(20);
    reader r;
    CHECK(r.feed(log) == replay_halt::end);
    CHECK(r.messages() == ids{{1, 10}, {2, 20}});
    auto const unknown = log.record(static_cast<format::record_kind>(78), {});
    log.message(30);
    CHECK(r.feed(log) == replay_halt::newer);
    CHECK(r.replay.position() == unknown);
    CHECK(r.messages().size() == 2);
}

TEST_CASE("log_replay: what a state machine refuses is not passed over") {
    log_bytes log;
    log.message(10);
    tiny_step const forbidden{tiny_step::forbid, 0, 0};
    auto const at = log.record(format::record_kind::transaction, std::as_bytes(std::span(&forbidden, 1)));
    reader r;
    CHECK_THROWS_AS(r.feed(log), error);
    CHECK(r.replay.position() == at);
    CHECK(r.messages() == ids{{1, 10}});
}

TEST_CASE("log_replay: the largest scar, descending and overlapping, is taken in at once") {
    std::vector<log_damage> ranges;
    for (std::uint64_t i = 2'000'000; i > 0; --i) ranges.push_back({i * 2, i * 2 + 1 + i % 3});
    log_bytes log;
    log.scar(ranges);
    log.torn(20);
    log.message(10);
    reader r;
    for (int i = 0; i < 3; ++i) r.feed(log);
    CHECK(r.messages() == ids{{1, 10}});
}

TEST_CASE("log_replay: thousands of restarts and of torn records are gone through in one go") {
    log_bytes log;
    for (std::uint64_t i = 0; i < 20'000; ++i) {
        log.restart(i % 2 + 1, (i + 1) % 2 + 1, log.end() - 8 * (i % 5));
        log.torn(30);
        log.message(i);
    }
    reader r;
    auto const halt = r.feed(log);
    CHECK((halt == replay_halt::end || halt == replay_halt::id_limit));
}
