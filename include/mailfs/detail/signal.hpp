// SPDX-License-Identifier: BSL-1.0
// A signal: coroutines of one executor wait until someone raises it.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/wait.hpp>

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <algorithm>
#include <system_error>
#include <vector>

namespace mailfs::detail {

/// Not between threads. Wakes all who wait at that moment; whoever comes later waits for the next.
class signal {
public:
    signal() = default;
    signal(signal const&) = delete;
    signal& operator=(signal const&) = delete;

    void raise() noexcept {
        for (auto* const w : waiting_) {
            w->raised = true;
            w->wake.cancel();
        }
        waiting_.clear();
    }

    /// Cancellation throws operation_aborted. The signal must live until it returns.
    template <class = void>
    asio::awaitable<void> wait() {
        waiter self{asio::steady_timer(co_await asio::this_coro::executor, asio::steady_timer::time_point::max())};
        waiting_.push_back(&self);
        entry const mine{*this, self};
        std::error_code ec;
        co_await detail::wait(self.wake, ec);
        if (!self.raised) throw std::system_error(asio::error::operation_aborted);
    }

private:
    struct waiter {
        asio::steady_timer wake;
        bool raised = false;
    };
    struct entry {  // also when the coroutine is destroyed where it waits
        signal& all;
        waiter& self;
        ~entry() {
            if (!self.raised) std::erase(all.waiting_, &self);
        }
    };
    std::vector<waiter*> waiting_;
};

}  // namespace mailfs::detail
