// SPDX-License-Identifier: BSL-1.0
#include <mailfs/index/mailbox_folder.hpp>

#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/index/view.hpp>

#include "unit/index/fold_fixture.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

using namespace mailfs;
using test::client;
using test::content;
using test::list;
using test::replica;

namespace {

constexpr std::uint64_t ms = 1ULL << 16;  // a stamp, in milliseconds

// A is master and B has all it ordered: messages 1..count at UIDs from 256 on, which is in A's block.
std::pair<replica, replica> pair_of_nodes(std::uint64_t count) {
    replica a(1);
    a.reign(1);
    for (std::uint64_t n = 1; n <= count; ++n) a.append(n, n * ms);
    auto b = replica::copy(*a.state, 2);
    return {std::move(a), std::move(b)};
}
std::set<std::uint64_t> numbers(mailbox_state const& s) {
    std::set<std::uint64_t> out;
    for (auto const& m : content(s)) out.insert(m.number);
    return out;
}
std::uint32_t flags_of(mailbox_state const& s, uid_t uid) { return s.rows().flags[*s.find(uid)]; }
modseq_t modseq_of(mailbox_state const& s, uid_t uid) { return s.rows().modseq[*s.find(uid)]; }
uid_set uids(mailbox_state const& s) {
    uid_set out;
    s.for_each(1, uid_max, [&](std::size_t row) { out.add(s.rows().uid[row]); });
    return out;
}

}  // namespace

TEST_CASE("mailbox_fold: the example of the protocol, number by number") {
    // UIDs ..300 known to both (UIDNEXT 301), A's block is 256..511, B's 512..767.
    replica a(1);
    a.reign(1, uid_block{256, 511});
    {
        format::mailbox_transaction t;
        t.raise(5, 1);
        a.apply(t, 1);
    }
    for (uid_t u = 256; u <= 300; ++u) REQUIRE(a.append(u, u * ms) == u);
    auto b = replica::copy(*a.state, 2);
    view shown_a(*a.state), shown_b(*b.state);

    CHECK(a.append(1001, 1001 * ms) == 301);
    CHECK(a.append(1002, 1002 * ms) == 302);
    a.set(257, flag::flagged, 1003 * ms);
    b.reign(2, uid_block{512, 767});
    CHECK(b.append(2001, 1001 * ms) == 512);
    b.expunge(259, 1004 * ms);
    b.set(257, flag::seen, 1002 * ms);
    CHECK(a.state->uid_next() == 303);
    CHECK(b.state->uid_next() == 513);
    shown_a.refresh();
    shown_b.refresh();
    client const of_a(*a.state), of_b(*b.state);

    b.reign(3);
    b.fold(*a.state);
    auto const& s = *b.state;
    auto const M = position{3 << 4 | 2, 1}.modseq();
    CHECK(s.highest_modseq() == M);
    CHECK(!s.find(301));
    CHECK(!s.find(302));
    CHECK(!s.find(259));
    CHECK(list(s).at(512).number == 2001);
    CHECK(list(s).at(513).number == 1001);
    CHECK(list(s).at(514).number == 1002);
    CHECK(s.uid_next() == 515);
    CHECK(flags_of(s, 257) == std::uint32_t(flag::flagged | flag::seen));
    for (uid_t u : {257U, 512U, 513U, 514U}) CHECK(modseq_of(s, u) == M);
    CHECK(s.vanished().since(M - 1) == uid_set{{259, 259}, {301, 302}});
    CHECK(s.ids_left() == 767 - 514);
    CHECK_NOTHROW(s.verify());

    auto const told_b = shown_b.refresh();
    CHECK(told_b.expunged.empty());
    CHECK(told_b.arrived == uid_set{{513, 514}});
    CHECK(told_b.changed == uid_set{{257, 257}, {512, 512}});
    a.take(s);
    auto const told_a = shown_a.refresh();
    CHECK(told_a.expunged_uids == uid_set{{259, 259}, {301, 302}});
    CHECK(told_a.arrived == uid_set{{512, 514}});
    CHECK(told_a.changed == uid_set::one(257));
    for (auto const& c : {of_a, of_b}) {
        CHECK(c.follow_qresync(s) == list(s));
        CHECK(c.follow_condstore(s) == list(s));
        CHECK(c.follow_plain(s) == list(s));
    }
}

// --- the table of the protocol, row by row -------------------------------------------------------------------------------

