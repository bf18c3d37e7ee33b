// SPDX-License-Identifier: BSL-1.0
// What was seen of all nodes during a run, and the checks that can be made at once: R1, R2, R3, R4, R10.
#pragma once

#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/index/view.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/lineage.hpp>

#include "violation.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace mailfs::sim {

inline std::string text_of(position p) { return fmt::format("{}:{}+{}", p.epoch >> 4, p.epoch & 15, p.n); }

/// R1: at most one node ever owns an epoch.
class epoch_owners {
public:
    void check(std::uint32_t epoch, origin const& owner) {
        if (owner == origin{}) return;
        auto const [it, is_new] = owners_.try_emplace(epoch, owner);
        require(is_new || it->second == owner, "R1", "epoch {} is owned by node {} ({:x}) and node {} ({:x})", epoch, it->second.node,
                it->second.incarnation, owner.node, owner.incarnation);
    }
    std::size_t count() const noexcept { return owners_.size(); }

private:
    std::map<std::uint32_t, origin> owners_;
};

/// R2, and the half of R4 that speaks of states: one position, one history, one state.
class positions {
public:
    struct seen {
        std::uint64_t chain, digest;
        std::uint32_t node;
    };
    void check(std::uint32_t node, mailbox_state const& s) {
        auto const at = s.stream().at;
        seen const now{s.stream().chain, digest_of(s), node};
        auto const [it, is_new] = seen_.try_emplace(at, now);
        if (is_new) return;
        require(it->second.chain == now.chain, "R2", "nodes {} and {} have different chain hashes at {}", it->second.node, node, text_of(at));
        require(it->second.digest == now.digest, "R4", "nodes {} and {} have different states at {}", it->second.node, node, text_of(at));
    }

private:
    static std::uint64_t digest_of(mailbox_state const& s) {
        auto d = s.digest() * 31 + s.uid_next();
        d = d * 31 + s.counters().messages;
        d = d * 31 + s.counters().unseen;
        return d * 31 + s.uid_validity();
    }
    std::map<position, seen> seen_;
};

/// R3: a UID once shown names one message for ever.
class uid_names {
public:
    void check(std::uint32_t node, std::uint32_t uid_validity, uid_t uid, guid const& message) {
        auto const [it, is_new] = names_.try_emplace({uid_validity, uid}, message, node);
        require(is_new || it->second.first == message, "R3", "UID {} names one message on node {}, another on node {}", uid, it->second.second, node);
    }

private:
    std::map<std::pair<std::uint32_t, uid_t>, std::pair<guid, std::uint32_t>> names_;
};

/// R4: what one node announces never falls, restarts included.
class announced_numbers {
public:
    void check(std::uint32_t node, mailbox_state const& s) {
        require(s.uid_next() >= uid_next_, "R4", "node {} announces UIDNEXT {} after {}", node, s.uid_next(), uid_next_);
        require(s.highest_modseq() >= modseq_, "R4", "node {} announces HIGHESTMODSEQ {} after {}", node, text_of(s.stream().at), text_of(at_));
        require(s.uid_validity() >= uid_validity_, "R4", "node {} announces UIDVALIDITY {} after {}", node, s.uid_validity(), uid_validity_);
        uid_next_ = s.uid_next();
        modseq_ = s.highest_modseq();
        at_ = s.stream().at;
        uid_validity_ = s.uid_validity();
    }

private:
    uid_t uid_next_ = 0;
    modseq_t modseq_ = 0;
    position at_;
    std::uint32_t uid_validity_ = 0;
};

/// What one node shows while it lives: no message twice (R10), none back that was gone (R6).
class shown_messages {
public:
    /// All of it, for the first time in a life.
    void begin(std::uint32_t node, view& v, uid_names& names) {
        by_uid_.clear();
        live_.clear();
        gone_.clear();
        v.for_each(1, uid_max, [&](uid_t uid) { arrive(node, v, uid, names); });
    }
    void check(std::uint32_t node, view& v, view_changes const& changes, uid_names& names) {
        std::vector<guid> gone;
        changes.expunged_uids.for_each([&](uid_t uid) {
            auto const it = by_uid_.find(uid);
            if (it == by_uid_.end()) return;
            live_.erase(it->second);
            gone.push_back(it->second);
            by_uid_.erase(it);
        });
        changes.arrived.for_each([&](uid_t uid) { arrive(node, v, uid, names); });
        for (auto const& id : gone) {
            if (live_.contains(id)) ++renumbered_;
            else gone_.insert(id);
        }
    }
    std::uint64_t renumbered() const noexcept { return renumbered_; }

private:
    void arrive(std::uint32_t node, view& v, uid_t uid, uid_names& names) {
        auto const row = v.row(uid);
        if (!row) return;
        names.check(node, v.state().uid_validity(), uid, row->id);
        require(!gone_.contains(row->id), "R6", "node {} shows a message again as UID {} that was expunged", node, uid);
        by_uid_[uid] = row->id;
        auto const [it, is_new] = live_.emplace(row->id, uid);
        require(is_new, "R10", "node {} has one message as UID {} and UID {}", node, it->second, uid);
    }

    std::map<uid_t, guid> by_uid_;
    std::map<guid, uid_t> live_;
    std::set<guid> gone_;
    std::uint64_t renumbered_ = 0;
};

}  // namespace mailfs::sim
