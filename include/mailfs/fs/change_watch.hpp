// SPDX-License-Identifier: BSL-1.0
// Waiting for a change in a directory: by the backend's own watch where it has one, else by a timer.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/wait.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fs/filesystem.hpp>

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace mailfs {

/// Belongs to one waiter on one executor. changed() may wake for nothing: the first call always does, so that
/// "wait, then read on" misses no change that came before the watch.
template <filesystem Fs>
class change_watch {
public:
    static constexpr std::chrono::milliseconds poll_interval{500};

    change_watch(Fs fs, std::string directory) : fs_(std::move(fs)), directory_(std::move(directory)) {}

    /// Ended by Asio's cancellation, with operation_aborted. Throws not_found when the directory is gone.
    asio::awaitable<void> changed() {
        if constexpr (watchable_filesystem<Fs>) {
            if (watch_) {
                co_await watch_->changed();
                co_return;
            }
            if (!must_poll_) {
                co_await begin();
                co_return;
            }
        }
        asio::steady_timer timer(co_await asio::this_coro::executor, poll_interval);
        co_await detail::wait(timer);
    }

private:
    template <class F>
    struct no_watch {};
    template <class F>
    struct watch_of {
        using type = no_watch<F>;
    };
    template <watchable_filesystem F>
    struct watch_of<F> {
        using type = typename F::watch;
    };

    // A host has only so many watches (inotify: 128 for a user by default): whoever gets none polls.
    asio::awaitable<void> begin() {
        try {
            watch_.emplace(co_await fs_.watch_directory(directory_));
        } catch (error const& e) {
            if (e.code() != errc::io && e.code() != errc::not_supported) throw;
            must_poll_ = true;
        }
    }

    Fs fs_;
    std::string directory_;
    bool must_poll_ = false;
    std::optional<typename watch_of<Fs>::type> watch_;
};

}  // namespace mailfs
