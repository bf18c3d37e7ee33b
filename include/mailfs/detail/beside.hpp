// SPDX-License-Identifier: BSL-1.0
// A coroutine that goes on beside the one that started it, and ends with it.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/signal.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>

#include <exception>
#include <memory>
#include <utility>

namespace mailfs::detail {

/// Belongs to one executor. What the work refers to must live until ended() has returned, or be kept by the work itself: when this
/// is destroyed before, the work is cancelled, and ends a little later.
class beside {
public:
    template <class Executor>
    beside(Executor const& executor, asio::awaitable<void> work) : state_(std::make_shared<state>()) {
        auto end = [s = state_](std::exception_ptr failure) {
            s->is_over = true;
            s->failure = std::move(failure);
            s->over.raise();
        };
        asio::co_spawn(executor, std::move(work), asio::bind_cancellation_slot(state_->cancel.slot(), std::move(end)));
    }
    beside(beside const&) = delete;
    beside& operator=(beside const&) = delete;
    ~beside() {
        if (!state_->is_over) state_->cancel.emit(asio::cancellation_type::all);
    }

    /// Throws what the work threw. Cancellation ends the wait alone.
    template <class = void>
    asio::awaitable<void> ended() {
        auto const s = state_;
        if (!s->is_over) co_await s->over.wait();
        if (s->failure) std::rethrow_exception(s->failure);
    }

private:
    struct state {
        bool is_over = false;
        std::exception_ptr failure;
        signal over;
        asio::cancellation_signal cancel;
    };
    std::shared_ptr<state> state_;
};

}  // namespace mailfs::detail
