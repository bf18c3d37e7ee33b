// SPDX-License-Identifier: BSL-1.0
#include <mailfs/fs/faulty_fs.hpp>

#include <mailfs/fs/posix_fs.hpp>

#include "conformance/filesystem.hpp"
#include "support/run.hpp"

#include <doctest/doctest.h>

#include <set>

namespace {

struct faulty_model {
    faulty_fs<> fs;
};
struct faulty_posix_model {
    test::temporary_directory root;
    faulty_fs<posix_fs> fs{posix_fs(root.path())};
};

using faulty_words = words<faulty_fs<>>;

/// Runs a coroutine over a clean faulty_fs.
template <class Body>
void with_faults(Body body) {
    faulty_words w;
    test::run([&] { return body(w, w.fs.faults()); });
}

std::string text_in(memory_fs const& fs, std::string_view path) { return std::string(as_text(fs.bytes_of(path))); }

}  // namespace

MAILFS_FILESYSTEM_CONFORMANCE(faulty_model, faulty_posix_model);
MAILFS_WATCH_CONFORMANCE(faulty_model, faulty_posix_model);

TEST_CASE("faulty_fs: the chosen call fails with the chosen error, does nothing, and the next one works") {
    with_faults([](auto& w, auto& faults) -> asio::awaitable<void> {
        co_await w.create("log", "abc");
        auto file = co_await w.open("log");
        faults.fail(fs_verb::append, 2, errc::no_space);
        co_await w.append(file, "d");
        auto const append = co_await failure_of(w.append(file, "e"));
        auto const offset = co_await w.append(file, "f");
        CHECK(append == errc::no_space);
        CHECK(offset == 4);
        faults.fail(fs_verb::create, 1, errc::denied);
        auto const create = co_await failure_of(w.create("new"));
        auto const there = co_await w.there("new");
        CHECK(create == errc::denied);
        CHECK_FALSE(there);
        faults.fail(fs_verb::remove, 1);
        auto const remove = co_await failure_of(w.fs.remove("log"));
        CHECK(remove == errc::io);
        for (auto const verb : {fs_verb::open, fs_verb::list, fs_verb::watch, fs_verb::read, fs_verb::size, fs_verb::map})
            faults.fail(verb, 1, errc::io);
        std::byte buffer[4];
        auto const open = co_await failure_of(w.there("log"));
        auto const list = co_await failure_of(w.list(""));
        auto const watch = co_await failure_of(w.fs.watch_directory(""));
        auto const read = co_await failure_of(file.read(0, buffer));
        auto const size = co_await failure_of(file.size());
        auto const map = co_await failure_of(file.map());
        for (auto const& why : {open, list, watch, read, size, map}) CHECK(why == errc::io);
        auto const text = co_await w.text("log");
        CHECK(text == "abcdf");
    });
}

TEST_CASE("faulty_fs: an append is torn where told, and an answer can be lost") {
    with_faults([](auto& w, auto& faults) -> asio::awaitable<void> {
        co_await w.create("log", "abc");
        auto file = co_await w.open("log");
        faults.tear(1, 2);
        faults.lose_answer(fs_verb::append, 2);
        faults.lose_answer(fs_verb::create, 1);
        auto const torn = co_await failure_of(w.append(file, "12345"));
        auto const lost = co_await failure_of(w.append(file, "xyz"));
        auto const made = co_await failure_of(w.create("new", "whole"));
        auto const text = co_await w.text("log");
        auto const made_text = co_await w.text("new");
        CHECK(torn == errc::no_space);
        CHECK(lost == errc::may_have_happened);
        CHECK(made == errc::may_have_happened);
        CHECK(text == "abc12xyz");
        CHECK(made_text == "whole");
    });
}

TEST_CASE("faulty_fs: a read can be short") {
    with_faults([](auto& w, auto& faults) -> asio::awaitable<void> {
        co_await w.create("log", "abcdef");
        auto file = co_await w.open("log");
        faults.shorten(1, 2);
        auto const head = co_await w.text(file);
        auto const all = co_await w.text(file);
        CHECK(head == "ab");
        CHECK(all == "abcdef");
    });
}