TEST_CASE("mailbox_fold: append and append: both stay, and who was told a higher UIDNEXT finds none below it") {
    auto [a, b] = pair_of_nodes(2);
    a.append(11, 11 * ms);
    b.reign(2);
    b.append(21, 21 * ms);
    SUBCASE("the trunk has the higher range: the other's arrivals get new UIDs") {
        b.reign(3);
        b.fold(*a.state);
        CHECK(uids(*b.state) == uid_set{{256, 257}, {512, 513}});
        CHECK(list(*b.state).at(513).number == 11);
    }
    SUBCASE("the trunk has the lower range: its own arrivals get new UIDs, above all") {
        a.reign(3);
        a.fold(*b.state);
        CHECK(list(*a.state).at(512).number == 21);
        CHECK(uids(*a.state) == uid_set{{256, 257}, {512, 512}, {4352, 4352}});  // A's next block above 513
        CHECK(list(*a.state).at(4352).number == 11);
        CHECK(a.state->ids_left() == 255);
        CHECK(a.append(12, 30 * ms) == 4353);
    }
}

TEST_CASE("mailbox_fold: a side that appended nothing costs nobody a UID") {
    auto [a, b] = pair_of_nodes(2);
    a.append(11, 11 * ms);
    b.reign(2);
    b.set(256, flag::seen, 12 * ms);
    SUBCASE("the branch's arrivals keep theirs") {
        b.reign(3);
        b.fold(*a.state);
        CHECK(uids(*b.state) == uid_set{{256, 258}});
        CHECK(b.state->uid_next() == 259);
        CHECK(b.append(21, 13 * ms) == 4608);  // what it had reserved before is left behind
    }
    SUBCASE("the trunk's do") {
        a.reign(3);
        a.fold(*b.state);
        CHECK(uids(*a.state) == uid_set{{256, 258}});
        CHECK(a.append(12, 13 * ms) == 259);
    }
}

TEST_CASE("mailbox_fold: flags: the later stamp wins, flag by flag, whoever is the trunk") {
    for (bool a_is_trunk : {false, true}) {
        auto [a, b] = pair_of_nodes(2);
        b.reign(2);
        a.set(256, flag::flagged, 20 * ms);
        b.clear(256, flag::flagged, 21 * ms);  // it was clear: the value stays, and wins
        a.set(257, flag::flagged, 31 * ms);
        b.clear(257, flag::flagged, 30 * ms);
        b.set(257, flag::seen, 32 * ms);
        auto& trunk = a_is_trunk ? a : b;
        trunk.reign(3);
        trunk.fold(a_is_trunk ? *b.state : *a.state);
        CHECK(flags_of(*trunk.state, 256) == 0);
        CHECK(flags_of(*trunk.state, 257) == std::uint32_t(flag::flagged | flag::seen));
    }
}

TEST_CASE("mailbox_fold: one stamp, two origins: the greater origin wins, whoever is the trunk") {
    for (bool a_is_trunk : {false, true}) {
        auto [a, b] = pair_of_nodes(1);
        b.reign(2);
        a.set(256, flag::flagged, 20 * ms);
        b.clear(256, flag::flagged, 20 * ms);
        auto& trunk = a_is_trunk ? a : b;
        trunk.reign(3);
        trunk.fold(a_is_trunk ? *b.state : *a.state);
        CHECK(flags_of(*trunk.state, 256) == 0);  // node 2's
    }
}

TEST_CASE("mailbox_fold: what follows a change in one history wins over it, whatever the clocks said") {
    auto [a, b] = pair_of_nodes(1);
    a.set(256, flag::flagged, 90 * ms);  // a clock far ahead
    b = replica::copy(*a.state, 2);
    b.reign(2);
    b.clear(256, flag::flagged, 20 * ms);  // ordered behind it
    a.set(256, flag::seen, 91 * ms);
    b.reign(3);
    b.fold(*a.state);
    CHECK(flags_of(*b.state, 256) == std::uint32_t(flag::seen));
}

