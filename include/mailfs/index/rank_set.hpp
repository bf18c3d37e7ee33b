// SPDX-License-Identifier: BSL-1.0
// A growing set of row numbers that counts: how many lie before a row, and which row is the k-th not in the set.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace mailfs {

/// Turns rows into message numbers without moving rows: the set holds the expunged ones. Takes no memory while empty,
/// about an eighth of a byte for each row after that. insert, rank and select cost O(log rows).
class rank_set {
public:
    bool empty() const noexcept { return count_ == 0; }
    std::size_t size() const noexcept { return count_; }

    bool contains(std::size_t row) const noexcept { return row / 64 < words_.size() && (words_[row / 64] >> row % 64 & 1) != 0; }

    /// False: it was there.
    bool insert(std::size_t row) {
        grow(row + 1);
        auto& word = words_[row / 64];
        auto const bit = std::uint64_t{1} << row % 64;
        if ((word & bit) != 0) return false;
        word |= bit;
        ++count_;
        for (auto b = row / block_rows + 1; b < tree_.size(); b += b & (~b + 1)) ++tree_[b];
        return true;
    }

    /// How many rows before `row` are in the set.
    std::size_t rank(std::size_t row) const noexcept {
        if (count_ == 0) return 0;
        if (row >= words_.size() * 64) return count_;
        std::size_t n = 0;
        for (auto b = row / block_rows; b > 0; b &= b - 1) n += tree_[b];
        for (auto w = row / block_rows * block_words; w < row / 64; ++w) n += static_cast<std::size_t>(std::popcount(words_[w]));
        auto const below = (std::uint64_t{1} << row % 64) - 1;
        return n + static_cast<std::size_t>(std::popcount(words_[row / 64] & below));
    }

    /// The row that has exactly k rows before it that are not in the set, and is not in the set itself.
    std::size_t select_absent(std::size_t k) const noexcept {
        if (count_ == 0) return k;
        std::size_t block = 0;
        for (auto step = std::bit_floor(tree_.size()); step > 0; step /= 2) {
            auto const next = block + step;
            if (next >= tree_.size()) continue;
            auto const absent = step * block_rows - tree_[next];
            if (absent > k) continue;
            k -= absent;
            block = next;
        }
        for (auto w = block * block_words; w < words_.size(); ++w) {
            auto const absent = 64 - static_cast<std::size_t>(std::popcount(words_[w]));
            if (absent <= k) {
                k -= absent;
                continue;
            }
            auto free = ~words_[w];
            for (; k > 0; --k) free &= free - 1;
            return w * 64 + static_cast<std::size_t>(std::countr_zero(free));
        }
        return words_.size() * 64 + k;
    }

    /// Calls f(first, last) for each run first..last-1 of rows below `end` that are not in the set, ascending.
    template <class F>
    void for_each_absent_run(std::size_t end, F&& f) const {
        for (std::size_t row = 0; row < end;) {
            auto const first = next(row, end, false);
            row = next(first, end, true);
            if (first < row) f(first, row);
        }
    }

    void clear() noexcept { *this = rank_set{}; }

private:
    static constexpr std::size_t block_words = 8, block_rows = block_words * 64;

    // The first row from `row` on, below `end`, that is in the set, or that is not; `end` when there is none.
    std::size_t next(std::size_t row, std::size_t end, bool in) const noexcept {
        for (; row < end && row / 64 < words_.size(); row = (row / 64 + 1) * 64) {
            auto const word = (in ? words_[row / 64] : ~words_[row / 64]) >> row % 64;
            if (word != 0) return std::min(end, row + static_cast<std::size_t>(std::countr_zero(word)));
        }
        return in ? end : std::min(row, end);
    }

    void grow(std::size_t rows) {
        if (rows <= words_.size() * 64) return;
        auto const blocks = std::bit_ceil((rows + block_rows - 1) / block_rows);
        words_.resize(blocks * block_words);
        tree_.assign(blocks + 1, 0);
        for (std::size_t b = 1; b <= blocks; ++b) {
            for (auto w = (b - 1) * block_words; w < b * block_words; ++w)
                tree_[b] += static_cast<std::uint32_t>(std::popcount(words_[w]));
            if (auto const up = b + (b & (~b + 1)); up <= blocks) pending(up, tree_[b]);
        }
    }
    void pending(std::size_t block, std::uint32_t n) noexcept { tree_[block] += n; }

    std::vector<std::uint64_t> words_;
    std::vector<std::uint32_t> tree_;  // Fenwick tree over blocks, from 1
    std::size_t count_ = 0;
};

}  // namespace mailfs
