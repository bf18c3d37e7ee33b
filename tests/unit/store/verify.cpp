// SPDX-License-Identifier: BSL-1.0
// Whatever is damaged in an account, verify names the file and the offset; and of what is sound it says nothing.
#include <mailfs/store/verify.hpp>

#include <mailfs/fs/latency_fs.hpp>

#include "recovery_fixture.hpp"

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/this_coro.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

namespace mailfs::test::verify_tests {

namespace {

struct verified {
    verify_summary sum;
    std::vector<finding> findings;
    verify_progress progress;

    bool names(std::string const& file) const {
        return std::any_of(findings.begin(), findings.end(), [&](finding const& f) { return f.file == file; });
    }
    bool has(severity how, std::string const& file) const {
        return std::any_of(findings.begin(), findings.end(),
                           [&](finding const& f) { return f.how == how && f.file == file; });
    }
    std::string text() const {
        std::string all;
        for (auto const& f : findings)
            all += std::string(to_text(f.how)) + ' ' + f.file + ' ' +
                   (f.offset == f.no_offset ? "" : std::to_string(f.offset)) + ": " + f.what + '\n';
        return all;
    }
};

template <class Store>
asio::awaitable<verified> verify_all(Store& s) {
    verified v;
    verify_observer observer;
    observer.found = [&](finding const& f) { v.findings.push_back(f); };
    observer.progress = [&](verify_progress const& p) { v.progress = p; };
    v.sum = co_await verify(s, std::string("alice"), observer);
    co_return v;
}

// Three generations of each log, messages in two mailboxes, some copied, some expunged, a mailbox that was renamed and
// removed.
template <class On>
asio::awaitable<void> live(recovery_fixture<On>& f) {
    auto s = f.open();
    auto alice = co_await s.account("alice");
    co_await alice.create("a/b");
    co_await alice.create("gone");
    auto inbox = co_await alice.open("INBOX");
    auto below = co_await alice.open("a/b");
    for (int generation = 1; generation <= 3; ++generation) {
        auto const body = "body " + std::to_string(generation);
        for (int i = 0; i < 3; ++i) co_await deliver(inbox, body);
        co_await inbox.refresh();
        auto const all = inbox.view().uids();
        auto const newest = all.ranges().back().last;
        flag_change const change{flag_mode::add, flag::flagged, {"k" + std::to_string(generation)}, {}};
        co_await inbox.set_flags(uid_set::one(newest), change);
        co_await inbox.copy_to(uid_set::one(newest), below);
        co_await inbox.expunge(uid_set::one(newest - 1), false);
        co_await alice.subscribe(body, true);
        if (generation == 3) break;
        co_await f.rotate(alice, "INBOX");
        co_await f.rotate(alice, "a/b");
        co_await alice.core()->tree.log().rotate();
    }
    co_await alice.rename("gone", "lost");
    co_await alice.remove("lost");
}

std::size_t stride() {
    auto const* text = std::getenv("MAILFS_VERIFY_STRIDE");
    return text == nullptr ? 23 : static_cast<std::size_t>(std::max(1, std::atoi(text)));
}


// Behind each body: zeros and a trailer, which no reader needs.
bool is_behind_a_body(mail_file_contents const& file, std::uint64_t at) {
    for (auto const& m : file.mails) {
        auto const end = m.where.offset + m.extent;
        if (at < end && at >= m.where.offset + sizeof(dbox_message_header) + m.size) return true;
    }
    return false;
}

}  // namespace

TEST_CASE_TEMPLATE("verify: of a sound account it has nothing to say but that expunged mail is still there", On,
                   memory_single, memory_multi, posix_multi) {
    recovery_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        co_await live(f);
        auto s = f.open();
        auto const before = co_await files_below(f.fs, "alice");
        auto const v = co_await verify_all(s);
        INFO(v.text());
        CHECK(v.sum.sound());
        CHECK(v.findings.size() == 1);
        CHECK(v.sum.orphaned_mails == 3);
        CHECK(v.sum.mailboxes == 3);
        CHECK(v.sum.messages == 9);
        CHECK(v.sum.logs == 10);
        CHECK(v.sum.snapshots == 6);
        CHECK(v.progress.bytes_done == v.progress.bytes_total);
        auto const after = co_await files_below(f.fs, "alice");
        CHECK(after == before);
    });
}

