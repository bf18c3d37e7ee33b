// SPDX-License-Identifier: BSL-1.0
// Mailbox names on the wire: modified UTF-7 (RFC 3501 section 5.1.3) to and from UTF-8.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace imapd::imap {

/// UTF-8 of a modified UTF-7 name; nothing when it is malformed, holds 8-bit or control bytes, or shifts what needs no shift
/// (so that each name has one spelling).
std::optional<std::string> utf7_decode(std::string_view wire);

/// Modified UTF-7 of a UTF-8 name; bytes that are not UTF-8 become U+FFFD.
std::string utf7_encode(std::string_view utf8);

}  // namespace imapd::imap
