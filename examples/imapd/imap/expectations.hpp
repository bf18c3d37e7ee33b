// SPDX-License-Identifier: BSL-1.0
// What a client already believes of the flags of some messages, so that it is not told again.
#pragma once

#include <mailfs/types/flags.hpp>
#include <mailfs/types/uid.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace imapd::imap {

/// Independent of order and, for ASCII, of case.
inline std::uint64_t keyword_digest(std::span<std::string const> keywords) {
    std::uint64_t sum = 0;
    for (auto name : keywords) {
        for (auto& c : name)
            if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
        sum += std::hash<std::string>()(name) | 1;
    }
    return sum;
}

class expectations {
public:
    /// UIDs ascending.
    void add(mailfs::uid_t uid, mailfs::flag flags, std::uint64_t keywords) { all_.push_back({uid, flags, keywords}); }
    bool empty() const noexcept { return all_.empty(); }
    void clear() { all_.clear(); }

    /// Whether these very flags were expected of the message. O(log size).
    bool met(mailfs::uid_t uid, mailfs::flag flags, std::span<std::string const> keywords) const {
        auto const it =
            std::lower_bound(all_.begin(), all_.end(), uid, [](auto const& e, mailfs::uid_t u) { return e.uid < u; });
        return it != all_.end() && it->uid == uid && it->flags == flags && it->keywords == keyword_digest(keywords);
    }

private:
    struct expected {
        mailfs::uid_t uid;
        mailfs::flag flags;
        std::uint64_t keywords;
    };
    std::vector<expected> all_;
};

}  // namespace imapd::imap
