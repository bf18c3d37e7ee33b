// SPDX-License-Identifier: BSL-1.0
// Rebuilding whole accounts: a lost tree, lost mailboxes, damaged bodies, and crashes in the middle of it.
#include <mailfs/store/rebuild.hpp>

#include <mailfs/fs/faulty_fs.hpp>
#include <mailfs/store/history.hpp>
#include <mailfs/store/verify.hpp>

#include "recovery_fixture.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace mailfs::test::rebuild_account_tests {

namespace {


// "INBOX: 1 one, 2 two; a/b: 1 three": what the account has, each body read to its end.
template <class Account>
asio::awaitable<std::string> text_of_account(Account account) {
    std::string text;
    auto const all = co_await account.list();
    for (auto const& info : all) {
        if (!info.selectable) continue;
        text += text.empty() ? info.name + ':' : "; " + info.name + ':';
        auto past = co_await open_past(account, info.name, log_cut{});
        std::vector<uid_t> uids;
        past.uids().for_each([&](uid_t uid) { uids.push_back(uid); });
        for (auto uid : uids) {
            std::string body;
            try {
                auto const bytes = co_await past.read(uid);
                body = text_of(bytes);
            } catch (error const& e) {
                body = '<' + e.code().message() + '>';
            }
            text += ' ' + std::to_string(uid) + ' ' + body;
        }
    }
    co_return text;
}

template <class On>
asio::awaitable<std::string> text_of_alice(recovery_fixture<On>& f) {
    auto s = f.open();
    auto alice = co_await s.account("alice");
    co_return co_await text_of_account(alice);
}
template <class On>
asio::awaitable<rebuild_report> rebuild_alice(recovery_fixture<On>& f, rebuild_options options) {
    f.host.pass(3'600'000);
    auto s = f.open();
    co_return co_await rebuild(s, std::string("alice"), options);
}
template <class On>
asio::awaitable<rebuild_report> rebuild_alice(recovery_fixture<On>& f) {
    return rebuild_alice(f, rebuild_options{});
}
template <class On>
asio::awaitable<std::string> losses(recovery_fixture<On>& f) {
    auto s = f.open();
    std::string text;
    verify_observer observer;
    observer.found = [&](finding const& x) {
        if (x.how == severity::loss) text += x.file + ": " + x.what + '\n';
    };
    co_await verify(s, std::string("alice"), observer);
    co_return text;
}

// Three generations of a tree, and four mailboxes: one was renamed in the second, one made in the third and one removed.
template <class On>
asio::awaitable<std::string> live(recovery_fixture<On>& f) {
    auto s = f.open();
    auto alice = co_await s.account("alice");
    auto inbox = co_await alice.open("INBOX");
    co_await deliver(inbox, "one");
    co_await alice.create("a/b");
    co_await alice.create("work");
    co_await alice.create("gone");
    auto below = co_await alice.open("a/b");
    co_await deliver(below, "two");
    auto gone = co_await alice.open("gone");
    co_await deliver(gone, "removed");
    co_await alice.core()->tree.log().rotate();
    co_await alice.rename("work", "play");
    auto play = co_await alice.open("play");
    co_await deliver(play, "three");
    co_await alice.core()->tree.log().rotate();
    co_await alice.create("late");
    auto late = co_await alice.open("late");
    co_await deliver(late, "four");
    co_await alice.remove("gone");
    co_return co_await text_of_account(alice);
}

std::string const whole = "INBOX: 1 one; a: ; a/b: 1 two; late: 1 four; play: 1 three";

template <class On>
asio::awaitable<std::string> directory_of(recovery_fixture<On>& f, std::string name) {
    auto s = f.open();
    auto alice = co_await s.account("alice");
    co_return co_await f.box_of(alice, std::move(name));
}

}  // namespace

