// SPDX-License-Identifier: BSL-1.0
// Little-endian integers whose byte order is in the type, not in the machine.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstdint>

namespace mailfs {

static_assert(std::endian::native == std::endian::little,
              "mailfs maps its snapshots as memory: a big-endian port must convert them in format/");

/// An unaligned little-endian integer; sizeof is that of T, alignment is 1.
template <std::integral T>
class little {
public:
    constexpr little() noexcept = default;
    constexpr little(T value) noexcept { *this = value; }  // NOLINT: implicit by design
    // One move each: compilers do not see through a loop over octets.
    constexpr little& operator=(T value) noexcept {
        octets_ = std::bit_cast<octets>(value);
        return *this;
    }
    constexpr operator T() const noexcept { return std::bit_cast<T>(octets_); }

private:
    using octets = std::array<unsigned char, sizeof(T)>;
    octets octets_{};
};

using le16 = little<unsigned short>;
using le32 = little<unsigned int>;
using le64 = little<unsigned long long>;

/// The low three octets of a number; the rest is dropped.
class le24 {
public:
    constexpr le24() noexcept = default;
    constexpr le24(std::uint32_t value) noexcept  // NOLINT: implicit by design
        : octets_{static_cast<unsigned char>(value), static_cast<unsigned char>(value >> 8), static_cast<unsigned char>(value >> 16)} {}
    constexpr operator std::uint32_t() const noexcept {
        return octets_[0] | static_cast<std::uint32_t>(octets_[1]) << 8 | static_cast<std::uint32_t>(octets_[2]) << 16;
    }

private:
    std::array<unsigned char, 3> octets_{};
};
static_assert(sizeof(le16) == 2 && sizeof(le24) == 3 && sizeof(le32) == 4 && sizeof(le64) == 8);

}  // namespace mailfs
