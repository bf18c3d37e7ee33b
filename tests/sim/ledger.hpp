// SPDX-License-Identifier: BSL-1.0
// What clients asked for and were told: which acknowledged changes must be there at the end (R5, R6, R10), and which values a
// flag may have.
//
// An acknowledged change may be gone only if every node that held it then lost it in a crash; what was stored may never be
// gone. A change that was refused did not happen; of one whose answer was lost nobody knows.
#pragma once

#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/types/flags.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/lineage.hpp>
#include <mailfs/types/uid_set.hpp>

#include "observations.hpp"
#include "violation.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::sim {

enum class fate : std::uint8_t { pending, acknowledged, refused, unknown };

/// One transaction of one operation, on one message or on the mailbox.
struct attempt {
    enum class kind : std::uint8_t { append, add, remove, replace, expunge, metadata };

    std::size_t number = 0;
    kind what = kind::append;
    std::uint32_t node = 0;
    std::uint64_t began = 0, ended = 0;  ///< simulated time
    guid message;
    uid_t uid = 0;                       ///< under which it was addressed, or which it was given
    std::uint32_t part = 0;              ///< of an append: as the how-manieth of its transaction
    std::uint64_t delivery = 0;          ///< of an append: attempts with the same one are the same mail; 0: none
    bool lost_a_disk = false;            ///< while it was pending: what its master counted there is gone
    std::uint32_t flags = 0;             ///< one bit for each register: the flags, then two keywords
    bool conditional = false, stored = false;
    fate what_became = fate::pending;
    position at;
    bool effective = false;              ///< the answer said that it changed something
    std::uint32_t epoch = 0;             ///< in which the node was when it was made
    bool modified = false;               ///< or that it left it alone, for its MODSEQ was above
    modseq_t unchanged_since = 0;
    std::uint64_t adoptions = 0;         ///< of states as a whole, by all nodes, before it was made
    bool is_first_answer = true;         ///< false: perhaps it was given of a state that came as a whole, which does not tell all
    std::set<std::uint32_t> steady;      ///< holders whose process has not ended since
    std::set<std::uint32_t> holders;     ///< nodes that had it when it was acknowledged, and have not lost it since
    std::set<std::size_t> known;         ///< attempts on the same message that the node had applied when this one was made

    bool may_have_happened() const noexcept { return what_became == fate::acknowledged || what_became == fate::unknown || what_became == fate::pending; }
    bool must_be_there() const noexcept { return what_became == fate::acknowledged && (stored || !holders.empty()); }
};

inline constexpr std::uint32_t register_count = 7;  // 5 flags, 2 keywords
inline constexpr std::uint32_t all_registers = (1U << register_count) - 1;
inline constexpr char const* keyword_names[2] = {"$one", "$two"};

inline std::uint32_t registers_of(mailfs::flag f, std::vector<std::string> const& keywords) {
    auto bits = static_cast<std::uint32_t>(f) & static_cast<std::uint32_t>(all_flags);
    for (std::uint32_t k = 0; k < 2; ++k)
        if (std::find(keywords.begin(), keywords.end(), keyword_names[k]) != keywords.end()) bits |= 1U << (5 + k);
    return bits;
}

class ledger {
public:
    attempt& begin(attempt a) {
        a.number = attempts_.size();
        by_message_[a.message].push_back(a.number);
        if (a.delivery != 0) by_delivery_[a.delivery].push_back(a.message);
        attempts_.push_back(std::move(a));
        return attempts_.back();
    }
    attempt& operator[](std::size_t n) noexcept { return attempts_[n]; }
    auto begin() noexcept { return attempts_.begin(); }
    auto end() noexcept { return attempts_.end(); }
    std::deque<attempt> const& all() const noexcept { return attempts_; }

    /// Those on the same message that this history holds.
    std::set<std::size_t> known_to(mailbox_state const& s, guid const& message) const {
        std::set<std::size_t> out;
        auto const it = by_message_.find(message);
        if (it == by_message_.end()) return out;
        auto const history = s.stream().history();
        for (auto const n : it->second)
            if (attempts_[n].what_became == fate::acknowledged && contains(history, attempts_[n].at)) out.insert(n);
        return out;
    }
    std::size_t pending() const noexcept {
        return static_cast<std::size_t>(std::count_if(attempts_.begin(), attempts_.end(), [](attempt const& a) { return a.what_became == fate::pending; }));
    }
    /// This node came back after a crash, with what it still has.
    void came_back(std::uint32_t node, mailbox_state const& s) {
        auto const history = s.stream().history();
        for (auto& a : attempts_)
            if (a.what_became == fate::acknowledged && a.holders.contains(node) && !contains(history, a.at)) a.holders.erase(node);
    }