TEST_CASE_TEMPLATE("rebuild: whichever files of the tree are gone, the mailboxes come back under their names", On,
                   memory_single, memory_multi, posix_multi) {
    constexpr char const* names[] = {"log.1", "log.2", "index.2", "log.3", "index.3"};
    for (unsigned gone = 0; gone < 32; ++gone) {
        recovery_fixture<On> f;
        run([&]() -> asio::awaitable<void> {
            auto const before = co_await live(f);
            for (int i = 0; i < 5; ++i)
                if ((gone >> i & 1) != 0) co_await f.fs.remove(std::string("alice/tree/") + names[i]);
            auto const report = co_await rebuild_alice(f);
            auto const after = co_await text_of_alice(f);
            INFO("gone ", gone);
            // Empty mailboxes whose creation is in no file that is left may be missing; nothing else may be.
            // A rename or a removal that no file tells any more has not happened.
            bool const has_2 = (gone & 2) == 0, has_3 = (gone & 8) == 0, snapshot_3 = (gone & 16) == 0;
            auto const renamed = after.find("play: 1 three") != after.npos;
            for (auto const* part : {"INBOX: 1 one", "a/b: 1 two", "late: 1 four", " 1 three"})
                CHECK_MESSAGE(after.find(part) != after.npos, after);
            if (has_2 || snapshot_3 || gone == 31) CHECK_MESSAGE(renamed, after);
            if (has_3) CHECK(after.find("removed") == after.npos);
            if (gone == 0) {
                CHECK(!report.changed());
                CHECK(after == before);
            }
            auto const again = co_await rebuild_alice(f);
            CHECK(!again.changed());
            auto const still = co_await text_of_alice(f);
            CHECK(still == after);
            auto s = f.open();
            auto alice = co_await s.account("alice");
            co_await alice.create("new");
            co_await alice.rename("late", "later");
            auto const lost = co_await losses(f);
            CHECK_MESSAGE(lost.empty(), lost);
        });
    }
}

TEST_CASE_TEMPLATE("rebuild: from mail files alone each mailbox comes back, without its name", On, memory_single,
                   posix_multi) {
    recovery_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        co_await live(f);
        for (auto const* part : {"alice/tree", "alice/box"}) {
            auto const files = co_await files_below(f.fs, part);
            for (auto const& path : files) co_await f.fs.remove(path);
        }
        auto const report = co_await rebuild_alice(f);
        CHECK(report.tree == rebuild_outcome::rebuilt);
        auto const after = co_await text_of_alice(f);
        CHECK(after.starts_with("INBOX:; Recovered/"));
        for (auto const* part : {": 1 one", ": 1 two", ": 1 three", ": 1 four", ": 1 removed"})
            CHECK_MESSAGE(after.find(part) != after.npos, after);
        auto const again = co_await rebuild_alice(f);
        CHECK(!again.changed());
    });
}

TEST_CASE_TEMPLATE("rebuild: messages of a mailbox that nobody knows go where they are told to", On, memory_single,
                   posix_multi) {
    recovery_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        co_await live(f);
        auto const kept = co_await rebuild_alice(f);
        CHECK(kept.homeless == 1);
        CHECK(kept.homeless_adopted == 0);
        CHECK(!kept.changed());
        rebuild_options options;
        options.homeless_to = "Recovered";
        auto const report = co_await rebuild_alice(f, options);
        CHECK(report.homeless_adopted == 1);
        auto const after = co_await text_of_alice(f);
        CHECK(after.find("Recovered: 1 removed") != after.npos);
        auto const again = co_await rebuild_alice(f, options);
        CHECK(!again.changed());
        CHECK(again.homeless == 0);
    });
}

