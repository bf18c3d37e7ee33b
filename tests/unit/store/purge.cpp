// SPDX-License-Identifier: BSL-1.0
// Purge while nothing goes wrong: what it gives back, and what it must leave alone whatever others do in between.
#include <mailfs/store/purge.hpp>

#include <mailfs/store/history.hpp>

#include "purge_fixture.hpp"

namespace mailfs::test::purge_tests {

namespace {

template <class On>
struct purge_fixture {
    temporary_directory root;
    typename On::fs fs = make_fs();
    clocked_host host;

    typename On::store open(std::uint64_t file_size_max = 2000) { return open_store<On>(fs, host, file_size_max); }

    typename On::fs make_fs() {
        if constexpr (std::is_same_v<typename On::fs, posix_fs>) return posix_fs(root.path());
        else return memory_fs();
    }
};

template <class Mailbox>
asio::awaitable<void> deliver_many(Mailbox& box, std::uint64_t first, std::uint64_t last) {
    for (auto n = first; n < last; ++n) co_await deliver(box, body_of(n));
}

template <class Mailbox>
asio::awaitable<void> expunge_all(Mailbox& box) {
    co_await box.refresh();
    auto const all = box.view().uids();
    co_await box.expunge(all, false);
}

}  // namespace

TEST_CASE_TEMPLATE("purge: the space of expunged mail comes back after two looks a grace period apart, and no other", On, memory_multi,
                   memory_single, posix_multi, posix_single) {
    purge_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        auto box = co_await a.open("INBOX");
        co_await deliver_many(box, 0, 40);
        auto const before = co_await mail_files<On>(a);
        uid_set const most{{1, 30}};
        co_await box.expunge(most, false);
        purger_on<On> purger(a);
        auto const first = co_await round_of(purger);
        CHECK(first.files_removed == 0);
        CHECK(first.bytes_waiting > 3000);
        CHECK(first.wait_ms == grace);
        f.host.pass(grace - 1);
        auto const early = co_await round_of(purger);
        CHECK(early.files_removed == 0);
        CHECK(early.mailboxes_read == 0);
        CHECK(early.wait_ms == 1);
        CHECK(early.bytes_waiting == first.bytes_waiting);
        f.host.pass(1);
        purger_on<On> another(a);  // the mark lies on disk: any process may go on
        auto const second = co_await round_of(another);
        CHECK(second.files_removed > 0);
        CHECK(second.bytes_removed > 2000);
        auto const after = co_await mail_files<On>(a);
        CHECK(after < before);
        auto const all = co_await everything(a);
        std::vector<std::string> expected;
        for (std::uint64_t n = 30; n < 40; ++n) expected.push_back(body_of(n));
        CHECK(all.at("INBOX") == expected);
        f.host.pass(grace);
        co_await purge_all<On>(a, f.host);
        auto const rest = co_await round_of(another);
        CHECK(rest.files_removed == 0);
    });
}

TEST_CASE_TEMPLATE("purge: a file that is mostly out of use is written anew, and all mailboxes follow", On, memory_multi, posix_multi) {
    purge_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open(8000);
        auto a = co_await s.account("alice");
        co_await a.create("copies");
        auto box = co_await a.open("INBOX");
        auto copies = co_await a.open("copies");
        co_await deliver_many(box, 0, 100);
        uid_set every_tenth, others;
        for (uid_t u = 1; u <= 100; ++u) (u % 10 == 0 ? every_tenth : others).add(u);
        co_await box.copy_to(every_tenth, copies);
        co_await box.expunge(others, false);
        auto reader = f.open(8000);  // a session of another process, which sleeps through it
        auto ra = co_await reader.account("alice");
        auto sleeping = co_await ra.open("INBOX");
        auto const before = co_await everything(a);
        auto const sum = co_await purge_all<On>(a, f.host);
        CHECK(sum.mails_moved == 10);  // each once, though two rows refer to it
        CHECK(sum.bytes_removed > 20'000);
        CHECK(sum.bytes_waiting == 0);
        auto const after = co_await everything(a);
        CHECK(after == before);
        std::vector<uid_t> uids;
        every_tenth.for_each([&](uid_t u) { uids.push_back(u); });
        for (auto u : uids) {
            auto const body = co_await sleeping.read(u);
            CHECK(text_of(body) == body_of(u - 1));
        }
        auto fresh = f.open();
        auto fa = co_await fresh.account("alice");
        auto const again = co_await everything(fa);
        CHECK(again == before);
        auto const files = co_await a.core()->mails.files();
        std::uint64_t size = 0;
        for (auto const& file : files) {
            auto const found = co_await a.core()->mails.scan(file);
            size += found.size;
            for (auto const& mail : found.mails) {
                CHECK(mail.sound);
                CHECK(mail.written_ms == 1'750'000'000'000);  // when it was delivered, not when it was moved
                CHECK(mail.mailbox == box.id());
            }
        }
        CHECK(size < 4000);
    });
}

