// SPDX-License-Identifier: BSL-1.0
#include <mailfs/store/account.hpp>

#include "store_fixture.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

namespace mailfs::test::account_tests {

#define ON_ALL_STORES memory_single, posix_multi
#define ON_MEETING_STORES network_multi, posix_multi

TEST_CASE_TEMPLATE("account: is made with an INBOX when it is new, and only then", On, ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto const before = co_await s.find_account("alice");
        CHECK(!before.has_value());
        auto alice = co_await s.account("alice");
        auto const names = co_await names_of(alice);
        CHECK(names == "INBOX");
        auto const id = co_await id_of(alice, "inbox");
        auto other = f.open();
        auto const after = co_await other.find_account("alice");
        REQUIRE(after.has_value());
        auto again = co_await other.account("alice");
        auto const same = co_await id_of(again, "INBOX");
        CHECK(same == id);
        auto const bob = co_await other.find_account("bob");
        CHECK(!bob.has_value());
    });
}

TEST_CASE_TEMPLATE("account: names of any bytes are accounts of their own, and stay in their directory", On, ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        std::set<guid> inboxes;
        std::vector<std::string> const all{
            "a", "A", "..", "../a", "a/b", std::string("a\0", 2), std::string(255, 'a'), std::string(254, 'a'), "%41"};
        for (auto const& name : all) {
            auto one = co_await s.account(name);
            auto const status = co_await one.status("INBOX");
            inboxes.insert(status.id);
        }
        CHECK(inboxes.size() == all.size());
        std::vector<std::string> const bad{"", std::string(256, 'a')};
        for (auto const& name : bad) {
            auto const why = co_await failure_of(s.account(name));
            CHECK(why == errc::bad_name);
        }
    });
}

TEST_CASE_TEMPLATE("account: mailboxes are made with those above them, listed in order, INBOX first", On, ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        create_options const drafts{special_use::drafts};
        co_await a.create("Work/2024/May");
        co_await a.create("Drafts", drafts);
        co_await a.create("inbox/sub");
        auto const names = co_await names_of(a);
        CHECK(names == "INBOX INBOX/sub Drafts Work Work/2024 Work/2024/May");
        auto const all = co_await a.list();
        CHECK(all[2].use == special_use::drafts);
        CHECK(all[0].has_children);
        CHECK(all[3].has_children);
        CHECK(!all[5].has_children);
        std::vector<std::string> const taken{"Work", "INBOX", "Inbox", "Work/2024"};
        for (auto const& name : taken) {
            auto const why = co_await failure_of(a.create(name));
            CHECK(why == errc::exists);
        }
        std::set<std::uint32_t> validities;
        for (auto const& info : all) {
            auto const status = co_await a.status(info.name);
            validities.insert(status.uid_validity);
            CHECK(status.id == info.id);
        }
        CHECK(validities.size() == all.size());
    });
}

TEST_CASE_TEMPLATE("account: hostile names are stored as they are or refused, and never become paths", On, ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        std::vector<std::string> const good{"../x", "INBOX/..", std::string(1024, 'x'), "%2e%2e", "a\\b", "\xf0\x9f\x93\xa7",
                                            "*",    "~"};
        for (auto const& name : good) {
            co_await a.create(name);
            auto box = co_await a.open(name);
            auto const uid = co_await deliver(box, name);
            CHECK(uid == 1);
        }
        std::vector<std::string> const bad{
            "",     "/",    "a//b",     "/a",       "a/",          std::string(1025, 'x'), std::string("a\0b", 3),
            "a\nb", "\x7f", "\xff\xfe", "\xc0\xaf", "\xed\xa0\x80"};
        for (auto const& name : bad) {
            auto why = co_await failure_of(a.create(name));
            CHECK(why == errc::bad_name);
            why = co_await failure_of(a.open(name));
            CHECK(why == errc::bad_name);
            why = co_await failure_of(a.rename("%2e%2e", name));
            CHECK(why == errc::bad_name);
            why = co_await failure_of(a.subscribe(name, true));
            CHECK(why == errc::bad_name);
        }
        auto const top = co_await f.fs.list("");
        CHECK(top == std::vector<std::string>{"alice"});
    });
}