TEST_CASE_TEMPLATE("rebuild: what was moved away or expunged stays away, and comes back when asked for", On, memory_single,
                   posix_multi) {
    recovery_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        co_await live(f);
        std::string box;
        {
            auto s = f.open();
            auto alice = co_await s.account("alice");
            auto inbox = co_await alice.open("INBOX");
            auto play = co_await alice.open("play");
            co_await deliver(inbox, "moved");
            co_await deliver(inbox, "expunged");
            co_await inbox.refresh();
            auto const moved = uid_set::one(2), expunged = uid_set::one(3);
            co_await inbox.move_to(moved, play);
            co_await inbox.expunge(expunged, false);
            box = co_await f.box_of(alice, "play");
        }
        auto const files = co_await files_below(f.fs, box);
        for (auto const& path : files) co_await f.fs.remove(path);
        auto const report = co_await rebuild_alice(f);
        CHECK(report.expunged == 2);
        auto const after = co_await text_of_alice(f);
        CHECK(after.find("INBOX: 1 one;") != after.npos);
        CHECK(after.find("play: 1 three") != after.npos);
        rebuild_options options;
        options.homeless_to = "Recovered";
        options.expunged_too = true;
        co_await rebuild_alice(f, options);
        auto const all = co_await text_of_alice(f);
        CHECK(all.find("Recovered: 1 removed 2 moved 3 expunged") != all.npos);
    });
}

TEST_CASE_TEMPLATE("rebuild: a message whose record rotted comes back", On, memory_single, memory_multi, posix_multi) {
    recovery_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        co_await live(f);
        std::string log;
        {
            auto s = f.open();
            auto alice = co_await s.account("alice");
            auto inbox = co_await alice.open("INBOX");
            for (auto const* body : {"before", "rotten", "expunged", "behind"}) co_await deliver(inbox, body);
            co_await inbox.refresh();
            auto const expunged = uid_set::one(4);
            co_await inbox.expunge(expunged, false);
            log = co_await f.box_of(alice, "INBOX") + "/log.1";
        }
        log_history<typename On::fs, mailbox_state> history(f.fs, log.substr(0, log.rfind('/')), f.host.boot());
        auto const contents = co_await history.contents(1);
        auto walk = contents.walk();
        for (int i = 0; i < 3; ++i) walk.next();  // the first, one, before
        auto const rotten = walk.next();
        auto bytes = contents.bytes;
        bytes[static_cast<std::size_t>(rotten->offset) + 80] ^= std::byte{1};
        co_await write_file(f.fs, log, std::move(bytes));
        auto const report = co_await rebuild_alice(f);
        CHECK(report.mailboxes.front().outcome == rebuild_outcome::completed);
        CHECK(report.mailboxes.front().adopted == 1);
        CHECK(report.mailboxes.front().faults.size() == 1);
        auto const after = co_await text_of_alice(f);
        CHECK_MESSAGE(after.starts_with("INBOX: 1 one 2 before 5 behind 1048582 rotten;"), after);
        auto const again = co_await rebuild_alice(f);
        CHECK(!again.changed());
    });
}