TEST_CASE_TEMPLATE("purge: a message that moves from mailbox to mailbox ahead of each look is never lost", On, memory_multi, memory_single) {
    purge_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        co_await a.create("a");
        co_await a.create("b");
        auto first = co_await a.open("a"), second = co_await a.open("b");
        co_await deliver(second, "precious");
        purger_on<On> purger(a);
        purge_budget const one_mailbox{1, 1, 1};
        auto const swap = [&](auto& from, auto& to) -> asio::awaitable<void> {
            co_await from.refresh();
            auto const all = from.view().uids();
            co_await from.move_to(all, to);
        };
        for (int rounds = 0; rounds < 3; ++rounds) {
            std::uint64_t read = 0;
            bool moved = false;
            for (int steps = 0; steps < 200; ++steps) {
                auto const report = co_await purger.step(one_mailbox);
                read += report.mailboxes_read;
                if (read == 2 && !moved) {  // INBOX and a were read, b was not
                    moved = true;
                    co_await swap(second, first);
                }
                if (report.complete()) break;
            }
            CHECK(moved);
            co_await swap(first, second);
            f.host.pass(grace);
        }
        auto const all = co_await everything(a);
        CHECK(all.at("b") == std::vector<std::string>{"precious"});
    });
}

TEST_CASE_TEMPLATE("purge: a message that came and went between two passes is known by where it was", On, memory_multi, memory_single) {
    purge_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        co_await a.create("a");
        co_await a.create("b");
        co_await a.create("c");
        auto first = co_await a.open("a"), second = co_await a.open("b"), third = co_await a.open("c");
        co_await deliver(third, "precious");
        purger_on<On> purger(a);
        purge_budget const one_mailbox{1, 1, 1};
        auto const shift = [&](auto& from, auto& to) -> asio::awaitable<void> {
            co_await from.refresh();
            auto const all = from.view().uids();
            co_await from.move_to(all, to);
        };
        for (int rounds = 0; rounds < 3; ++rounds) {
            std::uint64_t read = 0;
            int done = 0;
            for (int steps = 0; steps < 200; ++steps) {
                auto const report = co_await purger.step(one_mailbox);
                read += report.mailboxes_read;
                if (read == 3 && done == 0) {  // from c, which was not read, to b, which was
                    done = 1;
                    co_await shift(third, second);
                }
                if (read == 6 && done == 1) {  // second pass: from b, which was not read again, to a, which was
                    done = 2;
                    co_await shift(second, first);
                }
                if (report.complete()) break;
            }
            CHECK(done == 2);
            CHECK(read == 8);
            co_await shift(first, third);
            f.host.pass(grace);
        }
        auto const all = co_await everything(a);
        CHECK(all.at("c") == std::vector<std::string>{"precious"});
    });
}

