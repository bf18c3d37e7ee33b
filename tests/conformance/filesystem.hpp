// SPDX-License-Identifier: BSL-1.0
// What every filesystem must do, said once. A model is a type with a member `fs`, clean when the model is made:
//
//     struct memory_model { memory_fs fs; };
//     MAILFS_FILESYSTEM_CONFORMANCE(memory_model);
//
// A model whose threads may still touch the io_context that they answered has a member settle(), which waits for them.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fs/filesystem.hpp>

#include "support/run.hpp"

#include <asio/awaitable.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <limits>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace mailfs::conformance {

template <class Model>
using fs_of = decltype(Model::fs);

/// The words of the cases: text in, text out, and files that must be there.
template <class Fs>
struct words {
    using file = typename Fs::file;
    Fs fs;

    asio::awaitable<bool> create(std::string_view path, std::string_view text = {}) {
        co_return co_await fs.create(path, as_bytes(text), durability::none);
    }
    asio::awaitable<file> open(std::string_view path) {
        auto found = co_await fs.open(path);
        if (!found) throw error(errc::not_found, path, "the test expects it");
        co_return std::move(*found);
    }
    asio::awaitable<bool> there(std::string_view path) {
        auto const found = co_await fs.open(path);
        co_return found.has_value();
    }
    asio::awaitable<std::string> text(std::string_view path) {
        auto opened = co_await open(path);
        co_return co_await text(opened);
    }
    static asio::awaitable<std::string> text(file& opened) {
        std::string all(static_cast<std::size_t>(co_await opened.size()), '\0');
        auto const buffer = std::as_writable_bytes(std::span(all));
        all.resize(co_await opened.read(0, buffer));
        co_return all;
    }
    static asio::awaitable<std::uint64_t> append(file& opened, std::string_view text) {
        co_return co_await opened.append(as_bytes(text));
    }
    asio::awaitable<std::vector<std::string>> list(std::string_view path) {
        auto names = co_await fs.list(path);
        std::sort(names.begin(), names.end());
        co_return names;
    }
};

/// The errc that an awaitable ends with; nothing when it succeeds.
template <class T>
asio::awaitable<std::optional<errc>> failure_of(asio::awaitable<T> work) {
    try {
        co_await std::move(work);
    } catch (error const& e) {
        co_return static_cast<errc>(e.code().value());
    }
    co_return std::nullopt;
}

template <class Model>
struct settle_at_end {
    Model& model;
    ~settle_at_end() {
        if constexpr (requires { model.settle(); }) model.settle();
    }
};

/// Runs `body(words)` on this model.
template <class Model, class Body>
auto on(Model& model, Body body) {
    words<fs_of<Model>> w{model.fs};
    using result = decltype(body(w));
    return test::run([&]() -> result {
        settle_at_end<Model> const guard{model};
        co_return co_await body(w);
    });
}

/// Runs `body(words)` on a clean model.
template <class Model, class Body>
void on_clean(Body body) {
    Model model;
    on(model, std::move(body));
}

/// Runs `body(words, thread)` on `count` threads, each with its own io_context and its own copy of the filesystem.
template <class Model, class Body>
void on_threads(Model& model, int count, Body body) {
    std::vector<std::exception_ptr> failures(static_cast<std::size_t>(count));
    std::vector<std::jthread> threads;
    for (int n = 0; n < count; ++n)
        threads.emplace_back([&, n] {
            try {
                on(model, [&](auto& w) { return body(w, n); });
            } catch (...) {
                failures[static_cast<std::size_t>(n)] = std::current_exception();
            }
        });
    threads.clear();
    for (auto const& failure : failures)
        if (failure) std::rethrow_exception(failure);
}

using names = std::vector<std::string>;

}  // namespace mailfs::conformance

