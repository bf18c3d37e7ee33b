// SPDX-License-Identifier: BSL-1.0
#include <mailfs/fs/shared_sync.hpp>

#include <mailfs/error.hpp>

#include "support/run.hpp"

#include <asio/detached.hpp>
#include <asio/post.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <vector>

using namespace mailfs;

namespace {

/// Counts what a sync began with, takes its time over it, and fails when told to.
struct slow_file {
    struct mapping {
        std::span<std::byte> bytes() const { return {}; }
    };
    asio::awaitable<std::uint64_t> append(bytes_view bytes) { co_return std::exchange(appended, appended + bytes.size()); }
    asio::awaitable<std::size_t> read(std::uint64_t, std::span<std::byte>) { co_return 0; }
    asio::awaitable<std::uint64_t> size() { co_return appended; }
    asio::awaitable<mapping> map() { co_return mapping{}; }
    asio::awaitable<void> sync() {
        ++syncs;
        auto const covers = appended;
        auto const executor = co_await asio::this_coro::executor;
        asio::steady_timer timer(executor, std::chrono::milliseconds(5));
        co_await timer.async_wait(asio::use_awaitable);
        if (syncs == failing) throw error(errc::io, "slow", "the disk failed");
        durable = covers;
    }
    std::uint64_t appended = 0, durable = 0;
    int syncs = 0, failing = -1;
};

struct desk {
    slow_file file;
    shared_sync<slow_file> shared;
    int done = 0, failed = 0, aborted = 0, too_early = 0;

    asio::awaitable<void> write() {
        co_await file.append(as_bytes("x"));
        auto const needed = file.appended;
        try {
            co_await shared.sync(file);
            ++done;
            if (file.durable < needed) ++too_early;
        } catch (error const&) {
            ++failed;
        } catch (std::system_error const&) {
            ++aborted;
        }
    }
    asio::awaitable<void> settle(int count) {
        auto const executor = co_await asio::this_coro::executor;
        while (done + failed + aborted < count) {
            asio::steady_timer timer(executor, std::chrono::milliseconds(1));
            co_await timer.async_wait(asio::use_awaitable);
        }
    }
};

}  // namespace

TEST_CASE("shared_sync: a hundred callers at once cost two syncs, and none returns before its bytes are durable") {
    desk d;
    test::run([&]() -> asio::awaitable<void> {
        auto const executor = co_await asio::this_coro::executor;
        for (int n = 0; n < 100; ++n) asio::co_spawn(executor, d.write(), asio::detached);
        co_await d.settle(100);
    });
    CHECK(d.done == 100);
    CHECK(d.too_early == 0);
    CHECK(d.file.syncs == 2);
}

TEST_CASE("shared_sync: who comes while a sync runs is covered by the next one, not by that") {
    desk d;
    test::run([&]() -> asio::awaitable<void> {
        auto const executor = co_await asio::this_coro::executor;
        for (int n = 0; n < 50; ++n) {
            asio::co_spawn(executor, d.write(), asio::detached);
            asio::steady_timer timer(executor, std::chrono::microseconds(700));
            co_await timer.async_wait(asio::use_awaitable);
        }
        co_await d.settle(50);
    });
    CHECK(d.done == 50);
    CHECK(d.too_early == 0);
    CHECK(d.file.syncs < 30);
}

TEST_CASE("shared_sync: an error reaches each caller of its round and no other") {
    desk d;
    d.file.failing = 2;
    test::run([&]() -> asio::awaitable<void> {
        auto const executor = co_await asio::this_coro::executor;
        for (int n = 0; n < 10; ++n) asio::co_spawn(executor, d.write(), asio::detached);  // one in round 1, nine in round 2
        co_await d.settle(10);
        co_await d.write();
    });
    CHECK(d.failed == 9);
    CHECK(d.done == 2);
}

TEST_CASE("shared_sync: when idle it is bound to no executor, and can be used on another") {
    desk d;
    for (int round = 1; round <= 3; ++round)
        test::run([&]() -> asio::awaitable<void> {
            auto const executor = co_await asio::this_coro::executor;
            for (int n = 0; n < 10; ++n) asio::co_spawn(executor, d.write(), asio::detached);
            co_await d.settle(10 * round);
        });
    CHECK(d.done == 30);
    CHECK(d.file.syncs == 6);
}

TEST_CASE("shared_sync: cancelling a caller, even the one that carries the sync out, costs the others nothing") {
    desk d;
    test::run([&]() -> asio::awaitable<void> {
        auto const executor = co_await asio::this_coro::executor;
        std::vector<asio::cancellation_signal> stops(10);
        auto const count_aborted = [&](std::exception_ptr e) { d.aborted += e ? 1 : 0; };
        for (auto& stop : stops) asio::co_spawn(executor, d.write(), asio::bind_cancellation_slot(stop.slot(), count_aborted));
        for (int n = 0; n < 30; ++n) co_await asio::post(executor, asio::use_awaitable);
        CHECK(d.file.syncs == 1);
        stops[0].emit(asio::cancellation_type::terminal);  // carries round 1 out
        stops[1].emit(asio::cancellation_type::terminal);  // waits for round 2
        co_await d.settle(10);
        CHECK(d.file.durable == 10);
    });
    CHECK(d.aborted == 1);
    CHECK(d.failed == 0);
    CHECK(d.done == 9);
    CHECK(d.too_early == 0);
    CHECK(d.file.syncs == 2);
}