TEST_CASE_TEMPLATE("purge: rows that are swept out of memory between two passes cost a third pass and no message", On, memory_multi,
                   memory_single) {
    purge_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        co_await a.create("a");
        co_await a.create("b");
        co_await a.create("c");
        auto first = co_await a.open("a"), second = co_await a.open("b"), third = co_await a.open("c");
        co_await deliver(third, "precious");
        purger_on<On> purger(a);
        purge_budget const one_mailbox{1, 1, 1};
        auto const shift = [&](auto& from, auto& to) -> asio::awaitable<void> {
            co_await from.refresh();
            auto const all = from.view().uids();
            co_await from.move_to(all, to);
        };
        std::vector<new_message> many(mailbox_state::compact_rows_min + 600, new_message{as_bytes("x"), flag::none, {}, 0});
        for (int rounds = 0; rounds < 3; ++rounds) {
            std::uint64_t read = 0;
            int done = 0;
            for (int steps = 0; steps < 20000; ++steps) {
                auto const report = co_await purger.step(one_mailbox);
                read += report.mailboxes_read;
                if (read == 3 && done == 0) {  // INBOX, a, b were read: from c, which was not, to b, which was
                    done = 1;
                    co_await shift(third, second);
                }
                if (read == 6 && done == 1) {  // second pass: INBOX, a were read: from b to a; b forgets that it ever was there
                    done = 2;
                    co_await shift(second, first);
                    co_await second.append(many);
                    co_await expunge_all(second);
                }
                if (report.complete()) break;
            }
            CHECK(done == 2);
            co_await shift(first, third);
            f.host.pass(grace);
        }
        auto const all = co_await everything(a);
        CHECK(all.at("c") == std::vector<std::string>{"precious"});
    });
}

TEST_CASE_TEMPLATE("purge: a delivery whose body is written and whose record is not yet is safe for half a grace period", On,
                   memory_multi, memory_single) {
    purge_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        auto box = co_await a.open("INBOX");
        purger_on<On> purger(a);
        auto const body = body_of(1);
        mail_to_write const mail{guid::from_words(7, 7), 1, as_bytes(body), box.id()};
        auto const places = co_await a.core()->mails.write(std::span(&mail, 1), durability::none);
        co_await round_of(purger);
        f.host.pass(grace / 2);
        co_await round_of(purger);
        auto index = co_await a.core()->open_index(box.id());
        format::mailbox_transaction t;
        t.append({mail.id, places[0], static_cast<std::uint32_t>(body.size()), 1, flag::none, {}});
        auto const operations = t.bytes();
        co_await index->propose(operations, durability::none);
        f.host.pass(grace / 2);
        for (int i = 0; i < 3; ++i) {
            co_await round_of(purger);
            f.host.pass(grace);
        }
        auto const all = co_await everything(a);
        CHECK(all.at("INBOX") == std::vector<std::string>{body});
    });
}

TEST_CASE("purge: a file that was written to since the first look is left alone, though nothing refers to it yet") {
    using On = memory_multi;
    purge_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        auto box = co_await a.open("INBOX");
        purger_on<On> purger(a);
        co_await deliver(box, "gone soon");
        co_await expunge_all(box);
        co_await round_of(purger);
        f.host.pass(grace / 2);
        auto const body = body_of(1);
        mail_to_write const mail{guid::from_words(7, 7), 1, as_bytes(body), box.id()};
        auto const places = co_await a.core()->mails.write(std::span(&mail, 1), durability::none);
        auto const files = co_await mail_files<On>(a);
        CHECK(files == 1);  // it went to the file of the message that was expunged
        f.host.pass(grace / 2);
        auto const second = co_await round_of(purger);
        CHECK(second.files_removed == 0);
        auto index = co_await a.core()->open_index(box.id());
        format::mailbox_transaction t;
        t.append({mail.id, places[0], static_cast<std::uint32_t>(body.size()), 1, flag::none, {}});
        auto const operations = t.bytes();
        co_await index->propose(operations, durability::none);
        auto const all = co_await everything(a);
        CHECK(all.at("INBOX") == std::vector<std::string>{body});
    });
}