TEST_CASE_TEMPLATE("account: a removed mailbox is gone with its files; one with children stays, not selectable", On,
                   ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        co_await a.create("a/b");
        auto const id = co_await id_of(a, "a");
        co_await a.remove("a");
        auto names = co_await names_of(a);
        CHECK(names == "INBOX [a] a/b");
        auto const left = co_await f.fs.list("alice/box/" + id.hex());
        CHECK(left.empty());
        auto why = co_await failure_of(a.open("a"));
        CHECK(why == errc::not_found);
        why = co_await failure_of(a.remove("a"));
        CHECK(why == errc::not_found);
        co_await a.create("a");
        names = co_await names_of(a);
        CHECK(names == "INBOX a a/b");
        auto const anew = co_await id_of(a, "a");
        CHECK(anew != id);
        co_await a.remove("a");
        co_await a.remove("a/b");
        names = co_await names_of(a);
        CHECK(names == "INBOX");
        why = co_await failure_of(a.remove("inbox"));
        CHECK(why == errc::denied);
        why = co_await failure_of(a.remove("never"));
        CHECK(why == errc::not_found);
    });
}

TEST_CASE_TEMPLATE("account: a rename takes the messages and the mailboxes below along", On, ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        co_await a.create("old/sub");
        auto box = co_await a.open("old/sub");
        co_await deliver(box, "hello");
        auto const before = co_await a.status("old/sub");
        co_await a.rename("old", "new/place");
        auto const names = co_await names_of(a);
        CHECK(names == "INBOX new new/place new/place/sub");
        auto const after = co_await a.status("new/place/sub");
        CHECK(after.id == before.id);
        CHECK(after.uid_validity == before.uid_validity);
        CHECK(after.messages == 1);
        auto const uid = co_await deliver(box, "again");  // who has it open does not notice
        CHECK(uid == 2);
        auto why = co_await failure_of(a.rename("old", "x"));
        CHECK(why == errc::not_found);
        why = co_await failure_of(a.rename("new", "new/place/below"));
        CHECK(why == errc::denied);
        why = co_await failure_of(a.rename("new/place", "new"));
        CHECK(why == errc::exists);
        why = co_await failure_of(a.rename("new", "INBOX"));
        CHECK(why == errc::exists);
    });
}

TEST_CASE_TEMPLATE("account: renaming INBOX moves its messages and leaves it empty, what is below stays", On,
                   ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        co_await a.create("INBOX/sub");
        auto inbox = co_await a.open("INBOX");
        append_options const flagged{flag::flagged, {"$Label"}, 5000};
        co_await deliver(inbox, "one", flagged);
        co_await deliver(inbox, "two");
        co_await a.rename("inbox", "kept");
        auto const names = co_await names_of(a);
        CHECK(names == "INBOX INBOX/sub kept");
        auto const status = co_await a.status("INBOX");
        CHECK(status.messages == 0);
        auto kept = co_await a.open("kept");
        CHECK(kept.view().messages() == 2);
        auto const row = kept.view().row(1);
        CHECK(row->flags == flag::flagged);
        CHECK(row->keywords == std::vector<std::string>{"$Label"});
        CHECK(row->received_ms == 5000);
        auto const body = co_await kept.read(2);
        CHECK(text_of(body) == "two");
    });
}

TEST_CASE_TEMPLATE("account: subscriptions are of names, whether there is a mailbox or not", On, ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        co_await a.subscribe("Inbox", true);
        co_await a.subscribe("not/there", true);
        co_await a.subscribe("x", true);
        co_await a.subscribe("x", false);
        auto other = f.open();
        auto b = co_await other.account("alice");
        auto const names = co_await b.subscriptions();
        CHECK(names == std::vector<std::string>{"INBOX", "not/there"});
        auto const all = co_await b.list();
        REQUIRE(all.size() == 1);
        CHECK(all[0].subscribed);
    });
}

TEST_CASE_TEMPLATE("account: two stores see each other's mailboxes at their next call", On, ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open(), t = f.open();
        auto a = co_await s.account("alice");
        auto b = co_await t.account("alice");
        co_await a.create("one");
        auto names = co_await names_of(b);
        CHECK(names == "INBOX one");
        co_await b.rename("one", "two");
        auto const why = co_await failure_of(a.open("one"));
        CHECK(why == errc::not_found);
        auto box = co_await a.open("two");
        co_await b.remove("two");
        names = co_await names_of(a);
        CHECK(names == "INBOX");
        auto const late = co_await failure_of(deliver(box, "too late"));
        CHECK(late == errc::not_found);
    });
}

