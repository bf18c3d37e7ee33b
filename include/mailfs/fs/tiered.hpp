// SPDX-License-Identifier: BSL-1.0
// Two filesystems as one: new files come into being on the first, and mail that got old is moved to the second, which is cheaper.
// docs/decisions/old-mail-moves-file-by-file.md
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fs/detail/path.hpp>
#include <mailfs/fs/detail/watch_of.hpp>
#include <mailfs/fs/filesystem.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace mailfs {

struct tiered_options {
    std::string directory = "mail";  ///< files below a directory of this name may stand on the second filesystem; "": all may
};

/// Whoever opens the store opens it over both, with the same options. A file stands on one of them, or while it is moved on both; its
/// path stays, and so nothing that refers to it changes. A call costs what it does on the first filesystem, and where a file that may
/// be moved is not there, the same on the second. Names of files that may be moved are never given twice (the mail formats' are
/// not): create() does not look for them on the second. Threads: as the two below.
template <filesystem Fast, filesystem Slow>
class tiered : public detail::watch_of<Fast> {
    static constexpr fs_traits both(fs_traits a, fs_traits b) noexcept {
        a.reach = std::min(a.reach, b.reach);
        a.map_is_zero_copy = a.map_is_zero_copy && b.map_is_zero_copy;
        a.reads_coherent = a.reads_coherent && b.reads_coherent;
        a.append_size_max = std::min(a.append_size_max, b.append_size_max);
        return a;
    }

public:
    using fast_type = Fast;
    using slow_type = Slow;
    static constexpr fs_traits traits = both(Fast::traits, Slow::traits);

    class mapping {
    public:
        std::span<std::byte> bytes() const noexcept {
            return std::visit([](auto const& m) { return m.bytes(); }, inner_);
        }

    private:
        friend class tiered;
        using either_mapping = std::variant<typename Fast::file::mapping, typename Slow::file::mapping>;
        explicit mapping(either_mapping inner) : inner_(std::move(inner)) {}
        either_mapping inner_;
    };

    /// Must stay where it is, and alive, while a call is under way.
    class file {
    public:
        using mapping = typename tiered::mapping;

        asio::awaitable<std::uint64_t> append(bytes_view bytes) {
            return std::visit([&](auto& f) { return f.append(bytes); }, inner_);
        }
        /// Of the first filesystem.
        std::uint64_t append_now(bytes_view bytes)
            requires immediate_append_file<typename Fast::file>
        {
            if (auto* const fast = std::get_if<0>(&inner_)) return fast->append_now(bytes);
            throw error(errc::not_supported, "tiered", "nothing is appended to a file that was moved");
        }
        asio::awaitable<std::size_t> read(std::uint64_t offset, std::span<std::byte> buffer) {
            return std::visit([&](auto& f) { return f.read(offset, buffer); }, inner_);
        }
        asio::awaitable<std::uint64_t> size() {
            return std::visit([](auto& f) { return f.size(); }, inner_);
        }
        asio::awaitable<void> sync() {
            return std::visit([](auto& f) { return f.sync(); }, inner_);
        }
        asio::awaitable<mapping> map() {
            using either = typename mapping::either_mapping;
            if (auto* const fast = std::get_if<0>(&inner_)) {
                auto m = co_await fast->map();
                co_return mapping(either(std::in_place_index<0>, std::move(m)));
            }
            auto m = co_await std::get<1>(inner_).map();
            co_return mapping(either(std::in_place_index<1>, std::move(m)));
        }

    private:
        friend class tiered;
        using either_file = std::variant<typename Fast::file, typename Slow::file>;
        explicit file(either_file inner) : inner_(std::move(inner)) {}
        either_file inner_;
    };

    tiered(Fast fast, Slow slow, tiered_options options = {}) : fast_(std::move(fast)), slow_(std::move(slow)), options_(std::move(options)) {}
    /// Without a second one: for programs that let their users choose. Whoever once had one must not open the store so.
    explicit tiered(Fast fast) : fast_(std::move(fast)) {}