TEST_CASE("purge: a writer that was idle for long goes to a new file, for the old one may be gone") {
    using On = memory_multi;
    purge_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        auto box = co_await a.open("INBOX");
        purger_on<On> purger(a);
        co_await deliver(box, "gone soon");
        co_await expunge_all(box);
        co_await round_of(purger);
        f.host.pass(grace);
        auto const second = co_await round_of(purger);
        CHECK(second.files_removed == 1);
        co_await deliver(box, "after a long sleep");
        auto t = f.open();
        auto b = co_await t.account("alice");
        auto const all = co_await everything(b);
        CHECK(all.at("INBOX") == std::vector<std::string>{"after a long sleep"});
    });
}

namespace {

/// Lets the clock jump while a chosen verb of this filesystem runs: a process that was stopped for long.
template <class Fs>
struct stopped_fs : Fs {
    static constexpr fs_traits traits = Fs::traits;
    struct pause {
        std::uint64_t appends_left = ~std::uint64_t{0}, ms = 0;
    };
    struct file : Fs::file {
        using mapping = typename Fs::file::mapping;
        file(typename Fs::file f, std::shared_ptr<pause> p, clocked_host h) : Fs::file(std::move(f)), when(std::move(p)), host(std::move(h)) {}
        asio::awaitable<std::uint64_t> append(bytes_view bytes) {
            if (when->appends_left-- == 0) host.pass(when->ms);
            return Fs::file::append(bytes);
        }
        std::shared_ptr<pause> when;
        clocked_host host;
    };
    clocked_host host;
    std::shared_ptr<pause> when = std::make_shared<pause>();

    explicit stopped_fs(clocked_host h) : host(std::move(h)) {}
    asio::awaitable<std::optional<file>> open(std::string_view path) {
        auto inner = co_await Fs::open(path);
        if (!inner) co_return std::nullopt;
        co_return file(std::move(*inner), when, host);
    }
    void stop_in(std::uint64_t append, std::uint64_t ms) { *when = {append - 1, ms}; }
};
using stopping_multi = store_on<stopped_fs<memory_fs>, multi_dbox>;

}  // namespace

TEST_CASE("purge: a delivery that took longer than half a grace period is taken back, and says so") {
    using On = stopping_multi;
    clocked_host host;
    On::fs fs(host);
    run([&]() -> asio::awaitable<void> {
        auto s = open_store<On>(fs, host);
        auto a = co_await s.account("alice");
        auto box = co_await a.open("INBOX");
        co_await deliver(box, "one");
        for (std::uint64_t nth : {1U, 2U}) {  // in the append of the body, in that of the record
            fs.stop_in(nth, grace / 2 + 1);
            auto const why = co_await failure_of(deliver(box, "too late"));
            CHECK(why == errc::busy);
        }
        fs.stop_in(1, grace / 2);
        co_await deliver(box, "just in time");
        auto const all = co_await everything(a);
        CHECK(all.at("INBOX") == std::vector<std::string>{"one", "just in time"});
    });
}

TEST_CASE("purge: a copy whose source goes before the copy is there is passed over") {
    using On = stopping_multi;
    clocked_host host;
    On::fs fs(host);
    run([&]() -> asio::awaitable<void> {
        auto s = open_store<On>(fs, host), t = open_store<On>(fs, host);
        auto a = co_await s.account("alice"), b = co_await t.account("alice");
        co_await a.create("to");
        auto box = co_await a.open("INBOX"), target = co_await a.open("to");
        co_await deliver(box, "one");
        co_await deliver(box, "two");
        auto other = co_await b.open("INBOX");  // this session's copy finds UID 1 gone when it looks again
        co_await other.expunge(uid_set::one(1), false);
        auto source = co_await a.core()->open_index(box.id());
        auto const stale = source->state().find(1);
        CHECK(stale);  // as the copier sees it before it reads on
        mailfs::detail::message_copier<On::index, On::format> from(a.core(), source);
        auto to_index = co_await a.core()->open_index(target.id());
        mailfs::detail::message_copier<On::index, On::format> to(a.core(), to_index);
        uid_set const both{{1, 2}};
        auto const result = co_await to.copy_from(from, both, durability::none);
        REQUIRE(result.uids.size() == 1);
        CHECK(result.uids[0].first == 2);
        auto const all = co_await everything(a);
        CHECK(all.at("to") == std::vector<std::string>{"two"});
    });
}

