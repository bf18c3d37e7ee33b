// SPDX-License-Identifier: BSL-1.0
#include <mailfs/index/known_deliveries.hpp>

#include <mailfs/index/mailbox_folder.hpp>
#include <mailfs/index/mailbox_state.hpp>

#include "unit/index/fold_fixture.hpp"

#include <doctest/doctest.h>

#include <utility>

using namespace mailfs;
using test::replica;

namespace {

// An append of a mail that has this name at its deliverer's.
format::mailbox_transaction delivery_of(std::uint64_t number, guid const& id) {
    message_entry m{guid::from_words(0, number), {number, 0}, 100, 1000 * number, flag::none, {"$one", "$Four"}};
    m.delivery = id;
    format::mailbox_transaction t;
    t.append(m);
    return t;
}
uid_t deliver(replica& r, std::uint64_t number, std::uint64_t delivery, std::uint64_t stamp, mailbox_outcome* out = nullptr) {
    auto const got = r.apply(delivery_of(number, guid::from_words(9, delivery)), stamp);
    if (out != nullptr) *out = got;
    return got.first_uid;
}

}  // namespace

TEST_CASE("mailbox_fold: one delivery on both sides is one message: that with the lower dot, whoever is the trunk") {
    for (bool const swapped : {false, true}) {
        replica a(1);
        a.reign(1);
        a.append(1, 10);
        auto b = replica::copy(*a.state, 2);
        b.reign(2);
        if (swapped) a.reign(3);
        auto const at_a = deliver(a, 2, 77, 30), at_b = deliver(b, 3, 77, 20);
        auto const other = deliver(b, 4, 78, 21);
        auto& trunk = swapped ? a : b;
        auto const& branch = swapped ? b : a;
        trunk.reign(5);
        trunk.fold(*branch.state);
        auto const& s = *trunk.state;
        CHECK(s.counters().messages == 3);
        CHECK_FALSE(s.find(at_b));
        std::size_t found = 0;
        s.for_each(1, uid_max, [&](std::size_t row) {
            found += s.rows().id[row] == guid::from_words(0, 2) || s.rows().id[row] == guid::from_words(0, 4) ? 1U : 0U;
            CHECK(s.rows().id[row] != guid::from_words(0, 3));
        });
        CHECK(found == 2);
        CHECK((swapped || s.find(other)));
        CHECK(at_a != 0);
        // Both are known from then on, also to who takes the snapshot.
        auto again = replica::copy(s, 3);
        again.reign(7);
        mailbox_outcome out;
        deliver(again, 5, 77, 40, &out);
        CHECK(out.delivered_before == 1);
        CHECK(out.appended == 0);
        CHECK(out.first_uid != 0);
        deliver(again, 6, 78, 41, &out);
        CHECK(out.delivered_before == 1);
        CHECK(again.state->counters().messages == 3);
    }
}

TEST_CASE("mailbox_fold: a try that one side passed over, and the other took, has expunged nothing") {
    replica a(1);
    a.reign(1);
    auto b = replica::copy(*a.state, 2);
    b.reign(2);
    auto const t = delivery_of(1, guid::from_words(9, 5));
    mailfs::dot const first{{1, 50}, 1}, second{{3, 50}, 1};
    a.apply(t, 10, second);
    a.apply(t, 11, first);  // passed over
    b.apply(t, 12, first);
    b.reign(3);
    b.fold(*a.state);
    CHECK(b.state->counters().messages == 1);
}

TEST_CASE("mailbox_fold: a try that one side gave up, and the other took, has expunged nothing, for another try may have been answered") {
    for (bool const swapped : {false, true}) {
        replica a(1);
        a.reign(1);
        auto b = replica::copy(*a.state, 2);
        b.reign(2);
        auto const t = delivery_of(1, guid::from_words(9, 5));
        mailfs::dot const given_up{{1, 50}, 1}, answered{{3, 50}, 1};
        a.apply(t, 10, given_up);
        a.apply(t, 11, answered);  // passed over
        b.apply(format::mailbox_transaction(), 12, given_up);
        auto gone = replica::copy(*a.state, 4);
        gone.reign(3);
        auto& trunk = swapped ? a : b;
        trunk.reign(5);
        trunk.fold(*(swapped ? b : a).state);
        CHECK(trunk.state->counters().messages == 1);
        // Who knew the delivery, and has the message no more, did expunge it.
        gone.expunge(256, 20);
        REQUIRE(gone.state->counters().messages == 0);
        trunk.reign(6);
        trunk.fold(*gone.state);
        CHECK(trunk.state->counters().messages == 0);
    }
}

TEST_CASE("mailbox_state: a delivery that is tried again appends nothing, though its message was expunged") {
    replica a(1);
    a.reign(1);
    mailbox_outcome out;
    auto const uid = deliver(a, 1, 5, 10, &out);
    CHECK(out.appended == 1);
    CHECK(out.delivered_before == 0);
    CHECK(deliver(a, 2, 5, 11, &out) == uid);
    CHECK(out.appended == 0);
    CHECK(out.delivered_before == 1);
    a.expunge(uid, 12);
    CHECK(deliver(a, 3, 5, 13, &out) == 0);
    CHECK(out.delivered_before == 1);
    CHECK(a.state->counters().messages == 0);
    CHECK(deliver(a, 4, 6, 14, &out) == uid + 1);
}

