// SPDX-License-Identifier: BSL-1.0
// Little-endian integers whose byte order is in the type, not in the machine.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstring>

namespace mailfs {

static_assert(std::endian::native == std::endian::little,
              "mailfs maps its snapshots as memory: a big-endian port must convert them in format/");

/// An unaligned little-endian integer; sizeof is that of T, alignment is 1.
template <std::integral T>
class little {
public:
    constexpr little() noexcept = default;
    constexpr little(T value) noexcept { *this = value; }  // NOLINT: implicit by design
    constexpr little& operator=(T value) noexcept {
        auto bits = static_cast<std::make_unsigned_t<T>>(value);
        for (auto& octet : octets_) {
            octet = static_cast<unsigned char>(bits & 0xff);
            if constexpr (sizeof(T) > 1) bits = static_cast<std::make_unsigned_t<T>>(bits >> 8);
        }
        return *this;
    }
    constexpr operator T() const noexcept {
        std::make_unsigned_t<T> bits = 0;
        for (std::size_t i = sizeof(T); i-- > 0;) {
            if constexpr (sizeof(T) > 1) bits = static_cast<std::make_unsigned_t<T>>(bits << 8);
            bits = static_cast<std::make_unsigned_t<T>>(bits | octets_[i]);
        }
        return static_cast<T>(bits);
    }

private:
    unsigned char octets_[sizeof(T)] = {};
};

using le16 = little<unsigned short>;
using le32 = little<unsigned int>;
using le64 = little<unsigned long long>;
static_assert(sizeof(le16) == 2 && sizeof(le32) == 4 && sizeof(le64) == 8);

}  // namespace mailfs
