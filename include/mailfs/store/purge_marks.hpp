// SPDX-License-Identifier: BSL-1.0
// Marks on disk: what one look found, for the next one, which may be another process's.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/numbered_name.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/dbox_mark.hpp>
#include <mailfs/fs/filesystem.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// Files DIRECTORY/<n>. All of them may be removed at any time. Belongs to one executor.
template <filesystem Fs>
class purge_marks {
public:
    purge_marks(Fs fs, std::string directory) : fs_(std::move(fs)), directory_(std::move(directory)) {}

    /// The newest one that is of this account and can be read. Damaged ones, and those of a newer version, do not count.
    asio::awaitable<std::optional<dbox_mark>> load(guid account) {
        co_await look();
        for (auto n = numbers_.size(); n > 0; --n) {
            auto const name = path(numbers_[n - 1]);
            auto file = co_await fs_.open(name);
            if (!file) continue;
            auto const size = co_await file->size();
            if (size > size_max) continue;
            std::vector<std::byte> bytes(static_cast<std::size_t>(size));
            auto const got = co_await file->read(0, bytes);
            dbox_mark mark;
            if (decode(bytes_view(bytes).first(got), mark) || mark.account != account) continue;
            loaded_ = name;
            co_return mark;
        }
        co_return std::nullopt;
    }

    /// Whether the mark that was loaded still counts: who brings mail back that was out of use removes it.
    asio::awaitable<bool> still_there() {
        auto const file = co_await fs_.open(loaded_);
        co_return file.has_value();
    }

    /// For who refers anew to what may be out of use: what was found so far is forgotten, also by who is about to act on it.
    /// Then there is half a grace period for it.
    asio::awaitable<void> forget() {
        co_await look();
        for (auto n : numbers_) {
            auto const name = path(n);
            co_await fs_.remove(name);
        }
    }

    /// In the place of all that there were. When somebody else was faster, theirs stays and ours is not needed.
    asio::awaitable<void> save(dbox_mark mark) {
        co_await look();
        if (!mark.files.empty() || !mark.mailboxes.empty()) {
            auto const name = path(numbers_.empty() ? 1 : numbers_.back() + 1);
            auto const bytes = encode(mark);
            co_await fs_.create(name, bytes, durability::none);
        }
        for (auto n : numbers_) {
            auto const name = path(n);
            co_await fs_.remove(name);
        }
    }

private:
    static constexpr std::uint64_t size_max =
        sizeof(dbox_mark_header) + dbox_mark_files_max * sizeof(dbox_mark_entry) + dbox_mark_mailboxes_max * sizeof(guid);

    std::string path(std::uint64_t n) const { return directory_ + '/' + std::to_string(n); }

    // Other names are passed by.
    asio::awaitable<void> look() {
        numbers_.clear();
        auto const names = co_await fs_.list(directory_);
        for (auto const& name : names)
            if (auto const n = number_in(name, "")) numbers_.push_back(*n);
        std::sort(numbers_.begin(), numbers_.end());
    }

    Fs fs_;
    std::string directory_;
    std::vector<std::uint64_t> numbers_;  // ascending
    std::string loaded_;
};

}  // namespace mailfs::detail
