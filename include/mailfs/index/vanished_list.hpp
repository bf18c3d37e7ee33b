// SPDX-License-Identifier: BSL-1.0
// Which UIDs were expunged, and when: what QRESYNC (RFC 7162) tells a client that comes back.
#pragma once

#include <mailfs/types/uid.hpp>
#include <mailfs/types/uid_set.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <utility>
#include <vector>

namespace mailfs {

/// Part of the state. Bounded: beyond entries_max the older half goes, and floor() tells up to which MODSEQ the list
/// knows nothing any more; a client from before that is told all UIDs.
class vanished_list {
public:
    static constexpr std::size_t entries_max = 32768;  ///< 10 000 are kept at least

    struct entry {
        std::uint32_t first = 0, last = 0;  ///< UIDs, each of which was a message
        modseq_t modseq = 0;                ///< ascending in the list
        friend bool operator==(entry const&, entry const&) = default;
    };

    std::vector<entry> const& entries() const noexcept { return entries_; }
    modseq_t floor() const noexcept { return floor_; }

    void add(uid_t uid, modseq_t at) { add(uid, uid, at); }
    void add(uid_t first, uid_t last, modseq_t at) {
        if (first == 0) return;  // of a row in a forged snapshot: the list would be refused for it
        if (!entries_.empty() && entries_.back().modseq == at && entries_.back().last + 1 == first) {
            entries_.back().last = last;
            return;
        }
        if (entries_.size() >= entries_max) drop_half();
        entries_.push_back({first, last, at});
    }
    /// These UIDs (ascending, apart) count as expunged at `at`, whatever was known of them; what lies up to `floor` is forgotten.
    void join(std::span<uid_range const> uids, modseq_t at, modseq_t floor) {
        std::vector<entry> kept;
        for (auto const& e : entries_)
            if (e.modseq > floor) keep_absent(e, uids, kept);
        entries_ = std::move(kept);
        floor_ = std::max(floor_, floor);
        if (entries_.size() >= entries_max) drop_half();
        for (auto r : uids) add(r.first, r.last, at);
    }

    /// UIDs expunged after `since`; complete when since >= floor().
    uid_set since(modseq_t since) const {
        auto it = std::upper_bound(entries_.begin(), entries_.end(), since, [](modseq_t m, entry const& e) { return m < e.modseq; });
        std::vector<entry> sorted(it, entries_.end());
        std::sort(sorted.begin(), sorted.end(), [](entry const& a, entry const& b) { return a.first < b.first; });
        uid_set out;
        for (auto const& e : sorted) out.add(e.first, e.last);
        return out;
    }

    /// False: not a list that add() could have made.
    bool decode(std::span<entry const> from, modseq_t floor) {
        if (from.size() > entries_max) return false;
        for (std::size_t i = 0; i < from.size(); ++i)
            if (from[i].first == 0 || from[i].first > from[i].last || (i > 0 && from[i].modseq < from[i - 1].modseq)) return false;
        entries_.assign(from.begin(), from.end());
        floor_ = floor;
        return true;
    }

    /// Whether a mailbox that stands there could have made it.
    bool is_before(modseq_t highest) const noexcept {
        return floor_ <= highest && (entries_.empty() || entries_.back().modseq <= highest);  // they ascend
    }

private:
    void drop_half() {
        auto const half = entries_.end() - static_cast<std::ptrdiff_t>(entries_max / 2);
        floor_ = std::prev(half)->modseq;
        entries_.erase(entries_.begin(), half);
    }
    // What of an entry is not among the UIDs.
    static void keep_absent(entry e, std::span<uid_range const> uids, std::vector<entry>& out) {
        auto r = std::lower_bound(uids.begin(), uids.end(), e.first, [](uid_range const& a, uid_t first) { return a.last < first; });
        for (; r != uids.end() && r->first <= e.last; ++r) {
            if (r->first > e.first) out.push_back({e.first, r->first - 1, e.modseq});
            if (r->last >= e.last) return;
            e.first = r->last + 1;
        }
        out.push_back(e);
    }

    std::vector<entry> entries_;
    modseq_t floor_ = 0;
};

}  // namespace mailfs