TEST_CASE("purge: a copy goes after a body that was moved meanwhile") {
    using On = memory_multi;
    purge_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open(8000), t = f.open(8000);
        auto a = co_await s.account("alice"), b = co_await t.account("alice");
        co_await a.create("to");
        auto box = co_await a.open("INBOX"), target = co_await a.open("to");
        co_await deliver_many(box, 0, 10);
        uid_set const most{{1, 9}};
        co_await box.expunge(most, false);
        auto source = co_await a.core()->open_index(box.id());
        co_await source->catch_up();
        auto const old_place = source->state().rows().where[9];
        co_await purge_all<On>(b, f.host);  // by another process
        mailfs::detail::message_copier<On::index, On::format> from(a.core(), source);
        auto to_index = co_await a.core()->open_index(target.id());
        mailfs::detail::message_copier<On::index, On::format> to(a.core(), to_index);
        CHECK(source->state().rows().where[9] == old_place);
        auto const result = co_await to.copy_from(from, uid_set::one(10), durability::none);
        CHECK(result.uids.size() == 1);
        CHECK(source->state().rows().where[9] != old_place);
        auto const all = co_await everything(a);
        CHECK(all.at("to") == std::vector<std::string>{body_of(9)});
    });
}

TEST_CASE_TEMPLATE("purge: an expunge that is undone while what it left is being removed keeps what is left", On, memory_multi, memory_single) {
    purge_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open(300);  // a message or two in each file
        auto a = co_await s.account("alice");
        auto box = co_await a.open("INBOX");
        co_await deliver_many(box, 0, 20);
        co_await box.refresh();
        auto const before = box.view().highest_modseq();
        co_await expunge_all(box);
        purger_on<On> purger(a);
        co_await round_of(purger);
        f.host.pass(grace);
        purge_budget const tiny{100, 1, 1};
        purge_report report;
        for (int steps = 0; report.files_removed == 0 && steps < 1000; ++steps) report = co_await purger.step(tiny);
        REQUIRE(report.phase == purge_phase::sweep);
        auto past = co_await open_past(a, "INBOX", log_cut::of_modseq(before));
        auto const result = co_await undo_expunge(past, past.uids());
        CHECK(!result.lost.empty());
        CHECK(result.back.uids.size() > 10);
        for (int i = 0; i < 4; ++i) {
            co_await round_of(purger);
            f.host.pass(grace);
        }
        auto const all = co_await everything(a);
        CHECK(all.at("INBOX").size() == result.back.uids.size());
        for (auto const& text : all.at("INBOX")) CHECK(text.starts_with("message "));
    });
}

TEST_CASE_TEMPLATE("purge: directories of mailboxes that no tree names go after two looks, others stay", On, memory_multi, posix_single) {
    purge_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        co_await a.create("kept");
        auto const orphan = guid::from_words(1, 2);
        co_await a.core()->make_mailbox(orphan, 7);
        purger_on<On> purger(a);
        auto const first = co_await round_of(purger);
        auto const stays = co_await f.fs.list(a.core()->box_directory(orphan));
        CHECK(first.mailboxes_removed == 0);
        CHECK(stays.size() == 1);
        f.host.pass(grace);
        auto const second = co_await round_of(purger);
        CHECK(second.mailboxes_removed == 1);
        auto const boxes = co_await f.fs.list(a.core()->directory + "/box");
        CHECK(boxes.size() == 2);
        auto const names = co_await names_of(a);
        CHECK(names == "INBOX kept");
    });
}