TEST_CASE("mailbox_fold: what replaced a change that both sides ordered stands, whatever stamp it has on the other side") {
    mailfs::dot const first{{3, 7}, 1}, both{{4, 7}, 1}, later{{4, 7}, 2};
    auto const change = [](replica& r, flag_mode mode, std::uint64_t stamp, mailfs::dot const& d) {
        format::mailbox_transaction t;
        t.change_flags(uid_set::one(256), {mode, flag::flagged, {"word"}, {}});
        t.metadata("/color", mode == flag_mode::add ? std::optional<std::string_view>("red") : std::nullopt);
        r.apply(t, stamp, d);
    };
    for (bool a_is_trunk : {false, true})
        for (bool set : {false, true}) {
            auto const one = set ? flag_mode::add : flag_mode::remove, other = set ? flag_mode::remove : flag_mode::add;
            auto [a, b] = pair_of_nodes(1);
            b.reign(2);
            change(a, one, 90 * ms, first);
            change(a, other, 20 * ms, both);  // whose stamp rises above the first one's
            change(b, other, 20 * ms, both);
            change(b, one, 21 * ms, later);
            auto& trunk = a_is_trunk ? a : b;
            trunk.reign(3);
            trunk.fold(a_is_trunk ? *b.state : *a.state);
            CHECK((flags_of(*trunk.state, 256) != 0) == set);
            CHECK(list(*trunk.state).at(256).keywords.empty() == !set);
            CHECK((trunk.state->metadata().find("/color") != trunk.state->metadata().end()) == set);
        }
}

TEST_CASE("mailbox_fold: two changes that each side ordered in another order: the later stamp, whoever is the trunk") {
    mailfs::dot const x{{3, 7}, 1}, y{{4, 7}, 1};
    auto const change = [](replica& r, flag_mode mode, std::uint64_t stamp, mailfs::dot const& d) {
        format::mailbox_transaction t;
        t.change_flags(uid_set::one(256), {mode, flag::flagged, {}, {}});
        r.apply(t, stamp, d);
    };
    for (bool a_is_trunk : {false, true}) {
        auto [a, b] = pair_of_nodes(1);
        b.reign(2);
        change(a, flag_mode::add, 20 * ms, x);
        change(a, flag_mode::remove, 30 * ms, y);
        change(b, flag_mode::remove, 30 * ms, y);
        change(b, flag_mode::add, 20 * ms, x);  // just above it
        auto& trunk = a_is_trunk ? a : b;
        trunk.reign(3);
        trunk.fold(a_is_trunk ? *b.state : *a.state);
        CHECK(flags_of(*trunk.state, 256) == std::uint32_t(flag::flagged));
    }
}

TEST_CASE("mailbox_fold: a whole-set STORE is a change of each flag and of the keywords there were or are") {
    auto [a, b] = pair_of_nodes(1);
    a.store(uid_set::one(256), flag_mode::add, flag::answered, 5 * ms, {"old"});
    b = replica::copy(*a.state, 2);
    b.reign(2);
    a.store(uid_set::one(256), flag_mode::add, flag::flagged, 20 * ms, {"old", "other"});
    b.store(uid_set::one(256), flag_mode::replace, flag::seen, 21 * ms, {"new"});
    b.reign(3);
    b.fold(*a.state);
    auto const m = list(*b.state).at(256);
    CHECK(m.flags == std::uint32_t(flag::seen));
    CHECK(m.keywords == std::set<std::string>{"new", "other"});  // the set did not know of "other"
}

TEST_CASE("mailbox_fold: keywords travel by name, in whatever order each side numbered them") {
    auto [a, b] = pair_of_nodes(3);
    a.store(uid_set::one(256), flag_mode::add, flag::none, 20 * ms, {"red", "Green"});
    b.reign(2);
    b.store(uid_set::one(257), flag_mode::add, flag::none, 21 * ms, {"blue", "green", "red"});
    b.store(uid_set::one(256), flag_mode::remove, flag::none, 22 * ms, {"red"});
    a.append(11, 23 * ms, flag::none, {"violet", "red"});
    b.reign(3);
    b.fold(*a.state);
    auto const l = list(*b.state);
    CHECK(b.state->keywords().names() == std::vector<std::string>{"blue", "green", "red", "violet"});
    CHECK(l.at(256).keywords == std::set<std::string>{"green"});
    CHECK(l.at(257).keywords == std::set<std::string>{"blue", "green", "red"});
    CHECK(l.at(259).keywords == std::set<std::string>{"red", "violet"});
    CHECK_NOTHROW(b.state->verify());
}

