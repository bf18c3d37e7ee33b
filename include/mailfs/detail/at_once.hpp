// SPDX-License-Identifier: BSL-1.0
// Many pieces of work, some of them under way at a time.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/signal.hpp>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/this_coro.hpp>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <memory>
#include <system_error>
#include <utility>

namespace mailfs::detail {

/// What at_once() shares with those that work for it.
template <class F>
struct work_at_once {
    work_at_once(std::size_t n, F w) : count(n), work(std::move(w)) {}

    std::size_t count;
    F work;
    std::size_t next = 0;
    std::size_t running = 0;
    std::exception_ptr failure;
    signal ended;

    static asio::awaitable<void> run(std::shared_ptr<work_at_once> all) {
        while (all->next < all->count && !all->failure) {
            auto const n = all->next++;
            try {
                co_await all->work(n);
            } catch (...) {
                if (!all->failure) all->failure = std::current_exception();
            }
        }
        if (--all->running == 0) all->ended.raise();
    }
};

/// Calls work(0) to work(count - 1), which return asio::awaitable<void>, `most` at a time, and returns when all have ended; after
/// the first that throws no more are begun, and it throws that. What was begun is never cancelled: it may refer to what the caller has. One
/// alone is no coroutine of its own.
template <class F>
asio::awaitable<void> at_once(std::size_t count, std::size_t most, F work) {
    if (count <= 1 || most <= 1) {
        for (std::size_t n = 0; n < count; ++n) co_await work(n);
        co_return;
    }
    auto const executor = co_await asio::this_coro::executor;
    auto const throws = co_await asio::this_coro::throw_if_cancelled();
    auto const all = std::make_shared<work_at_once<F>>(count, std::move(work));
    all->running = std::min(count, most);
    for (auto n = all->running; n > 0; --n) asio::co_spawn(executor, work_at_once<F>::run(all), asio::detached);
    co_await asio::this_coro::throw_if_cancelled(false);
    while (all->running > 0) {
        try {
            co_await all->ended.wait();
        } catch (std::system_error const&) {  // cancelled: it waits all the same
        }
    }
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (all->failure) std::rethrow_exception(all->failure);
}

}  // namespace mailfs::detail
