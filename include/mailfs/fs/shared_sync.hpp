// SPDX-License-Identifier: BSL-1.0
// Group commit: callers that want one file on stable storage at about the same time share one sync.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/wait.hpp>
#include <mailfs/fs/filesystem.hpp>

#include <asio/awaitable.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

namespace mailfs {

/// One for each open file, used on one executor at a time. It and the file must stay alive, and where they are, until all calls
/// have returned. Invariant: at most one sync runs, and at most one more round is waiting for it.
template <append_file File>
class shared_sync {
public:
    /// Returns when all that was appended before the call is on stable storage. A sync that already runs may have missed
    /// it: whoever comes meanwhile shares the next one. An error reaches each caller of its round, and only those.
    /// Cancelling one caller never costs another its sync: who happens to carry the sync out goes on to its end.
    asio::awaitable<void> sync(File& file) {
        if (!next_) next_ = std::make_shared<round>();
        auto const mine = next_;
        while (!mine->finished) {
            if (running_) co_await wait();
            else co_await carry_out(file);
        }
        if (mine->failure) std::rethrow_exception(mine->failure);
    }

private:
    struct round {
        std::exception_ptr failure;
        bool finished = false;
    };

    asio::awaitable<void> carry_out(File& file) {
        auto const current = std::exchange(next_, nullptr);
        auto const executor = co_await asio::this_coro::executor;
        running_ = true;
        try {
            auto token = asio::bind_cancellation_slot(asio::cancellation_slot(), asio::use_awaitable);
            co_await asio::co_spawn(executor, file.sync(), std::move(token));
        } catch (...) {
            current->failure = std::current_exception();
        }
        running_ = false;
        current->finished = true;
        if (bell_) bell_->cancel();
    }

    // The bell goes with the last who waits for it, so that an idle shared_sync is bound to no executor.
    struct waiter {
        shared_sync& host;
        explicit waiter(shared_sync& h) : host(h) { ++host.waiting_; }
        waiter(waiter const&) = delete;
        waiter& operator=(waiter const&) = delete;
        ~waiter() {
            if (--host.waiting_ == 0) host.bell_.reset();
        }
    };

    asio::awaitable<void> wait() {
        auto const executor = co_await asio::this_coro::executor;
        waiter const here(*this);
        if (!bell_) bell_.emplace(executor, asio::steady_timer::time_point::max());
        std::error_code rung;  // operation_aborted, be it the bell or our own cancellation
        co_await detail::wait(*bell_, rung);
        auto const state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none) throw std::system_error(asio::error::operation_aborted);
    }

    std::shared_ptr<round> next_;             // not begun; covers all that is appended until it does
    std::optional<asio::steady_timer> bell_;  // never expires; cancelled when a round ends
    std::size_t waiting_ = 0;
    bool running_ = false;
};

}  // namespace mailfs