TEST_CASE("faulty_fs: on a full disk an append leaves its head and a create nothing, until there is room") {
    with_faults([](auto& w, auto& faults) -> asio::awaitable<void> {
        co_await w.create("log");
        auto file = co_await w.open("log");
        faults.disk_full_after(5);
        co_await w.append(file, "abc");
        auto const create = co_await failure_of(w.create("new", "abc"));
        auto const append = co_await failure_of(w.append(file, "def"));
        auto const nothing_left = co_await failure_of(w.append(file, "g"));
        auto const there = co_await w.there("new");
        auto const text = co_await w.text(file);
        CHECK(create == errc::no_space);
        CHECK(append == errc::no_space);
        CHECK(nothing_left == errc::no_space);
        CHECK_FALSE(there);
        CHECK(text == "abcde");
        faults.disk_has_room();
        co_await w.append(file, "fgh");
        auto const more = co_await w.text(file);
        CHECK(more == "abcdefgh");
    });
}

TEST_CASE("faulty_fs: a sync that failed once fails for ever on that file object") {
    with_faults([](auto& w, auto& faults) -> asio::awaitable<void> {
        co_await w.create("log");
        auto file = co_await w.open("log");
        faults.fail(fs_verb::sync, 1);
        auto const first = co_await failure_of(file.sync());
        auto const second = co_await failure_of(file.sync());
        CHECK(first == errc::io);
        CHECK(second == errc::io);
        auto another = co_await w.open("log");
        co_await another.sync();
    });
}

TEST_CASE("faulty_fs: stopped at any call, all later ones fail and reach nothing; the whole run is gone through") {
    std::uint64_t n = 1;
    std::set<std::string> found;
    for (bool stopped = true; stopped && n < 100; ++n) {
        faulty_words w;
        w.fs.faults().stop_at(n, n);
        auto const end = test::run([&]() -> asio::awaitable<std::optional<errc>> {
            return failure_of([](faulty_words& in) -> asio::awaitable<void> {
                co_await in.create("log", "a");
                auto file = co_await in.open("log");
                co_await in.append(file, "bcdefgh");
                co_await file.sync();
                co_await in.append(file, "ijk");
                co_await in.fs.remove("log");
            }(w));
        });
        stopped = w.fs.faults().stopped();
        if (stopped) CHECK(end == errc::closed);
        else CHECK_FALSE(end.has_value());
        auto const before = w.fs.inner().paths();
        if (!before.empty()) found.insert(text_in(w.fs.inner(), "log"));
        if (!stopped) continue;
        auto const later = test::run([&] { return failure_of(w.create("later")); });
        CHECK(later == errc::closed);
        CHECK(w.fs.inner().paths() == before);
    }
    CHECK(n == 8);  // six calls, and the run that was not stopped
    CHECK(found.size() >= 3);
    for (auto const& text : found) CHECK(std::string_view("abcdefghijk").starts_with(text));
}

TEST_CASE("faulty_fs: the same seed stops in the same way, and another one in another") {
    auto const run_with = [](std::uint64_t seed) {
        faulty_words w;
        w.fs.faults().stop_at(3, seed);
        test::run([&]() -> asio::awaitable<void> {
            co_await w.create("log");
            auto file = co_await w.open("log");
            co_await failure_of(w.append(file, std::string(1000, 'x')));
        });
        return w.fs.inner().bytes_of("log").size();
    };
    CHECK(run_with(7) == run_with(7));
    CHECK(run_with(7) != run_with(8));
}

TEST_CASE("power_cut: what was synced, or created as stored, is there whatever the cut") {
    with_faults([](auto& w, auto&) -> asio::awaitable<void> {
        co_await w.fs.create("stored", as_bytes("abc"), durability::stored);
        co_await w.create("d/synced", "abc");
        auto file = co_await w.open("d/synced");
        co_await w.append(file, "def");
        co_await file.sync();
        co_await w.append(file, "unsynced");
        for (int how = 0; how <= static_cast<int>(power_cut::any); ++how)
            for (std::uint64_t seed = 0; seed < 50; ++seed) {
                auto const found = w.fs.after(static_cast<power_cut>(how), seed);
                CHECK(text_in(found, "stored") == "abc");
                CHECK(text_in(found, "d/synced").substr(0, 6) == "abcdef");
                CHECK(text_in(found, "d/synced").size() <= 14);
            }
        CHECK(text_in(w.fs.after(power_cut::lose_all, 0), "d/synced") == "abcdef");
        CHECK(text_in(w.fs.after(power_cut::keep_all, 0), "d/synced") == "abcdefunsynced");
    });
}