namespace {

// Two sessions of two stores at once: each does `work` on its own account handle; how the two ended.
template <class Store, class Work>
asio::awaitable<std::pair<std::error_code, std::error_code>> race(Store& s, Store& t, Work work) {
    auto a = co_await s.account("alice");
    auto b = co_await t.account("alice");
    std::pair<std::error_code, std::error_code> result;
    int running = 2;
    auto const executor = co_await asio::this_coro::executor;
    asio::steady_timer done(executor, asio::steady_timer::time_point::max());
    auto one = [](auto account, Work w, int who, std::error_code& out, int& left,
                  asio::steady_timer& wake) -> asio::awaitable<void> {
        out = co_await failure_of(w(account, who));
        if (--left == 0) wake.cancel();
    };
    asio::co_spawn(executor, one(a, work, 1, result.first, running, done), asio::detached);
    asio::co_spawn(executor, one(b, work, 2, result.second, running, done), asio::detached);
    std::error_code ignored;
    if (running > 0) co_await done.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    co_return result;
}

}  // namespace

TEST_CASE_TEMPLATE("account: of two that create one name at once exactly one does, and no orphan is left", On,
                   ON_MEETING_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open(), t = f.open();
        auto const work = [](auto account, int) -> asio::awaitable<void> { co_await account.create("x"); };
        auto const [a, b] = co_await race(s, t, work);
        CHECK((!a) != (!b));
        CHECK((a ? a : b) == errc::exists);
        auto const boxes = co_await f.fs.list("alice/box");
        CHECK(boxes.size() == 2);
    });
}

TEST_CASE_TEMPLATE("account: two that create two names at once both do, with different UIDVALIDITY", On, ON_MEETING_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open(), t = f.open();
        auto const work = [](auto account, int who) -> asio::awaitable<void> {
            co_await account.create(who == 1 ? "p/x" : "p/y");
        };
        auto const [a, b] = co_await race(s, t, work);
        CHECK(!a);
        CHECK(!b);
        auto alice = co_await s.account("alice");
        auto const names = co_await names_of(alice);
        CHECK(names == "INBOX p p/x p/y");
        auto const x = co_await alice.status("p/x");
        auto const y = co_await alice.status("p/y");
        CHECK(x.uid_validity != y.uid_validity);
        auto const boxes = co_await f.fs.list("alice/box");
        CHECK(boxes.size() == 4);
    });
}

TEST_CASE_TEMPLATE("account: renames and removals that meet leave one of them standing", On, ON_MEETING_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open(), t = f.open();
        auto alice = co_await s.account("alice");
        co_await alice.create("x");
        auto const renames = [](auto account, int who) -> asio::awaitable<void> {
            co_await account.rename("x", who == 1 ? "y" : "z");
        };
        auto const [a, b] = co_await race(s, t, renames);
        CHECK((!a) != (!b));
        CHECK((a ? a : b) == errc::not_found);
        auto names = co_await names_of(alice);
        CHECK(names == (!a ? "INBOX y" : "INBOX z"));
        co_await alice.create("x");
        auto const both = [](auto account, int who) -> asio::awaitable<void> {
            if (who == 1)
                co_await account.remove("x");
            else
                co_await account.rename("x", "w");
        };
        auto const [c, d] = co_await race(s, t, both);
        names = co_await names_of(alice);
        CHECK(!c);  // a mailbox is removed under whatever name it has by then, or not found
        if (!d) CHECK(names.find(" w") == std::string::npos);
        CHECK(names.find(" x") == std::string::npos);
    });
}

TEST_CASE_TEMPLATE("account: two that open a new account at once see one INBOX", On, ON_MEETING_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open(), t = f.open();
        auto const nothing = [](auto, int) -> asio::awaitable<void> { co_return; };
        co_await race(s, t, nothing);
        auto a = co_await s.account("alice");
        auto b = co_await t.account("alice");
        auto const x = co_await a.status("INBOX");
        auto const y = co_await b.status("INBOX");
        CHECK(x.id == y.id);
        auto const boxes = co_await f.fs.list("alice/box");
        CHECK(boxes.size() == 1);
    });
}

TEST_CASE("account: the watch wakes when another store changes the tree") {
    store_fixture<memory_single> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open(), t = f.open();
        auto a = co_await s.account("alice");
        auto b = co_await t.account("alice");
        auto watch = a.watch();
        co_await watch.changed();
        co_await b.create("x");
        co_await watch.changed();
        auto const names = co_await names_of(a);
        CHECK(names == "INBOX x");
    });
}

}  // namespace mailfs::test::account_tests
