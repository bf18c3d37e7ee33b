// SPDX-License-Identifier: BSL-1.0
#include <mailfs/fs/change_watch.hpp>

#include <mailfs/fs/memory_fs.hpp>

#include "support/run.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string_view>

using namespace mailfs;

namespace {

/// A filesystem that has run out of watches.
struct watchless_fs : memory_fs {
    asio::awaitable<memory_fs::watch> watch_directory(std::string_view) {
        throw error(errc::io, "box", "no more watches");
        co_return co_await memory_fs::watch_directory("");
    }
};
static_assert(watchable_filesystem<watchless_fs>);

}  // namespace

TEST_CASE("change_watch: the first call returns at once, so that nothing before the watch is missed; the next waits for a change") {
    test::run([]() -> asio::awaitable<void> {
        memory_fs fs;
        co_await fs.create("box/a", {}, durability::none);
        change_watch<memory_fs> watch(fs, "box");
        co_await watch.changed();
        co_await fs.create("box/b", {}, durability::none);
        auto const begin = std::chrono::steady_clock::now();
        co_await watch.changed();
        CHECK(std::chrono::steady_clock::now() - begin < change_watch<memory_fs>::poll_interval);
    });
}

TEST_CASE("change_watch: polls when the backend has no watch left") {
    test::run([]() -> asio::awaitable<void> {
        change_watch<watchless_fs> watch(watchless_fs{}, "box");
        co_await watch.changed();
        auto const begin = std::chrono::steady_clock::now();
        co_await watch.changed();
        CHECK(std::chrono::steady_clock::now() - begin >= change_watch<watchless_fs>::poll_interval);
    });
}
