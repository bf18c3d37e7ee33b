// SPDX-License-Identifier: BSL-1.0
// What a disk holds after a power cut: which bytes and names were made durable, and what may have become of the others.
#pragma once

#include <mailfs/fs/detail/path.hpp>
#include <mailfs/fs/detail/seeded_random.hpp>
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/types/bytes.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace mailfs {

/// What becomes of bytes that were not synced. A name that was made or removed and not synced is there or not; under
/// lose_all it is as it was before, under keep_all as it is now.
enum class power_cut : std::uint8_t {
    lose_all,  ///< none of them was written
    keep_all,  ///< all were
    cut,       ///< each file ends at some byte among them
    appends,   ///< each append was written, or reads as zeros; the file ends with the last that was, or anywhere in it
    pages,     ///< each page was written, or reads as zeros; the file ends anywhere
    garbage,   ///< the same with random bytes in the place of zeros
    any,       ///< for each file one of these
};

namespace detail {

/// Follows what is written beside a memory_fs. From any thread.
class power_model {
public:
    static constexpr std::size_t page_size = 4096;

    struct node {
        std::vector<std::byte> bytes;
        std::size_t durable_size = 0;
        std::vector<std::size_t> append_ends;  // of those behind durable_size
    };
    using node_ptr = std::shared_ptr<node>;

    /// What is there at the start is durable.
    explicit power_model(memory_fs const& start) {
        for (auto const& path : start.paths()) {
            auto file = std::make_shared<node>();
            file->bytes = start.bytes_of(path);
            file->durable_size = file->bytes.size();
            seen_.emplace(path, file);
        }
        durable_ = seen_;
    }

    node_ptr find(std::string_view path) const {
        std::scoped_lock const lock(mutex_);
        auto const at = seen_.find(path);
        return at == seen_.end() ? nullptr : at->second;
    }
    void create(std::string_view path, bytes_view bytes, bool stored) {
        auto file = std::make_shared<node>();
        file->bytes.assign(bytes.begin(), bytes.end());
        if (stored) file->durable_size = bytes.size();
        else file->append_ends.push_back(bytes.size());
        std::scoped_lock const lock(mutex_);
        seen_.insert_or_assign(std::string(path), std::move(file));
    }
    void link(std::string_view from, std::string_view to) {
        std::scoped_lock const lock(mutex_);
        if (auto const at = seen_.find(from); at != seen_.end()) seen_.insert_or_assign(std::string(to), at->second);
    }
    void remove(std::string_view path) {
        std::scoped_lock const lock(mutex_);
        if (auto const at = seen_.find(path); at != seen_.end()) seen_.erase(at);
    }
    /// Names in this directory are on disk as they are seen, removals too.
    void sync_directory(std::string_view directory) {
        std::scoped_lock const lock(mutex_);
        std::erase_if(durable_, [&](auto const& entry) { return parent_of(entry.first) == directory; });
        for (auto const& entry : seen_)
            if (parent_of(entry.first) == directory) durable_.insert(entry);
    }
    void append(node& file, std::uint64_t offset, bytes_view bytes) {
        std::scoped_lock const lock(mutex_);
        auto const at = static_cast<std::size_t>(offset);
        file.bytes.resize(std::max(file.bytes.size(), at + bytes.size()));
        std::copy(bytes.begin(), bytes.end(), std::next(file.bytes.begin(), static_cast<std::ptrdiff_t>(at)));
        file.append_ends.push_back(at + bytes.size());
    }
    /// Bytes and name, as the concept has it; a file that was removed meanwhile gets no name back.
    void sync(node_ptr const& file, std::string_view path) {
        std::scoped_lock const lock(mutex_);
        file->durable_size = file->bytes.size();
        file->append_ends.clear();
        if (auto const at = seen_.find(path); at != seen_.end() && at->second == file) durable_.insert_or_assign(std::string(path), file);
    }

    /// The tree as it is found afterwards; the same for the same calls, `how` and seed.
    memory_fs after(power_cut how, std::uint64_t seed) const {
        std::scoped_lock const lock(mutex_);
        seeded_random random(seed);
        memory_fs found;
        auto all = durable_;
        all.insert(seen_.begin(), seen_.end());
        for (auto const& entry : all) {
            auto const& path = entry.first;
            auto const before = durable_.find(path), now = seen_.find(path);
            bool const keep_now = how == power_cut::keep_all || (how != power_cut::lose_all && random.up_to(1) == 1);
            auto const at = keep_now ? now : before;
            if (at == (keep_now ? seen_.end() : durable_.end())) continue;
            auto const bytes = survivors(*at->second, how, random);
            found.put(path, bytes);
        }
        return found;
    }

private:
    using name_map = std::map<std::string, node_ptr, std::less<>>;

    static std::vector<std::byte> survivors(node const& file, power_cut how, seeded_random& random) {
        if (how == power_cut::any) how = static_cast<power_cut>(random.up_to(static_cast<std::uint64_t>(power_cut::garbage)));
        auto bytes = file.bytes;
        auto const end_anywhere = [&](std::size_t first) { return first + static_cast<std::size_t>(random.up_to(bytes.size() - first)); };
        switch (how) {
            case power_cut::lose_all: bytes.resize(file.durable_size); break;
            case power_cut::cut: bytes.resize(end_anywhere(file.durable_size)); break;
            case power_cut::appends: lose_appends(file, bytes, random); break;
            case power_cut::pages:
            case power_cut::garbage:
                if (random.up_to(1) == 1) bytes.resize(end_anywhere(file.durable_size));
                lose_pages(file.durable_size, bytes, how == power_cut::garbage, random);
                break;
            case power_cut::keep_all:
            case power_cut::any: break;
        }
        return bytes;
    }

    static void lose_pages(std::size_t begin, std::vector<std::byte>& bytes, bool garbage, seeded_random& random) {
        while (begin < bytes.size()) {
            auto const end = std::min(bytes.size(), (begin / page_size + 1) * page_size);
            if (random.up_to(1) == 1)
                for (auto n = begin; n < end; ++n) bytes[n] = garbage ? static_cast<std::byte>(random()) : std::byte{0};
            begin = end;
        }
    }

    static void lose_appends(node const& file, std::vector<std::byte>& bytes, seeded_random& random) {
        auto ends = file.append_ends;
        std::sort(ends.begin(), ends.end());
        auto begin = file.durable_size, kept_begin = begin, kept_end = begin;
        for (auto const end : ends) {
            if (random.up_to(1) == 1) kept_begin = begin, kept_end = end;
            else std::fill(at(bytes, begin), at(bytes, end), std::byte{0});
            begin = end;
        }
        bytes.resize(random.up_to(1) == 1 ? kept_end : kept_begin + static_cast<std::size_t>(random.up_to(kept_end - kept_begin)));
    }
    static std::vector<std::byte>::iterator at(std::vector<std::byte>& bytes, std::size_t offset) {
        return bytes.begin() + static_cast<std::ptrdiff_t>(offset);
    }

    mutable std::mutex mutex_;
    name_map seen_;     // what processes see
    name_map durable_;  // what the directories on disk hold
};

}  // namespace detail
}  // namespace mailfs
