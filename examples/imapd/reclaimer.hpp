// SPDX-License-Identifier: BSL-1.0
// Gives back the space of expunged mail while the server serves: one for each thread, a small step at a time.
#pragma once

#include "limits.hpp"
#include "settings.hpp"

#include <mailfs/config.hpp>
#include <mailfs/store/purge.hpp>

#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace imapd {

/// Accounts that this thread has open get a step at each tick, as long as they have something to do. Of the others each
/// thread has its share, by name, and looks at one of them now and then.
template <class Store>
class reclaimer {
public:
    reclaimer(Store& store, std::size_t thread, std::size_t threads, std::chrono::milliseconds interval, mailfs::purge_options how)
        : store_(store), thread_(thread), threads_(threads), interval_(interval), how_(how) {}

    /// Until the thread ends.
    asio::awaitable<void> run() {
        asio::steady_timer tick(co_await asio::this_coro::executor);
        for (std::size_t ticks = 1;; ++ticks) {
            tick.expires_after(interval_);
            co_await tick.async_wait(asio::use_awaitable);
            auto names = store_.open_accounts();
            if (ticks % limits::purge_idle_ticks == 0) co_await add_idle(names);
            forget_all_but(names);
            for (auto const& name : names) co_await guarded_step(name);
        }
    }

private:
    using clock = std::chrono::steady_clock;
    using purger = mailfs::purger<typename Store::index_type, typename Store::format_type>;
    struct entry {
        std::unique_ptr<purger> work;
        clock::time_point due{};
        std::uint64_t files = 0, bytes = 0, moved = 0, lowered = 0;  // of this round
    };

    asio::awaitable<void> add_idle(std::vector<std::string>& names) {
        if (idle_.empty()) {
            idle_ = co_await store_.accounts();
            std::erase_if(idle_, [&](auto const& name) { return std::hash<std::string>{}(name) % threads_ != thread_; });
        }
        if (idle_.empty()) co_return;
        if (std::find(names.begin(), names.end(), idle_.back()) == names.end()) names.push_back(idle_.back());
        idle_.pop_back();
    }
    // Those that are in the middle of a round stay.
    void forget_all_but(std::vector<std::string>& names) {
        std::erase_if(entries_, [&](auto const& e) {
            bool const named = std::find(names.begin(), names.end(), e.first) != names.end();
            bool const rests = e.second.due > clock::now();
            if (!named && !rests) names.push_back(e.first);
            return !named && rests;
        });
    }

    asio::awaitable<void> guarded_step(std::string const& name) {
        std::string failure;
        try {
            co_await step(name);
        } catch (std::system_error const& e) {  // tells what keeps it; mail goes on, and so does this, later
            failure = e.what();
        }
        if (failure.empty()) co_return;
        fmt::print(stderr, "imapd: purge of {}: {}\n", name, failure);
        entries_[name].due = clock::now() + limits::purge_retry_time;
    }
    asio::awaitable<void> step(std::string const& name) {
        auto& e = entries_[name];
        if (e.due > clock::now()) co_return;
        if (!e.work) {
            auto account = co_await store_.find_account(name);
            if (!account) co_return;
            e.work = std::make_unique<purger>(*account, how_);
        }
        auto const did = co_await e.work->step();
        e.files += did.files_removed;
        e.bytes += did.bytes_removed;
        e.moved += did.mails_moved;
        e.lowered += did.files_lowered;
        if (did.failure) std::rethrow_exception(did.failure);
        if (!did.complete()) co_return;
        e.due = clock::now() + std::chrono::milliseconds(did.wait_ms);
        if (e.files > 0 || e.moved > 0)
            fmt::print(stderr, "imapd: purge of {}: {} files with {} bytes removed, {} messages moved, {} bytes to come\n", name, e.files,
                       e.bytes, e.moved, did.bytes_waiting);
        if (e.lowered > 0) fmt::print(stderr, "imapd: {} files of {} moved to the second disk\n", e.lowered, name);
        e.files = e.bytes = e.moved = e.lowered = 0;
    }

    Store& store_;
    std::size_t thread_, threads_;
    std::chrono::milliseconds interval_;
    mailfs::purge_options how_;
    std::map<std::string, entry> entries_;
    std::vector<std::string> idle_;  // still to be looked at
};

}  // namespace imapd
