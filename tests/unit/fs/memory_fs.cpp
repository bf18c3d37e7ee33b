// SPDX-License-Identifier: BSL-1.0
#include <mailfs/fs/memory_fs.hpp>

#include "conformance/filesystem.hpp"
#include "support/run.hpp"

#include <doctest/doctest.h>

namespace {
struct memory_model {
    memory_fs fs;
};
}  // namespace

MAILFS_FILESYSTEM_CONFORMANCE(memory_model);
MAILFS_WATCH_CONFORMANCE(memory_model);

TEST_CASE("memory_fs: a test can look at the bytes, damage them under open hands, and branch the tree") {
    memory_fs fs;
    test::run([&]() -> asio::awaitable<void> {
        co_await fs.create("a/log", as_bytes("abc"), durability::none);
        auto file = co_await fs.open("a/log");
        auto branch = fs.clone();
        fs.put("a/log", as_bytes("aXc!"));
        fs.put("a/new", as_bytes("new"));
        auto const size = co_await file->size();
        CHECK(size == 4);
        CHECK(as_text(fs.bytes_of("a/log")) == "aXc!");
        CHECK(as_text(branch.bytes_of("a/log")) == "abc");
        CHECK(as_text(fs.bytes_of("a/new")) == "new");
        CHECK(branch.paths() == std::vector<std::string>{"a/log"});
        CHECK_THROWS_AS(fs.bytes_of("none"), error);
    });
}