TEST_CASE("mailbox_fold: conditional STORE: the verdicts of each side stand") {
    auto [a, b] = pair_of_nodes(1);
    auto const since = modseq_of(*a.state, 256);
    b.reign(2);
    a.store(uid_set::one(256), flag_mode::add, flag::flagged, 20 * ms, {}, since);
    b.set(256, flag::seen, 21 * ms);
    auto const refused = b.store(uid_set::one(256), flag_mode::remove, flag::flagged, 22 * ms, {}, since);
    CHECK(refused.modified == uid_set::one(256));
    b.reign(3);
    b.fold(*a.state);
    CHECK(flags_of(*b.state, 256) == std::uint32_t(flag::flagged | flag::seen));
}

TEST_CASE("mailbox_fold: expunge wins over a flag change, and an expunged message never comes back") {
    for (bool a_is_trunk : {false, true}) {
        auto [a, b] = pair_of_nodes(2);
        b.reign(2);
        a.expunge(256, 20 * ms);
        b.set(256, flag::flagged, 21 * ms);
        auto& trunk = a_is_trunk ? a : b;
        auto const branch = replica::copy(a_is_trunk ? *b.state : *a.state, 3);
        trunk.reign(3);
        trunk.fold(*branch.state);
        CHECK(numbers(*trunk.state) == std::set<std::uint64_t>{2});
        CHECK(trunk.state->vanished().since(position{3 << 4, 0}.modseq()) == uid_set::one(256));
        CHECK(trunk.state->replication().registers.find(256) == nullptr);
        trunk.reign(4);
        trunk.fold(*branch.state);  // the same branch again
        CHECK(numbers(*trunk.state) == std::set<std::uint64_t>{2});
    }
}

TEST_CASE("mailbox_fold: one transaction ordered on both sides is one message: the higher UID, where nobody misses it") {
    auto [a, b] = pair_of_nodes(1);
    b.reign(2);
    format::mailbox_transaction t;
    t.append({guid::from_words(0, 77), {}, 5, 0, flag::none, {}});
    mailfs::dot const d{{9, 9}, 1};
    CHECK(a.apply(t, 20 * ms, d).first_uid == 257);
    CHECK(b.apply(t, 20 * ms, d).first_uid == 512);
    a.set(257, flag::flagged, 21 * ms);
    b.set(512, flag::seen, 22 * ms);
    SUBCASE("as the trunk has it") {
        b.reign(3);
        b.fold(*a.state);
        CHECK(uids(*b.state) == uid_set{{256, 256}, {512, 512}});
        CHECK(flags_of(*b.state, 512) == std::uint32_t(flag::flagged | flag::seen));
        CHECK(b.state->vanished().since(0) == uid_set::one(257));
    }
    SUBCASE("as the branch has it") {
        a.reign(3);
        a.fold(*b.state);
        CHECK(uids(*a.state) == uid_set{{256, 256}, {512, 512}});
        CHECK(flags_of(*a.state, 512) == std::uint32_t(flag::flagged | flag::seen));
        auto const registers = *a.state->replication().registers.find(512);  // they went along
        CHECK(registers.size() == 2);
    }
    SUBCASE("as nobody has it, where each side's lies below the other's UIDNEXT") {
        format::mailbox_transaction more;
        more.raise(0, 700);
        a.apply(more, 23 * ms);
        a.reign(3);
        a.fold(*b.state);
        CHECK(uids(*a.state) == uid_set{{256, 256}, {4352, 4352}});
        CHECK(a.state->vanished().since(0) == uid_set{{257, 257}, {512, 512}});
    }
}

TEST_CASE("mailbox_fold: one UID for two messages, which only broken slots make: both are renumbered") {
    auto [a, b] = pair_of_nodes(1);
    b.reign(2, uid_block{257, 511});
    CHECK(a.append(11, 20 * ms) == b.append(21, 21 * ms));
    b.reign(3, uid_block{512, 767});
    b.fold(*a.state);
    CHECK(uids(*b.state) == uid_set{{256, 256}, {512, 513}});
    CHECK(list(*b.state).at(512).number == 11);
    CHECK(b.state->vanished().since(0) == uid_set::one(257));
}

TEST_CASE("mailbox_fold: renumbered messages come in the order in which they were saved, then by their dots") {
    auto [a, b] = pair_of_nodes(1);
    for (std::uint64_t n : {15U, 13U, 14U, 13U}) a.append(100 + n, n * 1000 * ms);
    b.reign(2);
    b.append(21, 40 * ms);
    b.reign(3);
    b.fold(*a.state);
    std::vector<std::uint64_t> order;
    for (auto const& [uid, m] : list(*b.state)) order.push_back(m.number);
    CHECK(order == std::vector<std::uint64_t>{1, 21, 113, 113, 114, 115});
    CHECK(b.state->rows().dot[2].counter < b.state->rows().dot[3].counter);
}

