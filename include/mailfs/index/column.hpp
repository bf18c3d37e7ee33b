// SPDX-License-Identifier: BSL-1.0
// A column of rows: the mapped part of a snapshot, checked block by block on first touch, and what came after.
#pragma once

#include <mailfs/error.hpp>
#include <mailfs/format/crc32c.hpp>
#include <mailfs/format/snapshot.hpp>
#include <mailfs/types/bytes.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace mailfs {

/// Rows keep their number; they are only added at the end. Reading or writing a mapped row checks its block (64 KiB)
/// once, and throws errc::corrupt with the file and the offset when it is damaged.
template <class T>
class column {
    static_assert(std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T>);

public:
    static constexpr std::size_t block_rows = format::block_elements(sizeof(T));

    column() = default;
    /// The mapped part, which lives at least as long as this; `name` is the file's.
    column(format::snapshot_reader::found const& in, std::string name)
        : base_(reinterpret_cast<T*>(in.bytes.data()), in.bytes.size() / sizeof(T)), checksums_(in.checksums),
          unchecked_(checksums_.size(), true), name_(std::move(name)), offset_(in.offset) {}

    std::size_t size() const noexcept { return base_.size() + tail_.size(); }

    T const& operator[](std::size_t row) const {
        if (row >= base_.size()) return tail_[row - base_.size()];
        check(row / block_rows);
        return base_[row];
    }
    /// Writes to memory alone: the mapping is private.
    T& at(std::size_t row) { return const_cast<T&>(std::as_const(*this)[row]); }
    void push_back(T const& value) { tail_.push_back(value); }

    /// Rows first..last-1 will be there when asked for: whatever is damaged throws now.
    void touch(std::size_t first, std::size_t last) const {
        if (last > base_.size()) last = base_.size();
        if (first >= last) return;
        for (auto b = first / block_rows; b <= (last - 1) / block_rows; ++b) check(b);
    }
    /// The two contiguous parts, all checked.
    std::span<T const> mapped() const {
        touch(0, base_.size());
        return base_;
    }
    std::span<T const> added() const noexcept { return tail_; }

private:
    void check(std::size_t block) const {
        if (!unchecked_[block]) return;
        auto const first = block * block_rows;
        auto const rows = base_.subspan(first, std::min(block_rows, base_.size() - first));
        if (crc32c(std::as_bytes(rows)) != checksums_[block])
            throw error(errc::corrupt, name_, offset_ + first * sizeof(T), "a block of a column fails its checksum");
        unchecked_[block] = false;
    }

    std::span<T> base_;
    std::vector<T> tail_;
    std::vector<std::uint32_t> checksums_;
    mutable std::vector<char> unchecked_;
    std::string name_;
    std::uint64_t offset_ = 0;
};

}  // namespace mailfs
