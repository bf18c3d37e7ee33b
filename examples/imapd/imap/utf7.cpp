// SPDX-License-Identifier: BSL-1.0
// Modified UTF-7.
#include "imap/utf7.hpp"

#include <cstdint>

namespace imapd::imap {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

bool is_direct(std::uint32_t c) { return c >= 0x20 && c <= 0x7e; }

void append_utf8(std::string& out, std::uint32_t c) {
    auto const put = [&](std::uint32_t octet) { out += static_cast<char>(octet); };
    if (c < 0x80) {
        put(c);
    } else if (c < 0x800) {
        put(0xc0 | c >> 6);
        put(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        put(0xe0 | c >> 12);
        put(0x80 | (c >> 6 & 0x3f));
        put(0x80 | (c & 0x3f));
    } else {
        put(0xf0 | c >> 18);
        put(0x80 | (c >> 12 & 0x3f));
        put(0x80 | (c >> 6 & 0x3f));
        put(0x80 | (c & 0x3f));
    }
}

/// The UTF-16 units between '&' and '-', appended as UTF-8; false when they are malformed.
bool decode_shifted(std::string_view base64, std::string& out) {
    std::uint32_t bits = 0, high = 0;
    int held = 0;
    for (char const c : base64) {
        auto const digit = alphabet.find(c);
        if (digit == alphabet.npos) return false;
        bits = bits << 6 | static_cast<std::uint32_t>(digit);
        held += 6;
        if (held < 16) continue;
        held -= 16;
        std::uint32_t const unit = bits >> held & 0xffff;
        bool const is_low = unit >= 0xdc00 && unit < 0xe000;
        if (is_low != (high != 0)) return false;
        if (is_low) {
            append_utf8(out, 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00));
            high = 0;
        } else if (unit >= 0xd800 && unit < 0xdc00) {
            high = unit;
        } else {
            if (is_direct(unit)) return false;
            append_utf8(out, unit);
        }
    }
    return high == 0 && held < 6 && (bits & ((1U << held) - 1)) == 0;
}

/// The next code point of `text`, which shrinks by it; U+FFFD for a byte that begins none.
std::uint32_t take_code_point(std::string_view& text) {
    auto const lead = static_cast<unsigned char>(text[0]);
    std::size_t const size = lead < 0x80                   ? 1
                             : lead >= 0xc2 && lead < 0xe0 ? 2
                             : lead >= 0xe0 && lead < 0xf0 ? 3
                             : lead >= 0xf0 && lead < 0xf5 ? 4
                                                           : 0;
    std::uint32_t c = size == 1 ? lead : size == 0 ? 0 : lead & (0x7fU >> size);
    bool good = size > 0 && size <= text.size();
    for (std::size_t i = 1; good && i < size; ++i) {
        auto const octet = static_cast<unsigned char>(text[i]);
        good = (octet & 0xc0) == 0x80;
        c = c << 6 | (octet & 0x3f);
    }
    constexpr std::uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    good = good && c >= smallest[size] && c <= 0x10ffff && !(c >= 0xd800 && c < 0xe000);
    text.remove_prefix(good ? size : 1);
    return good ? c : 0xfffd;
}

void append_base64(std::string& out, std::u16string const& units) {
    std::uint32_t bits = 0;
    int held = 0;
    for (auto const unit : units) {
        bits = bits << 16 | unit;
        held += 16;
        for (; held >= 6; held -= 6) out += alphabet[bits >> (held - 6) & 0x3f];
        bits &= (1U << held) - 1;
    }
    if (held > 0) out += alphabet[bits << (6 - held) & 0x3f];
}

}  // namespace

std::optional<std::string> utf7_decode(std::string_view wire) {
    std::string out;
    bool after_shift = false;
    while (!wire.empty()) {
        auto const c = static_cast<unsigned char>(wire[0]);
        if (!is_direct(c)) return std::nullopt;
        if (c != '&') {
            out += wire[0];
            wire.remove_prefix(1);
            after_shift = false;
            continue;
        }
        auto const end = wire.find('-');
        if (end == wire.npos) return std::nullopt;
        if (end == 1) {
            out += '&';
        } else if (after_shift || !decode_shifted(wire.substr(1, end - 1), out)) {
            return std::nullopt;  // two shifts in a row are one shift, spelt twice
        }
        after_shift = end != 1;
        wire.remove_prefix(end + 1);
    }
    return out;
}

std::string utf7_encode(std::string_view utf8) {
    std::string out;
    std::u16string shifted;
    auto const flush = [&] {
        if (shifted.empty()) return;
        out += '&';
        append_base64(out, shifted);
        out += '-';
        shifted.clear();
    };
    while (!utf8.empty()) {
        auto const c = take_code_point(utf8);
        if (is_direct(c)) {
            flush();
            out += static_cast<char>(c);
            if (c == '&') out += '-';
        } else if (c < 0x10000) {
            shifted += static_cast<char16_t>(c);
        } else {
            shifted += static_cast<char16_t>(0xd800 + ((c - 0x10000) >> 10));
            shifted += static_cast<char16_t>(0xdc00 + ((c - 0x10000) & 0x3ff));
        }
    }
    flush();
    return out;
}

}  // namespace imapd::imap
