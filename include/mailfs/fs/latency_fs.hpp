// SPDX-License-Identifier: BSL-1.0
// Makes a filesystem slow: each call waits before it is carried out, as it would for a network or a disk.
//
// Threads: as the filesystem below. Calls wait side by side, so N of them under way take as long as one.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/fs/detail/watch_of.hpp>
#include <mailfs/fs/filesystem.hpp>

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs {

/// How long each verb waits; zero: not at all.
struct fs_delays {
    using duration = std::chrono::steady_clock::duration;
    duration open{}, create{}, list{}, remove{}, append{}, read{}, size{}, sync{}, map{};

    /// The same for every verb.
    static constexpr fs_delays all(duration d) noexcept { return {d, d, d, d, d, d, d, d, d}; }
};

namespace detail {
inline asio::awaitable<void> delay(fs_delays::duration time) {
    if (time <= time.zero()) co_return;
    auto const executor = co_await asio::this_coro::executor;
    asio::steady_timer timer(executor, time);
    co_await timer.async_wait(asio::use_awaitable);
}
}  // namespace detail

template <filesystem Fs>
class latency_fs : public detail::watch_of<Fs> {
    static constexpr fs_traits slowed(fs_traits t) noexcept {
        t.read_latency = latency::network;
        return t;
    }

public:
    static constexpr fs_traits traits = slowed(Fs::traits);

    class file {
    public:
        using mapping = typename Fs::file::mapping;

        asio::awaitable<std::uint64_t> append(bytes_view bytes) {
            co_await detail::delay(delays_.append);
            co_return co_await inner_.append(bytes);
        }
        asio::awaitable<std::size_t> read(std::uint64_t offset, std::span<std::byte> buffer) {
            co_await detail::delay(delays_.read);
            co_return co_await inner_.read(offset, buffer);
        }
        asio::awaitable<std::uint64_t> size() {
            co_await detail::delay(delays_.size);
            co_return co_await inner_.size();
        }
        asio::awaitable<void> sync() {
            co_await detail::delay(delays_.sync);
            co_await inner_.sync();
        }
        asio::awaitable<mapping> map() {
            co_await detail::delay(delays_.map);
            co_return co_await inner_.map();
        }

    private:
        friend class latency_fs;
        file(typename Fs::file inner, fs_delays const& delays) : inner_(std::move(inner)), delays_(delays) {}

        typename Fs::file inner_;
        fs_delays delays_;
    };

    explicit latency_fs(Fs inner, fs_delays const& delays = {}) : inner_(std::move(inner)), delays_(delays) {}

    Fs const& inner() const noexcept { return inner_; }

    asio::awaitable<std::optional<file>> open(std::string_view path) {
        co_await detail::delay(delays_.open);
        auto inner = co_await inner_.open(path);
        if (!inner) co_return std::nullopt;
        co_return file(std::move(*inner), delays_);
    }
    asio::awaitable<bool> create(std::string_view path, bytes_view bytes, durability d) {
        co_await detail::delay(delays_.create);
        co_return co_await inner_.create(path, bytes, d);
    }
    asio::awaitable<bool> link(std::string_view from, std::string_view to, durability d)
        requires linking_filesystem<Fs>
    {
        co_await detail::delay(delays_.create);
        co_return co_await inner_.link(from, to, d);
    }
    asio::awaitable<std::vector<std::string>> list(std::string_view path) {
        co_await detail::delay(delays_.list);
        co_return co_await inner_.list(path);
    }
    asio::awaitable<bool> remove(std::string_view path) {
        co_await detail::delay(delays_.remove);
        co_return co_await inner_.remove(path);
    }

    template <watchable_filesystem F = Fs>
    asio::awaitable<typename F::watch> watch_directory(std::string_view path) {
        return inner_.watch_directory(path);
    }

private:
    Fs inner_;
    fs_delays delays_;
};

}  // namespace mailfs
