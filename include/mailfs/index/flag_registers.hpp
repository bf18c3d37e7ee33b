// SPDX-License-Identifier: BSL-1.0
// Who changed the flags and keywords of messages last: kept only for changes that some node may lack.
#pragma once

#include <mailfs/replication/detail/mutant.hpp>
#include <mailfs/types/flag_register.hpp>
#include <mailfs/types/stamp.hpp>
#include <mailfs/types/uid.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <span>
#include <utility>
#include <vector>

namespace mailfs {

/// Of one message: each flag and each keyword at most once, ascending by `what`; flags with one and the same mark in one
/// element. So equal registers are equal lists.
using message_registers = std::vector<flag_register>;

/// Enters one change. O(registers of the message).
template <class = void>
void put_registers(message_registers& all, std::uint32_t flags, std::span<std::uint32_t const> keywords, register_mark const& mark) {
    for (auto& r : all) {
        if (r.is_keyword()) continue;
        if (r.mark == mark) flags |= r.what;
        r.what &= ~flags;
    }
    std::erase_if(all, [&](flag_register const& r) {
        return r.is_keyword() ? std::binary_search(keywords.begin(), keywords.end(), r.keyword()) : r.what == 0;
    });
    if (flags != 0) all.push_back({flags, mark});
    for (auto k : keywords) all.push_back({k | flag_register::keyword_bit, mark});
    std::sort(all.begin(), all.end(), [](flag_register const& a, flag_register const& b) { return a.what < b.what; });
}

/// Whether put_registers() could have made it: of these flags, of keywords below `keyword_count`, not behind `end`.
template <class = void>
bool are_sound(message_registers const& all, std::uint32_t known_flags, std::size_t keyword_count, position end) noexcept {
    std::uint32_t flags = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
        auto const& r = all[i];
        if (r.mark.at > end || (i > 0 && r.what <= all[i - 1].what)) return false;
        if (r.is_keyword()) {
            if (r.keyword() >= keyword_count) return false;
            continue;
        }
        if (r.what == 0 || (r.what & (flags | ~known_flags)) != 0) return false;
        flags |= r.what;
        for (std::size_t k = 0; k < i; ++k)
            if (all[k].mark == r.mark) return false;
    }
    return true;
}

/// Part of the state, by UID. Bounded by messages and their flags and keywords, and emptied as changes reach every node.
class flag_registers {
public:
    using map = std::map<uid_t, message_registers>;

    bool empty() const noexcept { return by_uid_.empty(); }
    map const& all() const noexcept { return by_uid_; }
    /// Those of a message; null when it has none. O(log messages).
    message_registers const* find(uid_t uid) const noexcept {
        auto const it = by_uid_.find(uid);
        return it == by_uid_.end() ? nullptr : &it->second;
    }

    /// A change addressed these flags and keywords (ascending) of a message, at `mark`. What follows another change in one
    /// history wins over it for ever, whatever the clocks said: its stamp rises above those that it replaces, and above `cut`,
    /// the greatest that was forgotten.
    template <class = void>
    void mark(uid_t uid, std::uint32_t flags, std::span<std::uint32_t const> keywords, register_mark mark, mailfs::stamp cut) {
        if (flags == 0 && keywords.empty()) return;
        auto& all = by_uid_[uid];
        if (cut.value != 0) mark.rise_above(cut);
        for (auto const& r : all) {
            bool const hit = r.is_keyword() ? std::binary_search(keywords.begin(), keywords.end(), r.keyword()) : (r.what & flags) != 0;
            if (!hit) continue;
            if (r.mark.at == mark.at) mark.stamp = std::max(mark.stamp, r.mark.stamp);
            else if (!detail::mutated(detail::mutant::later_change_keeps_stamp)) mark.rise_above(r.mark.stamp);
        }
        put_registers(all, flags, keywords, mark);
    }
    void erase(uid_t uid) { by_uid_.erase(uid); }
    void set(uid_t uid, message_registers registers) {
        if (registers.empty()) by_uid_.erase(uid);
        else by_uid_.insert_or_assign(uid, std::move(registers));
    }
    /// Appends one message's, behind all that there are.
    void push_back(uid_t uid, message_registers registers) { by_uid_.emplace_hint(by_uid_.end(), uid, std::move(registers)); }

    /// Forgets changes up to `end`; answers the greatest stamp among them. O(registers).
    template <class = void>
    mailfs::stamp forget(position end) {
        mailfs::stamp greatest;
        for (auto it = by_uid_.begin(); it != by_uid_.end();) {
            auto& all = it->second;
            for (auto const& r : all)
                if (r.mark.at <= end) greatest = std::max(greatest, r.mark.stamp);
            std::erase_if(all, [&](flag_register const& r) { return r.mark.at <= end; });
            it = all.empty() ? by_uid_.erase(it) : std::next(it);
        }
        return greatest;
    }

    friend bool operator==(flag_registers const&, flag_registers const&) = default;

private:
    map by_uid_;
};

}  // namespace mailfs
