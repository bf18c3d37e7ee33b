// SPDX-License-Identifier: BSL-1.0
#include <mailfs/index/index.hpp>

#include <mailfs/fs/counting_fs.hpp>
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/fs/posix_fs.hpp>

#include "support/run.hpp"
#include "support/temporary_directory.hpp"

#include <doctest/doctest.h>

using namespace mailfs;
using mailfs::format::mailbox_transaction;

namespace {

guid const object = guid::from_words(1, 2);

template <class Fs>
using index_on = mailfs::index<lockless_log, Fs>;

message_entry message(std::uint64_t id, flag flags = flag::none, std::vector<std::string> keywords = {}) {
    message_entry m;
    m.id = guid::from_words(7, id);
    m.size = 100;
    m.received_ms = 1000 + id;
    m.flags = flags;
    m.keywords = std::move(keywords);
    return m;
}

template <class Index>
asio::awaitable<uid_t> deliver(Index& box, message_entry m, durability d = durability::none) {
    mailbox_transaction t;
    t.append(m);
    auto const outcome = co_await box.propose(t.bytes(), d);
    co_return outcome.first_uid;
}

template <class Fs>
asio::awaitable<void> make(index_on<Fs>& box) {
    mailbox_transaction t;
    t.raise(77, 0);
    bool const made = co_await box.create(object, t.bytes());
    CHECK(made);
    bool const there = co_await box.open();
    CHECK(there);
}

}  // namespace

TEST_CASE_TEMPLATE("index: two writers of one mailbox see each other's messages, flags and expunges", Fs, memory_fs,
                   posix_fs) {
    test::temporary_directory const root;
    test::run([&]() -> asio::awaitable<void> {
        Fs fs = [&] {
            if constexpr (std::is_same_v<Fs, posix_fs>)
                return Fs(root.path());
            else
                return Fs();
        }();
        index_on<Fs> a(fs, "box", standalone{}), b(fs, "box", standalone{});
        bool const none = co_await a.open();
        CHECK(!none);
        co_await make<Fs>(a);
        bool const there = co_await b.open();
        CHECK(there);
        CHECK(b.state().uid_validity() == 77);

        auto const first = co_await deliver(a, message(1));
        auto const work = message(2, flag::seen, {"$Work"});
        auto const second = co_await deliver(b, work);
        auto const third = co_await deliver(a, message(3));
        CHECK(first == 1);
        CHECK(second == 2);
        CHECK(third == 3);

        mailbox_transaction t;
        t.change_flags(uid_set{{1, 2}}, {flag_mode::add, flag::deleted, {"$work", "other"}, {}});
        auto const changed = co_await b.propose(t.bytes(), durability::stored);
        CHECK(changed.changed == uid_set{{1, 2}});
        mailbox_transaction e;
        e.expunge(uid_set{{1, 3}}, true);
        auto const gone = co_await a.propose(e.bytes(), durability::none);
        CHECK(gone.expunged == uid_set{{1, 2}});
        bool const news = co_await b.catch_up();
        CHECK(news);
        bool const more = co_await b.catch_up();
        CHECK(!more);
        CHECK(b.state().dump() == a.state().dump());
        CHECK(a.state().counters() == mailbox_counters{1, 1, 0, 100});
        CHECK(a.state().keywords().names() == std::vector<std::string>{"$Work", "other"});
    });
}

TEST_CASE("index: a view keeps its numbers until it is refreshed, and then tells what is different") {
    test::run([]() -> asio::awaitable<void> {
        index_on<memory_fs> a(memory_fs{}, "box", standalone{});
        co_await make<memory_fs>(a);
        for (std::uint64_t i = 1; i <= 5; ++i) co_await deliver(a, message(i));
        auto v = a.make_view();
        CHECK(v.messages() == 5);
        mailbox_transaction t;
        t.change_flags(uid_set{{2, 4}}, {flag_mode::add, flag::deleted, {}, {}})
            .expunge(uid_set{{2, 2}, {4, 4}}, true)
            .append(message(6));
        co_await a.propose(t.bytes(), durability::none);
        CHECK(v.messages() == 5);
        CHECK(v.uid(4) == 4);
        auto const news = v.refresh();
        CHECK(news.expunged == std::vector<std::uint32_t>{4, 2});
        CHECK(news.expunged_uids == uid_set{{2, 2}, {4, 4}});
        CHECK(news.changed == uid_set::one(3));
        CHECK(news.arrived == uid_set::one(6));
        CHECK(v.messages() == 4);
        CHECK(v.uid(2) == 3);
        CHECK(v.number(6) == 4);
        CHECK(v.refresh().empty());
    });
}

TEST_CASE("index: rotation leaves one log with its snapshot and the generation before, and loses nothing") {
    test::run([]() -> asio::awaitable<void> {
        memory_fs fs;
        log_options const small{.rotate_size_min = 1024, .rotate_share = 1'000'000};
        index_on<memory_fs> a(fs, "box", standalone{}, small), idle(fs, "box", standalone{}, small);
        co_await make<memory_fs>(a);
        co_await idle.open();
        for (std::uint64_t i = 1; i <= 100; ++i) {
            auto const m = message(i, i % 2 ? flag::seen : flag::none, {"k" + std::to_string(i % 7)});
            co_await deliver(a, m);
        }
        auto const names = co_await fs.list("box");
        CHECK(names.size() == 4);
        CHECK(a.log().number() > 5);
        co_await idle.catch_up();
        index_on<memory_fs> fresh(fs, "box", standalone{}, small);
        co_await fresh.open();
        CHECK(a.state().counters().messages == 100);
        CHECK(a.state().dump() == idle.state().dump());
        CHECK(a.state().dump() == fresh.state().dump());
    });
}

TEST_CASE("index: a flag change on an open mailbox is one append, and reads nothing") {
    test::run([]() -> asio::awaitable<void> {
        counting_fs<memory_fs> fs{memory_fs{}};
        index_on<counting_fs<memory_fs>> a(fs, "box", standalone{});
        co_await make<counting_fs<memory_fs>>(a);
        co_await deliver(a, message(1));
        fs.counts().reset();
        mailbox_transaction t;
        t.change_flags(uid_set::one(1), {flag_mode::add, flag::seen, {}, {}});
        co_await a.propose(t.bytes(), durability::none);
        CHECK(fs.counts().append == 1);
        CHECK(fs.counts().calls() == 1);
    });
}
