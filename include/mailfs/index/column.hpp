// SPDX-License-Identifier: BSL-1.0
// A column of rows: the mapped part of a snapshot, checked block by block on first touch, and what came after.
#pragma once

#include <mailfs/error.hpp>
#include <mailfs/format/crc32c.hpp>
#include <mailfs/format/snapshot.hpp>
#include <mailfs/types/bytes.hpp>

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace mailfs {

/// The file that mapped columns stand on.
struct snapshot_source {
    std::string name;
    bool damaged = false;  ///< a block failed its checksum when it was first touched, and has not been mended
};

/// Rows keep their number; they are only added at the end. Reading or writing a mapped row checks its block (64 KiB)
/// once, and throws errc::corrupt with the file and the offset when it is damaged.
template <class T>
class column {
    static_assert(std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T>);

public:
    static constexpr std::size_t block_rows = format::block_elements(sizeof(T));

    column() = default;
    /// The mapped part, which lives at least as long as this.
    column(format::snapshot_reader::found const& in, std::shared_ptr<snapshot_source> source)
        : base_(reinterpret_cast<T*>(in.bytes.data()), in.bytes.size() / sizeof(T)), checksums_(in.checksums),
          unchecked_(checksums_.size(), true), source_(std::move(source)), offset_(in.offset) {
        assert(reinterpret_cast<std::uintptr_t>(in.bytes.data()) % alignof(T) == 0);
    }

    std::size_t size() const noexcept { return base_.size() + tail_.size(); }

    T const& operator[](std::size_t row) const {
        if (row >= base_.size()) return tail_[row - base_.size()];
        if (unchecked_[row / block_rows]) check(row / block_rows);
        return base_[row];
    }
    /// Writes to memory alone: the mapping is private.
    T& at(std::size_t row) { return const_cast<T&>(std::as_const(*this)[row]); }
    void push_back(T const& value) { tail_.push_back(value); }
    std::size_t mapped_size() const noexcept { return base_.size(); }
    void drop_added() noexcept { tail_.clear(); }
    /// Where a mapped row stands in its file.
    std::uint64_t offset_of(std::size_t row) const noexcept { return offset_ + row * sizeof(T); }

    /// Rows first..last-1 will be there when asked for: whatever is damaged throws now.
    void touch(std::size_t first, std::size_t last) const {
        last = std::min(last, base_.size());
        if (first >= last) return;
        for (auto b = first / block_rows; b <= (last - 1) / block_rows; ++b)
            if (unchecked_[b]) check(b);
    }
    /// Whether this row can be read. Checks its block at most once more.
    bool readable(std::size_t row) const noexcept { return row >= base_.size() || passes(row / block_rows); }
    /// Whether all rows can.
    bool readable() const noexcept {
        for (std::size_t b = 0; b < unchecked_.size(); ++b)
            if (!passes(b)) return false;
        return true;
    }
    /// The two contiguous parts, all checked.
    std::span<T const> mapped() const {
        touch(0, base_.size());
        return base_;
    }
    std::span<T const> added() const noexcept { return tail_; }

    /// Appends the bytes of rows first..last-1 to `out`.
    void copy(std::size_t first, std::size_t last, std::vector<std::byte>& out) const {
        touch(first, last);
        auto const add = [&](std::span<T const> rows) {
            auto const bytes = std::as_bytes(rows);
            out.insert(out.end(), bytes.begin(), bytes.end());
        };
        auto const middle = std::clamp(base_.size(), first, last);
        if (first < middle) add(base_.subspan(first, middle - first));
        if (middle < last) add(std::span(tail_).subspan(middle - base_.size(), last - middle));
    }

    /// Whether `in` is a column of the very snapshot that this one was mapped from.
    bool is_like(format::snapshot_reader::found const& in) const noexcept {
        return in.bytes.size() == base_.size() * sizeof(T) && in.checksums == checksums_;
    }
    /// The elements number those of a table that has `count` of them: a mapped one that is not below, which only a forger
    /// writes, numbers none, however the table grows. Before the first touch.
    void refer_to(std::size_t count) noexcept { numbered_ = count; }

    /// Puts the bytes of `in`, which is_like() it, in the place of damaged ones. What was checked before is left alone.
    /// False: `in` is damaged itself.
    bool mend(format::snapshot_reader::found const& in) {
        bool whole = true;
        for (std::size_t b = 0; b < unchecked_.size(); ++b) {
            if (passes(b)) continue;
            auto const to = std::as_writable_bytes(block(b));
            std::copy_n(in.bytes.begin() + static_cast<std::ptrdiff_t>(b * block_rows * sizeof(T)), to.size(), to.begin());
            whole = passes(b) && whole;
        }
        return whole;
    }

private:
    std::span<T> block(std::size_t b) const noexcept {
        auto const first = b * block_rows;
        return base_.subspan(first, std::min(block_rows, base_.size() - first));
    }
    bool passes(std::size_t b) const noexcept {
        if (unchecked_[b] && crc32c(std::as_bytes(block(b))) == checksums_[b]) {
            unchecked_[b] = false;
            if (numbered_) drop_unknown(b, *numbered_);
        }
        return !unchecked_[b];
    }
    // To be called once for a block: later ones may have numbers of what was added to the table.
    void drop_unknown(std::size_t b, std::size_t count) const noexcept {
        auto const drop = [&](auto& number) {
            if (number >= count) number = ~std::uint32_t{0};
        };
        if constexpr (std::is_same_v<T, std::uint32_t>)
            for (auto& number : block(b)) drop(number);
        else if constexpr (requires(T t) { t.base; })
            for (auto& row : block(b)) drop(row.base);
    }
    [[gnu::noinline]] void check(std::size_t b) const {
        if (passes(b)) return;
        source_->damaged = true;
        throw error(errc::corrupt, source_->name, offset_ + b * block_rows * sizeof(T), "a block of a column fails its checksum");
    }

    std::span<T> base_;
    std::vector<T> tail_;
    std::vector<std::uint32_t> checksums_;
    mutable std::vector<char> unchecked_;
    std::shared_ptr<snapshot_source> source_;
    std::uint64_t offset_ = 0;
    std::optional<std::size_t> numbered_;  // how many elements the table has that these number, if they do
};

}  // namespace mailfs