    /// R11: against the state that the store alone tells of, at any moment.
    void check_stored(mailbox_state const& s) const {
        auto const history = s.stream().history();
        for (auto const& a : attempts_)
            if (a.what_became == fate::acknowledged && a.stored)
                require(contains(history, a.at), "R11", "attempt {} on node {}, acknowledged as stored at {}, is not in the store", a.number, a.node, text_of(a.at));
    }
    /// Its disk is gone, and an older one took its place: what was stored there may be lost unless another node holds it.
    void lost_its_disk(std::uint32_t node) {
        for (auto& a : attempts_) {
            if (a.what_became == fate::acknowledged && a.holders.contains(node)) a.stored = false;
            if (a.what_became == fate::pending) a.lost_a_disk = true;
        }
    }
    /// At the end, against the state that all have. `clocks_agree`: they were close enough to say who wins of two changes in different epochs.
    void check(mailbox_state const& s, bool clocks_agree, bool own_disks) const {
        std::map<guid, std::pair<uid_t, std::uint32_t>> live;
        s.for_each(1, uid_max, [&](std::size_t row) {
            std::vector<std::string> keywords;
            for (auto const k : s.keywords().members(s.rows().keyword_set[row])) keywords.push_back(s.keywords().names()[k]);
            live[s.rows().id[row]] = {s.rows().uid[row], registers_of(static_cast<flag>(s.rows().flags[row]), keywords)};
        });
        auto const history = s.stream().history();
        for (auto const& a : attempts_) check_one(a, live, history);
        check_deliveries(live);
        for (auto const& [message, found] : live) {
            auto const it = by_message_.find(message);
            require(it != by_message_.end(), "R3", "UID {} is a message that nobody appended", found.first);
            auto const& first = attempts_[it->second.front()];
            require(first.what_became != fate::refused, "R10", "UID {} was refused, and is there", found.first);
            if (clocks_agree || own_disks) check_registers(it->second, found.first, found.second, clocks_agree);
        }
    }

private:
    using live_map = std::map<guid, std::pair<uid_t, std::uint32_t>>;

    void check_one(attempt const& a, live_map const& live, lineage const& history) const {
        if (!a.must_be_there()) return;
        auto const told = [&] { return fmt::format("attempt {} on node {}, acknowledged {} at {}", a.number, a.node, a.stored ? "on disk" : "in memory", text_of(a.at)); };
        require(contains(history, a.at), "R5", "{}: its position is lost", told());
        if (a.what == attempt::kind::append) {
            bool there = may_be_expunged(a.message) || live.contains(a.message);
            if (a.delivery != 0)
                for (auto const& same : by_delivery_.at(a.delivery)) there = there || may_be_expunged(same) || live.contains(same);
            require(there, "R5", "{}: the message is lost", told());
        }
        if (a.what == attempt::kind::expunge && a.effective) require(!live.contains(a.message), "R6", "{}: the message is there again", told());
    }

    bool may_be_expunged(guid const& message) const {
        auto const& all = by_message_.at(message);
        return std::any_of(all.begin(), all.end(), [&](std::size_t n) {
            return attempts_[n].what == attempt::kind::expunge && attempts_[n].may_have_happened();
        });
    }
    void check_deliveries(live_map const& live) const {
        for (auto const& [delivery, messages] : by_delivery_) {
            auto const there = std::count_if(messages.begin(), messages.end(), [&](guid const& m) { return live.contains(m); });
            require(there <= 1, "R10", "delivery {} is there {} times", delivery, there);
        }
    }
    // Each flag has a value that some change gave it which no later one, made in the knowledge of it, replaced.
    void check_registers(std::vector<std::size_t> const& all, uid_t uid, std::uint32_t found, bool clocks_agree) const {
        for (std::uint32_t bit = 0; bit < register_count; ++bit) {
            bool may_be[2] = {false, false};
            for (auto const n : all)
                for (auto const value : values_of(attempts_[n], 1U << bit))
                    if (!is_replaced(attempts_[n], all, 1U << bit, clocks_agree)) may_be[value ? 1 : 0] = true;
            bool const value = ((found >> bit) & 1) != 0;
            require(may_be[value ? 1 : 0], "R5", "UID {}: register {} is {}, and nobody's change says so that was not replaced", uid, bit, value);
        }
    }
    static std::vector<bool> values_of(attempt const& a, std::uint32_t bit) {
        if (!a.may_have_happened()) return {};
        switch (a.what) {
            case attempt::kind::append:
            case attempt::kind::replace: return {(a.flags & bit) != 0};
            case attempt::kind::add: return (a.flags & bit) != 0 ? std::vector<bool>{true} : std::vector<bool>{};
            case attempt::kind::remove: return (a.flags & bit) != 0 ? std::vector<bool>{false} : std::vector<bool>{};
            case attempt::kind::expunge:
            case attempt::kind::metadata: return {};
        }
        return {};
    }
    // Under any clocks what follows another change in its epoch replaces it, and in every fold (R13). Not where the earlier one may have
    // been ordered by two masters: each clamps its stamp by a clock of its own.
    bool is_replaced(attempt const& old, std::vector<std::size_t> const& all, std::uint32_t bit, bool clocks_agree) const {
        return std::any_of(all.begin(), all.end(), [&](std::size_t n) {
            auto const& later = attempts_[n];
            bool const one_flag = later.what == attempt::kind::add || later.what == attempt::kind::remove;
            bool const knew = later.known.contains(old.number) && (clocks_agree || (old.epoch == old.at.epoch && later.at.epoch == old.at.epoch && old.at < later.at));
            return one_flag && later.flags == bit && later.effective && later.must_be_there() && knew;
        });
    }

    std::deque<attempt> attempts_;
    std::map<guid, std::vector<std::size_t>> by_message_;
    std::map<std::uint64_t, std::vector<guid>> by_delivery_;
};

}  // namespace mailfs::sim
