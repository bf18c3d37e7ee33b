// SPDX-License-Identifier: BSL-1.0
// The server: two listening sockets, and threads of which each has a store of its own over one filesystem.
#pragma once

#include "imap/session.hpp"
#include "lmtp/session.hpp"
#include "mime/gmime_extractor.hpp"
#include "net/endpoint.hpp"
#include "net/worker.hpp"
#include "reclaimer.hpp"
#include "settings.hpp"

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/redirect_error.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

#include <atomic>
#include <csignal>
#include <deque>

namespace imapd {

/// Accepts on the calling thread and deals connections out in turn. The threads share nothing but the counters here and
/// what lies in files.
template <class Store>
class server {
public:
    server(options const& o, settings const& s)
        : settings_(s),
          purge_interval_(static_cast<std::chrono::milliseconds::rep>(o.purge_interval * 1000)),
          purge_options_{.lower_after_ms = static_cast<std::uint64_t>(o.alt_after * 86'400'000)},
          workers_(std::max(1U, o.threads)),
          imap_(net::listen(control_, o.imap_endpoint)),
          lmtp_(net::listen(control_, o.lmtp_endpoint)) {}

    /// Returns 0 after SIGTERM or SIGINT once all sessions have ended, 1 when some did not within stop_time.
    template <class MakeStore>
    int run(MakeStore const& make_store) {
        for (std::size_t i = 0; i < workers_.size(); ++i) stores_.push_back(make_store());
        if (purge_interval_.count() > 0)
            for (std::size_t i = 0; i < workers_.size(); ++i) asio::co_spawn(workers_[i].context(), reclaim(i), report);
        for (auto& w : workers_) w.start();
        asio::co_spawn(
            control_,
            accept_all<imap_kind>(imap_, imap_count_, limits::imap_connections_max, "* BYE Too many connections\r\n"),
            asio::detached);
        asio::co_spawn(
            control_,
            accept_all<lmtp_kind>(lmtp_, lmtp_count_, limits::lmtp_connections_max, "421 4.3.2 Too many connections\r\n"),
            asio::detached);
        asio::signal_set signals(control_, SIGTERM, SIGINT);
        signals.async_wait([this](std::error_code, int) { asio::co_spawn(control_, stop(), asio::detached); });
        fmt::print("ready imap={} lmtp={}\n", net::name_of(imap_), net::name_of(lmtp_));
        std::fflush(stdout);
        control_.run();
        auto const left = imap_count_ + lmtp_count_;
        for (auto& w : workers_) w.finish();
        if (left > 0) fmt::print(stderr, "imapd: {} sessions did not end in time\n", left);
        return left > 0 ? 1 : 0;
    }

private:
    struct imap_kind {
        using session = imap::session<Store, mime::gmime_extractor>;
        static constexpr auto idle_time = limits::preauth_idle_time;
    };
    struct lmtp_kind {
        using session = lmtp::session<Store>;
        static constexpr auto idle_time = limits::lmtp_idle_time;
    };

    template <class Kind>
    asio::awaitable<void> accept_all(asio::ip::tcp::acceptor& from, std::atomic<std::size_t>& count, std::size_t count_max,
                                     std::string_view sorry) {
        while (from.is_open()) {
            auto const chosen = next_++ % workers_.size();
            std::error_code failed;
            auto socket =
                co_await from.async_accept(workers_[chosen].context(), asio::redirect_error(asio::use_awaitable, failed));
            if (!from.is_open()) co_return;
            if (failed) {  // out of descriptors, or a client that went at once
                asio::steady_timer pause(control_, limits::accept_retry_time);
                co_await pause.async_wait(asio::use_awaitable);
                continue;
            }
            bool const room = ++count <= count_max;
            auto connection = std::make_shared<net::connection>(std::move(socket));
            auto ended = [&count](std::exception_ptr error) {
                --count;
                report(error);
            };
            if (room)
                asio::co_spawn(workers_[chosen].context(), serve<Kind>(chosen, std::move(connection)), ended);
            else
                asio::co_spawn(workers_[chosen].context(), refuse(std::move(connection), sorry), ended);
        }
    }

    template <class Kind>
    asio::awaitable<void> serve(std::size_t chosen, std::shared_ptr<net::connection> c) {
        auto& own = workers_[chosen];
        c->start(Kind::idle_time);
        own.enter(c);
        std::exception_ptr failure;
        try {
            typename Kind::session session(c, *stores_[chosen], settings_);
            co_await session.run();
        } catch (...) {
            failure = std::current_exception();
        }
        c->close();
        own.leave(c);
        if (failure) std::rethrow_exception(failure);
    }

    asio::awaitable<void> reclaim(std::size_t thread) {
        reclaimer<Store> own(*stores_[thread], thread, workers_.size(), purge_interval_, purge_options_);
        co_await own.run();
    }

    static asio::awaitable<void> refuse(std::shared_ptr<net::connection> c, std::string_view sorry) {
        c->start(limits::farewell_time);
        co_await c->say_farewell(sorry);
    }

    static void report(std::exception_ptr error) {
        try {
            if (error) std::rethrow_exception(error);
        } catch (std::exception const& e) {
            fmt::print(stderr, "imapd: a session ended: {}\n", e.what());
        }
    }

    /// No more clients; those that are there are told, and have stop_time.
    asio::awaitable<void> stop() {
        std::error_code ignored;
        imap_.close(ignored);
        lmtp_.close(ignored);
        for (auto& w : workers_) w.stop_connections();
        auto const deadline = std::chrono::steady_clock::now() + limits::stop_time;
        asio::steady_timer pause(control_);
        while (imap_count_ + lmtp_count_ > 0 && std::chrono::steady_clock::now() < deadline) {
            pause.expires_after(std::chrono::milliseconds(10));
            co_await pause.async_wait(asio::use_awaitable);
        }
        control_.stop();
    }

    settings const& settings_;
    std::chrono::milliseconds purge_interval_;
    mailfs::purge_options purge_options_;
    std::deque<net::worker> workers_;  // outlive what waits on their io_contexts: stores, and sockets to be accepted
    std::deque<std::unique_ptr<Store>> stores_;  // one for each worker
    asio::io_context control_{1};
    asio::ip::tcp::acceptor imap_;
    asio::ip::tcp::acceptor lmtp_;
    std::size_t next_ = 0;
    std::atomic<std::size_t> imap_count_ = 0;
    std::atomic<std::size_t> lmtp_count_ = 0;
};

}  // namespace imapd
