// SPDX-License-Identifier: BSL-1.0
// UIDs for nodes that cannot ask each other: blocks of 256, dealt out to sixteen slots in turn.
#pragma once

#include <mailfs/types/uid.hpp>

#include <cstdint>
#include <limits>

namespace mailfs {

/// A run of UIDs that one slot may give out; first > last: none are left.
struct uid_block {
    uid_t first = 1;
    uid_t last = 0;
    friend constexpr bool operator==(uid_block const&, uid_block const&) = default;
};

inline constexpr std::uint32_t uid_block_size = 256;
inline constexpr std::uint32_t uid_slots = 16;

/// The slot's first block all of whose UIDs are greater than `above`. O(1).
constexpr uid_block next_uid_block(std::uint32_t slot, uid_t above) noexcept {
    std::uint64_t const wanted = (std::uint64_t{above} + uid_block_size) / uid_block_size;  // the first block that begins above
    auto const block = wanted + (slot + uid_slots - wanted % uid_slots) % uid_slots;
    auto const first = block * uid_block_size;
    if (first + uid_block_size - 1 >= std::numeric_limits<uid_t>::max()) return {};
    return {static_cast<uid_t>(first), static_cast<uid_t>(first + uid_block_size - 1)};
}

}  // namespace mailfs
