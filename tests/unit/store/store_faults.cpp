// SPDX-License-Identifier: BSL-1.0
// The store when calls fail, processes are killed and power is cut, one call after another.
#include <mailfs/store/store.hpp>

#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/fs/faulty_fs.hpp>
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/index/index.hpp>

#include "store_fixture.hpp"
#include "support/run.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace mailfs::test::store_faults_tests {

namespace {

using faulty_store = faulty_multi::store;
using sound_store = memory_multi::store;

store_options options_with(durability d) {
    store_options options;
    options.durability = d;
    options.log.rotate_size_min = 600;  // so that rotation is among the calls that go wrong
    return options;
}

// What was acknowledged before the end.
struct acknowledged {
    bool made = false, created = false, appended = false, copied = false, moved = false, flagged = false, renamed = false,
         removed = false;
};

asio::awaitable<void> live(faulty_store& s, acknowledged& done) {
    auto a = co_await s.account("alice");
    done.made = true;
    co_await a.create("a/b");
    done.created = true;
    auto inbox = co_await a.open("INBOX");
    auto below = co_await a.open("a/b");
    auto above = co_await a.open("a");
    std::vector<new_message> const two{{as_bytes("one"), flag::none, {}, 0}, {as_bytes("two"), flag::none, {}, 0}};
    co_await inbox.append(two);
    done.appended = true;
    uid_set const both{{1, 2}};
    co_await inbox.copy_to(both, below);
    done.copied = true;
    co_await inbox.move_to(uid_set::one(1), above);
    done.moved = true;
    flag_change const change{flag_mode::add, flag::flagged, {"k"}, {}};
    co_await inbox.set_flags(uid_set::one(2), change);
    done.flagged = true;
    co_await a.rename("a", "z");
    done.renamed = true;
    co_await a.remove("z/b");
    done.removed = true;
}

// What one mailbox holds: bodies, each read to its end.
asio::awaitable<std::string> bodies_of(typename sound_store::account_type a, std::string name) {
    auto box = co_await a.open(name);
    auto mails = box.fetch(box.view().uids());
    std::string text;
    while (true) {
        auto const one = co_await mails.next();
        if (!one) break;
        text += (one->error ? '<' + one->reason + '>' : text_of(one->bytes)) + ' ';
    }
    co_return text;
}

asio::awaitable<void> check(sound_store& s, acknowledged const& done) {
    auto a = co_await s.find_account("alice");
    if (!a) {
        CHECK(!done.made);
        co_return;
    }
    auto const all = co_await a->list();
    std::map<std::string, std::string> boxes;
    for (auto const& info : all) {
        boxes[info.name] = "-";
        if (!info.selectable) continue;
        auto text = co_await bodies_of(*a, info.name);
        boxes[info.name] = std::move(text);
    }
    auto const at = [&](std::string const& name) { return boxes.count(name) == 1 ? boxes[name] : std::string("none"); };
    auto const one_of = [](std::string const& text, std::vector<std::string> const& allowed) {
        CHECK_MESSAGE(std::find(allowed.begin(), allowed.end(), text) != allowed.end(), text);
    };
    bool const renamed = boxes.count("z") == 1;
    CHECK(boxes.count("a") + boxes.count("z") <= 1);
    auto const inbox = at("INBOX"), above = at(renamed ? "z" : "a"), below = at(renamed ? "z/b" : "a/b");
    one_of(inbox, {"", "one two ", "two "});
    one_of(above, {"none", "", "one "});
    one_of(below, {"none", "", "one two "});
    if (done.created) CHECK(above != "none");
    if (done.appended) CHECK(inbox.find("two") != std::string::npos);
    if (done.appended) CHECK((inbox + above).find("one") != std::string::npos);
    if (done.copied && !done.renamed) CHECK(below == "one two ");
    if (done.moved) CHECK(inbox == "two ");
    if (done.moved) CHECK(above == "one ");
    if (done.renamed) CHECK(renamed);
    if (done.removed) CHECK(below == "none");
    auto box = co_await a->open("INBOX");
    if (done.flagged) CHECK(box.view().row(2)->flags == flag::flagged);
    co_await a->create("after");  // and life goes on
    auto fresh = co_await a->open("after");
    auto const uid = co_await deliver(fresh, "new");
    CHECK(uid >= 1);
    auto const text = co_await bodies_of(*a, "after");
    CHECK(text == "new ");
}

}  // namespace

