// SPDX-License-Identifier: BSL-1.0
// Does the simulation find what it is there to find, and nothing else?
#include "sim/schedule.hpp"
#include "sim/shrink.hpp"
#include "sim/simulation.hpp"

#include "shared_stream.hpp"

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <set>
#include <string>

using namespace mailfs;
using namespace mailfs::sim;

namespace {

constexpr std::uint64_t schedules_max = 25;

run_result run_broken(breakage how, schedule const& s) {
    broken = how;
    return simulation<shared_node>(s).run();
}
/// The rules that schedules break.
std::string found(breakage how) {
    std::set<std::string> rules;
    for (std::uint64_t seed = 1; seed <= schedules_max; ++seed) {
        auto const r = run_broken(how, make_schedule(seed, {3, 60, 6}));
        if (!r.rule.empty()) rules.insert(r.rule);
    }
    std::string text;
    for (auto const& r : rules) text += (text.empty() ? "" : " ") + r;
    return text;
}

}  // namespace

TEST_CASE("simulation: a cluster that cannot go wrong does not") {
    CHECK(found(breakage::none) == "");
}

TEST_CASE("simulation: each way to break a cluster is found, as what it is") {
    CHECK(found(breakage::two_owners) == "R1");
    CHECK(found(breakage::another_chain) == "R2");
    CHECK(found(breakage::another_uid).find("R3") != std::string::npos);
    CHECK(found(breakage::another_state).find("R4") != std::string::npos);
    CHECK(found(breakage::numbers_fall).find("R4") != std::string::npos);
    CHECK(found(breakage::acknowledged_for_nothing).find("R5") != std::string::npos);
    CHECK(found(breakage::flag_turned_round).find("R5") != std::string::npos);
    CHECK(found(breakage::level_not_kept) == "R5");
    CHECK(found(breakage::answer_turned_round).find("linear") != std::string::npos);
    CHECK(found(breakage::stamp_of_tomorrow) == "R13");
    CHECK(found(breakage::queue_without_end) == "R12");
    CHECK(found(breakage::state_given_up) == "R2");
    CHECK(found(breakage::message_returns).find("R6") != std::string::npos);
    CHECK(found(breakage::node_left_behind).find("R7") != std::string::npos);
    CHECK(found(breakage::done_twice) == "R10");
    CHECK(found(breakage::call_never_ends) == "R15");
    CHECK(found(breakage::never_opens) == "R15");
}

TEST_CASE("simulation: the same schedule gives the same trace, another seed another") {
    for (std::uint64_t seed = 1; seed < 10; ++seed) {
        auto s = make_schedule(seed);
        auto const first = run_broken(breakage::none, s).trace_hash;
        CHECK(first == run_broken(breakage::none, s).trace_hash);
        s.seed += 100;
        CHECK(first != run_broken(breakage::none, s).trace_hash);
    }
}

TEST_CASE("shrink: what is left still fails, and is short") {
    auto const fails = [](schedule const& s) { return run_broken(breakage::another_state, s).rule == "R4"; };
    std::uint64_t tried = 0;
    for (std::uint64_t seed = 1; seed < 6; ++seed) {
        auto const s = make_schedule(seed);
        if (!fails(s)) continue;
        ++tried;
        auto const shorter = shrink(s, fails, 500);
        CHECK(fails(shorter));
        CHECK(shorter.choices.size() <= 20);
        CHECK(as_test(shorter, "R4").find("deed::") != std::string::npos);
    }
    CHECK(tried > 2);
}

TEST_CASE("client: what it was not told of is found") {
    mailbox_state state;
    state.reset(mailbox_id);
    std::uint64_t counter = 0;
    auto const apply = [&](format::mailbox_transaction const& t) {
        format::record_view record;
        record.header.kind = static_cast<std::uint8_t>(format::record_kind::transaction);
        record.header.incarnation = 1;
        record.header.counter = ++counter;
        record.payload = t.bytes();
        state.apply(record, nullptr);
    };
    auto const append = [&](std::uint64_t name) {
        message_entry m;
        m.id = guid::from_words(0, name);
        format::mailbox_transaction t;
        t.append(m);
        apply(t);
    };
    append(1);
    append(2);
    for (auto const kind : {client_kind::qresync, client_kind::condstore, client_kind::plain}) {
        client who(1, kind, true);
        who.connect(1, view(state));
        CHECK_NOTHROW(who.check(state));
        append(10 + static_cast<std::uint64_t>(kind));
        CHECK_THROWS_AS(who.check(state), violation);
        who.look();
        CHECK_NOTHROW(who.check(state));
        who.disconnect();
        format::mailbox_transaction gone, flagged;
        gone.expunge(uid_set::one(state.uid_next() - 1), false);
        flagged.change_flags(uid_set::one(1), {static_cast<std::uint64_t>(kind) % 2 == 0 ? flag_mode::add : flag_mode::remove, flag::seen, {}, {}});
        apply(gone);
        CHECK_THROWS_AS(who.check(state), violation);
        apply(flagged);
        who.connect(1, view(state));
        CHECK_NOTHROW(who.check(state));
        CHECK(who.deltas + who.fulls == 2);
        who.disconnect();
    }
}
