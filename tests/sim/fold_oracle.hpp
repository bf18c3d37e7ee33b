// SPDX-License-Identifier: BSL-1.0
// What a fold must come to, computed anew and in another way: which messages there are afterwards, which of them need a new UID,
// no more than those, and in which order (R8).
#pragma once

#include <mailfs/format/mailbox_fold.hpp>
#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/uid.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace mailfs::sim {

/// Of one message, whoever has it.
struct folded_fate {
    using name = std::tuple<std::uint32_t, std::uint64_t, std::uint64_t, std::uint32_t>;  // of its dot

    uid_t in_trunk = 0, in_branch = 0;  // 0: not there
    std::uint64_t saved_ms = 0;
    bool stays = false;  // it has no new UID, and none but these two
    bool gone = false;
    uid_t now = 0;       // what the fold says
};

class fold_oracle {
public:
    /// Empty: it is what it must be.
    static std::string judge(mailbox_state const& trunk, mailbox_state const& branch, bytes_view payload) {
        auto const fold = format::decode_mailbox_fold(payload);
        if (!fold) return payload.empty() ? "" : "a fold that nobody can read";
        std::map<folded_fate::name, folded_fate> all;
        take(branch, all, &folded_fate::in_branch);
        take(trunk, all, &folded_fate::in_trunk);  // the second that counts is the trunk's
        for (auto& [who, m] : all) decide(who, m, trunk, branch);
        judge_deliveries(all, trunk, branch);
        if (auto const why = follow(*fold, trunk, all); !why.empty()) return why;
        return compare(all, std::max(trunk.uid_next(), branch.uid_next()));
    }

private:
    static folded_fate::name name_of(message_dot const& d) { return {d.node, d.incarnation, d.counter, d.part}; }
    static void take(mailbox_state const& s, std::map<folded_fate::name, folded_fate>& all, uid_t folded_fate::*where) {
        s.for_each(1, uid_max, [&](std::size_t row) {
            auto& m = all[name_of(s.rows().dot[row])];
            m.*where = s.rows().uid[row];
            m.saved_ms = s.rows().saved[row];
        });
    }
    static bool knew(mailbox_state const& s, folded_fate::name const& who) {
        auto const& [node, incarnation, counter, part] = who;
        return s.stream().would_admit({{node, incarnation}, counter}) != admission::fresh;
    }
    // A client that was told UIDNEXT never looks below it for what is new: what it does not know there must move, nothing else.
    static void decide(folded_fate::name const& who, folded_fate& m, mailbox_state const& trunk, mailbox_state const& branch) {
        bool const both = m.in_trunk != 0 && m.in_branch != 0;
        m.gone = !both && knew(m.in_trunk != 0 ? branch : trunk, who);
        auto const higher = std::max(m.in_trunk, m.in_branch);
        m.stays = m.in_trunk == m.in_branch || higher >= (higher == m.in_trunk ? branch : trunk).uid_next();
        m.now = m.in_trunk;
    }
    // Of a delivery that was made on both sides the message with the lower dot counts. Who does not have that one, though it has seen the
    // transaction, passed it over or was told that it is given up, and has expunged nothing. No run has so many that a state forgets some.
    static void judge_deliveries(std::map<folded_fate::name, folded_fate>& all, mailbox_state const& trunk, mailbox_state const& branch) {
        std::map<guid, std::set<folded_fate::name>> tries;
        std::map<guid, std::size_t> sides;
        for (auto const* const side : {&trunk, &branch})
            for (auto const& d : side->replication().deliveries.all()) tries[d.id].insert(d.order()), ++sides[d.id];
        for (auto const& [id, names] : tries) {
            if (names.size() == 1 && sides[id] == 2) continue;
            if (auto const first = all.find(*names.begin()); first != all.end()) first->second.gone = false;
            if (auto const second = all.find(*names.rbegin()); names.size() == 2 && second != all.end()) second->second.gone = true;
        }
    }
    static std::string follow(format::mailbox_fold const& fold, mailbox_state const& trunk, std::map<folded_fate::name, folded_fate>& all) {
        for (auto const& f : fold.messages) {
            auto const row = f.from == 0 ? std::nullopt : trunk.find(f.from);
            if (f.from != 0 && !row) return fmt::format("the fold speaks of UID {}, which is not there", f.from);
            auto const& d = f.row.dot;
            auto const who = row ? name_of(trunk.rows().dot[*row]) : folded_fate::name{d.origin.node, d.origin.incarnation, d.counter, f.row.part};
            auto const it = all.find(who);
            if (it == all.end()) return "the fold makes a message that nobody had";
            it->second.now = f.uid;
        }
        return {};
    }
    static std::string compare(std::map<folded_fate::name, folded_fate> const& all, uid_t announced) {
        std::vector<std::tuple<std::uint64_t, folded_fate::name, uid_t>> renumbered;
        for (auto const& [who, m] : all) {
            if (m.gone != (m.now == 0)) return fmt::format("UID {}/{}: one side expunged it: {}, and the fold makes it UID {}", m.in_trunk, m.in_branch, m.gone, m.now);
            if (m.gone) continue;
            bool const has_new = m.now != m.in_trunk && m.now != m.in_branch;
            if (m.stays && m.now != std::max(m.in_trunk, m.in_branch)) return fmt::format("UID {}/{} may stay, and becomes {}", m.in_trunk, m.in_branch, m.now);
            if (m.stays) continue;
            if (!has_new) return fmt::format("UID {}/{} stays where some client does not look for it", m.in_trunk, m.in_branch);
            if (m.now < announced) return fmt::format("UID {}/{} becomes {}, below UIDNEXT {}", m.in_trunk, m.in_branch, m.now, announced);
            renumbered.emplace_back(m.saved_ms, who, m.now);
        }
        std::sort(renumbered.begin(), renumbered.end());
        for (std::size_t i = 1; i < renumbered.size(); ++i)
            if (std::get<2>(renumbered[i]) <= std::get<2>(renumbered[i - 1])) return "messages are not renumbered in the order in which they came";
        return {};
    }
};

}  // namespace mailfs::sim