TEST_CASE("mailbox_fold: more renumbered messages than a block holds take the next ones of the slot") {
    auto [a, b] = pair_of_nodes(1);
    for (std::uint64_t n = 0; n < 700; ++n) {
        if (a.state->ids_left() == 0) a.reign(static_cast<std::uint32_t>(20 + n));
        REQUIRE(a.append(1000 + n, (1000 + n) * ms) != 0);
    }
    b.reign(1000, uid_block{12800, 13055});
    b.append(21, 40 * ms);
    b.reign(1001);
    CHECK(b.state->ids_left() == 255);
    b.fold(*a.state);
    CHECK(b.state->counters().messages == 702);
    CHECK(uids(*b.state) == uid_set{{256, 256}, {12800, 13055}, {16896, 17151}, {20992, 21180}});
    CHECK(b.state->ids_left() == 21247 - 21180);
    CHECK(b.state->stream().ids_last == 21247);
    CHECK(b.append(22, 50 * ms) == 21181);
    CHECK_NOTHROW(b.state->verify());
}

TEST_CASE("mailbox_fold: new UIDs are from no block that was ever reserved: who reserved it may have used it") {
    auto [a, b] = pair_of_nodes(2);
    CHECK(a.append(11, 20 * ms) == 258);
    b.reign(2);  // 512..767, of which this history uses none
    format::mailbox_transaction t;
    t.raise(0, 400);
    b.apply(t, 21 * ms);
    b.reign(3, uid_block{0, 0});
    b.fold(*a.state);
    CHECK(uids(*b.state) == uid_set{{256, 257}, {4608, 4608}});
}

TEST_CASE("mailbox_fold: metadata: last writer, removal included; UIDVALIDITY and UIDNEXT: the greater") {
    for (bool a_is_trunk : {false, true}) {
        auto [a, b] = pair_of_nodes(1);
        auto const put = [](replica& r, std::string_view key, std::optional<std::string_view> value, std::uint64_t stamp) {
            format::mailbox_transaction t;
            t.metadata(key, value);
            r.apply(t, stamp);
        };
        put(a, "/common", "x", 5 * ms);
        b = replica::copy(*a.state, 2);
        b.reign(2);
        put(a, "/both", "of a", 20 * ms);
        put(b, "/both", "of b", 21 * ms);
        put(a, "/common", std::nullopt, 31 * ms);
        put(b, "/common", "y", 30 * ms);
        put(a, "/a", "1", 32 * ms);
        put(b, "/b", "2", 33 * ms);
        format::mailbox_transaction t;
        t.raise(9, 5000);
        a.apply(t, 34 * ms);
        auto& trunk = a_is_trunk ? a : b;
        trunk.reign(3);
        trunk.fold(a_is_trunk ? *b.state : *a.state);
        CHECK(trunk.state->metadata() == std::map<std::string, std::string, std::less<>>{{"/a", "1"}, {"/b", "2"}, {"/both", "of b"}});
        CHECK(trunk.state->uid_validity() == 9);
        CHECK(trunk.state->uid_next() == 5000);
        auto const snapshot = replica::copy(*trunk.state, 5);
        CHECK(snapshot.state->dump() == trunk.state->dump());
        if (!a_is_trunk) {
            CHECK(trunk.append(31, 50 * ms) == 0);  // what was reserved lies below
            trunk.step(format::record_kind::ids, format::encode_ids({8704, 8959}));
        }
        CHECK(trunk.append(31, 51 * ms) >= 5000);
    }
}

TEST_CASE("mailbox_fold: what either side has seen, and how far each came, is the union") {
    auto [a, b] = pair_of_nodes(1);
    b.reign(2);
    a.set(256, flag::seen, 20 * ms);
    b.set(256, flag::flagged, 21 * ms);
    auto const of_a = a.state->stream().history(), of_b = b.state->stream().history();
    b.reign(3);
    b.fold(*a.state);
    CHECK(covers(b.state->stream().history(), of_a));
    CHECK(covers(b.state->stream().history(), of_b));
    CHECK(b.state->stream().would_admit({{1, 7}, 2}) == admission::repeat);
    CHECK(b.state->stream().would_admit({{2, 7}, 1}) == admission::repeat);
    auto const before = list(*b.state);
    b.reign(4);
    b.fold(*a.state);  // again: nothing is different
    CHECK(list(*b.state) == before);
    CHECK(b.state->vanished().entries().empty());
}

