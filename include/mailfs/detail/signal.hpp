// SPDX-License-Identifier: BSL-1.0
// A signal: coroutines of one executor wait until someone raises it.
#pragma once

#include <mailfs/config.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/awaitable.hpp>
#include <asio/error.hpp>
#include <asio/execution/context.hpp>
#include <asio/execution_context.hpp>
#include <asio/post.hpp>
#include <asio/query.hpp>
#include <asio/use_awaitable.hpp>

#include <algorithm>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// All who wait for signals in one execution context: they are destroyed where they stand when that ends, as Asio's own are.
class signal_service final : public asio::execution_context::service {
public:
    inline static asio::execution_context::id id;
    struct waiter {
        virtual ~waiter() = default;
        waiter *before = nullptr, *after = nullptr;
    };

    explicit signal_service(asio::execution_context& c) : service(c) {}
    ~signal_service() override { shutdown_all(); }

    void add(std::unique_ptr<waiter> w) noexcept {
        w->after = first_;
        if (first_ != nullptr) first_->before = w.get();
        first_ = w.release();
    }
    std::unique_ptr<waiter> take(waiter& w) noexcept {
        (w.before == nullptr ? first_ : w.before->after) = w.after;
        if (w.after != nullptr) w.after->before = w.before;
        return std::unique_ptr<waiter>(&w);
    }

private:
    void shutdown() override { shutdown_all(); }
    void shutdown_all() noexcept {
        while (first_ != nullptr) take(*first_);
    }
    waiter* first_ = nullptr;
};

/// Not between threads. Wakes all who wait at that moment; whoever comes later waits for the next. A wait takes no timer and
/// no system call.
class signal {
public:
    signal() = default;
    signal(signal const&) = delete;
    signal& operator=(signal const&) = delete;
    ~signal() {
        for (auto* const w : waiting_) w->at = nullptr;
    }

    void raise() noexcept {
        for (auto* const w : std::exchange(waiting_, {})) {
            w->at = nullptr;
            w->end({});
        }
    }

    /// Cancellation throws operation_aborted. The signal must live until it returns.
    template <class = void>
    asio::awaitable<void> wait() {
        auto const executor = co_await asio::this_coro::executor;
        auto& all = asio::use_service<signal_service>(asio::query(executor, asio::execution::context));
        auto keep = [this, &all](auto handler) {
            auto made = std::make_unique<held<decltype(handler)>>(*this, all, std::move(handler));
            waiting_.push_back(made.get());
            auto& w = *made;
            all.add(std::move(made));
            w.listen();
        };
        co_await asio::async_initiate<asio::use_awaitable_t<> const, void(std::error_code)>(keep, asio::use_awaitable);
    }

private:
    struct waiter : signal_service::waiter {
        waiter(signal& s, signal_service& a) : at(&s), all(&a) {}
        ~waiter() override {
            if (at != nullptr) std::erase(at->waiting_, this);
        }
        virtual void end(std::error_code why) = 0;  // it is gone afterwards
        signal* at;
        signal_service* all;
    };
    template <class Handler>
    struct held final : waiter {
        held(signal& s, signal_service& a, Handler h) : waiter(s, a), handler(std::move(h)) {}
        void listen() {
            auto slot = asio::get_associated_cancellation_slot(handler);
            if (slot.is_connected()) slot.assign([this](asio::cancellation_type) { end(asio::error::operation_aborted); });
        }
        void end(std::error_code why) override {
            auto const self = this->all->take(*this);
            auto slot = asio::get_associated_cancellation_slot(handler);
            if (slot.is_connected()) slot.clear();
            auto const executor = asio::get_associated_executor(handler);
            asio::post(executor, [h = std::move(handler), why]() mutable { h(why); });
        }
        Handler handler;
    };
    std::vector<waiter*> waiting_;
};

}  // namespace mailfs::detail
