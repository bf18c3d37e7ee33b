// SPDX-License-Identifier: BSL-1.0
// A view: what one session sees of a mailbox, with message numbers that stay until it asks for news.
#pragma once

#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/types/flags.hpp>
#include <mailfs/types/uid_set.hpp>

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailfs {

/// A message as a view shows it. A copy: lives on its own.
struct message_row {
    uid_t uid = 0;
    mailfs::flag flags = flag::none;
    modseq_t modseq = 0;
    std::uint32_t size = 0;         ///< RFC822.SIZE, bytes
    std::uint64_t received_ms = 0;  ///< INTERNALDATE, whole seconds
    std::uint64_t saved_ms = 0;     ///< SAVEDATE (RFC 8514), whole seconds
    guid id;                        ///< EMAILID (RFC 8474)
    mail_location where;
    std::vector<std::string> keywords;
};

/// What refresh() brought, in the order in which a client is told.
struct view_changes {
    std::vector<std::uint32_t> expunged;  ///< message numbers, descending: each is right when the ones before it are done
    uid_set expunged_uids;
    uid_set changed;                      ///< flags, keywords or MODSEQ are new; messages that were there before
    uid_set arrived;
    std::uint32_t messages = 0;           ///< how many there are now (EXISTS)
    bool keywords_added = false;

    bool empty() const noexcept { return expunged.empty() && changed.empty() && arrived.empty(); }
};

/// Fixes which messages there are and their numbers; flags are those of the index's newest state, and refresh() says
/// which of them changed. Belongs to the index's executor and must not outlive the state it was made of.
/// Numbers and UIDs are found in O(log messages).
class view {
public:
    explicit view(mailbox_state& state) : state_(&state), marks_(std::make_unique<view_marks>()) {
        state_->changes().attach(*marks_);
        show_all();
    }
    view(view&&) noexcept = default;
    view& operator=(view&& other) noexcept {
        std::swap(state_, other.state_);
        std::swap(marks_, other.marks_);
        return *this;
    }
    ~view() {
        if (marks_) state_->changes().detach(*marks_);
    }

    std::uint32_t messages() const noexcept {
        auto const& m = *marks_;
        return static_cast<std::uint32_t>(m.detached ? m.uids.size() : m.rows_end - m.gone.size());
    }
    /// The UID of message `number`, 1..messages().
    uid_t uid(std::uint32_t number) const {
        auto const& m = *marks_;
        assert(number >= 1 && number <= messages());
        if (!m.detached) return state_->rows().uid[m.gone.select_absent(number - 1)];
        auto const found = m.uids[number - 1];
        if (found == (number > 1 ? m.uids[number - 2] : 0))
            throw error(errc::corrupt, "mailbox " + state_->object().hex(), "message " + std::to_string(number) + " was in a damaged part of a snapshot");
        return found;
    }
    std::optional<std::uint32_t> number(uid_t wanted) const {
        auto const& m = *marks_;
        if (m.detached) {
            auto const it = std::lower_bound(m.uids.begin(), m.uids.end(), wanted);
            return it != m.uids.end() && *it == wanted ? std::optional(static_cast<std::uint32_t>(it - m.uids.begin() + 1)) : std::nullopt;
        }
        auto const row = state_->rows().lower_bound(wanted);
        if (row >= m.rows_end || state_->rows().uid[row] != wanted || m.gone.contains(row)) return std::nullopt;
        return static_cast<std::uint32_t>(row - m.gone.rank(row) + 1);
    }
    /// All UIDs. O(messages).
    uid_set uids() const { return uids(1, uid_max); }
    /// Those in first..last.
    uid_set uids(uid_t first, uid_t last) const {
        uid_set out;
        for_each(first, last, [&](uid_t u) { out.add(u); });
        return out;
    }
    /// Calls f(uid) for each message shown in first..last, ascending.
    template <class F>
    void for_each(uid_t first, uid_t last, F&& f) const {
        auto const& m = *marks_;
        if (m.detached) {
            for (auto it = std::lower_bound(m.uids.begin(), m.uids.end(), first); it != m.uids.end() && *it <= last; ++it) f(*it);
            return;
        }
        auto const& rows = state_->rows();
        for (auto row = rows.lower_bound(first); row < m.rows_end && rows.uid[row] <= last; ++row)
            if (!m.gone.contains(row)) f(rows.uid[row]);
    }

    /// Nothing when the view does not show it, or when it was expunged and its row swept away since.
    std::optional<message_row> row(uid_t wanted) const {
        auto const& rows = state_->rows();
        auto const r = rows.lower_bound(wanted);
        if (r == rows.count() || rows.uid[r] != wanted || !number(wanted)) return std::nullopt;
        message_row out{wanted, static_cast<flag>(rows.flags[r]), rows.modseq[r], rows.size[r], rows.received[r], rows.saved[r], rows.id[r],
                        rows.where[r], {}};
        auto const& names = state_->keywords().names();
        for (auto k : state_->keywords().members(rows.keyword_set[r])) out.keywords.push_back(names[k]);
        return out;
    }
    /// As row(), for flags alone: no copy of names.
    std::optional<flag> flags(uid_t wanted) const {
        auto const& rows = state_->rows();
        auto const r = rows.lower_bound(wanted);
        if (r == rows.count() || rows.uid[r] != wanted || !number(wanted)) return std::nullopt;
        return static_cast<flag>(rows.flags[r]);
    }
    /// The first message without \Seen, as IMAP's [UNSEEN n]. O(messages) at worst, over the flags alone.
    std::optional<std::uint32_t> first_unseen() const {
        auto const& m = *marks_;
        if (m.detached) {
            for (auto u : m.uids)
                if (auto const f = flags(u); f && !has(*f, flag::seen)) return number(u);
            return std::nullopt;
        }
        for (std::size_t row = 0; row < m.rows_end; ++row)
            if (!has(static_cast<flag>(state_->rows().flags[row]), flag::seen) && !m.gone.contains(row))
                return static_cast<std::uint32_t>(row - m.gone.rank(row) + 1);
        return std::nullopt;
    }

    uid_t uid_next() const noexcept { return uid_next_; }                  ///< at the last refresh
    modseq_t highest_modseq() const noexcept { return marks_->seen; }      ///< at the last refresh
    mailbox_state const& state() const noexcept { return *state_; }
    /// UIDs expunged after `since`, as far as this view knows; nothing when the list does not reach back so far.
    std::optional<uid_set> vanished_since(modseq_t since) const {
        if (since < state_->vanished().floor()) return std::nullopt;
        uid_set out;
        auto const vanished = state_->vanished().since(since);
        for (auto range : vanished.ranges()) add_absent(range.first, std::min(range.last, uid_next_ - 1), out);
        return out;
    }

    /// Shows the index's newest state, and tells what is different. Time proportional to the change, but O(messages)
    /// after rows moved under the view.
    view_changes refresh() {
        auto& m = *marks_;
        view_changes out;
        bool const whole = m.detached || !state_->changes().reaches(m.cursor);
        if (whole) compare_all(out);
        else follow(out);
        out.messages = static_cast<std::uint32_t>(state_->counters().messages);
        out.keywords_added = state_->keywords().names().size() != keywords_;
        keep_up();
        return out;
    }

private:
    // Those of first..last that the view does not show. Time follows what it shows, however long the range is said to be.
    void add_absent(uid_t first, uid_t last, uid_set& out) const {
        if (first > last) return;
        auto next = first;
        for_each(first, last, [&](uid_t shown) {
            if (next < shown) out.add(next, shown - 1);
            next = std::max(next, shown + 1);  // they ascend, but in a forged snapshot
        });
        if (next <= last) out.add(next, last);
    }
    void show_all() {
        auto& m = *marks_;
        m.detached = false;
        m.uids = {};
        m.gone = state_->expunged();
        keep_up();
    }
    void keep_up() {
        auto& m = *marks_;
        m.rows_end = state_->rows().count();
        m.cursor = state_->changes().end();
        m.seen = m.news_after = state_->highest_modseq();
        uid_next_ = state_->uid_next();
        keywords_ = state_->keywords().names().size();
        state_->changes().trim();
    }

    // The rows lay still: what happened is written down.
    void follow(view_changes& out) {
        auto& m = *marks_;
        auto& changes = state_->changes();
        auto const& rows = state_->rows();
        std::vector<std::size_t> expunged, changed;
        for (auto c = m.cursor; c < changes.end(); ++c)
            for (auto row = changes[c].first; row <= changes[c].last; ++row)
                if (row < m.rows_end && !m.gone.contains(row)) (changes[c].expunged ? expunged : changed).push_back(row);
        std::sort(expunged.begin(), expunged.end());
        std::sort(changed.begin(), changed.end());
        changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
        for (auto row : changed)
            if (!state_->expunged().contains(row)) out.changed.add(rows.uid[row]);
        for (auto row : expunged) {
            out.expunged.push_back(static_cast<std::uint32_t>(row - m.gone.rank(row) + 1));
            out.expunged_uids.add(rows.uid[row]);
        }
        std::reverse(out.expunged.begin(), out.expunged.end());
        for (auto row : expunged) m.gone.insert(row);
        for (auto row = m.rows_end; row < rows.count(); ++row) {
            if (state_->expunged().contains(row)) m.gone.insert(row);
            else out.arrived.add(rows.uid[row]);
        }
    }

    // They moved, or the view slept too long: old list against new rows.
    void compare_all(view_changes& out) {
        auto const& rows = state_->rows();
        auto const shown = old_uids();
        std::size_t row = 0;
        auto arrive = [&](std::size_t r) {
            if (!state_->expunged().contains(r)) out.arrived.add(rows.uid[r]);
        };
        for (std::size_t i = 0; i < shown.size(); ++i) {
            for (; row < rows.count() && rows.uid[row] < shown[i]; ++row) arrive(row);
            bool const there = row < rows.count() && rows.uid[row] == shown[i];
            if (!there || state_->expunged().contains(row)) {
                out.expunged.push_back(static_cast<std::uint32_t>(i + 1));
                out.expunged_uids.add(shown[i]);
            } else if (rows.modseq[row] > marks_->news_after) {
                out.changed.add(shown[i]);
            }
            if (there) ++row;
        }
        for (; row < rows.count(); ++row) arrive(row);
        std::reverse(out.expunged.begin(), out.expunged.end());
        show_all();
    }
    std::vector<uid_t> old_uids() {
        if (marks_->detached) return std::move(marks_->uids);
        std::vector<uid_t> out;
        for_each(1, uid_max, [&](uid_t u) { out.push_back(u); });
        return out;
    }

    mailbox_state* state_;
    std::unique_ptr<view_marks> marks_;
    uid_t uid_next_ = 1;
    std::size_t keywords_ = 0;
};

}  // namespace mailfs
