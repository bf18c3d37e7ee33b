// SPDX-License-Identifier: BSL-1.0
// Turns: coroutines of one executor enter a stretch of code one after another, in the order they came.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/wait.hpp>

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <algorithm>
#include <deque>
#include <system_error>

namespace mailfs::detail {

/// Not a lock between threads: all callers run on one executor. Usage, where the free case costs no coroutine:
///     if (!turns.try_take()) co_await turns.wait();
///     turn const mine(turns);
class turns {
public:
    bool try_take() noexcept { return taken_ ? false : (taken_ = true); }
    bool is_free() const noexcept { return !taken_; }

    /// Returns when the turn is the caller's. Cancellation throws operation_aborted, and the caller is out of the line.
    template <class = void>
    asio::awaitable<void> wait() {
        waiter self(line_, co_await asio::this_coro::executor);
        std::error_code ec;
        co_await detail::wait(self.wake, ec);
        if (self.mine) co_return;
        throw std::system_error(asio::error::operation_aborted);
    }

    void give_back() noexcept {
        taken_ = !line_.empty();
        if (!taken_) return;
        auto* const next = line_.front();
        line_.pop_front();
        next->mine = true;
        next->wake.cancel();
    }

private:
    // In line while it lives, unless it was called: a coroutine may be destroyed where it waits.
    struct waiter {
        template <class Executor>
        waiter(std::deque<waiter*>& l, Executor const& executor) : line(l), wake(executor, asio::steady_timer::time_point::max()) {
            line.push_back(this);
        }
        waiter(waiter const&) = delete;
        waiter& operator=(waiter const&) = delete;
        ~waiter() {
            if (!mine) line.erase(std::find(line.begin(), line.end(), this));
        }
        std::deque<waiter*>& line;
        asio::steady_timer wake;
        bool mine = false;
    };
    bool taken_ = false;
    std::deque<waiter*> line_;
};

/// Gives a turn back at the end of the block.
class turn {
public:
    explicit turn(turns& t) noexcept : turns_(t) {}
    ~turn() { turns_.give_back(); }
    turn(turn const&) = delete;
    turn& operator=(turn const&) = delete;

private:
    turns& turns_;
};

/// True until the end of the block.
class raised {
public:
    explicit raised(bool& flag) noexcept : flag_(flag) { flag_ = true; }
    ~raised() { flag_ = false; }
    raised(raised const&) = delete;
    raised& operator=(raised const&) = delete;

private:
    bool& flag_;
};

}  // namespace mailfs::detail