TEST_CASE("mailbox_fold: settled changes lose to any that came later, and a node that was away too long loses to the cut") {
    auto [a, b] = pair_of_nodes(2);
    auto const away = replica::copy(*a.state, 3);
    a.set(256, flag::flagged, 20 * ms);
    auto const at = a.state->stream().at;
    b = replica::copy(*a.state, 2);
    a.step(format::record_kind::settle, format::encode_settle(at));
    CHECK(a.state->replication().registers.empty());
    CHECK(a.state->replication().cut.value == 20 * ms);
    b.reign(2);
    b.clear(256, flag::flagged, 15 * ms);  // behind the change that A forgot
    SUBCASE("the branch knew what was settled") {
        a.reign(3);
        a.fold(*b.state);
        CHECK(flags_of(*a.state, 256) == 0);
    }
    SUBCASE("the branch did not") {
        auto back = replica::copy(*away.state, 3);
        back.reign(2);
        back.clear(256, flag::flagged, 15 * ms);
        back.set(257, flag::seen, 25 * ms);
        a.reign(3);
        a.fold(*back.state);
        CHECK(flags_of(*a.state, 256) == std::uint32_t(flag::flagged));
        CHECK(flags_of(*a.state, 257) == std::uint32_t(flag::seen));
    }
    SUBCASE("a position that is not in this history settles nothing") {
        b.step(format::record_kind::settle, format::encode_settle({77, 1}));
        CHECK(b.state->replication().settled == position{});
        CHECK(!b.state->replication().registers.empty());
    }
}

TEST_CASE("mailbox_fold: vanished entries that only one side has count from the fold on") {
    auto [a, b] = pair_of_nodes(9);
    a.expunge(260, 10 * ms);  // common
    b = replica::copy(*a.state, 2);
    b.reign(2);
    for (uid_t u : {256U, 257U, 258U}) a.expunge(u, 20 * ms);
    b.expunge(257, 21 * ms);
    client const of_a(*a.state), of_b(*b.state);
    b.reign(3);
    b.fold(*a.state);
    auto const M = b.state->highest_modseq();
    CHECK(b.state->vanished().since(M - 1) == uid_set{{256, 258}});
    CHECK(b.state->vanished().since(0) == uid_set{{256, 258}, {260, 260}});
    CHECK(of_a.follow_qresync(*b.state) == list(*b.state));
    CHECK(of_b.follow_qresync(*b.state) == list(*b.state));
}

// --- the machine around it -----------------------------------------------------------------------------------------------

TEST_CASE("mailbox_state: a shared stream gives UIDs from what is reserved, all of a transaction or none") {
    replica a(1);
    a.reign(1, uid_block{256, 258});
    CHECK(a.state->uid_next() == 1);
    CHECK(a.state->ids_left() == 3);
    CHECK(a.append(1, ms) == 256);
    CHECK(a.state->uid_next() == 257);
    format::mailbox_transaction t;
    for (int i = 0; i < 3; ++i) t.append({});
    CHECK(mailbox_state::ids_wanted(t.bytes()) == 3);
    CHECK(a.apply(t, 2 * ms).appended == 0);
    CHECK(a.state->uid_next() == 257);
    a.step(format::record_kind::ids, format::encode_ids({259, 300}));  // goes on where the first one ends
    CHECK(a.state->ids_left() == 44);
    auto const out = a.apply(t, 3 * ms);
    CHECK(out.appended == 3);
    CHECK(out.first_uid == 257);
    a.step(format::record_kind::ids, format::encode_ids({4352, 4353}));  // does not: the rest is left behind
    CHECK(a.state->ids_left() == 2);
    CHECK(a.append(5, 4 * ms) == 4352);
    a.step(format::record_kind::ids, format::encode_ids({270, 300}));  // never back
    CHECK(a.append(6, 5 * ms) == 4353);
    CHECK(a.append(7, 6 * ms) == 0);
    CHECK(a.state->uid_next() == 4354);
    CHECK(a.state->stream().ids_last == 4353);
}