TEST_CASE("mailbox_state: of deliveries the latest 256 are known") {
    replica a(1);
    a.reign(1);
    for (std::uint64_t n = 1; n <= 300; ++n) {
        auto const k = static_cast<std::uint32_t>(n / 100);
        if (n % 100 == 0) a.reign(k + 1, uid_block{4096 * k + 256, 4096 * k + 511});
        deliver(a, n, n, 100 + n);
    }
    CHECK(a.state->replication().deliveries.all().size() == 256);
    mailbox_outcome out;
    deliver(a, 400, 300, 900, &out);
    CHECK(out.delivered_before == 1);
    deliver(a, 401, 45, 901, &out);
    CHECK(out.delivered_before == 1);
    deliver(a, 402, 44, 902, &out);
    CHECK(out.appended == 1);
    auto const copy = replica::copy(*a.state, 2);
    CHECK(copy.state->dump() == a.state->dump());
}

namespace {

/// A mailbox on both sides of a split, and what they come to.
struct split {
    explicit split(std::uint64_t first = 0) : a(1), b(2) {
        a.reign(1);
        if (first != 0) uid = a.append(first, 10);
        b.take(*a.state);
        b.reign(2);
    }
    mailbox_state const& heal() {
        b.reign(3);
        b.fold(*a.state);
        return *b.state;
    }
    uid_t uid = 0;
    replica a, b;
};
std::size_t count_of(mailbox_state const& s, std::uint64_t number) {
    std::size_t n = 0;
    s.for_each(1, uid_max, [&](std::size_t row) { n += s.rows().id[row] == guid::from_words(0, number) ? 1U : 0U; });
    return n;
}
}  // namespace

TEST_CASE("mailbox_fold: copy, and expunge of its source: the target stays, the source is gone") {
    split source(1), target;
    target.a.append(1, 20);
    source.b.expunge(source.uid, 20);
    CHECK(source.heal().counters().messages == 0);
    CHECK(count_of(target.heal(), 1) == 1);
}

TEST_CASE("mailbox_fold: move to X, and move to Y: in both, and no more in the source") {
    split source(1), x, y;
    auto const dot = source.a.state->rows().dot[0];
    x.a.apply(delivery_of(1, delivery_of_move(dot, guid::from_words(1, 'x'))), 20);
    source.a.expunge(source.uid, 21);
    y.b.apply(delivery_of(1, delivery_of_move(dot, guid::from_words(1, 'y'))), 20);
    source.b.expunge(source.uid, 21);
    CHECK(source.heal().counters().messages == 0);
    CHECK(count_of(x.heal(), 1) == 1);
    CHECK(count_of(y.heal(), 1) == 1);
}

TEST_CASE("mailbox_fold: one move that is made on both sides, or tried again, is one message in its target") {
    split source(1), x;
    auto const dot = source.a.state->rows().dot[0];
    auto const delivery = delivery_of_move(dot, guid::from_words(1, 'x'));
    for (auto* const side : {&x.a, &x.b})
        for (std::uint64_t stamp : {20U, 30U}) side->apply(delivery_of(1, delivery), stamp);
    CHECK(count_of(*x.a.state, 1) == 1);
    CHECK(count_of(x.heal(), 1) == 1);
    CHECK(delivery != delivery_of_move(dot, guid::from_words(1, 'y')));
    CHECK(delivery != delivery_of_move({dot.node, dot.part + 1, dot.incarnation, dot.counter}, guid::from_words(1, 'x')));
}

TEST_CASE("mailbox_fold: who removes a mailbox has expunged what it showed: what the other side appended meanwhile is left, with its UIDVALIDITY") {
    split box(1);
    box.a.append(2, 11);
    format::mailbox_transaction t;
    t.raise(99, 0);
    box.b.apply(t, 12);
    box.b.expunge(box.uid, 20);
    auto const& s = box.heal();
    CHECK(count_of(s, 1) == 0);
    CHECK(count_of(s, 2) == 1);
    CHECK(s.uid_validity() == 99);
}

TEST_CASE("mailbox_fold: a cache record is derived: the trunk's stays, and who is adopted has none") {
    split box(1);
    auto const in_trunk = box.b.append(3, 20), adopted = box.a.append(2, 21);
    for (auto* const side : {&box.a, &box.b}) {
        format::mailbox_transaction t;
        t.cache(side == &box.a ? adopted : in_trunk, 7000).cache(box.uid, side == &box.a ? 8000 : 9000);
        side->apply(t, 30);
    }
    auto const& s = box.heal();
    CHECK(s.rows().cache[*s.find(box.uid)] == 9000);
    CHECK(s.rows().cache[*s.find(in_trunk)] == 7000);
    s.for_each(1, uid_max, [&](std::size_t row) {
        if (s.rows().id[row] == guid::from_words(0, 2)) CHECK(s.rows().cache[row] == 0);
    });
}
