// SPDX-License-Identifier: BSL-1.0
// A globally unique identifier: 16 bytes, written as 32 hexadecimal digits.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mailfs {

struct guid {
    std::array<std::uint8_t, 16> octets{};

    constexpr explicit operator bool() const noexcept { return *this != guid{}; }
    friend constexpr auto operator<=>(guid const&, guid const&) = default;
    friend constexpr bool operator==(guid const& a, guid const& b) noexcept {  // two words, no call of memcmp
        using words = std::array<std::uint64_t, 2>;
        auto const x = std::bit_cast<words>(a.octets), y = std::bit_cast<words>(b.octets);
        return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
    }

    /// Two random words; the caller brings the randomness.
    static constexpr guid from_words(std::uint64_t high, std::uint64_t low) noexcept {
        guid g;
        for (std::size_t i = 0; i < 8; ++i) {
            g.octets[i] = static_cast<std::uint8_t>(high >> (8 * (7 - i)));
            g.octets[8 + i] = static_cast<std::uint8_t>(low >> (8 * (7 - i)));
        }
        return g;
    }

    std::string hex() const {
        constexpr std::string_view digits = "0123456789abcdef";
        std::string text;
        text.reserve(32);
        for (auto octet : octets) {
            text += digits[octet >> 4];
            text += digits[octet & 15];
        }
        return text;
    }

    /// The inverse of hex(): exactly 32 lower-case digits, or nothing.
    static constexpr std::optional<guid> parse(std::string_view text) noexcept {
        if (text.size() != 32) return std::nullopt;
        guid g;
        for (std::size_t i = 0; i < 32; ++i) {
            char const c = text[i];
            int const digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
            if (digit < 0) return std::nullopt;
            g.octets[i / 2] = static_cast<std::uint8_t>(g.octets[i / 2] << 4 | digit);
        }
        return g;
    }
};

}  // namespace mailfs
