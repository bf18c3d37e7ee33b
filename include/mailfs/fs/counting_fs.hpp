// SPDX-License-Identifier: BSL-1.0
// Counts what is asked of a filesystem: for tests and benches that say how many calls a thing may cost.
//
// Threads: as the filesystem below; the counts are atomic.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/fs/detail/watch_of.hpp>
#include <mailfs/fs/filesystem.hpp>

#include <asio/awaitable.hpp>

#include <atomic>
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

/// Calls since the start or the last reset(), those that failed included.
struct fs_counts {
    using counter = std::atomic<std::uint64_t>;
    counter open{0}, create{0}, link{0}, list{0}, remove{0}, watch{0};
    counter append{0}, read{0}, size{0}, sync{0}, map{0};
    counter bytes_created{0}, bytes_appended{0};  ///< asked for
    counter bytes_read{0};                        ///< received by read(); map() does not count

    /// All verbs together.
    std::uint64_t calls() const noexcept { return open + create + link + list + remove + watch + append + read + size + sync + map; }
    void reset() noexcept {
        for (auto* const c : {&open, &create, &link, &list, &remove, &watch, &append, &read, &size, &sync, &map, &bytes_created,
                              &bytes_appended, &bytes_read})
            *c = 0;
    }
};

template <filesystem Fs>
class counting_fs : public detail::watch_of<Fs> {
public:
    static constexpr fs_traits traits = Fs::traits;

    class file {
    public:
        using mapping = typename Fs::file::mapping;

        asio::awaitable<std::uint64_t> append(bytes_view bytes) {
            ++counts_->append;
            counts_->bytes_appended += bytes.size();
            return inner_.append(bytes);
        }
        asio::awaitable<std::size_t> read(std::uint64_t offset, std::span<std::byte> buffer) {
            ++counts_->read;
            auto const size = co_await inner_.read(offset, buffer);
            counts_->bytes_read += size;
            co_return size;
        }
        asio::awaitable<std::uint64_t> size() { return ++counts_->size, inner_.size(); }
        asio::awaitable<void> sync() { return ++counts_->sync, inner_.sync(); }
        asio::awaitable<mapping> map() { return ++counts_->map, inner_.map(); }

    private:
        friend class counting_fs;
        file(typename Fs::file inner, std::shared_ptr<fs_counts> counts) : inner_(std::move(inner)), counts_(std::move(counts)) {}

        typename Fs::file inner_;
        std::shared_ptr<fs_counts> counts_;
    };

    /// Copies count together.
    explicit counting_fs(Fs inner = Fs()) : inner_(std::move(inner)), counts_(std::make_shared<fs_counts>()) {}

    fs_counts& counts() const noexcept { return *counts_; }
    Fs const& inner() const noexcept { return inner_; }

    asio::awaitable<std::optional<file>> open(std::string_view path) {
        ++counts_->open;
        auto inner = co_await inner_.open(path);
        if (!inner) co_return std::nullopt;
        co_return file(std::move(*inner), counts_);
    }
    asio::awaitable<bool> create(std::string_view path, bytes_view bytes, durability d) {
        ++counts_->create;
        counts_->bytes_created += bytes.size();
        return inner_.create(path, bytes, d);
    }
    asio::awaitable<bool> link(std::string_view from, std::string_view to, durability d)
        requires linking_filesystem<Fs>
    {
        return ++counts_->link, inner_.link(from, to, d);
    }
    asio::awaitable<std::vector<std::string>> list(std::string_view path) { return ++counts_->list, inner_.list(path); }
    asio::awaitable<bool> remove(std::string_view path) { return ++counts_->remove, inner_.remove(path); }

    template <watchable_filesystem F = Fs>
    asio::awaitable<typename F::watch> watch_directory(std::string_view path) {
        return ++counts_->watch, inner_.watch_directory(path);
    }

private:
    Fs inner_;
    std::shared_ptr<fs_counts> counts_;
};

}  // namespace mailfs