TEST_CASE_TEMPLATE("verify: whatever byte is flipped, the file is named", On, memory_single, memory_multi) {
    recovery_fixture<On> f;
    run([&]() -> asio::awaitable<void> { co_await live(f); });
    auto const sound = f.fs;
    std::size_t phase = 0;
    for (auto const& path : sound.paths()) {
        auto const bytes = sound.bytes_of(path);
        mail_file_contents mails;
        bool const is_mail = path.find("/mail/") != path.npos;
        if (is_mail)
            mails = run([&]() -> asio::awaitable<mail_file_contents> {
                typename On::format format(sound, "alice/mail", f.host);
                mail_file const file{path, 0};
                co_return co_await format.scan(file);
            });
        for (std::size_t at = phase++ % stride(); at < bytes.size(); at += stride()) {
            f.fs = sound.clone();
            auto hurt = bytes;
            hurt[at] ^= std::byte{0x10};
            f.fs.put(path, hurt);
            auto const v = run([&]() -> asio::awaitable<verified> {
                auto s = f.open();
                co_return co_await verify_all(s);
            });
            if (is_mail && is_behind_a_body(mails, at)) continue;
            INFO(path, " at ", at, "\n", v.text());
            CHECK(v.names(path));
            // a column's place in the table of a snapshot may show itself wrong by the entry behind it
            auto const near = [&](finding const& x) {
                return x.file == path && (x.offset == x.no_offset || x.offset <= at + sizeof(format::snapshot_column));
            };
            CHECK(std::any_of(v.findings.begin(), v.findings.end(), near));
        }
    }
}

TEST_CASE_TEMPLATE("verify: wherever a file is cut, it is named", On, memory_single, memory_multi) {
    recovery_fixture<On> f;
    run([&]() -> asio::awaitable<void> { co_await live(f); });
    auto const sound = f.fs;
    std::size_t phase = 0;
    for (auto const& path : sound.paths()) {
        auto const bytes = sound.bytes_of(path);
        bool const newest_log = path.ends_with("/log.3");
        for (std::size_t size = phase++ % stride(); size < bytes.size(); size += stride()) {
            f.fs = sound.clone();
            f.fs.put(path, bytes_view(bytes).first(size));
            auto const v = run([&]() -> asio::awaitable<verified> {
                auto s = f.open();
                co_return co_await verify_all(s);
            });
            INFO(path, " cut at ", size, "\n", v.text());
            bool const told =
                v.findings.size() > 1 || v.sum.orphaned_mails != 3;  // a log may have ended between two records
            CHECK((v.names(path) || newest_log || told || path.find("/mail/") != path.npos));
            CHECK((!v.sum.sound() || newest_log || path.find("/mail/") != path.npos));
        }
    }
}

TEST_CASE_TEMPLATE("verify: a file that is gone is named, unless it is of the oldest generation", On, memory_single,
                   memory_multi) {
    recovery_fixture<On> f;
    run([&]() -> asio::awaitable<void> { co_await live(f); });
    auto const sound = f.fs;
    for (auto const& path : sound.paths()) {
        if (path.ends_with("/log.1")) continue;
        f.fs = sound.clone();
        auto const v = run([&]() -> asio::awaitable<verified> {
            co_await f.fs.remove(path);
            auto s = f.open();
            co_return co_await verify_all(s);
        });
        INFO(path, "\n", v.text());
        bool const orphan = path.find("/mail/") != path.npos && v.sum.sound() && v.sum.orphaned_mails < 3;
        CHECK((v.names(path) || orphan));
    }
}

TEST_CASE_TEMPLATE("verify: a body that is not there is a loss, and the row is told", On, memory_single, posix_multi) {
    recovery_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        co_await live(f);
        auto const files = co_await files_below(f.fs, "alice/mail");
        for (auto const& path : files) co_await f.fs.remove(path);
        auto s = f.open();
        auto const v = co_await verify_all(s);
        CHECK(v.sum.losses == 9);
        CHECK(v.sum.damages == 0);
        CHECK(v.text().find(": UID 1: the mail body is missing") != std::string::npos);
    });
}