TEST_CASE("power_cut: names that were not synced may go, and removed ones may come back") {
    with_faults([](auto& w, auto&) -> asio::awaitable<void> {
        co_await w.fs.create("a/old", as_bytes("old"), durability::stored);
        co_await w.fs.remove("a/old");
        co_await w.create("a/new", "new");
        CHECK(w.fs.after(power_cut::lose_all, 0).paths() == names{"a/old"});
        CHECK(w.fs.after(power_cut::keep_all, 0).paths() == names{"a/new"});
        std::set<names> outcomes;
        for (std::uint64_t seed = 0; seed < 100; ++seed) outcomes.insert(w.fs.after(power_cut::cut, seed).paths());
        CHECK(outcomes.size() == 4);
        co_await w.fs.create("a/last", {}, durability::stored);  // syncs the directory
        CHECK(w.fs.after(power_cut::lose_all, 0).paths() == names{"a/last", "a/new"});
        CHECK(text_in(w.fs.after(power_cut::lose_all, 0), "a/new").empty());  // its name is kept, its bytes are not
    });
}

TEST_CASE("power_cut: each kind of damage comes about") {
    with_faults([](auto& w, auto&) -> asio::awaitable<void> {
        co_await w.fs.create("log", as_bytes("head"), durability::stored);
        auto file = co_await w.open("log");
        std::string const first(6000, 'x'), second(6000, 'y');
        co_await w.append(file, first);
        co_await w.append(file, second);
        auto const whole = "head" + first + second;
        int hole_before_kept = 0, torn = 0, lost_append = 0, random_bytes = 0, cut = 0;
        for (std::uint64_t seed = 0; seed < 200; ++seed) {
            auto const pages = text_in(w.fs.after(power_cut::pages, seed), "log");
            if (pages.size() == whole.size() && pages[5000] == '\0' && pages.back() == 'y') ++hole_before_kept;
            if (pages.size() % 4096 != 0 && pages.size() < whole.size()) ++torn;
            auto const appends = text_in(w.fs.after(power_cut::appends, seed), "log");
            if (appends == "head" + std::string(6000, '\0') + second) ++lost_append;
            auto const garbage = text_in(w.fs.after(power_cut::garbage, seed), "log");
            if (garbage.find_first_not_of("headxy") < 5000 && garbage[10] != '\0') ++random_bytes;
            auto const end = text_in(w.fs.after(power_cut::cut, seed), "log");
            if (whole.starts_with(end) && end.size() < whole.size()) ++cut;
            CHECK(text_in(w.fs.after(power_cut::pages, seed), "log") == pages);
        }
        CHECK(hole_before_kept > 5);
        CHECK(torn > 50);
        CHECK(lost_append > 5);
        CHECK(random_bytes > 50);
        CHECK(cut > 150);
    });
}

TEST_CASE("power_cut: what is found can be written to, and cut again") {
    faulty_words first;
    test::run([&]() -> asio::awaitable<void> {
        co_await first.fs.create("log", as_bytes("abc"), durability::stored);
        auto file = co_await first.open("log");
        co_await first.append(file, "lost");
    });
    faulty_words second{faulty_fs<>(first.fs.after(power_cut::lose_all, 0))};
    test::run([&]() -> asio::awaitable<void> {
        auto file = co_await second.open("log");
        auto const offset = co_await second.append(file, "def");
        CHECK(offset == 3);
        co_await file.sync();
    });
    CHECK(text_in(second.fs.after(power_cut::lose_all, 0), "log") == "abcdef");
}

TEST_CASE("faulty_fs: another process on the disk is stopped by itself, in the way that was asked for") {
    with_faults([](auto& w, auto&) -> asio::awaitable<void> {
        co_await w.fs.create("log", {}, durability::stored);
        auto const other = w.fs.another_process();
        other.faults().stop_at(2, 3, false);
        faulty_words theirs{other};
        auto file = co_await theirs.open("log");
        auto const why = co_await failure_of(theirs.append(file, "abcdef"));
        CHECK(why == errc::closed);
        CHECK(other.faults().stopped());
        CHECK(!w.fs.faults().stopped());
        auto mine = co_await w.open("log");
        auto const offset = co_await w.append(mine, "x");
        CHECK(offset == 3);
        CHECK(text_in(w.fs.after(power_cut::keep_all, 0), "log") == "abcx");
        CHECK(text_in(w.fs.after(power_cut::lose_all, 0), "log").empty());
        w.fs.faults().stop();
        auto const stopped = co_await failure_of(mine.sync());
        CHECK(stopped == errc::closed);
    });
}