TEST_CASE("rebuild: bodies that are damaged or gone are told, rows whose body is elsewhere find it, twins come once") {
    recovery_fixture<memory_multi> f;
    run([&]() -> asio::awaitable<void> {
        co_await live(f);
        std::string box;
        guid id;
        mail_location was;
        {
            auto s = f.open();
            auto alice = co_await s.account("alice");
            auto inbox = co_await alice.open("INBOX");
            co_await deliver(inbox, "damaged");
            co_await deliver(inbox, "twice");
            box = co_await f.box_of(alice, "INBOX");
            auto past = co_await open_past(alice, "INBOX", log_cut{});
            // a second copy, as purge leaves it when it is stopped in the middle
            auto const twice = past.find(3)->entry;
            multi_dbox<memory_fs, clocked_host> mails(f.fs, "alice/mail", f.host);
            auto const body = as_bytes("twice");
            mail_to_write const copy{twice.id, twice.received_ms, body, past.id(), f.host.now_ms()};
            co_await mails.write(std::span(&copy, 1), durability::none);
            id = past.find(1)->entry.id;
            was = past.find(1)->entry.where;
            auto const one = as_bytes("one");
            mail_to_write const other{id, past.find(1)->entry.received_ms, one, past.id(), f.host.now_ms()};
            co_await mails.write(std::span(&other, 1), durability::none);
            for (auto const& hurt : {was, past.find(2)->entry.where}) {
                auto const path = mailfs::detail::multi_dbox_path("alice/mail", hurt.file);
                auto bytes = f.fs.bytes_of(path);
                bytes[static_cast<std::size_t>(hurt.offset) + sizeof(dbox_message_header)] ^= std::byte{1};
                f.fs.put(path, bytes);
            }
        }
        auto const files = co_await files_below(f.fs, box);
        auto const kept = f.fs.clone();
        // with its index: the row of one finds the other copy
        auto const mended = co_await rebuild_alice(f);
        CHECK(mended.mailboxes.front().moved == 1);
        REQUIRE(mended.mailboxes.front().lost.size() == 1);
        CHECK(mended.mailboxes.front().lost[0].uid == 2);
        auto const after = co_await text_of_alice(f);
        CHECK(after.starts_with("INBOX: 1 one 2 <damaged data> 3 twice;"));
        // without: all that is whole, once
        f.fs = kept;
        for (auto const& path : files) co_await f.fs.remove(path);
        auto const rebuilt = co_await rebuild_alice(f);
        CHECK(rebuilt.mailboxes.front().adopted == 2);
        CHECK(!rebuilt.mailboxes.front().uids_kept);
        REQUIRE(rebuilt.mailboxes.front().lost.size() == 1);
        auto const last = co_await text_of_alice(f);
        CHECK_MESSAGE((last.starts_with("INBOX: 1 one 2 twice;") || last.starts_with("INBOX: 1 twice 2 one;")), last);
    });
}

TEST_CASE("rebuild: where files are of a newer version nothing is changed") {
    recovery_fixture<memory_multi> f;
    run([&]() -> asio::awaitable<void> {
        co_await live(f);
        auto const box = co_await directory_of(f, "INBOX");
        for (auto const& path : {std::string("alice/tree/log.2"), box + "/log.1"}) {
            auto const sound = f.fs.clone();
            auto bytes = f.fs.bytes_of(path);
            auto h = format::load<format::log_header>(bytes);
            h.major = 2;
            h.checksum = format::log_header_checksum(h);
            auto const head = format::view_of(h);
            std::copy(head.begin(), head.end(), bytes.begin());
            f.fs.put(path, bytes);
            if (path.starts_with("alice/tree")) co_await f.fs.remove("alice/tree/index.3");
            auto const paths = f.fs.paths();
            auto const failed = co_await failure_of(rebuild_alice(f));
            CHECK(failed == errc::newer_version);
            CHECK(f.fs.paths() == paths);
            CHECK(f.fs.bytes_of(path) == bytes);
            f.fs = sound;
        }
    });
}

TEST_CASE("rebuild: a process that still has the old log open goes over to the new one, and what it adds is there") {
    recovery_fixture<memory_multi> f;
    run([&]() -> asio::awaitable<void> {
        co_await live(f);
        auto s = f.open();
        auto alice = co_await s.account("alice");
        auto inbox = co_await alice.open("INBOX");
        auto const box = co_await f.box_of(alice, "INBOX");
        co_await f.rotate(alice, "INBOX");
        co_await deliver(inbox, "second");
        co_await f.fs.remove(box + "/log.1");
        co_await f.fs.remove(box + "/index.2");
        auto const report = co_await rebuild_alice(f);
        CHECK(report.mailboxes.front().outcome == rebuild_outcome::rebuilt);
        co_await deliver(inbox, "third");
        auto const after = co_await text_of_alice(f);
        CHECK_MESSAGE(after.starts_with("INBOX: 2 second"), after);
        CHECK(after.find(" one") != after.npos);
        CHECK(after.find(" third") != after.npos);
        co_await inbox.refresh();
        auto const now = co_await open_past(alice, "INBOX", log_cut{});
        CHECK(inbox.view().uids() == now.uids());  // what the process has in memory is what is on disk
        CHECK(now.uids().size() == 3);
    });
}

