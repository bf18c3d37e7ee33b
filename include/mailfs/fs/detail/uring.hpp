// SPDX-License-Identifier: BSL-1.0
// One io_uring for each execution context: calls are handed to the kernel many at a time, and come back through the reactor.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fs/detail/posix_calls.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/awaitable.hpp>
#include <asio/execution/context.hpp>
#include <asio/execution_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/query.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <liburing.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace mailfs::detail {

inline constexpr unsigned uring_entries = 256;  // calls handed over at once; more may be under way

/// 0, or why the kernel gives no ring: ENOSYS, EPERM in many containers, ENOMEM, ...
inline int uring_refusal() noexcept {
    io_uring ring{};
    int const result = ::io_uring_queue_init(4, &ring, 0);
    if (result == 0) ::io_uring_queue_exit(&ring);
    return -result;
}

/// Threads: any of the context's. When the context ends it waits for what the kernel has under way, since that writes into
/// buffers of coroutines that go then.
class uring_service final : public asio::execution_context::service {
public:
    inline static asio::execution_context::id id;

    /// A call under way: it knows its handler.
    struct call {
        virtual ~call() = default;
        virtual void complete(int result) = 0;
        call *before = nullptr, *after = nullptr;
        std::uint64_t id = 0;
        int result = 0;
    };

    explicit uring_service(asio::execution_context& c) : service(c) {
        int const failed = ::io_uring_queue_init(uring_entries, &ring_, 0);
        if (failed != 0) throw_errno(-failed, "io_uring", "io_uring_queue_init");
        ready_ = true;
        event_fd_ = unique_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (!event_fd_) throw_errno(errno, "io_uring", "eventfd");
        if (int const why = ::io_uring_register_eventfd(&ring_, event_fd_.get()); why != 0) throw_errno(-why, "io_uring", "io_uring_register_eventfd");
    }
    ~uring_service() override { end(); }

    /// A name for a call that is about to start.
    std::uint64_t new_id() noexcept { return ++last_id_; }
    /// Hands a call to the kernel, with others of this turn of the event loop. `prepare` fills its entry.
    template <class Prepare>
    void start(std::unique_ptr<call> c, std::uint64_t call_id, asio::any_io_executor const& executor, Prepare prepare) {
        std::lock_guard const lock(mutex_);
        auto* const entry = entry_or_submit();
        prepare(entry);
        c->id = call_id;
        ::io_uring_sqe_set_data(entry, c.get());
        link(c.release());
        submit_later(executor);
        wait_for_event(executor);
    }
    /// Asks the kernel to give it up; it completes all the same, with ECANCELED or what came of it. Nothing if it is over.
    void cancel(std::uint64_t call_id) {
        std::lock_guard const lock(mutex_);
        auto* c = first_;
        while (c != nullptr && c->id != call_id) c = c->after;
        if (c == nullptr) return;
        auto* const entry = entry_or_submit();
        ::io_uring_prep_cancel(entry, c, 0);
        ::io_uring_sqe_set_data(entry, nullptr);
        ++unanswered_;
        ::io_uring_submit(&ring_);
    }

private:
    void shutdown() override { end(); }

    io_uring_sqe* entry_or_submit() {
        auto* entry = ::io_uring_get_sqe(&ring_);
        for (int tries = 0; entry == nullptr; ++tries) {
            int const taken = ::io_uring_submit(&ring_);
            if (taken < 0 && tries > interruptions_max) throw_errno(-taken, "io_uring", "io_uring_submit");
            entry = ::io_uring_get_sqe(&ring_);
        }
        return entry;
    }
    void link(call* c) noexcept {
        ++unanswered_;
        c->after = first_;
        if (first_ != nullptr) first_->before = c;
        first_ = c;
    }
    std::unique_ptr<call> unlink(call* c) noexcept {
        (c->before == nullptr ? first_ : c->before->after) = c->after;
        if (c->after != nullptr) c->after->before = c->before;
        return std::unique_ptr<call>(c);
    }

