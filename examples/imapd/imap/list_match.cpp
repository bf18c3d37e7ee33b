// SPDX-License-Identifier: BSL-1.0
// LIST's patterns.
#include "imap/list_match.hpp"

#include "imap/cursor.hpp"

#include <vector>

namespace imapd::imap {
namespace {

/// Walks the name once and keeps the set of places in the pattern that have been reached.
bool matches(std::string_view pattern, std::string_view name) {
    std::vector<bool> here(pattern.size() + 1), next(pattern.size() + 1);
    here[0] = true;
    auto const skip_wildcards = [&](std::vector<bool>& at) {
        for (std::size_t i = 0; i < pattern.size(); ++i)
            if (at[i] && (pattern[i] == '*' || pattern[i] == '%')) at[i + 1] = true;
    };
    skip_wildcards(here);
    for (char const c : name) {
        next.assign(next.size(), false);
        for (std::size_t i = 0; i < pattern.size(); ++i) {
            if (!here[i]) continue;
            if (pattern[i] == '*' || (pattern[i] == '%' && c != separator))
                next[i] = true;
            else if (pattern[i] == c)
                next[i + 1] = true;
        }
        skip_wildcards(next);
        here.swap(next);
    }
    return here[pattern.size()];
}

}  // namespace

bool list_matches(std::string_view pattern, std::string_view name) {
    return matches(pattern, name) || (name == "INBOX" && matches(to_upper(pattern), name));
}

}  // namespace imapd::imap