TEST_CASE("store: an append that finds the disk full leaves none of its messages, and later ones find all others") {
    for (std::uint64_t room = 0; room < 3000; room += 37) {
        CAPTURE(room);
        run([&]() -> asio::awaitable<void> {
            faulty_fs<> fs;
            faulty_store s(fs, options_with(durability::stored), clocked_host{});
            auto a = co_await s.account("alice");
            auto box = co_await a.open("INBOX");
            co_await deliver(box, "before");
            std::vector<std::string> const texts{std::string(300, '1'), std::string(400, '2'), std::string(500, '3')};
            std::vector<new_message> three(3);
            for (std::size_t i = 0; i < 3; ++i) three[i].bytes = as_bytes(texts[i]);
            fs.faults().disk_full_after(room);
            auto const why = co_await failure_of(box.append(three));
            if (why) CHECK(why == errc::no_space);
            if (room >= 2900) CHECK(!why);
            fs.faults().disk_has_room();
            co_await deliver(box, "after");
            sound_store t(fs.inner(), options_with(durability::stored), clocked_host{});
            auto found = co_await t.account("alice");
            auto const text = co_await bodies_of(found, "INBOX");
            CHECK(text == "before " + (why ? std::string() : texts[0] + ' ' + texts[1] + ' ' + texts[2] + ' ') + "after ");
        });
    }
}

TEST_CASE("store: killed in any call, it is found whole, with all that was acknowledged") {
    for (auto level : {durability::none, durability::stored}) {
        std::uint64_t n = 1;
        for (bool stopped = true; stopped; ++n) {
            CAPTURE(n);
            faulty_fs<> fs;
            auto const host = ticking_host(1);
            acknowledged done;
            fs.faults().stop_at(n, n);
            run([&]() -> asio::awaitable<void> {
                faulty_store s(fs, options_with(level), host);
                co_await failure_of(live(s, done));
            });
            stopped = fs.faults().stopped();
            if (!stopped) CHECK(done.removed);
            run([&]() -> asio::awaitable<void> {
                sound_store t(fs.inner(), options_with(level), host);
                co_await check(t, done);
            });
        }
        CHECK(n > 60);
    }
}

TEST_CASE("store: when the power is cut in any call, what was acknowledged as stored is there") {
    std::uint64_t n = 1;
    for (bool stopped = true; stopped; ++n) {
        for (std::uint64_t seed = 1; seed <= 4; ++seed) {
            CAPTURE(n);
            CAPTURE(seed);
            faulty_fs<> fs;
            auto const host = ticking_host(1);
            acknowledged done;
            fs.faults().stop_at(n, seed);
            run([&]() -> asio::awaitable<void> {
                faulty_store s(fs, options_with(durability::stored), host);
                co_await failure_of(live(s, done));
            });
            stopped = fs.faults().stopped();
            run([&]() -> asio::awaitable<void> {
                sound_store t(fs.after(power_cut::any, seed), options_with(durability::stored), host.rebooted());
                co_await check(t, done);
            });
        }
    }
    CHECK(n > 60);
}

TEST_CASE("store: a message stored in a mailbox that another process was still making survives a power cut") {
    int delivered = 0;
    for (std::uint64_t n = 1; n < 40; ++n) {
        CAPTURE(n);
        faulty_fs<> fs;
        auto const host = ticking_host(1);
        auto const maker = fs.another_process();
        bool stored = false;
        run([&]() -> asio::awaitable<void> {
            faulty_store s(maker, options_with(durability::stored), host);
            auto a = co_await s.account("alice");
            maker.faults().stop_at(maker.faults().calls() + n, fault_control::no_limit, false);
            co_await failure_of(a.create("new"));
            faulty_store t(fs, options_with(durability::stored), host);
            auto b = co_await t.account("alice");
            auto const names = co_await names_of(b);
            if (names != "INBOX new") co_return;
            auto box = co_await b.open("new");
            co_await deliver(box, "precious");
            stored = true;
        });
        if (!stored) continue;
        ++delivered;
        run([&]() -> asio::awaitable<void> {
            sound_store t(fs.after(power_cut::lose_all, 0), options_with(durability::stored), host.rebooted());
            auto a = co_await t.account("alice");
            auto const text = co_await bodies_of(a, "new");
            CHECK(text == "precious ");
        });
    }
    CHECK(delivered > 0);
}

