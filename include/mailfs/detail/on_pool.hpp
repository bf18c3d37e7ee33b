// SPDX-License-Identifier: BSL-1.0
// A plain call that blocks, made on other threads.
#pragma once

#include <mailfs/config.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/awaitable.hpp>
#include <asio/error.hpp>
#include <asio/execution/outstanding_work.hpp>
#include <asio/post.hpp>
#include <asio/prefer.hpp>
#include <asio/use_awaitable.hpp>

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <system_error>
#include <utility>

namespace mailfs::detail {

enum class pool_job : int { waiting, begun, given_up };

/// Runs `work` on the pool and comes back to the caller's executor, with what it threw. What it refers to must live until then.
/// Cancellation keeps it from beginning, and throws operation_aborted; once begun it is waited for. The pool must be joined
/// before the caller's execution context is destroyed.
template <class = void>
asio::awaitable<void> on_pool(asio::any_io_executor pool, std::function<void()> work) {
    auto init = [&pool](auto handler, std::function<void()> job) {
        auto slot = asio::get_associated_cancellation_slot(handler);
        auto const executor = asio::get_associated_executor(handler);
        auto const at = std::make_shared<std::atomic<pool_job>>(pool_job::waiting);
        if (slot.is_connected())
            slot.assign([at](asio::cancellation_type) {
                auto expected = pool_job::waiting;
                at->compare_exchange_strong(expected, pool_job::given_up);
            });
        auto const home = asio::prefer(executor, asio::execution::outstanding_work.tracked);
        asio::post(pool, [at, home, slot, job = std::move(job), h = std::move(handler)]() mutable {
            std::exception_ptr failure;
            auto expected = pool_job::waiting;
            if (at->compare_exchange_strong(expected, pool_job::begun)) {
                try {
                    job();
                } catch (...) {
                    failure = std::current_exception();
                }
            } else {
                failure = std::make_exception_ptr(std::system_error(asio::error::operation_aborted));
            }
            asio::post(home, [failure, slot, h = std::move(h)]() mutable {
                if (slot.is_connected()) slot.clear();
                h(failure);
            });
        });
    };
    co_await asio::async_initiate<asio::use_awaitable_t<> const, void(std::exception_ptr)>(init, asio::use_awaitable, std::move(work));
}

}  // namespace mailfs::detail
