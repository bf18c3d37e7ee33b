// SPDX-License-Identifier: BSL-1.0
#include <mailfs/store/history.hpp>

#include "store_fixture.hpp"
#include "support/run.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace mailfs::test::history_tests {

namespace {

// "1:one(8,$Work) 3:three(0)": UID, body, flags and keywords, or <why> there is no body.
template <class Past>
asio::awaitable<std::string> text_of_past(Past& past) {
    std::vector<past_message> messages;
    auto const all = past.uids();
    past.for_each(all, [&](past_message m) { messages.push_back(std::move(m)); });
    std::string text;
    for (auto const& m : messages) {
        if (!text.empty()) text += ' ';
        text += std::to_string(m.uid) + ':';
        std::error_code failure;
        try {
            auto const body = co_await past.read(m.uid);
            text += text_of(body);
        } catch (error const& e) {
            failure = e.code();
        }
        if (failure) text += '<' + failure.message() + '>';
        text += '(' + std::to_string(static_cast<std::uint32_t>(m.entry.flags));
        for (auto const& k : m.entry.keywords) text += ',' + k;
        text += ')';
    }
    co_return text;
}

template <class Account>
asio::awaitable<std::string> now_of(Account account) {
    auto past = co_await open_past(account, "INBOX", log_cut{});
    co_return co_await text_of_past(past);
}

// Three messages, of which the second has flags and a keyword; what the mailbox then is; then two are expunged.
template <class Account>
asio::awaitable<modseq_t> live(Account account) {
    auto inbox = co_await account.open("INBOX");
    co_await deliver(inbox, "one");
    append_options const flagged{flag::seen | flag::flagged, {"$Work"}, 1'600'000'000'000};
    co_await deliver(inbox, "two", flagged);
    co_await deliver(inbox, "three");
    co_await inbox.refresh();
    auto const before = inbox.view().highest_modseq();
    uid_set const both{{1, 2}};
    co_await inbox.expunge(both, false);
    co_await deliver(inbox, "four");
    co_return before;
}

template <class On, class Body>
void on_account(Body body) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto alice = co_await s.account("alice");
        auto const before = co_await live(alice);
        co_await body(f, alice, before);
    });
}

}  // namespace

TEST_CASE_TEMPLATE("history: a mailbox is read as it was, with flags, keywords, dates and bodies", On, memory_single, posix_multi) {
    on_account<On>([](auto&, auto alice, modseq_t before) -> asio::awaitable<void> {
        auto past = co_await open_past(alice, "INBOX", log_cut::of_modseq(before));
        auto const then = co_await text_of_past(past);
        CHECK(then == "1:one(0) 2:two(10,$Work) 3:three(0)");
        CHECK(past.at().modseq() == before);
        CHECK(!past.is_newest());
        auto const two = past.find(2);
        REQUIRE(two);
        CHECK(two->entry.received_ms == 1'600'000'000'000);
        CHECK(!past.find(4));
        auto const now = co_await now_of(alice);
        CHECK(now == "3:three(0) 4:four(0)");
    });
}

TEST_CASE_TEMPLATE("history: an expunge is undone under new UIDs, once", On, memory_single, posix_multi) {
    on_account<On>([](auto&, auto alice, modseq_t before) -> asio::awaitable<void> {
        auto past = co_await open_past(alice, "INBOX", log_cut::of_modseq(before));
        auto const all = past.uids();
        auto const done = co_await undo_expunge(past, all);
        CHECK(done.lost.empty());
        REQUIRE(done.back.uids.size() == 2);
        CHECK(done.back.uids[0] == std::pair<uid_t, uid_t>(1, 5));
        CHECK(done.back.uids[1] == std::pair<uid_t, uid_t>(2, 6));
        auto const now = co_await now_of(alice);
        CHECK(now == "3:three(0) 4:four(0) 5:one(0) 6:two(10,$Work)");
        auto const newest = co_await open_past(alice, "INBOX", log_cut{});
        CHECK(newest.find(6)->entry.received_ms == 1'600'000'000'000);
        auto const again = co_await undo_expunge(past, all);
        CHECK(again.back.uids.empty());
        CHECK(again.lost.empty());
    });
}

