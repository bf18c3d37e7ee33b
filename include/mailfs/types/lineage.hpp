// SPDX-License-Identifier: BSL-1.0
// Epochs: who ordered which part of a stream that several nodes share, and how histories compare.
#pragma once

#include <mailfs/types/stamp.hpp>
#include <mailfs/types/uid.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace mailfs {

/// What of one epoch is in a history.
struct lineage_entry {
    std::uint32_t epoch = 0;
    std::uint32_t n = 0;        ///< transactions of it
    std::uint32_t ids_last = 0; ///< the last id (UID) that was reserved in it; 0: none
    friend bool operator==(lineage_entry const&, lineage_entry const&) = default;
};

/// Opens an epoch: one master's reign. Its record stands at {epoch, 0}, and is on a node's disk before the node applies
/// it, so that no restart makes a node forget which ids and MODSEQs it may have shown.
struct epoch_start {
    std::uint32_t epoch = 0;      ///< counter << 4 | slot; greater than all its maker has heard of
    mailfs::origin owner;         ///< who orders in it
    std::uint32_t ids_first = 0;  ///< ids are given out from here; 0: the machine gives none
    std::uint32_t ids_last = 0;   ///< up to here, both included
    std::uint32_t id_next = 0;    ///< the announced next id (UIDNEXT) rises to this
    friend bool operator==(epoch_start const&, epoch_start const&) = default;
};

/// The slot of the node that opened an epoch.
constexpr std::uint32_t slot_of(std::uint32_t epoch) noexcept { return epoch & 15; }

/// Where a node stands: all that two of them need to compare. Ascending by epoch; the last entry is the epoch in which
/// the stream is, with its count. Empty: no history at all.
using lineage = std::vector<lineage_entry>;

inline constexpr std::size_t lineage_max = 256;  ///< epochs told apart; older ones count as unknown

inline lineage_entry const* find_epoch(std::span<lineage_entry const> l, std::uint32_t epoch) noexcept {
    auto const at = std::lower_bound(l.begin(), l.end(), epoch, [](lineage_entry const& e, std::uint32_t wanted) { return e.epoch < wanted; });
    return at != l.end() && at->epoch == epoch ? &*at : nullptr;
}
/// Whether this position belongs to that history.
inline bool contains(std::span<lineage_entry const> l, position p) noexcept {
    auto const* const e = find_epoch(l, p.epoch);
    return e != nullptr && p.n <= e->n;
}
/// Whether a history has all that another has: its end is here, once the epochs in which nothing happened are left out.
inline bool covers(std::span<lineage_entry const> l, std::span<lineage_entry const> other) noexcept {
    while (!other.empty() && other.back().n == 0 && find_epoch(l, other.back().epoch) == nullptr) other = other.first(other.size() - 1);
    return other.empty() || contains(l, {other.back().epoch, other.back().n});
}
/// The last position that both histories have; {}: none.
inline position common_position(std::span<lineage_entry const> a, std::span<lineage_entry const> b) noexcept {
    for (; !a.empty(); a = a.first(a.size() - 1))
        if (auto const* const e = find_epoch(b, a.back().epoch)) return {e->epoch, std::min(e->n, a.back().n)};
    return {};
}

}  // namespace mailfs
