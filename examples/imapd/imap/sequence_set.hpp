// SPDX-License-Identifier: BSL-1.0
// A sequence set as a client writes it: message numbers or UIDs, ranges, "*"; or "$", what a search has saved (RFC 5182). Resolved
// only when the mailbox is known.
#pragma once

#include <mailfs/types/uid_set.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace imapd::imap {

struct sequence_set {
    static constexpr std::uint32_t star = 0;  ///< 0 is no message number and no UID
    struct range {
        std::uint32_t first = star;
        std::uint32_t last = star;
        friend bool operator==(range, range) = default;
    };
    std::vector<range> ranges;
    bool saved = false;  ///< "$", and no ranges

    /// The numbers meant when "*" is `last_number`. With last_number 0 (an empty mailbox) "*" alone means nothing.
    /// Cost: O(ranges log ranges).
    mailfs::uid_set resolve(std::uint32_t last_number) const {
        std::vector<mailfs::uid_range> plain;
        plain.reserve(ranges.size());
        for (auto r : ranges) {
            auto const first = r.first == star ? last_number : r.first;
            auto const last = r.last == star ? last_number : r.last;
            if (std::max(first, last) > 0) plain.push_back({std::max(std::min(first, last), 1U), std::max(first, last)});
        }
        std::sort(plain.begin(), plain.end(), [](auto a, auto b) { return a.first < b.first; });
        mailfs::uid_set out;
        for (auto r : plain) out.add(r.first, r.last);
        return out;
    }
};

/// What is in both sets. O(ranges of a + ranges of b).
inline mailfs::uid_set intersect(mailfs::uid_set const& a, mailfs::uid_set const& b) {
    mailfs::uid_set out;
    auto i = a.ranges().begin();
    auto j = b.ranges().begin();
    while (i != a.ranges().end() && j != b.ranges().end()) {
        auto const first = std::max(i->first, j->first);
        auto const last = std::min(i->last, j->last);
        if (first <= last) out.add(first, last);
        if (i->last < j->last)
            ++i;
        else
            ++j;
    }
    return out;
}

/// What is in `a` and not in `b`. O(ranges of a + ranges of b).
inline mailfs::uid_set subtract(mailfs::uid_set const& a, mailfs::uid_set const& b) {
    mailfs::uid_set out;
    auto j = b.ranges().begin();
    for (auto r : a.ranges()) {
        std::uint64_t next = r.first;
        while (j != b.ranges().end() && j->last < r.first) ++j;
        for (auto k = j; k != b.ranges().end() && k->first <= r.last; ++k) {
            if (k->first > next) out.add(static_cast<std::uint32_t>(next), k->first - 1);
            next = std::uint64_t{k->last} + 1;
        }
        if (next <= r.last) out.add(static_cast<std::uint32_t>(next), r.last);
    }
    return out;
}

/// Numbers in the order given, runs joined: "4:6,2". For COPYUID, whose two lists correspond item by item.
inline std::string ordered_text(std::vector<std::uint32_t> const& numbers) {
    std::string out;
    for (std::size_t i = 0; i < numbers.size();) {
        std::size_t end = i + 1;
        while (end < numbers.size() && numbers[end] == numbers[end - 1] + 1) ++end;
        if (!out.empty()) out += ',';
        out += std::to_string(numbers[i]);
        if (end - i > 1) out += ':' + std::to_string(numbers[end - 1]);
        i = end;
    }
    return out;
}

}  // namespace imapd::imap