TEST_CASE("mailbox_state: an epoch below what was announced gives out only what lies above it") {
    auto [a, b] = pair_of_nodes(3);
    a.step(format::record_kind::epoch, format::encode_epoch_start({2 << 4, {3, 3}, 256, 260, 259}));
    CHECK(a.append(9, ms) == 259);
    a.step(format::record_kind::epoch, format::encode_epoch_start({3 << 4, {3, 3}, 256, 259, 1}));
    CHECK(a.append(10, ms) == 0);
    CHECK(a.state->uid_next() == 260);
}

TEST_CASE("mailbox_state: steps that make no sense move the position alone") {
    auto [a, b] = pair_of_nodes(2);
    a.set(256, flag::seen, 9 * ms);
    std::vector<std::byte> const garbage(64, std::byte{0xff});
    auto const before = list(*a.state);
    for (auto kind : {format::record_kind::epoch, format::record_kind::ids, format::record_kind::settle}) {
        for (std::size_t size : {0U, 1U, 8U, 64U}) {
            auto const at = a.state->stream().at;
            a.step(kind, bytes_view(garbage).first(size));
            CHECK(a.state->stream().at == position{at.epoch, at.n + 1});
        }
    }
    a.step(format::record_kind::epoch, format::encode_epoch_start({1 << 4 | 1, {1, 7}, 600, 700, 1}));  // not a later one
    CHECK(list(*a.state) == before);
    CHECK(a.state->uid_next() == 258);
    CHECK(!a.state->replication().registers.empty());
}

TEST_CASE("mailbox_state: a node that was given the snapshot knows what a transaction appended") {
    auto [a, b] = pair_of_nodes(2);
    format::mailbox_transaction t;
    for (int i = 0; i < 3; ++i) t.append({});
    a.apply(t, ms, mailfs::dot{{9, 9}, 4});
    a.expunge(259, 2 * ms);
    auto const c = replica::copy(*a.state, 3);
    auto const out = c.state->recall({{9, 9}, 4}, t.bytes());
    REQUIRE(out);
    CHECK(out->first_uid == 258);
    CHECK(out->appended == 3);
    CHECK(c.state->recall({{9, 9}, 5}, {})->appended == 0);
    t.append({});
    CHECK(!c.state->recall({{9, 9}, 4}, t.bytes()));  // not all of it is there
    format::mailbox_transaction flags;
    uid_set one;
    one.add(258);
    flags.change_flags(one, {.mode = flag_mode::add, .flags = flag::seen, .keywords = {}, .unchanged_since = {}});
    CHECK(c.state->recall({{9, 9}, 5}, flags.bytes()));
    flags.change_flags(one, {.mode = flag_mode::add, .flags = flag::seen, .keywords = {}, .unchanged_since = 1});
    CHECK(!c.state->recall({{9, 9}, 5}, flags.bytes()));  // whether the condition held is not kept
}

TEST_CASE("mailbox_state: a snapshot of a shared mailbox is canonical, and goes on as the state did") {
    auto [a, b] = pair_of_nodes(5);
    a.store({{256, 258}}, flag_mode::add, flag::seen | flag::flagged, 9 * ms, {"k1", "k2"});
    a.clear(257, flag::seen, 10 * ms);
    a.store(uid_set::one(257), flag_mode::replace, flag::draft, 11 * ms, {"k2", "k3"});
    format::mailbox_transaction t;
    t.metadata("/x", "1").metadata("/y", "2").metadata("/x", std::nullopt);
    a.apply(t, 12 * ms);
    auto c = replica::copy(*a.state, 1);
    CHECK(c.state->replication() == a.state->replication());
    CHECK(c.state->stream() == a.state->stream());
    CHECK(c.state->dump() == a.state->dump());
    for (auto* r : {&a, &c}) {
        format::mailbox_transaction more;
        more.change_flags({{256, 257}}, {flag_mode::remove, flag::flagged, {"k2"}, {}}).append({});
        r->apply(more, 13 * ms, mailfs::dot{{4, 4}, 1});
    }
    CHECK(c.state->dump() == a.state->dump());
}

TEST_CASE("mailbox_fold: states that are not of one mailbox, or not in order, are not folded") {
    auto [a, b] = pair_of_nodes(2);
    b.reign(2);
    CHECK(a.state->fold(*b.state).empty());  // the branch's epoch is above
    b.reign(3);
    CHECK(!b.state->fold(*a.state).empty());
    replica other(3);
    other.state->reset(guid::from_words(5, 6));
    other.reign(1);
    CHECK(b.state->fold(*other.state).empty());
    replica const alone(3);
    CHECK(b.state->fold(*alone.state).empty());
    b.step(format::record_kind::fold, {});
    CHECK(list(*b.state).size() == 2);
}

