// SPDX-License-Identifier: BSL-1.0
// Mail bodies read ahead of their consumer: a window of reads under way, delivered in order.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/types/uid.hpp>
#include <mailfs/types/uid_set.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/error.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace mailfs {

/// One message of a fetch. With `error` set there are no bytes, and `reason` says which file and why.
struct mail {
    uid_t uid = 0;
    std::vector<std::byte> bytes;
    std::error_code error;
    std::string reason;
};

struct fetch_options {
    std::size_t window = 64;                            ///< reads under way at once, 1 at least
    std::uint64_t bytes_max = std::uint64_t{64} << 20;  ///< of bodies under way; one is always, however long it is
};

/// Reader: `read(uid) -> awaitable<std::vector<std::byte>>` and `size(uid) -> std::uint64_t`. N messages at latency L cost
/// about ceil(N / window) x L. Belongs to the executor of the coroutine that calls next(); reads begin with the first call.
/// When the pipeline is destroyed, reads under way are cancelled.
template <class Reader>
class fetch_pipeline {
public:
    fetch_pipeline(Reader reader, uid_set uids, fetch_options options)
        : shared_(std::make_shared<shared>(std::move(reader), std::move(uids), options)) {}
    fetch_pipeline(fetch_pipeline&&) noexcept = default;
    fetch_pipeline& operator=(fetch_pipeline&& other) noexcept {
        std::swap(shared_, other.shared_);
        return *this;
    }
    ~fetch_pipeline() {
        if (shared_) shared_->stop();
    }

    /// The next message in UID order; nothing behind the last. What failed about one message is told in it and stops
    /// no other. One call at a time; Asio's cancellation ends it, and the message it waited for comes next time.
    asio::awaitable<std::optional<mail>> next() {
        auto const s = shared_;
        auto const executor = co_await asio::this_coro::executor;
        fill(s, executor);
        if (s->under_way.empty()) co_return std::nullopt;
        auto const first = s->under_way.front();
        while (!first->done) {
            std::error_code ec;
            co_await s->wake->async_wait(asio::redirect_error(asio::use_awaitable, ec));
            auto const cancelled = co_await asio::this_coro::cancellation_state;
            if (cancelled.cancelled() != asio::cancellation_type::none)
                throw std::system_error(asio::error::operation_aborted);
        }
        s->under_way.pop_front();
        s->bytes -= first->size;
        fill(s, executor);
        co_return std::move(first->result);
    }

private:
    struct slot {
        mail result;
        std::uint64_t size = 0;
        bool done = false;
        asio::cancellation_signal cancel;
    };
    struct shared {
        shared(Reader r, uid_set u, fetch_options o) : reader(std::move(r)), uids(std::move(u)), options(o) {}

        uid_t peek() const noexcept { return range < uids.ranges().size() ? std::max(uids.ranges()[range].first, at) : 0; }
        void advance() noexcept {
            auto const uid = peek();
            if (uid == uids.ranges()[range].last) ++range;
            at = uid + 1;
        }
        void stop() {
            for (auto const& one : under_way)
                if (!one->done) one->cancel.emit(asio::cancellation_type::all);
        }

        Reader reader;
        uid_set uids;
        fetch_options options;
        std::size_t range = 0;  // the next to read is in this range,
        uid_t at = 0;           // and not below this
        std::deque<std::shared_ptr<slot>> under_way;
        std::uint64_t bytes = 0;  // of those
        std::optional<asio::steady_timer> wake;
    };

    static void fill(std::shared_ptr<shared> const& s, asio::any_io_executor const& executor) {
        if (!s->wake) s->wake.emplace(executor, asio::steady_timer::time_point::max());
        auto const window = std::max<std::size_t>(s->options.window, 1);
        while (s->under_way.size() < window) {
            auto const uid = s->peek();
            if (uid == 0) return;
            auto const size = s->reader.size(uid);
            if (!s->under_way.empty() && s->bytes + size > s->options.bytes_max) return;
            auto const one = std::make_shared<slot>();
            one->result.uid = uid;
            one->size = size;
            s->bytes += size;
            s->advance();
            s->under_way.push_back(one);
            asio::co_spawn(executor, read(s, one), asio::bind_cancellation_slot(one->cancel.slot(), asio::detached));
        }
    }

    static asio::awaitable<void> read(std::shared_ptr<shared> s, std::shared_ptr<slot> one) {
        try {
            one->result.bytes = co_await s->reader.read(one->result.uid);
        } catch (std::system_error const& e) {
            one->result.error = e.code();
            one->result.reason = e.what();
        } catch (std::bad_alloc const& e) {
            one->result.error = std::make_error_code(std::errc::not_enough_memory);
            one->result.reason = e.what();
        }
        one->done = true;
        if (s->under_way.front() == one) s->wake->cancel();
    }

    std::shared_ptr<shared> shared_;
};

}  // namespace mailfs
