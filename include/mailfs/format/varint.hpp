// SPDX-License-Identifier: BSL-1.0
// Numbers in seven bits an octet, low ones first (LEB128), each in one way only.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace mailfs::format {

inline constexpr std::size_t varint_size_max = 10;  ///< octets of a number of 64 bits

/// Octets that the number takes: one for each seven bits that it has, at least one.
constexpr std::size_t varint_size(std::uint64_t value) noexcept { return (static_cast<std::size_t>(std::bit_width(value | 1)) + 6) / 7; }

/// A difference, sign last, so that small ones of either sign take few octets. Differences wrap: any number comes back.
constexpr std::uint64_t zigzag(std::uint64_t difference) noexcept { return difference << 1 ^ (difference >> 63 == 0 ? 0 : ~std::uint64_t{0}); }
constexpr std::uint64_t unzigzag(std::uint64_t value) noexcept { return value >> 1 ^ ((value & 1) == 0 ? 0 : ~std::uint64_t{0}); }

}  // namespace mailfs::format