TEST_CASE("history: of an expunge only what is asked for is undone") {
    on_account<memory_single>([](auto&, auto alice, modseq_t before) -> asio::awaitable<void> {
        auto past = co_await open_past(alice, "INBOX", log_cut::of_modseq(before));
        auto const two = uid_set::one(2);
        auto const done = co_await undo_expunge(past, two);
        CHECK(done.back.uids.size() == 1);
        auto const now = co_await now_of(alice);
        CHECK(now == "3:three(0) 4:four(0) 5:two(10,$Work)");
    });
}

TEST_CASE("history: a body that is gone or damaged is told, and the message is not brought back") {
    on_account<memory_single>([](auto& f, auto alice, modseq_t before) -> asio::awaitable<void> {
        auto past = co_await open_past(alice, "INBOX", log_cut::of_modseq(before));
        auto const path = [&](uid_t uid) {
            auto const name = past.find(uid)->entry.id.hex();
            return "alice/mail/" + name.substr(0, 2) + '/' + name;
        };
        auto const first = path(1), second = path(2);
        bool const removed = co_await f.fs.remove(first);
        CHECK(removed);
        auto bytes = f.fs.bytes_of(second);
        bytes[161] ^= std::byte{1};  // within the body
        f.fs.put(second, bytes);
        auto const all = past.uids();
        auto const done = co_await undo_expunge(past, all);
        CHECK(done.back.uids.empty());
        REQUIRE(done.lost.size() == 2);
        CHECK(done.lost[0].uid == 1);
        CHECK(done.lost[0].reason.find(first) != std::string::npos);
        CHECK(done.lost[1].reason.find(second) != std::string::npos);
        auto const now = co_await now_of(alice);
        CHECK(now == "3:three(0) 4:four(0)");
    });
}

TEST_CASE("history: a body that was moved is read from where the mailbox has it now") {
    on_account<memory_single>([](auto& f, auto alice, modseq_t before) -> asio::awaitable<void> {
        auto past = co_await open_past(alice, "INBOX", log_cut::of_modseq(before));
        // single_dbox moves nothing; a location that is none of it stands for one that is not there any more
        auto const core = alice.core();
        auto const three = past.find(3)->entry;
        auto const index = co_await core->open_index(past.id());
        format::mailbox_transaction away;
        away.relocate(3, three.id, {7, 64});
        co_await index->propose(away.bytes(), durability::none);
        auto moved = co_await open_past(alice, "INBOX", log_cut{});
        format::mailbox_transaction home;
        home.relocate(3, three.id, three.where);
        co_await index->propose(home.bytes(), durability::none);
        auto const body = co_await moved.read(3);
        CHECK(text_of(body) == "three");
        CHECK(f.fs.paths().size() > 0);
    });
}

TEST_CASE("history: what the logs that are kept do not tell is past_gone; what never was is not found") {
    on_account<memory_single>([](auto& f, auto alice, modseq_t) -> asio::awaitable<void> {
        auto const early = co_await failure_of(open_past(alice, "INBOX", log_cut::of_time(1)));
        CHECK(early == errc::past_gone);
        auto const none = co_await failure_of(open_past(alice, "nothing", log_cut{}));
        CHECK(none == errc::not_found);
        CHECK(f.fs.paths().size() > 0);
    });
}

TEST_CASE_TEMPLATE("store: accounts are listed by name, whatever the name is, and nothing else is", Fs, memory_fs,
                   posix_fs) {
    using on = store_on<Fs, multi_dbox>;
    store_fixture<on> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        std::vector<std::string> names{
            "alice", "Bob", "..", "a/b", "x+y", std::string(255, '%'), std::string(200, 'z'), std::string(201, 'z')};
        for (auto const& name : names) co_await s.account(name);
        for (auto const* stray : {"stray", "other/tree2/file", "UPPER/tree/log.1"})
            co_await f.fs.create(stray, as_bytes("x"), durability::none);
        std::sort(names.begin(), names.end());
        auto const found = co_await s.accounts();
        CHECK(found == names);
        bool const lost = co_await f.fs.remove("alice/tree/log.1");
        CHECK(lost);
        auto const still = co_await s.accounts();
        CHECK(still == names);
    });
}

}  // namespace mailfs::test::history_tests
