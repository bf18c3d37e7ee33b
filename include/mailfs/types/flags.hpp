// SPDX-License-Identifier: BSL-1.0
// System flags (RFC 9051 section 2.3.2) as one word of bits. Keywords travel by name.
#pragma once

#include <cstdint>

namespace mailfs {

enum class flag : std::uint32_t {
    none = 0,
    answered = 1U << 0,
    flagged = 1U << 1,
    deleted = 1U << 2,
    seen = 1U << 3,
    draft = 1U << 4,
};

constexpr flag operator|(flag a, flag b) noexcept { return flag(std::uint32_t(a) | std::uint32_t(b)); }
constexpr flag operator&(flag a, flag b) noexcept { return flag(std::uint32_t(a) & std::uint32_t(b)); }
constexpr flag operator~(flag a) noexcept { return flag(~std::uint32_t(a)); }
constexpr flag& operator|=(flag& a, flag b) noexcept { return a = a | b; }
constexpr bool has(flag set, flag one) noexcept { return (set & one) != flag::none; }

inline constexpr flag all_flags = flag::answered | flag::flagged | flag::deleted | flag::seen | flag::draft;

}  // namespace mailfs