TEST_CASE("verify: a mailbox that cannot be opened is a loss, and rebuild is what it says") {
    recovery_fixture<memory_multi> f;
    run([&]() -> asio::awaitable<void> {
        co_await live(f);
        auto s = f.open();
        auto const alice = co_await s.account("alice");
        auto const box = co_await f.box_of(alice, "INBOX");
        for (auto const* name : {"/log.1", "/log.2", "/index.2", "/index.3"}) co_await f.fs.remove(box + name);
        auto const v = co_await verify_all(s);
        INFO(v.text());
        CHECK(v.has(severity::loss, box));
        CHECK(v.text().find("rebuild") != std::string::npos);
    });
}

TEST_CASE("verify: mailboxes that the tree does not name are told, and those it names that are gone") {
    recovery_fixture<memory_multi> f;
    run([&]() -> asio::awaitable<void> {
        co_await live(f);
        auto s = f.open();
        auto const alice = co_await s.account("alice");
        auto const box = co_await f.box_of(alice, "a/b");
        auto const files = co_await files_below(f.fs, box);
        for (auto const& path : files) {
            auto bytes = co_await read_file(f.fs, path);
            auto const copy = "alice/box/00000000000000000000000000000001" + path.substr(box.size());
            co_await write_file(f.fs, copy, std::move(bytes));
            co_await f.fs.remove(path);
        }
        co_await f.fs.create("alice/box/stray", as_bytes("x"), durability::none);
        auto const v = co_await verify_all(s);
        INFO(v.text());
        CHECK(v.has(severity::loss, box));
        CHECK(v.has(severity::note, "alice/box/00000000000000000000000000000001"));
        CHECK(v.has(severity::damage, "alice/box/00000000000000000000000000000001/log.1"));  // the guid is not the folder's
        CHECK(v.has(severity::note, "alice/box/stray"));
    });
}

TEST_CASE("verify: what a killed writer left is a note") {
    recovery_fixture<memory_multi> f;
    run([&]() -> asio::awaitable<void> {
        co_await live(f);
        auto s = f.open();
        auto alice = co_await s.account("alice");
        auto const log = co_await f.box_of(alice, "INBOX") + "/log.3";
        auto bytes = co_await read_file(f.fs, log);
        auto const head = bytes;
        bytes.insert(bytes.end(), head.begin() + 128, head.begin() + 128 + 90);  // the head of a record
        f.fs.put(log, bytes);
        auto const at_the_end = co_await verify_all(s);
        INFO(at_the_end.text());
        CHECK(at_the_end.has(severity::note, log));
        CHECK(at_the_end.sum.sound());
        auto inbox = co_await alice.open("INBOX");
        co_await deliver(inbox, "behind it");
        auto const in_the_middle = co_await verify_all(s);
        INFO(in_the_middle.text());
        CHECK(in_the_middle.has(severity::note, log));
        CHECK(in_the_middle.sum.sound());
    });
}

TEST_CASE("verify: while a writer rotates, delivers and expunges, nothing of it is taken for damage") {
    using on = network_multi;  // calls take turns, so that both meet in the middle
    recovery_fixture<on> f;
    run([&]() -> asio::awaitable<void> {
        co_await live(f);
        bool done = false;
        auto writer = [](recovery_fixture<on>& g, bool& end) -> asio::awaitable<void> {
            store_options options;
            options.durability = durability::none;
            options.log.rotate_size_min = 600;
            options.log.rotate_size_max = 600;
            typename on::store store(g.fs, options, g.host);
            auto alice = co_await store.account("alice");
            auto inbox = co_await alice.open("INBOX");
            for (int i = 0; i < 60; ++i) {
                co_await deliver(inbox, "more");
                co_await inbox.refresh();
                auto const oldest = uid_set::one(inbox.view().uids().ranges().front().first);
                co_await inbox.expunge(oldest, false);
                if (i % 10 == 0) co_await alice.create("box" + std::to_string(i));
                if (i % 10 == 5) co_await alice.remove("box" + std::to_string(i - 5));
            }
            end = true;
        };
        auto const executor = co_await asio::this_coro::executor;
        asio::co_spawn(executor, writer(f, done), asio::detached);
        auto reading = f.open();
        int rounds = 0;
        while (!done) {
            ++rounds;
            auto const v = co_await verify_all(reading);
            INFO(v.text());
            CHECK(v.sum.sound());
        }
        CHECK(rounds > 3);
    });
}

}  // namespace mailfs::test::verify_tests
