// SPDX-License-Identifier: BSL-1.0
// Owners for what GMime and GLib hand out.
#pragma once

#include <gmime/gmime.h>

#include <memory>
#include <string>

namespace imapd::mime {

struct unref {
    void operator()(void* object) const noexcept { g_object_unref(object); }
};
template <class T>
using object = std::unique_ptr<T, unref>;

struct unref_date {
    void operator()(GDateTime* date) const noexcept { g_date_time_unref(date); }
};

/// Copies and frees a string of GLib's; null becomes "".
inline std::string take(char* text) {
    std::unique_ptr<char, decltype(&g_free)> const owner(text, g_free);
    return text != nullptr ? std::string(text) : std::string();
}
inline std::string copy(char const* text) { return text != nullptr ? std::string(text) : std::string(); }

/// As it may stand in an IMAP string without 8-bit characters: RFC 2047 where it is not ASCII.
inline std::string as_ascii(std::string const& utf8) {
    for (char const c : utf8)
        if (static_cast<unsigned char>(c) >= 0x80)
            return take(g_mime_utils_header_encode_text(nullptr, utf8.c_str(), nullptr));
    return utf8;
}

}  // namespace imapd::mime
