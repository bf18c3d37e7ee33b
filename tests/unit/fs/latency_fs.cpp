// SPDX-License-Identifier: BSL-1.0
#include <mailfs/fs/latency_fs.hpp>

#include <mailfs/fs/memory_fs.hpp>

#include "conformance/filesystem.hpp"
#include "support/run.hpp"

#include <asio/detached.hpp>

#include <doctest/doctest.h>

#include <chrono>

namespace {

using namespace std::chrono_literals;

struct latency_model {
    latency_fs<memory_fs> fs{memory_fs(), fs_delays::all(20us)};
};

}  // namespace

MAILFS_FILESYSTEM_CONFORMANCE(latency_model);
MAILFS_WATCH_CONFORMANCE(latency_model);

TEST_CASE("latency_fs: a call takes its delay, and calls under way together take it once") {
    words<latency_fs<memory_fs>> w{latency_fs<memory_fs>(memory_fs(), {.read = 20ms})};
    test::run([&]() -> asio::awaitable<void> {
        auto const executor = co_await asio::this_coro::executor;
        auto const start = std::chrono::steady_clock::now();
        co_await w.create("log", "abc");
        auto file = co_await w.open("log");
        auto const undelayed = std::chrono::steady_clock::now() - start;
        int done = 0;
        auto const read_one = [&]() -> asio::awaitable<void> {
            std::byte buffer[3];
            done += static_cast<int>(co_await file.read(0, buffer));
        };
        for (int n = 0; n < 99; ++n) asio::co_spawn(executor, read_one(), asio::detached);
        co_await read_one();
        while (done < 300) co_await asio::post(executor, asio::use_awaitable);
        auto const all = std::chrono::steady_clock::now() - start;
        CHECK(undelayed < 20ms);
        CHECK(all >= 20ms);
        CHECK(all < 1s);  // one after the other would be two
    });
    CHECK(latency_fs<memory_fs>::traits.read_latency == latency::network);
}
