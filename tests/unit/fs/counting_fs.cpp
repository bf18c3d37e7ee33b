// SPDX-License-Identifier: BSL-1.0
#include <mailfs/fs/counting_fs.hpp>

#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/fs/posix_fs.hpp>

#include "conformance/filesystem.hpp"
#include "support/run.hpp"

#include <doctest/doctest.h>

namespace {

struct counting_model {
    counting_fs<memory_fs> fs;
};
struct counting_posix_model {
    test::temporary_directory root;
    counting_fs<posix_fs> fs{posix_fs(root.path())};
};

}  // namespace

MAILFS_FILESYSTEM_CONFORMANCE(counting_model, counting_posix_model);
MAILFS_WATCH_CONFORMANCE(counting_model, counting_posix_model);

TEST_CASE("counting_fs: copies and files count together, calls and bytes") {
    words<counting_fs<memory_fs>> w;
    auto copy = w.fs;
    auto const& counts = copy.counts();
    test::run([&]() -> asio::awaitable<void> {
        co_await w.create("a/log", "abc");
        co_await copy.create("a/log", as_bytes("twelve bytes"), durability::none);  // in vain, and counted
        auto file = co_await w.open("a/log");
        co_await w.append(file, "defg");
        std::byte buffer[10];
        auto const got = co_await file.read(0, buffer);
        co_await file.size();
        co_await file.sync();
        co_await file.map();
        co_await w.list("");
        auto const watch = co_await copy.watch_directory("a");
        co_await w.fs.remove("a/log");
        auto const missing = co_await failure_of(w.fs.watch_directory("none"));
        CHECK(got == 7);
        CHECK(missing == errc::not_found);
    });
    CHECK(counts.create == 2);
    CHECK(counts.bytes_created == 15);
    CHECK(counts.bytes_appended == 4);
    CHECK(counts.bytes_read == 7);
    for (auto const* const once : {&counts.open, &counts.append, &counts.read, &counts.size, &counts.sync, &counts.map, &counts.list, &counts.remove})
        CHECK(*once == 1);
    CHECK(counts.watch == 2);
    CHECK(counts.calls() == 12);
    copy.counts().reset();
    CHECK(counts.calls() == 0);
    CHECK(counts.bytes_read == 0);
}