    Fast const& fast() const noexcept { return fast_; }
    std::optional<Slow> const& slow() const noexcept { return slow_; }

    asio::awaitable<std::optional<file>> open(std::string_view path) {
        using either = typename file::either_file;
        std::string const name(path);
        auto fast = co_await fast_.open(name);
        if (fast) co_return file(either(std::in_place_index<0>, std::move(*fast)));
        if (!may_move(name)) co_return std::nullopt;
        auto slow = co_await slow_->open(name);  // it is there before it goes from the first
        if (!slow) co_return std::nullopt;
        co_return file(either(std::in_place_index<1>, std::move(*slow)));
    }
    asio::awaitable<bool> create(std::string_view path, bytes_view bytes, durability d) { return fast_.create(path, bytes, d); }
    /// Of files on the first.
    asio::awaitable<bool> link(std::string_view from, std::string_view to, durability d)
        requires linking_filesystem<Fast>
    {
        return fast_.link(from, to, d);
    }
    asio::awaitable<std::vector<std::string>> list(std::string_view path) {
        std::string const name(path);
        auto names = co_await fast_.list(name);
        if (!may_hold_moved(name)) co_return names;
        auto more = co_await slow_->list(name);
        names.insert(names.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
        std::sort(names.begin(), names.end());
        names.erase(std::unique(names.begin(), names.end()), names.end());
        co_return names;
    }
    asio::awaitable<bool> remove(std::string_view path) {
        std::string const name(path);
        bool const fast = co_await fast_.remove(name);
        if (!may_hold_moved(name)) co_return fast;
        bool const slow = co_await slow_->remove(name);
        co_return fast || slow;
    }

    /// Moves a whole file to the second filesystem: it is on stable storage there before it goes from the first. Who has it open reads
    /// on. Takes the file's size in memory. Call it only for a file to which nobody appends any more: what is appended meanwhile would be
    /// lost. Answers the bytes moved; nothing: it is not on the first, or may not be moved. Throws corrupt where the second has
    /// another file of that name (both stay), and what the two throw; then the file is where it was.
    asio::awaitable<std::optional<std::uint64_t>> move_down(std::string_view path) {
        std::string const name(path);
        if (!may_move(name)) co_return std::nullopt;
        auto from = co_await fast_.open(name);
        if (!from) co_return std::nullopt;
        auto const bytes = co_await contents_of(*from);
        bool const made = co_await slow_->create(name, bytes, durability::stored);
        if (!made) {  // who did it before was interrupted
            auto there = co_await slow_->open(name);
            std::vector<std::byte> theirs;
            if (there) theirs = co_await contents_of(*there);
            if (theirs != bytes) throw error(errc::corrupt, name, "another file of this name stands on the second filesystem");
        }
        co_await fast_.remove(name);
        co_return bytes.size();
    }

    template <watchable_filesystem F = Fast>
    asio::awaitable<typename F::watch> watch_directory(std::string_view path) {
        return fast_.watch_directory(path);
    }

private:
    // `mail/x` and `a/mail/b/x` are below `mail`.
    bool may_move(std::string_view path) const noexcept { return may_hold_moved(detail::parent_of(path)); }
    bool may_hold_moved(std::string_view directory) const noexcept {
        if (!slow_ || options_.directory.empty()) return slow_.has_value();
        for (; !directory.empty(); directory = detail::parent_of(directory))
            if (detail::name_of(directory) == options_.directory) return true;
        return false;
    }

    template <class File>
    static asio::awaitable<std::vector<std::byte>> contents_of(File& opened) {
        auto const size = co_await opened.size();
        std::vector<std::byte> bytes(static_cast<std::size_t>(size));
        auto const got = co_await opened.read(0, bytes);
        bytes.resize(got);
        co_return bytes;
    }

    Fast fast_;
    std::optional<Slow> slow_;
    tiered_options options_;
};

}  // namespace mailfs
