// SPDX-License-Identifier: BSL-1.0
// Base64 (RFC 4648 section 4), the decoding half.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace imapd::imap {

/// Nothing unless it is base64 with its padding.
inline std::optional<std::string> base64_decode(std::string_view text) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (text.size() % 4 != 0) return std::nullopt;
    std::string out;
    for (std::size_t i = 0; i < text.size(); i += 4) {
        auto quad = text.substr(i, 4);
        bool const last = i + 4 == text.size();
        while (last && quad.size() > 2 && quad.back() == '=') quad.remove_suffix(1);
        std::uint32_t bits = 0;
        for (char const c : quad) {
            auto const digit = digits.find(c);
            if (digit == digits.npos) return std::nullopt;
            bits = bits << 6 | static_cast<std::uint32_t>(digit);
        }
        bits <<= 6 * (4 - quad.size());
        for (std::size_t octet = 0; octet + 1 < quad.size(); ++octet)
            out += static_cast<char>(bits >> (16 - 8 * octet) & 0xff);
    }
    return out;
}

}  // namespace imapd::imap
