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
using test::list;
using test::replica;

namespace {

constexpr std::uint64_t ms = 1ULL << 16;  // a stamp, in milliseconds

std::uint32_t flags_of(mailbox_state const& s, uid_t uid) { return s.rows().flags[*s.find(uid)]; }
modseq_t modseq_of(mailbox_state const& s, uid_t uid) { return s.rows().modseq[*s.find(uid)]; }

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