TEST_CASE("store: a message that was stored survives a move at durability none, whenever the power is cut") {
    std::uint64_t n = 1;
    for (bool stopped = true; stopped; ++n) {
        for (std::uint64_t seed = 1; seed <= 8; ++seed) {
            CAPTURE(n);
            CAPTURE(seed);
            faulty_fs<> fs;
            auto const host = ticking_host(1);
            run([&]() -> asio::awaitable<void> {
                faulty_store s(fs, options_with(durability::stored), host);
                auto a = co_await s.account("alice");
                co_await a.create("other");
                auto box = co_await a.open("INBOX");
                co_await deliver(box, "precious");
            });
            fs.faults().stop_at(fs.faults().calls() + n, seed);
            auto const move = [&]() -> asio::awaitable<void> {
                faulty_store s(fs, options_with(durability::none), host);
                auto a = co_await s.account("alice");
                auto box = co_await a.open("INBOX");
                auto target = co_await a.open("other");
                auto const one = uid_set::one(1);
                co_await box.move_to(one, target);
            };
            run([&]() -> asio::awaitable<void> { co_await failure_of(move()); });
            stopped = fs.faults().stopped();
            run([&]() -> asio::awaitable<void> {
                sound_store t(fs.after(power_cut::any, seed), options_with(durability::stored), host.rebooted());
                auto a = co_await t.account("alice");
                auto const inbox = co_await bodies_of(a, "INBOX");
                auto const other = co_await bodies_of(a, "other");
                CHECK(inbox.size() + other.size() >= 9);
                for (auto const& text : {inbox, other}) CHECK((text == "" || text == "precious "));
            });
        }
    }
    CHECK(n > 10);
}

namespace {

// Does a thing again when it fails; a second try may find that the first one did it.
template <class Make>
asio::awaitable<void> stubbornly(Make make, errc done_before) {
    for (int tries = 0; tries < 3; ++tries) {
        auto const why = co_await failure_of(make());
        if (!why || (tries > 0 && why == done_before)) co_return;
    }
    FAIL("failed three times in a row");
}

}  // namespace

TEST_CASE("store: any call may fail once, and the next try of the same thing succeeds") {
    for (auto verb :
         {fs_verb::open, fs_verb::create, fs_verb::list, fs_verb::append, fs_verb::read, fs_verb::map, fs_verb::remove}) {
        bool reached = true;
        for (std::uint64_t nth = 1; reached; ++nth) {
            CAPTURE(nth);
            faulty_fs<> fs;
            auto const host = ticking_host(1);
            fs.faults().fail(verb, nth);
            run([&]() -> asio::awaitable<void> {
                faulty_store s(fs, options_with(durability::none), host);
                std::optional<typename faulty_store::account_type> account;
                auto const make = [&]() -> asio::awaitable<void> { account.emplace(co_await s.account("alice")); };
                co_await stubbornly(make, errc::exists);
                auto& a = *account;
                auto const create = [&] { return a.create("a/b"); };
                co_await stubbornly(create, errc::exists);
                std::optional<typename faulty_store::mailbox_type> box;
                auto const open = [&]() -> asio::awaitable<void> { box.emplace(co_await a.open("a/b")); };
                co_await stubbornly(open, errc::exists);
                for (int i = 0; i < 8; ++i) {
                    auto const append = [&] { return deliver(*box, "x"); };
                    co_await stubbornly(append, errc::exists);
                }
                auto const rename = [&] { return a.rename("a", "z"); };
                co_await stubbornly(rename, errc::not_found);
                auto const remove = [&] { return a.remove("z"); };
                co_await stubbornly(remove, errc::not_found);
            });
            reached = fs.faults().calls(verb) >= nth;
            run([&]() -> asio::awaitable<void> {
                sound_store t(fs.inner(), options_with(durability::none), host);
                auto a = co_await t.account("alice");
                auto const names = co_await names_of(a);
                CHECK(names == "INBOX [z] z/b");
                auto const text = co_await bodies_of(a, "z/b");
                CHECK(text.size() >= 16);
                CHECK(text.find('<') == std::string::npos);
            });
        }
    }
}

}  // namespace mailfs::test::store_faults_tests