TEST_CASE_TEMPLATE("purge: where one mailbox cannot be read nothing is removed, and the error names it", On, memory_multi, memory_single) {
    purge_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        co_await a.create("damaged");
        auto box = co_await a.open("INBOX"), damaged = co_await a.open("damaged");
        co_await deliver(damaged, "behind a damaged index");
        co_await deliver(box, "x");
        co_await expunge_all(box);
        auto const id = damaged.id();
        auto const before = co_await mail_files<On>(a);
        auto const path = a.core()->box_directory(id) + "/log.1";
        f.fs.put(path, as_bytes("garbage"));
        auto t = f.open();
        auto b = co_await t.account("alice");
        purger_on<On> purger(b);
        for (int i = 0; i < 3; ++i) {
            std::string what;
            try {
                co_await round_of(purger);
            } catch (error const& e) {
                CHECK(e.code() == errc::corrupt);
                what = e.what();
            }
            CHECK(what.find(path) == 0);
            f.host.pass(grace);
        }
        auto const after = co_await mail_files<On>(a);
        CHECK(after == before);
    });
}

TEST_CASE_TEMPLATE("purge: steps are small, tell how far they are, and end", On, memory_multi, memory_single) {
    purge_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        for (int n = 0; n < 5; ++n) co_await a.create("box" + std::to_string(n));
        auto box = co_await a.open("INBOX");
        co_await deliver_many(box, 0, 100);
        uid_set some;
        for (uid_t u = 1; u <= 100; ++u)
            if (u % 4 != 0) some.add(u);
        co_await box.expunge(some, false);
        purger_on<On> purger(a);
        purge_budget const tiny{2, 3, 150};
        for (int rounds = 0; rounds < 5; ++rounds) {
            int steps = 0;
            for (bool complete = false; !complete; ++steps) {
                auto const report = co_await purger.step(tiny);
                CHECK(report.mailboxes_read <= 2);
                CHECK(report.files_seen + report.files_removed <= 3);
                CHECK(report.bytes_moved <= 150 + mailfs::detail::purge_mover<typename On::index, typename On::format>::batch_bytes_max);
                CHECK(report.done <= report.total);
                complete = report.complete();
                REQUIRE(steps < 1000);
            }
            CHECK(steps > 5);
            f.host.pass(grace);
        }
        auto const all = co_await everything(a);
        CHECK(all.at("INBOX").size() == 25);
    });
}

TEST_CASE_TEMPLATE("purge: marks that are damaged, of another account, or from the future cost time and nothing else", On, memory_multi,
                   memory_single) {
    purge_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        auto box = co_await a.open("INBOX");
        co_await deliver_many(box, 0, 20);
        auto const live = co_await a.core()->mails.files();
        dbox_mark lie{1, guid::from_words(9, 9), {}, {box.id()}};
        for (auto const& file : live) {
            auto const size = f.fs.bytes_of(file.path).size();
            lie.files.push_back({file.number, size, 0});
        }
        auto const foreign = encode(lie);
        lie.account = a.core()->state().object();
        lie.taken_ms = *f.host.clock + 1;
        auto const future = encode(lie);
        lie.taken_ms = 1;
        auto const past = encode(lie);
        auto const before = co_await everything(a);
        std::vector<std::vector<std::byte>> marks{foreign, future, past, {}, std::vector<std::byte>(10, std::byte{1})};
        for (std::size_t size = 0; size < past.size(); size += 7) marks.emplace_back(past.begin(), past.begin() + static_cast<std::ptrdiff_t>(size));
        for (std::size_t bit = 0; bit < past.size() * 8; bit += 13) {
            marks.push_back(past);
            marks.back()[bit / 8] ^= std::byte{1} << (bit % 8);
        }
        for (auto const& mark : marks) {
            f.fs.put("alice/marks/7", mark);
            purger_on<On> purger(a);
            co_await round_of(purger);
            co_await f.fs.remove("alice/marks/7");
        }
        auto const after = co_await everything(a);
        CHECK(after == before);  // even a lie is only half of what a removal takes
    });
}

}  // namespace mailfs::test::purge_tests
