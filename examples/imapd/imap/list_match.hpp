// SPDX-License-Identifier: BSL-1.0
// LIST's patterns: "*" stands for anything, "%" for anything without a separator.
#pragma once

#include <string_view>

namespace imapd::imap {

inline constexpr char separator = '/';

/// Whether the whole name matches. INBOX matches in any case. O(name x pattern) at worst, no recursion.
bool list_matches(std::string_view pattern, std::string_view name);

}  // namespace imapd::imap