TEST_CASE("rebuild: a mailbox that cannot be opened says that this is what helps") {
    for (int what = 0; what < 3; ++what) {
        recovery_fixture<memory_multi> f;
        run([&]() -> asio::awaitable<void> {
            co_await live(f);
            std::string box;
            {
                auto s = f.open();
                auto alice = co_await s.account("alice");
                box = co_await f.box_of(alice, "INBOX");
                for (int i = 0; i < 3; ++i) co_await f.rotate(alice, "INBOX");
            }
            std::vector<std::string> gone{"log.1", "index.2", "index.3", "index.4"};  // nothing to begin with
            if (what == 1) gone = {"log.2", "index.2", "index.3", "index.4"};         // a gap
            if (what == 2) gone = {"log.3", "log.4"};                                 // the newest
            for (auto const& name : gone) co_await f.fs.remove(box + '/' + name);
            auto s = f.open();
            auto alice = co_await s.account("alice");
            std::string why;
            try {
                co_await alice.open("INBOX");
            } catch (error const& e) {
                why = e.what();
            }
            CHECK_MESSAGE(why.find("rebuild") != why.npos, why);
            CHECK(why.starts_with(box));
            co_await rebuild_alice(f);
            auto const after = co_await text_of_alice(f);
            CHECK_MESSAGE(after.find(" one;") != after.npos, after);
        });
    }
}

TEST_CASE("rebuild: old files go when that is asked for") {
    recovery_fixture<memory_multi> f;
    run([&]() -> asio::awaitable<void> {
        co_await live(f);
        auto const box = co_await directory_of(f, "a/b");
        auto bytes = f.fs.bytes_of(box + "/log.1");
        bytes[5] ^= std::byte{1};
        f.fs.put(box + "/log.1", bytes);
        rebuild_options options;
        options.remove_old = true;
        co_await rebuild_alice(f, options);
        auto const files = co_await files_below(f.fs, box);
        CHECK(files == std::vector<std::string>{box + "/index.3", box + "/log.3"});
    });
}

TEST_CASE("rebuild: killed at any call, or without power, it leaves nothing worse, and another one finishes") {
    std::uint64_t stops = 0;
    for (std::uint64_t call = 1;; ++call) {
        bool finished = false;
        for (int ending = 0; ending < 3; ++ending) {
            recovery_fixture<memory_multi> prepared;
            recovery_fixture<faulty_multi> f;
            recovery_fixture<memory_multi> left;
            run([&]() -> asio::awaitable<void> {
                co_await live(prepared);
                auto const tree = co_await files_below(prepared.fs, "alice/tree");
                for (auto const& path : tree)
                    if (path.ends_with(".2") || path.ends_with("index.3")) co_await prepared.fs.remove(path);
                auto const s = co_await files_below(prepared.fs, "alice/box");
                for (auto const& path : s) co_await prepared.fs.remove(path);
                f.fs = faulty_fs<>(prepared.fs);
                f.host = prepared.host;
                f.fs.faults().stop_at(call, call);
                try {
                    auto const report = co_await rebuild_alice(f);
                    finished = report.changed();
                } catch (std::system_error const&) {
                }
                left.fs =
                    ending == 0 ? f.fs.inner() : f.fs.after(ending == 1 ? power_cut::lose_all : power_cut::keep_all, call);
                left.host = prepared.host;
                if (ending != 0) left.host = left.host.rebooted();
                co_await rebuild_alice(left);
                auto const after = co_await text_of_alice(left);
                INFO("stopped at ", call, ", ending ", ending);
                for (auto const* body : {" one", " two", " three", " four"})
                    CHECK_MESSAGE(after.find(body) != after.npos, after);
                auto const again = co_await rebuild_alice(left);
                CHECK(!again.changed());
                auto const lost = co_await losses(left);
                CHECK(lost.empty());
                ++stops;
            });
        }
        if (finished) break;
        REQUIRE(call < 2000);
    }
    CHECK(stops > 100);
}

}  // namespace mailfs::test::rebuild_account_tests