namespace {  // doctest's cases have a name for each file that includes them

using namespace mailfs;
using namespace mailfs::conformance;

TEST_CASE_TEMPLATE_DEFINE("filesystem: what is not there opens as nothing", Model, fs_open_missing) {
    on_clean<Model>([](auto& w) -> asio::awaitable<void> {
        co_await w.create("a/file");
        auto const missing = co_await w.there("b");
        auto const below_missing = co_await w.there("b/c");
        auto const below_file = co_await w.there("a/file/c");
        CHECK_FALSE(missing);
        CHECK_FALSE(below_missing);
        CHECK_FALSE(below_file);
    });
}

TEST_CASE_TEMPLATE_DEFINE("filesystem: create makes the whole file once, and then leaves it as it is", Model, fs_create_once) {
    for (auto const d : {durability::none, durability::stored})
        on_clean<Model>([d](auto& w) -> asio::awaitable<void> {
            auto const first = co_await w.fs.create("log", as_bytes("abc"), d);
            auto const second = co_await w.fs.create("log", as_bytes("xyz123"), d);
            auto const text = co_await w.text("log");
            CHECK(first);
            CHECK_FALSE(second);
            CHECK(text == "abc");
            auto const empty = co_await w.fs.create("empty", {}, d);
            auto const nothing = co_await w.text("empty");
            CHECK(empty);
            CHECK(nothing.empty());
        });
}

TEST_CASE_TEMPLATE_DEFINE("filesystem: create makes the directories above the file", Model, fs_create_directories) {
    for (auto const d : {durability::none, durability::stored})
        on_clean<Model>([d](auto& w) -> asio::awaitable<void> {
            auto const deep = co_await w.fs.create("a/b/c/log", as_bytes("deep"), d);
            auto const beside = co_await w.fs.create("a/b/log", as_bytes("beside"), d);
            auto const deep_text = co_await w.text("a/b/c/log");
            auto const in_a = co_await w.list("a");
            auto const in_b = co_await w.list("a/b");
            CHECK((deep && beside));
            CHECK(deep_text == "deep");
            CHECK(in_a == names{"b"});
            CHECK(in_b == names{"c", "log"});
        });
}

TEST_CASE_TEMPLATE_DEFINE("filesystem: a directory has its name to itself, and a file is none", Model, fs_directory_names) {
    on_clean<Model>([](auto& w) -> asio::awaitable<void> {
        co_await w.create("a/b/log");
        auto const over_directory = co_await w.create("a/b", "x");
        CHECK_FALSE(over_directory);
        auto const below_file = co_await failure_of(w.create("a/b/log/c", "x"));
        CHECK(below_file == errc::not_found);
        auto const opened = co_await failure_of(w.there("a/b"));
        CHECK(opened == errc::io);
    });
}

TEST_CASE_TEMPLATE_DEFINE("append_file: append says where the bytes begin", Model, fs_append_offset) {
    on_clean<Model>([](auto& w) -> asio::awaitable<void> {
        co_await w.create("log", "head");
        auto one = co_await w.open("log");
        auto two = co_await w.open("log");
        auto const at_one = co_await w.append(one, "abc");
        auto const at_two = co_await w.append(two, "defgh");
        auto const at_nothing = co_await w.append(one, "");
        auto const at_three = co_await w.append(one, "i");
        auto const text = co_await w.text("log");
        CHECK(at_one == 4);
        CHECK(at_two == 7);
        CHECK(at_nothing == 12);
        CHECK(at_three == 12);
        CHECK(text == "headabcdefghi");
    });
}

TEST_CASE_TEMPLATE_DEFINE("append_file: size counts what was appended, by anyone", Model, fs_append_size) {
    on_clean<Model>([](auto& w) -> asio::awaitable<void> {
        co_await w.create("log");
        auto one = co_await w.open("log");
        auto two = co_await w.open("log");
        auto const empty = co_await one.size();
        co_await w.append(two, "abc");
        co_await w.append(two, "");
        auto const size = co_await one.size();
        CHECK(empty == 0);
        CHECK(size == 3);
    });
}

TEST_CASE_TEMPLATE_DEFINE("append_file: read is short only at the end", Model, fs_read_short) {
    on_clean<Model>([](auto& w) -> asio::awaitable<void> {
        co_await w.create("log", "0123456789");
        auto file = co_await w.open("log");
        std::vector<std::byte> buffer(4);
        auto const read = [&](std::uint64_t offset) { return file.read(offset, buffer); };
        auto const inside = co_await read(3);
        CHECK(inside == 4);
        CHECK(as_text(buffer) == "3456");
        auto const over_end = co_await read(8);
        CHECK(over_end == 2);
        CHECK(as_text(buffer).substr(0, 2) == "89");
        auto const at_end = co_await read(10);
        auto const behind = co_await read(11);
        auto const far_behind = co_await read(std::numeric_limits<std::uint64_t>::max());
        auto const farther = co_await read(std::numeric_limits<std::uint64_t>::max() / 2 - 1);
        CHECK(at_end == 0);
        CHECK(behind == 0);
        CHECK(far_behind == 0);
        CHECK(farther == 0);
        auto const nothing = co_await file.read(0, {});
        CHECK(nothing == 0);
    });
}

TEST_CASE_TEMPLATE_DEFINE("append_file: sync completes, as often as asked", Model, fs_sync) {
    on_clean<Model>([](auto& w) -> asio::awaitable<void> {
        co_await w.create("log", "abc");
        auto file = co_await w.open("log");
        co_await file.sync();
        co_await w.append(file, "def");
        co_await file.sync();
        co_await file.sync();
        auto const text = co_await w.text("log");
        CHECK(text == "abcdef");
    });
}

TEST_CASE_TEMPLATE_DEFINE("file_mapping: holds the file as it was, outlives it, and writing to it changes no file", Model, fs_map) {
    Model model;
    auto mapping = on(model, [](auto& w) -> asio::awaitable<typename fs_of<Model>::file::mapping> {
        co_await w.create("log", "abcdef");
        auto file = co_await w.open("log");
        auto mine = co_await file.map();
        CHECK(reinterpret_cast<std::uintptr_t>(mine.bytes().data()) % 64 == 0);
        mine.bytes()[0] = std::byte{'X'};
        co_await w.append(file, "ghi");
        auto const theirs = co_await file.map();
        auto const text = co_await w.text(file);
        CHECK(as_text(theirs.bytes()) == "abcdefghi");
        CHECK(text == "abcdefghi");
        co_await w.fs.remove("log");
        co_return mine;
    });
    CHECK(as_text(mapping.bytes()) == "Xbcdef");
    auto const moved = std::move(mapping);
    CHECK(as_text(moved.bytes()) == "Xbcdef");
    CHECK(mapping.bytes().empty());  // NOLINT: moved from, and said to be empty
}

TEST_CASE_TEMPLATE_DEFINE("file_mapping: of an empty file is empty", Model, fs_map_empty) {
    on_clean<Model>([](auto& w) -> asio::awaitable<void> {
        co_await w.create("log");
        auto file = co_await w.open("log");
        auto const mapping = co_await file.map();
        CHECK(mapping.bytes().empty());
    });
}

TEST_CASE_TEMPLATE_DEFINE("filesystem: list names what is directly in a directory", Model, fs_list) {
    on_clean<Model>([](auto& w) -> asio::awaitable<void> {
        auto const nothing_yet = co_await w.list("");
        CHECK(nothing_yet.empty());
        for (auto const path : {"b", "a/log.1", "a/log.2", "a/deep/er/x", "a.b/y", "ab/z"}) co_await w.create(path);
        auto const root = co_await w.list("");
        auto const below = co_await w.list("a");
        auto const missing = co_await w.list("a/none");
        CHECK(root == names{"a", "a.b", "ab", "b"});
        CHECK(below == names{"deep", "log.1", "log.2"});
        CHECK(missing.empty());
        auto const of_file = co_await failure_of(w.list("b"));
        CHECK(of_file == errc::not_found);
    });
}

TEST_CASE_TEMPLATE_DEFINE("filesystem: a name is bytes, up to 255 of them", Model, fs_names) {
    on_clean<Model>([](auto& w) -> asio::awaitable<void> {
        names all{" ", "...", ".hidden", "-rf", "\\", "\xff\xfe", "a\nb", "Ünïcode", std::string(255, 'x')};
        std::sort(all.begin(), all.end());
        for (auto const& name : all) co_await w.create(name, name);
        auto const listed = co_await w.list("");
        CHECK(listed == all);
        for (auto const& name : all) {
            auto const text = co_await w.text(name);
            CHECK(text == name);
        }
    });
}

TEST_CASE_TEMPLATE_DEFINE("filesystem: remove disturbs nobody who has the file open", Model, fs_remove) {
    on_clean<Model>([](auto& w) -> asio::awaitable<void> {
        co_await w.create("a/log", "old");
        auto old = co_await w.open("a/log");
        auto const removed = co_await w.fs.remove("a/log");
        auto const again = co_await w.fs.remove("a/log");
        auto const still = co_await w.there("a/log");
        CHECK(removed);
        CHECK_FALSE(again);
        CHECK_FALSE(still);
        auto const made_anew = co_await w.create("a/log", "new");
        CHECK(made_anew);
        auto const offset = co_await w.append(old, "er");
        co_await old.sync();
        auto const old_text = co_await w.text(old);
        auto const mapping = co_await old.map();
        auto const new_text = co_await w.text("a/log");
        CHECK(offset == 3);
        CHECK(old_text == "older");
        CHECK(as_text(mapping.bytes()) == "older");
        CHECK(new_text == "new");
    });
}

TEST_CASE_TEMPLATE_DEFINE("filesystem: remove takes a directory once it is empty", Model, fs_remove_directory) {
    on_clean<Model>([](auto& w) -> asio::awaitable<void> {
        co_await w.create("a/b/log", "kept");
        auto const full = co_await w.fs.remove("a");
        auto const full_below = co_await w.fs.remove("a/b");
        auto const kept = co_await w.text("a/b/log");
        CHECK_FALSE(full);
        CHECK_FALSE(full_below);
        CHECK(kept == "kept");
        auto const file = co_await w.fs.remove("a/b/log");
        auto const below = co_await w.fs.remove("a/b");
        auto const above = co_await w.fs.remove("a");
        auto const again = co_await w.fs.remove("a");
        CHECK((file && below && above));
        CHECK_FALSE(again);
        auto const made_anew = co_await w.fs.create("a/b/log", {}, durability::stored);
        CHECK(made_anew);
    });
}

TEST_CASE_TEMPLATE_DEFINE("filesystem: a link is a name like the first, and takes no other's place", Model, fs_link) {
    on_clean<Model>([](auto& w) -> asio::awaitable<void> {
        if constexpr (linking_filesystem<std::remove_cvref_t<decltype(w.fs)>>) {
            for (auto const d : {durability::none, durability::stored}) {
                std::string const from = d == durability::stored ? "s/whole" : "n/whole", to = "far/below/" + from, other = "far/" + from;
                co_await w.fs.create(from, as_bytes("the bytes"), d);
                co_await w.create(other, "other");
                auto const linked = co_await w.fs.link(from, to, d);
                auto const again = co_await w.fs.link(from, to, d);
                auto const over = co_await w.fs.link(from, other, d);
                auto const onto_directory = co_await w.fs.link(from, "far/below", d);
                auto const of_nothing = co_await w.fs.link(from + "-not", to + "-not", d);
                CHECK(linked);
                CHECK_FALSE((again || over || onto_directory || of_nothing));
                auto const there = co_await w.text(to), untouched = co_await w.text(other);
                CHECK(there == "the bytes");
                CHECK(untouched == "other");
                auto const removed = co_await w.fs.remove(from);
                auto const gone = !co_await w.there(from);
                auto const left = co_await w.text(to);
                CHECK((removed && gone));
                CHECK(left == "the bytes");
                auto const third = co_await w.fs.link(to, from, d);
                CHECK(third);
            }
        }
    });
}

TEST_CASE_TEMPLATE_DEFINE("filesystem: copies share the tree", Model, fs_copies) {
    on_clean<Model>([](auto& w) -> asio::awaitable<void> {
        auto copy = w.fs;
        co_await w.create("log", "abc");
        auto const made_twice = co_await copy.create("log", as_bytes("x"), durability::none);
        auto const removed = co_await copy.remove("log");
        auto const there = co_await w.there("log");
        CHECK_FALSE(made_twice);
        CHECK(removed);
        CHECK_FALSE(there);
    });
}

TEST_CASE_TEMPLATE_DEFINE("append_file: megabytes come back as they went in", Model, fs_large) {
    on_clean<Model>([](auto& w) -> asio::awaitable<void> {
        std::string large(3'000'000, '\0');
        for (std::size_t n = 0; n < large.size(); ++n) large[n] = static_cast<char>(n * 2'654'435'761U >> 13U);
        co_await w.fs.create("log", as_bytes(large), durability::stored);
        auto file = co_await w.open("log");
        auto const offset = co_await w.append(file, large);
        auto const text = co_await w.text(file);
        CHECK(offset == large.size());
        CHECK((text == large + large));
    });
}

TEST_CASE_TEMPLATE_DEFINE("append_file: appends of many threads never tear, and each learns its own offset", Model, fs_appenders) {
    constexpr int threads = 4, rounds = 60;
    struct entry {
        std::uint64_t offset;
        std::string text;
    };
    Model model;
    std::vector<std::vector<entry>> wrote(threads);
    on(model, [](auto& w) { return w.create("a/log"); });
    on_threads(model, threads, [&](auto& w, int thread) -> asio::awaitable<void> {
        auto file = co_await w.open("a/log");
        for (int n = 0; n < rounds; ++n) {
            auto const size = static_cast<std::size_t>(64 + (n * 7919 + thread * 104'729) % (n % 8 == 0 ? 200'000 : 3000));
            std::string text(size, static_cast<char>('a' + thread));
            text.back() = '\n';
            auto const offset = co_await w.append(file, text);
            wrote[static_cast<std::size_t>(thread)].push_back({offset, std::move(text)});
        }
    });
    auto const all = on(model, [](auto& w) { return w.text("a/log"); });
    std::size_t total = 0, whole = 0;
    for (auto const& entries : wrote)
        for (auto const& e : entries) {
            total += e.text.size();
            if (std::string_view(all).substr(static_cast<std::size_t>(e.offset)).starts_with(e.text)) ++whole;
        }
    CHECK(total == all.size());
    CHECK(whole == threads * rounds);
}

TEST_CASE_TEMPLATE_DEFINE("filesystem: of many who create one name exactly one wins, and all see its bytes", Model, fs_create_race) {
    constexpr int threads = 4, rounds = 25;
    Model model;
    std::vector<names> winners(rounds);
    std::mutex mutex;
    int wrong_bytes = 0;
    on_threads(model, threads, [&](auto& w, int thread) -> asio::awaitable<void> {
        for (std::size_t n = 0; n < rounds; ++n) {
            auto const path = "d" + std::to_string(n) + "/log";
            auto const mine = std::string(1000, static_cast<char>('a' + thread));
            auto const d = thread == 0 ? durability::stored : durability::none;
            auto const won = co_await w.fs.create(path, as_bytes(mine), d);
            auto const text = co_await w.text(path);
            std::scoped_lock const lock(mutex);
            if (won) winners[n].push_back(mine);
            if (text != std::string(1000, text[0]) || (won && text != mine)) ++wrong_bytes;
        }
    });
    CHECK(std::all_of(winners.begin(), winners.end(), [](auto const& w) { return w.size() == 1; }));
    CHECK(wrong_bytes == 0);
}

TEST_CASE_TEMPLATE_DEFINE("filesystem: files are made while their directory is removed again and again", Model, fs_vanishing_directory) {
    Model model;
    std::atomic<int> made{0}, busy{0};
    on_threads(model, 2, [&](auto& w, int thread) -> asio::awaitable<void> {
        for (int n = 0; n < 60; ++n) {
            if (thread == 1) {
                co_await w.fs.remove("a/b");
                co_await w.fs.remove("a");
                continue;
            }
            auto const why = co_await failure_of(w.create("a/b/log", "x"));
            if (!why) co_await w.fs.remove("a/b/log");
            ++(why ? busy : made);
            CHECK((!why || why == errc::busy));
        }
    });
    CHECK(made > 0);
}

/// Waits for one change while another thread makes it.
template <class Model, class Change>
void wakes_for(Change change) {
    Model model;
    on(model, [&](auto& w) -> asio::awaitable<void> {
        co_await w.create("box/log", "abc");
        co_await w.create("box/sub/x");
        auto watch = co_await w.fs.watch_directory("box");
        std::jthread const other([&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            on(model, change);
        });
        co_await watch.changed();  // test::run() says so when it never comes
    });
}

TEST_CASE_TEMPLATE_DEFINE("watch: wakes when a file grew, appeared or went", Model, fs_watch_wakes) {
    wakes_for<Model>([](auto& w) -> asio::awaitable<void> {
        auto file = co_await w.open("box/log");
        co_await w.append(file, "more");
    });
    wakes_for<Model>([](auto& w) -> asio::awaitable<void> { co_await w.create("box/new"); });
    wakes_for<Model>([](auto& w) -> asio::awaitable<void> { co_await w.fs.remove("box/log"); });
}

TEST_CASE_TEMPLATE_DEFINE("watch: what happened before the call wakes it, and once", Model, fs_watch_pending) {
    on_clean<Model>([](auto& w) -> asio::awaitable<void> {
        co_await w.create("box/log");
        auto made = co_await w.fs.watch_directory("box");
        auto watch = std::move(made);
        auto file = co_await w.open("box/log");
        for (int n = 0; n < 100; ++n) co_await w.append(file, "x");
        co_await watch.changed();
        co_await w.append(file, "y");
        co_await watch.changed();

        co_await w.create("elsewhere/log");  // nothing in the box: the next call waits until it is cancelled
        asio::cancellation_signal stop;
        auto const executor = co_await asio::this_coro::executor;
        std::optional<std::exception_ptr> ended;
        asio::co_spawn(executor, watch.changed(),
                       asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr e) { ended = std::move(e); }));
        for (int n = 0; n < 10; ++n) co_await asio::post(executor, asio::use_awaitable);
        CHECK_FALSE(ended.has_value());
        stop.emit(asio::cancellation_type::terminal);
        for (int n = 0; n < 1000 && !ended; ++n) co_await asio::post(executor, asio::use_awaitable);
        REQUIRE(ended.has_value());
        CHECK_THROWS_AS(std::rethrow_exception(*ended), std::system_error);

        co_await w.append(file, "z");  // and it can be used on
        co_await watch.changed();
    });
}