TEST_CASE("mailbox_fold: a fold that is cut or damaged changes nothing, or leaves a mailbox") {
    auto [a, b] = pair_of_nodes(4);
    a.store({{256, 257}}, flag_mode::add, flag::flagged, 20 * ms, {"red"});
    a.append(11, 21 * ms, flag::none, {"blue"});
    a.expunge(258, 22 * ms);
    format::mailbox_transaction t;
    t.metadata("/x", "of a");
    a.apply(t, 23 * ms);
    b.reign(2);
    b.append(21, 21 * ms);
    b.set(256, flag::seen, 23 * ms);
    b.reign(3);
    auto const payload = b.state->fold(*a.state);
    auto const snapshot = b.state->dump();
    auto const before = list(*b.state);
    auto const apply_to_copy = [&](bytes_view bytes) {
        auto c = replica::copy(*b.state, 4);
        c.step(format::record_kind::fold, bytes);
        CHECK(c.state->stream().at == position{3 << 4 | 2, 1});
        auto const again = replica::copy(*c.state, 5);  // throws when it is no mailbox
        if (again.state->dump() != c.state->dump()) FAIL("a state that is not its snapshot");
        again.state->verify();
        return list(*c.state);
    };
    for (std::size_t size = 0; size + 8 <= payload.size(); ++size) CHECK(apply_to_copy(bytes_view(payload).first(size)) == before);
    std::size_t refused = 0;
    for (std::size_t bit = 32; bit < 8 * payload.size(); ++bit) {  // behind the version
        auto bytes = payload;
        bytes[bit / 8] ^= std::byte(1U << bit % 8);
        if (apply_to_copy(bytes) == before) ++refused;
    }
    CHECK(refused > 0);
    CHECK(list(*b.state) == before);
    CHECK(b.state->dump() == snapshot);
    for (auto const version : {format::mailbox_fold_version - 1, format::mailbox_fold_version + 1}) {
        auto other = payload;
        other[0] = std::byte(version);
        CHECK_THROWS_AS(b.step(format::record_kind::fold, other), error);
    }
}

TEST_CASE("mailbox_fold: a damaged snapshot says so before anything changes") {
    auto [a, b] = pair_of_nodes(40);
    a.store({{256, 257}}, flag_mode::add, flag::flagged, 20 * ms, {"red"});
    b.reign(2);
    b.append(21, 21 * ms);
    b.reign(3);
    auto bytes = b.state->dump();
    auto const payload = b.state->fold(*a.state);
    auto const at_flags = std::size_t{format::load<format::snapshot_column>(bytes_view(bytes).subspan(sizeof(format::snapshot_header) + sizeof(format::snapshot_column))).offset};
    bytes[at_flags] ^= std::byte{1};
    mailbox_state damaged;
    damaged.load(bytes, "snapshot");
    format::record_view record;
    record.header.kind = static_cast<std::uint8_t>(format::record_kind::fold);
    record.payload = payload;
    CHECK_THROWS_AS(damaged.fold(*a.state), error);
    CHECK_THROWS_AS(damaged.apply_step(record, nullptr), error);
    CHECK(damaged.stream() == b.state->stream());
    auto good = b.state->dump();
    damaged.mend(good, "snapshot");
    damaged.apply_step(record, nullptr);
    b.step(format::record_kind::fold, payload);
    CHECK(list(damaged) == list(*b.state));
}

TEST_CASE("view: what another history brings is news, though its MODSEQs are below the one that was shown") {
    replica a(1), b(2);
    a.reign(1);
    auto const uid = a.append(1, 10);
    auto alone = replica::copy(*a.state, 3);
    b.take(*a.state);
    b.reign(2);
    b.set(uid, flag::flagged, 20);
    alone.reign(2);  // slot 3: the greater epoch, in which nothing happens
    view shown(*alone.state);
    CHECK(shown.highest_modseq() > b.state->highest_modseq());
    b.reign(3);
    alone.take(*b.state);  // nothing to fold
    auto const changes = shown.refresh();
    CHECK(changes.changed == uid_set::one(uid));
    CHECK(shown.highest_modseq() == b.state->highest_modseq());
}
