// SPDX-License-Identifier: BSL-1.0
// Coroutines of one executor that must do something one after another, in the order in which they came.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/wait.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/error_code.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <algorithm>
#include <deque>
#include <utility>

namespace mailfs::detail {

/// Belongs to one executor, outlives all turns. Costs nothing where nobody waits. A coroutine that is cancelled or
/// destroyed while it waits or has its turn gives its place to the next.
class turn_queue {
public:
    /// Held while it is one's turn.
    class turn {
    public:
        explicit turn(turn_queue& queue) noexcept : queue_(&queue) {}
        turn(turn&& other) noexcept : queue_(std::exchange(other.queue_, nullptr)) {}
        turn& operator=(turn&&) = delete;
        ~turn() {
            if (queue_) queue_->pass_on();
        }

    private:
        turn_queue* queue_;
    };

    turn_queue() = default;
    turn_queue(turn_queue const&) = delete;
    turn_queue& operator=(turn_queue const&) = delete;

    template <class = void>
    asio::awaitable<turn> take() {
        if (!std::exchange(taken_, true)) co_return turn(*this);
        auto const executor = co_await asio::this_coro::executor;
        place mine(*this, executor);
        while (!mine.called) {
            asio::error_code woken;
            co_await detail::wait(mine.bell, woken);
        }
        mine.called = false;  // from here the turn answers for it
        co_return turn(*this);
    }

private:
    struct place {
        place(turn_queue& in, asio::any_io_executor const& executor)
            : queue(in), bell(executor, asio::steady_timer::time_point::max()) {
            queue.waiting_.push_back(this);
        }
        place(place const&) = delete;
        place& operator=(place const&) = delete;
        ~place() {
            std::erase(queue.waiting_, this);
            if (called) queue.pass_on();
        }

        turn_queue& queue;
        asio::steady_timer bell;
        bool called = false;
    };

    void pass_on() noexcept {
        taken_ = !waiting_.empty();
        if (!taken_) return;
        auto& next = *waiting_.front();
        waiting_.pop_front();
        next.called = true;
        next.bell.cancel();
    }

    std::deque<place*> waiting_;
    bool taken_ = false;
};

}  // namespace mailfs::detail