TEST_CASE_TEMPLATE_DEFINE("watch: a missing directory is not found, and one that goes says so", Model, fs_watch_gone) {
    on_clean<Model>([](auto& w) -> asio::awaitable<void> {
        auto const missing = co_await failure_of(w.fs.watch_directory("none"));
        CHECK(missing == errc::not_found);
        co_await w.create("box/log");
        auto watch = co_await w.fs.watch_directory("box");
        co_await w.fs.remove("box/log");
        co_await w.fs.remove("box");
        std::optional<errc> gone;
        for (int n = 0; n < 10 && !gone; ++n) gone = co_await failure_of(watch.changed());
        CHECK(gone == errc::not_found);
    });
}

}  // namespace

// One invocation for each case: doctest names them by the case and the model.
#define MAILFS_FILESYSTEM_CONFORMANCE(...)                              \
    TEST_CASE_TEMPLATE_INVOKE(fs_open_missing, __VA_ARGS__);            \
    TEST_CASE_TEMPLATE_INVOKE(fs_create_once, __VA_ARGS__);             \
    TEST_CASE_TEMPLATE_INVOKE(fs_create_directories, __VA_ARGS__);      \
    TEST_CASE_TEMPLATE_INVOKE(fs_directory_names, __VA_ARGS__);         \
    TEST_CASE_TEMPLATE_INVOKE(fs_append_offset, __VA_ARGS__);           \
    TEST_CASE_TEMPLATE_INVOKE(fs_append_size, __VA_ARGS__);             \
    TEST_CASE_TEMPLATE_INVOKE(fs_read_short, __VA_ARGS__);              \
    TEST_CASE_TEMPLATE_INVOKE(fs_sync, __VA_ARGS__);                    \
    TEST_CASE_TEMPLATE_INVOKE(fs_map, __VA_ARGS__);                     \
    TEST_CASE_TEMPLATE_INVOKE(fs_map_empty, __VA_ARGS__);               \
    TEST_CASE_TEMPLATE_INVOKE(fs_list, __VA_ARGS__);                    \
    TEST_CASE_TEMPLATE_INVOKE(fs_names, __VA_ARGS__);                   \
    TEST_CASE_TEMPLATE_INVOKE(fs_remove, __VA_ARGS__);                  \
    TEST_CASE_TEMPLATE_INVOKE(fs_remove_directory, __VA_ARGS__);        \
    TEST_CASE_TEMPLATE_INVOKE(fs_link, __VA_ARGS__);                    \
    TEST_CASE_TEMPLATE_INVOKE(fs_copies, __VA_ARGS__);                  \
    TEST_CASE_TEMPLATE_INVOKE(fs_large, __VA_ARGS__);                   \
    TEST_CASE_TEMPLATE_INVOKE(fs_appenders, __VA_ARGS__);               \
    TEST_CASE_TEMPLATE_INVOKE(fs_create_race, __VA_ARGS__);             \
    TEST_CASE_TEMPLATE_INVOKE(fs_vanishing_directory, __VA_ARGS__)

// The same for watchable_filesystem.
#define MAILFS_WATCH_CONFORMANCE(...)                                   \
    TEST_CASE_TEMPLATE_INVOKE(fs_watch_wakes, __VA_ARGS__);             \
    TEST_CASE_TEMPLATE_INVOKE(fs_watch_pending, __VA_ARGS__);           \
    TEST_CASE_TEMPLATE_INVOKE(fs_watch_gone, __VA_ARGS__)
