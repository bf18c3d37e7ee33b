// SPDX-License-Identifier: BSL-1.0
// What a mailbox is meant for (RFC 6154, RFC 8457), as a set of bits.
#pragma once

#include <cstdint>

namespace mailfs {

/// Bits that a reader does not know are kept as found.
enum class special_use : std::uint16_t {
    none = 0,
    all = 1U << 0,
    archive = 1U << 1,
    drafts = 1U << 2,
    flagged = 1U << 3,
    junk = 1U << 4,
    sent = 1U << 5,
    trash = 1U << 6,
    important = 1U << 7,
};

constexpr special_use operator|(special_use a, special_use b) noexcept {
    return special_use(static_cast<std::uint16_t>(std::uint16_t(a) | std::uint16_t(b)));
}
constexpr bool has(special_use set, special_use one) noexcept { return (std::uint16_t(set) & std::uint16_t(one)) != 0; }

}  // namespace mailfs
