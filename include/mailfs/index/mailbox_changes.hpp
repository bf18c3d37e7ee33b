// SPDX-License-Identifier: BSL-1.0
// What happened to rows lately, for the views that have not looked yet. In memory only.
#pragma once

#include <mailfs/index/rank_set.hpp>
#include <mailfs/replication/detail/mutant.hpp>
#include <mailfs/types/uid.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

namespace mailfs {

/// What a view remembers between two refreshes: which rows it shows. While the rows lie still that is "all up to
/// rows_end but for those gone"; when they are moved under it (compaction, a new snapshot) it is a list of UIDs.
struct view_marks {
    std::uint64_t cursor = 0;     // changes before this one were seen
    std::size_t rows_end = 0;
    rank_set gone;
    bool detached = false;
    std::vector<uid_t> uids;      // when detached: the messages shown, ascending; one that damage made unreadable has the
                                  // uid of its neighbour before it, or 0
    modseq_t seen = 0;            // HIGHESTMODSEQ at the last refresh
    modseq_t news_after = 0;      // that, or less: what the view's history and the state's have in common
};

/// Runs of changed and expunged rows, kept as long as some view has not seen them, within a bound.
class mailbox_changes {
public:
    static constexpr std::size_t runs_max = 65536;  ///< beyond it a slow view compares all rows instead

    struct run {
        std::size_t first = 0, last = 0;  ///< rows, both included
        bool expunged = false;
    };

    mailbox_changes() = default;
    mailbox_changes(mailbox_changes const&) = delete;
    mailbox_changes& operator=(mailbox_changes const&) = delete;

    void changed(std::size_t row) { note(row, false); }
    void expunged(std::size_t row) { note(row, true); }

    void attach(view_marks& v) { views_.push_back(&v); }
    void detach(view_marks& v) {
        views_.erase(std::remove(views_.begin(), views_.end(), &v), views_.end());
        trim();
    }
    std::uint64_t end() const noexcept { return first_ + runs_.size(); }
    /// Whether all changes since `cursor` are still known.
    bool reaches(std::uint64_t cursor) const noexcept { return cursor >= first_; }
    run const& operator[](std::uint64_t cursor) const noexcept { return runs_[cursor - first_]; }

    /// Forgets what no view needs any more.
    void trim() {
        auto oldest = end();
        for (auto const* v : views_)
            if (!v->detached) oldest = std::min(oldest, v->cursor);
        while (first_ < oldest && !runs_.empty()) {
            runs_.pop_front();
            ++first_;
        }
    }

    /// Rows are about to move: each view falls back to a list of the UIDs that it shows. Damage is no reason to fail.
    template <class State>
    void abandon(State const& state) {
        auto const& uid = state.rows().uid;
        for (auto* v : views_) {
            if (v->detached) continue;
            std::vector<uid_t> uids;
            uids.reserve(v->rows_end - v->gone.size());
            v->gone.for_each_absent_run(v->rows_end, [&](std::size_t first, std::size_t last) {
                for (auto row = first; row < last; ++row)
                    uids.push_back(uid.readable(row) ? uid[row] : uids.empty() ? 0 : uids.back());
            });
            v->uids = std::move(uids);
            v->detached = true;
            v->gone.clear();
        }
        first_ += runs_.size();
        runs_.clear();
    }
    /// Another state takes the place of the one that views have seen. They have this much in common, and what is later is news.
    void go_back_to(modseq_t common) noexcept {
        if (detail::mutated(detail::mutant::view_news_not_cut)) return;
        for (auto* v : views_) v->news_after = std::min(v->news_after, common);
    }

private:
    void note(std::size_t row, bool expunged) {
        if (views_.empty()) return;
        // A run that some view has seen must not grow under it.
        bool const open = !runs_.empty() && std::none_of(views_.begin(), views_.end(), [&](auto const* v) { return v->cursor == end(); });
        if (open && runs_.back().expunged == expunged && runs_.back().last + 1 == row) {
            runs_.back().last = row;
            return;
        }
        if (runs_.size() == runs_max) {
            runs_.pop_front();
            ++first_;
        }
        runs_.push_back({row, row, expunged});
    }

    std::vector<view_marks*> views_;
    std::deque<run> runs_;
    std::uint64_t first_ = 0;  // number of runs_.front()
};

}  // namespace mailfs
