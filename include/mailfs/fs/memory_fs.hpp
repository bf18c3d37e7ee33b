// SPDX-License-Identifier: BSL-1.0
// A tree of files in the memory of this process: for tests, for simulation, for what need not last.
//
// Threads: a memory_fs may be used from any; a file or a watch belongs to one executor at a time. One mutex for each tree
// plays the kernel. All calls but changed() complete at once.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fs/detail/memory_tree.hpp>
#include <mailfs/fs/detail/path.hpp>
#include <mailfs/fs/filesystem.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/error.hpp>
#include <asio/redirect_error.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace mailfs {

/// A copy of a file's bytes, aligned as the concept wants it.
class memory_mapping {
public:
    memory_mapping() = default;
    explicit memory_mapping(bytes_view bytes) : size_(bytes.size()) {
        if (bytes.empty()) return;
        data_.reset(static_cast<std::byte*>(::operator new(bytes.size(), alignment)));
        std::copy(bytes.begin(), bytes.end(), data_.get());
    }
    memory_mapping(memory_mapping&& other) noexcept : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}
    memory_mapping& operator=(memory_mapping&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~memory_mapping() = default;

    std::span<std::byte> bytes() const noexcept { return {data_.get(), size_}; }

private:
    static constexpr std::align_val_t alignment{64};
    struct free_aligned {
        void operator()(std::byte* data) const noexcept { ::operator delete(data, alignment); }
    };

    std::unique_ptr<std::byte, free_aligned> data_;
    std::size_t size_ = 0;
};

/// Belongs to the executor that made it, which must outlive it. Wakes for changes by any thread of this process.
class memory_watch {
public:
    /// Throws not_found when there is no such directory.
    memory_watch(std::shared_ptr<detail::memory_tree> tree, asio::any_io_executor executor, std::string_view directory)
        : tree_(std::move(tree)), watcher_(std::make_shared<detail::memory_watcher>(std::move(executor), directory)) {
        tree_->watch(*watcher_);
    }
    memory_watch(memory_watch&&) noexcept = default;
    memory_watch& operator=(memory_watch&& other) noexcept {
        std::swap(tree_, other.tree_);
        std::swap(watcher_, other.watcher_);
        return *this;
    }
    ~memory_watch() {
        if (watcher_) tree_->unwatch(*watcher_);
    }

    /// Completes at once when something happened since the last call. When the directory itself went it completes once
    /// more, and then throws not_found. One call at a time; Asio's cancellation ends it.
    asio::awaitable<void> changed() {
        while (!tree_->take_change(*watcher_)) {
            std::error_code woken;  // always operation_aborted: by a change, or by who cancels this coroutine
            co_await watcher_->timer.async_wait(asio::redirect_error(asio::use_awaitable, woken));
            auto const state = co_await asio::this_coro::cancellation_state;
            if (state.cancelled() != asio::cancellation_type::none) throw std::system_error(asio::error::operation_aborted);
        }
    }

private:
    std::shared_ptr<detail::memory_tree> tree_;
    std::shared_ptr<detail::memory_watcher> watcher_;
};

class memory_fs {
public:
    static constexpr fs_traits traits{.reach = scope::process,
                                      .appends_ordered = scope::process,
                                      .map_is_zero_copy = false,
                                      .reads_coherent = true,
                                      .read_latency = latency::memory,
                                      .append_size_max = 0x7fff'f000};

    class file;
    using watch = memory_watch;

    /// An empty tree; copies share it.
    memory_fs() : tree_(std::make_shared<detail::memory_tree>()) {}

    asio::awaitable<std::optional<file>> open(std::string_view path);

    asio::awaitable<bool> create(std::string_view path, bytes_view bytes, durability) {
        assert(detail::is_file_path(path));
        co_return tree_->create(path, bytes);
    }

    /// See linking_filesystem.
    asio::awaitable<bool> link(std::string_view from, std::string_view to, durability) {
        assert(detail::is_file_path(from) && detail::is_file_path(to));
        co_return tree_->link(from, to);
    }

    asio::awaitable<std::vector<std::string>> list(std::string_view path) {
        assert(detail::is_directory_path(path));
        co_return tree_->list(path);
    }

    /// False also for a directory that is not empty.
    asio::awaitable<bool> remove(std::string_view path) {
        assert(detail::is_file_path(path));
        co_return tree_->remove(path);
    }

    asio::awaitable<watch> watch_directory(std::string_view path) {
        assert(detail::is_directory_path(path));
        auto const executor = co_await asio::this_coro::executor;
        co_return watch(tree_, executor, path);
    }

    // For tests: what no verb can do. From any thread, and they do not wait.

    /// A tree of its own with the same files.
    memory_fs clone() const { return memory_fs(std::make_shared<detail::memory_tree>(*tree_)); }
    /// All files, sorted.
    std::vector<std::string> paths() const { return tree_->paths(); }
    /// A copy of a file's bytes. Throws not_found.
    std::vector<std::byte> bytes_of(std::string_view path) const { return tree_->copy(*find(path)); }
    /// Gives a file these bytes, under the hands of who has it open: damage. Makes it when missing.
    void put(std::string_view path, bytes_view bytes) {
        assert(detail::is_file_path(path));
        if (!tree_->create(path, bytes)) tree_->replace(*find(path), path, bytes);
    }

private:
    explicit memory_fs(std::shared_ptr<detail::memory_tree> tree) : tree_(std::move(tree)) {}

    std::shared_ptr<detail::memory_tree::node> find(std::string_view path) const {
        auto found = tree_->open(path);
        if (!found) throw error(errc::not_found, path, "no such file");
        return found;
    }

    std::shared_ptr<detail::memory_tree> tree_;
};

class memory_fs::file {
public:
    using mapping = memory_mapping;

    asio::awaitable<std::uint64_t> append(bytes_view bytes) { co_return tree_->append(*node_, path_, bytes); }
    asio::awaitable<std::size_t> read(std::uint64_t offset, std::span<std::byte> buffer) {
        co_return tree_->read(*node_, offset, buffer);
    }
    asio::awaitable<std::uint64_t> size() { co_return tree_->size(*node_); }
    asio::awaitable<void> sync() { co_return; }
    asio::awaitable<mapping> map() { co_return mapping(tree_->copy(*node_)); }

private:
    friend class memory_fs;
    file(std::shared_ptr<detail::memory_tree> tree, std::shared_ptr<detail::memory_tree::node> node, std::string_view path)
        : tree_(std::move(tree)), node_(std::move(node)), path_(path) {}

    std::shared_ptr<detail::memory_tree> tree_;
    std::shared_ptr<detail::memory_tree::node> node_;  // outlives its name
    std::string path_;
};

inline asio::awaitable<std::optional<memory_fs::file>> memory_fs::open(std::string_view path) {
    assert(detail::is_file_path(path));
    auto node = tree_->open(path);
    if (!node) co_return std::nullopt;
    co_return file(tree_, std::move(node), path);
}

static_assert(watchable_filesystem<memory_fs> && linking_filesystem<memory_fs>);

}  // namespace mailfs
