// SPDX-License-Identifier: BSL-1.0
// The tree behind memory_fs: files, directories and who watches them, all under one mutex.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fs/detail/path.hpp>
#include <mailfs/types/bytes.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// One watch. All but the timer is guarded by the tree's mutex; the timer belongs to the executor.
struct memory_watcher : std::enable_shared_from_this<memory_watcher> {
    memory_watcher(asio::any_io_executor ex, std::string_view path)
        : executor(ex), timer(std::move(ex), asio::steady_timer::time_point::max()), directory(path) {}

    asio::any_io_executor executor;
    asio::steady_timer timer;  // never expires; cancelling it wakes who waits
    std::string directory;
    bool changed = false, waiting = false, gone = false;
};

/// All members lock, so any thread may call them. Invariant: each file's directory, and all above it, is in directories_.
class memory_tree {
public:
    using node = std::vector<std::byte>;

    memory_tree() = default;
    memory_tree(memory_tree const& other) {  // the files, and nobody who watches them
        std::scoped_lock const lock(other.mutex_);
        directories_ = other.directories_;
        for (auto const& [path, file] : other.files_) files_.emplace(path, std::make_shared<node>(*file));
    }
    memory_tree& operator=(memory_tree const&) = delete;

    std::shared_ptr<node> open(std::string_view path) const {
        std::scoped_lock const lock(mutex_);
        if (directories_.contains(path)) throw error(errc::io, path, "open: is a directory");
        auto const at = files_.find(path);
        return at == files_.end() ? nullptr : at->second;
    }

    bool create(std::string_view path, bytes_view bytes) {
        auto file = std::make_shared<node>(bytes.begin(), bytes.end());
        std::scoped_lock const lock(mutex_);
        if (files_.contains(path) || directories_.contains(path)) return false;
        make_directories(parent_of(path));
        files_.emplace(path, std::move(file));
        notify(parent_of(path));
        return true;
    }

    bool link(std::string_view from, std::string_view to) {
        std::scoped_lock const lock(mutex_);
        auto const file = files_.find(from);
        if (file == files_.end() || files_.contains(to) || directories_.contains(to)) return false;
        make_directories(parent_of(to));
        files_.emplace(to, file->second);
        notify(parent_of(to));
        return true;
    }

    std::vector<std::string> list(std::string_view directory) const {
        std::vector<std::string> names;
        std::scoped_lock const lock(mutex_);
        auto const take = [&](std::string_view path) {
            if (!path.empty() && parent_of(path) == directory) names.emplace_back(name_of(path));
        };
        if (files_.contains(directory)) throw error(errc::not_found, directory, "opendir: not a directory");
        auto const from = directory.empty() ? std::string{} : std::string(directory) + "/";
        for (auto at = files_.lower_bound(from); at != files_.end() && at->first.starts_with(from); ++at) take(at->first);
        for (auto at = directories_.lower_bound(from); at != directories_.end() && at->starts_with(from); ++at) take(*at);
        return names;
    }

    bool remove(std::string_view path) {
        std::scoped_lock const lock(mutex_);
        if (auto const file = files_.find(path); file != files_.end()) {
            files_.erase(file);
            notify(parent_of(path));
            return true;
        }
        auto const directory = directories_.find(path);
        if (directory == directories_.end() || holds_any(path)) return false;
        for (auto* const watcher : watchers_)
            if (watcher->directory == path) watcher->gone = true;
        notify(path);
        directories_.erase(directory);
        notify(parent_of(path));
        return true;
    }

    std::uint64_t append(node& file, std::string_view path, bytes_view bytes) {
        std::scoped_lock const lock(mutex_);
        auto const offset = file.size();
        file.insert(file.end(), bytes.begin(), bytes.end());
        if (!bytes.empty()) notify(parent_of(path));
        return offset;
    }

    std::size_t read(node const& file, std::uint64_t offset, std::span<std::byte> buffer) const {
        std::scoped_lock const lock(mutex_);
        if (offset >= file.size()) return 0;
        auto const found = bytes_view(file).subspan(static_cast<std::size_t>(offset));
        auto const n = std::min(found.size(), buffer.size());
        std::copy_n(found.begin(), n, buffer.begin());
        return n;
    }

    std::uint64_t size(node const& file) const {
        std::scoped_lock const lock(mutex_);
        return file.size();
    }

    node copy(node const& file) const {
        std::scoped_lock const lock(mutex_);
        return file;
    }

    void replace(node& file, std::string_view path, bytes_view bytes) {
        std::scoped_lock const lock(mutex_);
        file.assign(bytes.begin(), bytes.end());
        notify(parent_of(path));
    }

    std::vector<std::string> paths() const {
        std::vector<std::string> all;
        std::scoped_lock const lock(mutex_);
        for (auto const& [path, file] : files_) all.push_back(path);
        return all;
    }

    void watch(memory_watcher& watcher) {
        std::scoped_lock const lock(mutex_);
        if (!watcher.directory.empty() && !directories_.contains(watcher.directory))
            throw error(errc::not_found, watcher.directory, "watch: no such directory");
        watchers_.push_back(&watcher);
    }

    void unwatch(memory_watcher& watcher) noexcept {
        std::scoped_lock const lock(mutex_);
        std::erase(watchers_, &watcher);
    }

    /// True: something changed since the last call that said so. False: the next change cancels the watcher's timer.
    bool take_change(memory_watcher& watcher) {
        std::scoped_lock const lock(mutex_);
        if (!watcher.changed && watcher.gone) throw error(errc::not_found, watcher.directory, "the watched directory was removed");
        watcher.waiting = !watcher.changed;
        return std::exchange(watcher.changed, false);
    }

private:
    void make_directories(std::string_view directory) {
        if (directory.empty() || directories_.contains(directory)) return;
        if (files_.contains(directory)) throw error(errc::not_found, directory, "mkdir: not a directory");
        make_directories(parent_of(directory));
        directories_.emplace(directory);
        notify(parent_of(directory));
    }

    bool holds_any(std::string_view directory) const {
        auto const from = std::string(directory) + "/";
        auto const file = files_.lower_bound(from);
        auto const below = directories_.lower_bound(from);
        return (file != files_.end() && file->first.starts_with(from)) || (below != directories_.end() && below->starts_with(from));
    }

    void notify(std::string_view directory) {
        for (auto* const watcher : watchers_) {
            if (watcher->directory != directory) continue;
            watcher->changed = true;
            if (!std::exchange(watcher->waiting, false)) continue;
            asio::post(watcher->executor, [weak = watcher->weak_from_this()] {
                if (auto const alive = weak.lock()) alive->timer.cancel();
            });
        }
    }

    mutable std::mutex mutex_;
    std::map<std::string, std::shared_ptr<node>, std::less<>> files_;
    std::set<std::string, std::less<>> directories_;  // the root, "", is not among them
    std::vector<memory_watcher*> watchers_;
};

}  // namespace mailfs::detail
