// SPDX-License-Identifier: BSL-1.0
// Hybrid clock stamps and the identity of a transaction.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>

namespace mailfs {

/// Hybrid logical time: milliseconds since 1970 (48 bits), then a counter (16 bits). Orders what wall clocks cannot.
struct stamp {
    std::uint64_t value = 0;

    constexpr std::uint64_t milliseconds() const noexcept { return value >> 16; }
    static constexpr stamp at(std::uint64_t milliseconds) noexcept { return {milliseconds << 16}; }
    /// The next stamp after this one, not before the wall clock.
    constexpr stamp next(std::uint64_t now_ms) const noexcept { return {std::max(value + 1, now_ms << 16)}; }
    friend constexpr auto operator<=>(stamp const&, stamp const&) = default;
};

/// Who made a transaction. The incarnation is new at every start of a process: 48 bits of ms, 16 random bits.
struct origin {
    std::uint32_t node = 0;
    std::uint64_t incarnation = 0;
    friend constexpr auto operator<=>(origin const&, origin const&) = default;
};

/// Identity of a transaction: the counter grows by at least 1 with each transaction of the origin in one log.
struct dot {
    mailfs::origin origin;
    std::uint64_t counter = 0;
    friend constexpr auto operator<=>(dot const&, dot const&) = default;
};

}  // namespace mailfs
