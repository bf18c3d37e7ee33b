// SPDX-License-Identifier: BSL-1.0
// Mail bodies read ahead of their consumer: a window of messages under way, delivered in order.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/store/fetch_options.hpp>
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
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace mailfs {

/// Reads messages by UID. A message that cannot be read says so in its `error`; what throws fails the whole run.
///     size(uid)                 bytes that the message will take in memory; 0 when it is not there
///     reads_on(first, last, u)  whether one read call that covers first..last may take u along
///     read(span of mail)        fills messages that reads_on() has joined, each with size(uid) bytes at most
///     is_finished(mail)         whether that was all of it
///     finish(mail)              reads the rest, when it is its turn, so that the window's memory stays within its bound
template <class R>
concept mail_reader = requires(R r, uid_t uid, std::span<mail> run, mail& one) {
    { r.size(uid) } -> std::same_as<std::uint64_t>;
    { r.reads_on(uid, uid, uid) } -> std::same_as<bool>;
    { r.read(run) } -> std::same_as<asio::awaitable<void>>;
    { r.is_finished(one) } -> std::same_as<bool>;
    { r.finish(one) } -> std::same_as<asio::awaitable<void>>;
};

/// N messages at latency L cost about ceil(N / window) x L, and fewer calls where they lie side by side. Belongs to the executor
/// of the coroutine that calls next(); reads begin with the first call, or with start(). When the pipeline is destroyed, reads
/// under way are cancelled. Memory: bytes_max, or one message, and what the consumer keeps.
template <class Reader>
class fetch_pipeline {
public:
    fetch_pipeline(Reader reader, uid_set uids, fetch_options options)
        : shared_(std::make_shared<shared>(std::move(reader), std::move(uids), options)) {
        static_assert(mail_reader<Reader>, "a fetch_pipeline reads through a mail_reader: see fetch_pipeline.hpp");
    }
    fetch_pipeline(fetch_pipeline&&) noexcept = default;
    fetch_pipeline& operator=(fetch_pipeline&& other) noexcept {
        std::swap(shared_, other.shared_);
        return *this;
    }
    ~fetch_pipeline() {
        if (shared_) shared_->stop();
    }

    /// Begins to read, for whoever asks later. Does not wait.
    void start(asio::any_io_executor const& executor) { fill(shared_, executor); }

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
        if (auto& one = first->mails[first->taken]; !s->reader.is_finished(one)) co_await s->reader.finish(one);
        auto found = std::move(first->mails[first->taken++]);
        --s->messages;
        if (first->taken == first->mails.size()) {
            s->bytes -= first->size;
            s->under_way.pop_front();
        }
        fill(s, executor);
        co_return found;
    }

private:
    /// Messages that one call reads.
    struct run {
        std::vector<mail> mails;
        std::size_t taken = 0;
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
        std::deque<std::shared_ptr<run>> under_way;
        std::size_t messages = 0;  // of those
        std::uint64_t bytes = 0;
        std::optional<asio::steady_timer> wake;
    };

    // By quarters of the window: who reads on one message for each that was taken would never read two by one call.
    static void fill(std::shared_ptr<shared> const& s, asio::any_io_executor const& executor) {
        if (!s->wake) s->wake.emplace(executor, asio::steady_timer::time_point::max());
        auto const window = std::max<std::size_t>(s->options.window, 1);
        auto const quarter = std::max<std::size_t>(window / 4, 1);
        if (s->messages > window - quarter) return;
        while (s->messages < window) {
            auto const one = next_run(*s, std::min(quarter, window - s->messages));
            if (!one) return;
            s->under_way.push_back(one);
            s->messages += one->mails.size();
            s->bytes += one->size;
            asio::co_spawn(executor, read(s, one), asio::bind_cancellation_slot(one->cancel.slot(), asio::detached));
        }
    }

    /// Null: there is no more, or no room for its bytes.
    static std::shared_ptr<run> next_run(shared& s, std::size_t count_max) {
        auto one = std::make_shared<run>();
        for (auto uid = s.peek(); uid != 0 && one->mails.size() < count_max; uid = s.peek()) {
            auto const size = s.reader.size(uid);
            bool const is_first = s.messages == 0 && one->mails.empty();
            if (!is_first && s.bytes + one->size + size > s.options.bytes_max) break;
            if (!one->mails.empty() && !s.reader.reads_on(one->mails.front().uid, one->mails.back().uid, uid)) break;
            one->mails.push_back({uid, {}, {}, {}});
            one->size += size;
            s.advance();
        }
        if (one->mails.empty()) one.reset();
        return one;
    }

    static asio::awaitable<void> read(std::shared_ptr<shared> s, std::shared_ptr<run> one) {
        std::error_code failure;
        std::string reason;
        try {
            co_await s->reader.read(std::span(one->mails));
        } catch (std::system_error const& e) {
            failure = e.code();
            reason = e.what();
        } catch (std::bad_alloc const& e) {
            failure = std::make_error_code(std::errc::not_enough_memory);
            reason = e.what();
        }
        if (failure)
            for (auto& m : one->mails) m = {m.uid, {}, failure, reason};
        one->done = true;
        if (!s->under_way.empty() && s->under_way.front() == one) s->wake->cancel();
    }

    std::shared_ptr<shared> shared_;
};

}  // namespace mailfs