    void submit_later(asio::any_io_executor const& executor) {
        if (std::exchange(submit_posted_, true)) return;
        asio::post(executor, [this, executor] {
            std::lock_guard const lock(mutex_);
            submit_posted_ = false;
            if (ready_ && ::io_uring_submit(&ring_) < 0) submit_later(executor);  // for want of memory, or of room for answers
        });
    }
    // Waits as long as something is under way, so that a context with nothing to do ends.
    void wait_for_event(asio::any_io_executor const& executor) {
        if (std::exchange(waiting_, true)) return;
        if (!event_) event_.emplace(executor, event_fd_.get());
        event_->async_wait(asio::posix::stream_descriptor::wait_read, [this](std::error_code ec) {
            if (!ec) on_event();
        });
    }
    void on_event() {
        std::uint64_t count = 0;
        [[maybe_unused]] auto const got = ::read(event_fd_.get(), &count, sizeof count);
        std::vector<std::unique_ptr<call>> done;
        {
            std::lock_guard const lock(mutex_);
            waiting_ = false;
            take_answers(done);
            if (unanswered_ > 0) wait_for_event(event_->get_executor());
        }
        for (auto& c : done) c->complete(c->result);
    }
    void take_answers(std::vector<std::unique_ptr<call>>& done) {
        io_uring_cqe* answer = nullptr;
        while (::io_uring_peek_cqe(&ring_, &answer) == 0) {
            auto* const c = static_cast<call*>(::io_uring_cqe_get_data(answer));
            int const result = answer->res;
            ::io_uring_cqe_seen(&ring_, answer);
            --unanswered_;
            if (c == nullptr) continue;
            c->result = result;
            done.push_back(unlink(c));
        }
    }

    void end() noexcept {
        if (!std::exchange(ready_, false)) return;
        for (auto* c = first_; c != nullptr; c = c->after) {
            auto* const entry = ::io_uring_get_sqe(&ring_);
            if (entry == nullptr) break;  // what is not given up is waited for
            ::io_uring_prep_cancel(entry, c, 0);
            ::io_uring_sqe_set_data(entry, nullptr);
            ++unanswered_;
        }
        ::io_uring_submit(&ring_);
        std::vector<std::unique_ptr<call>> done;
        io_uring_cqe* answer = nullptr;
        while (unanswered_ > 0) {
            if (int const why = ::io_uring_wait_cqe(&ring_, &answer); why != 0 && why != -EINTR) break;
            take_answers(done);
        }
        done.clear();  // handlers go, and the coroutines with them
        if (event_) event_->release();
        event_.reset();
        ::io_uring_queue_exit(&ring_);
    }

    std::mutex mutex_;
    io_uring ring_{};
    bool ready_ = false;
    unique_fd event_fd_;
    std::optional<asio::posix::stream_descriptor> event_;
    call* first_ = nullptr;
    std::uint64_t unanswered_ = 0;
    std::atomic<std::uint64_t> last_id_{0};
    bool submit_posted_ = false, waiting_ = false;
};

template <class Handler>
struct uring_call final : uring_service::call {
    explicit uring_call(Handler h) : handler(std::move(h)) {}
    void complete(int outcome) override {
        auto const executor = asio::get_associated_executor(handler);
        asio::post(executor, [h = std::move(handler), outcome]() mutable {
            auto slot = asio::get_associated_cancellation_slot(h);
            if (slot.is_connected()) slot.clear();
            h(outcome);
        });
    }
    Handler handler;
};

/// One call through the ring of the caller's execution context: what the kernel answers, a negative errno for a failure. It is waited
/// for in any case; cancellation, where it may, makes the kernel give it up.
template <class Prepare>
asio::awaitable<int> uring(bool may_be_cancelled, Prepare prepare) {
    auto const executor = co_await asio::this_coro::executor;
    auto& service = asio::use_service<uring_service>(asio::query(executor, asio::execution::context));
    auto init = [&](auto handler) {
        auto made = std::make_unique<uring_call<decltype(handler)>>(std::move(handler));
        auto const id = service.new_id();
        auto slot = asio::get_associated_cancellation_slot(made->handler);
        if (may_be_cancelled && slot.is_connected()) slot.assign([&service, id](asio::cancellation_type) { service.cancel(id); });
        service.start(std::move(made), id, executor, prepare);
    };
    co_return co_await asio::async_initiate<asio::use_awaitable_t<> const, void(int)>(init, asio::use_awaitable);
}

}  // namespace mailfs::detail
