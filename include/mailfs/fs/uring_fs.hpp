// SPDX-License-Identifier: BSL-1.0
// A directory on a local disk, read and synced through io_uring. Needs liburing (feature `uring`).
//
// All else is posix_fs: an append above all. Its offset is known as there: write(2) with O_APPEND moves the position of this very
// descriptor to the end of what it wrote, and lseek(2) tells it; through the ring two appends of one descriptor could be
// under way, and the position would be that of either. An append goes into the page cache and does not wait for the disk.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/turns.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fs/detail/uring.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/fs/posix_fs.hpp>

#include <asio/awaitable.hpp>
#include <asio/error.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace mailfs {

/// What to do where the kernel gives no ring: too old, or forbidden, as in many containers.
enum class uring_fallback {
    refuse,    ///< the constructor throws not_supported
    in_place,  ///< calls block, as those of posix_fs
};

/// Threads: as posix_fs. One ring for each io_context that calls.
class uring_fs {
public:
    static constexpr fs_traits traits = posix_fs::traits;
    using watch = posix_fs::watch;

    /// As posix_fs. Also throws not_supported.
    explicit uring_fs(std::string root, posix_options options = {}, uring_fallback fallback = uring_fallback::refuse)
        : posix_(std::move(root), std::move(options)) {
        int const why = detail::uring_refusal();
        has_ring_ = why == 0;
        if (why != 0 && fallback == uring_fallback::refuse)
            throw error(errc::not_supported, posix_.root(),
                        "the kernel gives no io_uring (" + std::generic_category().message(why) +
                            "; see /proc/sys/kernel/io_uring_disabled, and the seccomp rules of the container): use pooled<posix_fs>, or "
                            "uring_fallback::in_place");
    }

    std::string const& root() const noexcept { return posix_.root(); }
    bool has_ring() const noexcept { return has_ring_; }

    /// Must stay where it is, and alive, while a call is under way.
    class file {
    public:
        using mapping = posix_mapping;

        template <class = void>
        asio::awaitable<std::uint64_t> append(bytes_view bytes) { co_return append_now(bytes); }
        std::uint64_t append_now(bytes_view bytes) const { return inner_.append_now(bytes); }

        /// Completes at once where the page cache has the bytes; else all that is asked in one turn of the event loop is handed to the
        /// kernel by one system call.
        template <class = void>
        asio::awaitable<std::size_t> read(std::uint64_t offset, std::span<std::byte> buffer) {
            if (!has_ring_) co_return inner_.read_now(offset, buffer);
            if (auto const cached = inner_.read_if_cached(offset, buffer)) co_return *cached;
            std::size_t done = 0;
            while (done < buffer.size()) {
                auto const at = offset + done;
                auto const want = std::min(buffer.size() - done, detail::io_size_max);
                if (posix_fs::file::is_beyond_all_files(at, want)) break;
                auto* const to = buffer.data() + done;
                int const got = co_await detail::uring(true, [fd = inner_.native_handle(), to, want, at](io_uring_sqe* entry) {
                    ::io_uring_prep_read(entry, fd, to, static_cast<unsigned>(want), at);
                });
                if (got == -EINTR || got == -EAGAIN) continue;
                if (got == -ECANCELED) throw std::system_error(asio::error::operation_aborted);
                if (got < 0) inner_.fail_read(-got, at);
                if (got == 0) break;
                done += static_cast<std::size_t>(got);
            }
            co_return done;
        }

        template <class = void>
        asio::awaitable<std::uint64_t> size() { co_return inner_.size_now(); }

        /// fsync, as posix_fs. Not cut short by cancellation: whether it failed must be known.
        template <class = void>
        asio::awaitable<void> sync() {
            if (!syncs_->try_take()) co_await syncs_->wait();
            detail::turn const mine(*syncs_);
            if (!has_ring_ || !inner_.may_sync()) {
                inner_.sync_now();
                co_return;
            }
            int const result = co_await detail::uring(false, [fd = inner_.native_handle()](io_uring_sqe* entry) { ::io_uring_prep_fsync(entry, fd, 0); });
            inner_.synced_with(-result);
        }

        template <class = void>
        asio::awaitable<mapping> map() { co_return inner_.map_now(); }

    private:
        friend class uring_fs;
        file(posix_fs::file inner, bool has_ring) : inner_(std::move(inner)), has_ring_(has_ring) {}

        posix_fs::file inner_;
        bool has_ring_;
        std::unique_ptr<detail::turns> syncs_ = std::make_unique<detail::turns>();
    };

    template <class = void>
    asio::awaitable<std::optional<file>> open(std::string_view path) {
        auto inner = posix_.open_now(path);
        if (!inner) co_return std::nullopt;
        co_return file(std::move(*inner), has_ring_);
    }
    asio::awaitable<bool> create(std::string_view path, bytes_view bytes, durability d) { return posix_.create(path, bytes, d); }
    asio::awaitable<std::vector<std::string>> list(std::string_view path) { return posix_.list(path); }
    asio::awaitable<bool> link(std::string_view from, std::string_view to, durability d) { return posix_.link(from, to, d); }
    asio::awaitable<bool> remove(std::string_view path) { return posix_.remove(path); }
    asio::awaitable<watch> watch_directory(std::string_view path) { return posix_.watch_directory(path); }

private:
    posix_fs posix_;
    bool has_ring_ = false;
};

static_assert(watchable_filesystem<uring_fs>);

}  // namespace mailfs
