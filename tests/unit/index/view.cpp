// SPDX-License-Identifier: BSL-1.0
#include <mailfs/index/view.hpp>

#include <doctest/doctest.h>

#include <utility>

using namespace mailfs;
using format::mailbox_transaction;

namespace {

struct mailbox {
    mailbox() { state.reset(guid::from_words(1, 2)); }

    mailbox_outcome apply(mailbox_transaction const& t) {
        format::record_header h;
        h.kind = static_cast<std::uint8_t>(format::record_kind::transaction);
        h.counter = ++counter;
        std::vector<std::byte> bytes;
        format::encode_record(bytes, h, t.bytes(), 0);
        mailbox_outcome out;
        state.apply(format::decode_record(bytes, 0).value(), &out);
        return out;
    }
    void append(std::size_t count) {
        mailbox_transaction t;
        for (std::size_t n = 0; n < count; ++n) t.append({});
        apply(t);
    }
    void flag(uid_set const& uids, mailfs::flag f, flag_mode mode = flag_mode::add) {
        mailbox_transaction t;
        t.change_flags(uids, {mode, f, {}, {}});
        apply(t);
    }
    void expunge(uid_set const& uids) {
        mailbox_transaction t;
        t.expunge(uids, false);
        apply(t);
    }

    mailbox_state state;
    std::uint64_t counter = 0;
};

}  // namespace

TEST_CASE("view: one that slept through more changes than are remembered is told all of them by comparison") {
    mailbox box;
    box.append(1000);
    view sleeper(box.state), awake(box.state);
    for (int round = 0; round < 140; ++round) {  // every second message, so that each is a run of its own
        mailbox_transaction t;
        for (uid_t u = 1; u <= 1000; u += 2)
            t.change_flags(uid_set::one(u), {round % 2 == 0 ? flag_mode::add : flag_mode::remove, flag::flagged, {}, {}});
        box.apply(t);
        awake.refresh();
    }
    box.expunge({{10, 20}});
    box.append(1);
    CHECK(!box.state.changes().reaches(0));
    auto const told = sleeper.refresh();
    CHECK(told.expunged == std::vector<std::uint32_t>{20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10});
    CHECK(told.changed.size() == 495);
    CHECK(told.arrived == uid_set::one(1001));
    CHECK(sleeper.refresh().empty());
    CHECK(awake.refresh().expunged == told.expunged);
    CHECK(sleeper.uids() == awake.uids());
}

TEST_CASE("view: changes are remembered no longer than some view needs them") {
    mailbox box;
    box.append(10);
    box.flag({{1, 10}}, flag::seen);
    CHECK(box.state.changes().end() == 0);  // nobody looked
    view a(box.state);
    {
        view b(box.state);
        box.flag(uid_set::one(1), flag::flagged);
        box.flag(uid_set::one(5), flag::flagged);
        CHECK(a.refresh().changed.size() == 2);
        CHECK(box.state.changes().reaches(0));
    }
    CHECK(!box.state.changes().reaches(0));
}

TEST_CASE("view: a run that one view has seen does not grow under it") {
    mailbox box;
    box.append(10);
    view a(box.state), b(box.state);
    box.flag(uid_set::one(1), flag::flagged);
    CHECK(a.refresh().changed == uid_set::one(1));
    box.flag(uid_set::one(2), flag::flagged);
    CHECK(a.refresh().changed == uid_set::one(2));
    CHECK(b.refresh().changed == uid_set{{1, 2}});
}

TEST_CASE("view: an expunged message can be read until the view is told") {
    mailbox box;
    box.append(3);
    view v(box.state);
    box.flag(uid_set::one(2), flag::flagged);
    box.expunge(uid_set::one(2));
    REQUIRE(v.row(2));
    CHECK(v.row(2)->flags == flag::flagged);
    CHECK(v.flags(2) == flag::flagged);
    CHECK(v.vanished_since(0)->empty());
    auto const told = v.refresh();
    CHECK(told.expunged == std::vector<std::uint32_t>{2});
    CHECK(told.changed.empty());
    CHECK(!v.row(2));
    CHECK(v.vanished_since(0) == uid_set::one(2));
}

TEST_CASE("view: who came and went between two looks is not told of") {
    mailbox box;
    box.append(2);
    view v(box.state);
    box.append(2);
    box.expunge(uid_set::one(3));
    CHECK(v.vanished_since(0)->empty());
    auto const told = v.refresh();
    CHECK(told.expunged.empty());
    CHECK(told.arrived == uid_set::one(4));
    CHECK(told.messages == 3);
    CHECK(v.uid(3) == 4);
}

TEST_CASE("view: moved and assigned views go on as the ones they were") {
    mailbox box;
    box.append(3);
    view a(box.state);
    box.append(1);
    view b(std::move(a)), c(box.state);
    CHECK(b.messages() == 3);
    c = std::move(b);
    CHECK(c.messages() == 3);
    CHECK(c.refresh().arrived == uid_set::one(4));
}
