// SPDX-License-Identifier: BSL-1.0
// A question that the index answers alone: flags, keywords, numbers, sizes, dates, all of which must hold.
#pragma once

#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/index/view.hpp>
#include <mailfs/types/flags.hpp>
#include <mailfs/types/uid.hpp>
#include <mailfs/types/uid_set.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace mailfs {

/// A message is found when all parts hold; what is left as it is holds for every message.
struct search_query {
    std::optional<uid_set> uids;              ///< among these
    flag set = flag::none;                    ///< has all of these
    flag unset = flag::none;                  ///< has none of these
    std::vector<std::string> keywords_set;    ///< has all of these
    std::vector<std::string> keywords_unset;  ///< has none of these
    modseq_t modseq_min = 0;                  ///< MODSEQ at least
    std::uint32_t size_min = 0;               ///< bytes, at least
    std::uint32_t size_max = std::numeric_limits<std::uint32_t>::max();
    std::uint64_t received_min_ms = 0;  ///< milliseconds since 1970, at least; messages have whole seconds
    std::uint64_t received_max_ms = std::numeric_limits<std::uint64_t>::max();
    std::uint64_t saved_min_ms = 0;  ///< when it came into this mailbox
    std::uint64_t saved_max_ms = std::numeric_limits<std::uint64_t>::max();
};

namespace detail {

/// The query with keywords turned into sets of the mailbox, so that a row costs a few comparisons of numbers.
class prepared_query {
public:
    prepared_query(search_query const& q, mailbox_state const& state) : query_(q), rows_(state.rows()) {
        auto const& table = state.keywords();
        sets_.assign(table.set_count(), true);
        for (auto const& name : q.keywords_set) restrict(table, name, true);
        for (auto const& name : q.keywords_unset) restrict(table, name, false);
    }

    bool matches(std::size_t row) const {
        auto const flags = static_cast<flag>(rows_.flags[row]);
        if ((flags & query_.set) != query_.set || has(flags, query_.unset)) return false;
        auto const set = rows_.keyword_set[row];  // a forged one is as good as none
        if (!sets_[set < sets_.size() ? set : 0] || rows_.modseq[row] < query_.modseq_min) return false;
        return within(rows_.size, row, query_.size_min, query_.size_max) &&
               within(rows_.received, row, query_.received_min_ms, query_.received_max_ms) &&
               within(rows_.saved, row, query_.saved_min_ms, query_.saved_max_ms);
    }

private:
    // A column that nobody asks about is not touched.
    template <class Column, class T>
    static bool within(Column const& values, std::size_t row, T min, T max) {
        if (min == 0 && max == std::numeric_limits<T>::max()) return true;
        return values[row] >= min && values[row] <= max;
    }
    void restrict(keyword_table const& table, std::string const& name, bool wanted) {
        auto const number = table.find(name);
        for (std::uint32_t id = 0; id < sets_.size(); ++id) {
            auto const& members = table.members(id);
            if ((number && std::binary_search(members.begin(), members.end(), *number)) != wanted) sets_[id] = false;
        }
    }

    search_query const& query_;
    mailbox_rows const& rows_;
    std::vector<bool> sets_;  // which keyword sets are wanted
};

}  // namespace detail

/// UIDs of the messages that a view shows and that match. No I/O; O(messages among the uids). A message that was expunged
/// and whose row is gone is not found.
inline uid_set search_view(view const& shown, search_query const& query) {
    auto const& state = shown.state();
    auto const& rows = state.rows();
    detail::prepared_query const prepared(query, state);
    uid_set found;
    auto const look = [&](uid_range range) {
        auto row = rows.lower_bound(range.first);
        shown.for_each(range.first, range.last, [&](uid_t uid) {
            while (row < rows.count() && rows.uid[row] < uid) ++row;
            if (row < rows.count() && rows.uid[row] == uid && prepared.matches(row)) found.add(uid);
        });
    };
    if (!query.uids)
        look({1, uid_max});
    else
        for (auto range : query.uids->ranges()) look(range);
    return found;
}

}  // namespace mailfs
