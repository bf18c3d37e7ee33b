// SPDX-License-Identifier: BSL-1.0
// Blocking calls of a filesystem made on a pool of threads, so that many wait for the disk at once and no coroutine's thread does.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/on_pool.hpp>
#include <mailfs/detail/turns.hpp>
#include <mailfs/fs/detail/watch_of.hpp>
#include <mailfs/fs/filesystem.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs {

/// A file with plain calls beside its coroutines. Those that are const may run on any thread, several at once; sync_now() one at
/// a time. read_if_cached(): what read_now() would yield if that needs no waiting, else nothing.
template <class F>
concept blocking_file = immediate_append_file<F> && requires(F f, F const& c, std::uint64_t offset, std::span<std::byte> buffer) {
    { c.read_now(offset, buffer) } -> std::same_as<std::size_t>;
    { c.read_if_cached(offset, buffer) } -> std::same_as<std::optional<std::size_t>>;
    { c.size_now() } -> std::same_as<std::uint64_t>;
    { c.map_now() } -> std::same_as<typename F::mapping>;
    { f.sync_now() } -> std::same_as<void>;
};
/// A filesystem with the same, from any thread.
template <class Fs>
concept blocking_filesystem =
    filesystem<Fs> && blocking_file<typename Fs::file> && requires(Fs const& fs, std::string_view path, bytes_view bytes, durability d) {
        { fs.open_now(path) } -> std::same_as<std::optional<typename Fs::file>>;
        { fs.create_now(path, bytes, d) } -> std::same_as<bool>;
        { fs.list_now(path) } -> std::same_as<std::vector<std::string>>;
        { fs.remove_now(path) } -> std::same_as<bool>;
    };

/// As the filesystem below, but for who waits: a read that the page cache answers, and an append, complete at once; all else goes
/// to the pool, such as an asio::thread_pool's executor, and costs two switches of threads. As many calls wait for the disk as
/// the pool has threads. Cancellation drops calls that have not begun. The pool must be joined before the callers' io_context
/// is destroyed. Without a pool calls are made in place, as those of the filesystem below: for programs that let their users choose.
/// Threads: as posix_fs.
template <blocking_filesystem Fs>
class pooled : public detail::watch_of<Fs> {
public:
    static constexpr fs_traits traits = Fs::traits;

    /// Must stay where it is, and alive, while a call is under way.
    class file {
    public:
        using mapping = typename Fs::file::mapping;

        asio::awaitable<std::uint64_t> append(bytes_view bytes) { co_return append_now(bytes); }
        std::uint64_t append_now(bytes_view bytes) { return inner_.append_now(bytes); }
        asio::awaitable<std::size_t> read(std::uint64_t offset, std::span<std::byte> buffer) {
            if (!pool_) co_return inner_.read_now(offset, buffer);
            if (auto const cached = inner_.read_if_cached(offset, buffer)) co_return *cached;
            std::size_t got = 0;
            co_await detail::on_pool(pool_, [&] { got = inner_.read_now(offset, buffer); });
            co_return got;
        }
        asio::awaitable<std::uint64_t> size() { co_return inner_.size_now(); }
        asio::awaitable<void> sync() {
            if (!syncs_->try_take()) co_await syncs_->wait();
            detail::turn const mine(*syncs_);
            if (!pool_) co_return co_await inner_.sync();
            co_await detail::on_pool(pool_, [&] { inner_.sync_now(); });
        }
        asio::awaitable<mapping> map() {
            if (!pool_) co_return inner_.map_now();
            std::optional<mapping> made;
            co_await detail::on_pool(pool_, [&] { made.emplace(inner_.map_now()); });
            co_return std::move(*made);
        }

    private:
        friend class pooled;
        file(typename Fs::file inner, asio::any_io_executor pool) : inner_(std::move(inner)), pool_(std::move(pool)) {}

        typename Fs::file inner_;
        asio::any_io_executor pool_;
        std::unique_ptr<detail::turns> syncs_ = std::make_unique<detail::turns>();
    };

    explicit pooled(Fs inner, asio::any_io_executor pool = {}) : inner_(std::move(inner)), pool_(std::move(pool)) {}

    Fs const& inner() const noexcept { return inner_; }

    asio::awaitable<std::optional<file>> open(std::string_view path) {
        std::optional<typename Fs::file> opened;
        if (!pool_) opened = inner_.open_now(path);
        else co_await detail::on_pool(pool_, [&] { opened = inner_.open_now(path); });
        if (!opened) co_return std::nullopt;
        co_return file(std::move(*opened), pool_);
    }
    asio::awaitable<bool> create(std::string_view path, bytes_view bytes, durability d) {
        if (!pool_) co_return co_await inner_.create(path, bytes, d);
        bool made = false;
        co_await detail::on_pool(pool_, [&] { made = inner_.create_now(path, bytes, d); });
        co_return made;
    }
    asio::awaitable<bool> link(std::string_view from, std::string_view to, durability d)
        requires requires(Fs const& fs) { fs.link_now(from, to, d); }
    {
        if (!pool_) co_return co_await inner_.link(from, to, d);
        bool made = false;
        co_await detail::on_pool(pool_, [&] { made = inner_.link_now(from, to, d); });
        co_return made;
    }
    asio::awaitable<std::vector<std::string>> list(std::string_view path) {
        if (!pool_) co_return inner_.list_now(path);
        std::vector<std::string> names;
        co_await detail::on_pool(pool_, [&] { names = inner_.list_now(path); });
        co_return names;
    }
    asio::awaitable<bool> remove(std::string_view path) {
        if (!pool_) co_return inner_.remove_now(path);
        bool removed = false;
        co_await detail::on_pool(pool_, [&] { removed = inner_.remove_now(path); });
        co_return removed;
    }

    template <watchable_filesystem F = Fs>
    asio::awaitable<typename F::watch> watch_directory(std::string_view path) {
        return inner_.watch_directory(path);
    }

private:
    Fs inner_;
    asio::any_io_executor pool_;
};

}  // namespace mailfs
