// SPDX-License-Identifier: BSL-1.0
// The latest steps of a stream, for members that are a little behind.
#pragma once

#include <mailfs/format/peer_message.hpp>
#include <mailfs/replication/detail/mutant.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

namespace mailfs::detail {

/// Bounded in bytes: the oldest steps go.
class step_ring {
public:
    explicit step_ring(std::size_t size_max) : size_max_(size_max) {}

    struct entry {
        position before;          ///< where the stream stood,
        std::uint64_t chain = 0;  ///< and its chain hash
        format::stream_step step;
    };

    void push(position before, std::uint64_t chain, format::stream_step step) {
        size_ += cost(step);
        entries_.push_back({before, chain, std::move(step)});
        while (size_ > size_max_ && !entries_.empty() && !mutated(mutant::ring_without_end)) {
            size_ -= cost(entries_.front().step);
            entries_.pop_front();
        }
    }
    void clear() noexcept {
        entries_.clear();
        size_ = 0;
    }
    std::size_t count() const noexcept { return entries_.size(); }
    std::size_t size() const noexcept { return size_; }  ///< bytes
    /// The lowest n in this epoch from which on the ring has all steps; 0 when it has nothing.
    std::uint32_t floor(std::uint32_t epoch) const noexcept {
        return entries_.empty() || entries_.front().before.epoch != epoch ? 0 : entries_.front().before.n;
    }
    entry const& operator[](std::size_t n) const noexcept { return entries_[n]; }

    /// The first step behind this place, if the ring still has it and knows the place; O(log count).
    std::optional<std::size_t> find(position before, std::uint64_t chain) const noexcept {
        auto const first = find(before);
        return first && entries_[*first].chain == chain ? first : std::nullopt;
    }
    /// The chain hash there, if the ring still knows.
    std::optional<std::uint64_t> chain_at(position before) const noexcept {
        auto const first = find(before);
        return first ? std::optional(entries_[*first].chain) : std::nullopt;
    }

private:
    std::optional<std::size_t> find(position before) const noexcept {
        std::size_t first = 0;
        for (auto n = entries_.size(); n > 0;) {
            auto const half = n / 2;
            if (entries_[first + half].before < before) {
                first += half + 1;
                n -= half + 1;
            } else {
                n = half;
            }
        }
        if (first == entries_.size() || entries_[first].before != before) return std::nullopt;
        return first;
    }
    static std::size_t cost(format::stream_step const& s) noexcept { return sizeof(entry) + s.payload.size(); }

    std::size_t size_max_;
    std::size_t size_ = 0;
    std::deque<entry> entries_;
};

}  // namespace mailfs::detail
