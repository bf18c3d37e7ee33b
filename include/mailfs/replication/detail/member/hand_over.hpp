// SPDX-License-Identifier: BSL-1.0
// A part of member.hpp: how mastership goes to another: to who writes most, who asks, or whose disk works.
#pragma once

#include <mailfs/replication/detail/member.hpp>

namespace mailfs::detail {

template <replicated_machine M>
void member<M>::store_failed() {
    if (!is_master()) return;
    if (mutated(mutant::store_error_trusted)) refuse_unstored();
    if (is_frozen() || handing_until_ != 0 || !inbox_.empty() || heirs_due_ > now()) return;
    heirs_due_ = now() + 2 * options_.patience_ms;
    for (auto const& [node, p] : peers_) {
        if (!p.up || !p.follows || node <= last_heir_) continue;
        last_heir_ = node;
        return hand_over(node, reached::flush_failed_handover);
    }
    if (std::exchange(last_heir_, 0) == 0) hit(reached::flush_failed_alone);
}

template <replicated_machine M>
void member<M>::disk_fails() {
    if (role_ == member_role::closed || disk_fails_) return;
    disk_fails_ = true;
    unflushed_ = 0;
    heirs_asked_.clear();
    if (is_master()) {
        if (barrier_ && inbox_.front().kind == format::record_kind::epoch) withdraw();  // its number is not used again
        fold_ = {};
        hand_over_for_disk();
    } else if (role_ == member_role::claiming) {
        withdraw();
        role_ = member_role::joining;
        reconsider();
    }
    flush();
}

template <replicated_machine M>
void member<M>::disk_works() {
    if (role_ == member_role::closed) return;
    disk_fails_ = false;
    reconsider();
    go_on();
    flush();
}

// Mastership follows use: who proposes most of what is ordered saves a round trip by ordering it.
template <replicated_machine M>
void member<M>::follow_use() {
    use_due_ = now() + options_.use_ms;
    auto const used = std::exchange(used_, {});
    std::uint64_t all = 0;
    for (auto const& [node, n] : used) all += n;
    for (auto const& [node, n] : used) {
        auto const* const p = find(node);
        if (p == nullptr || !p->up || !p->follows || n < options_.use_min || n * 4 <= all * 3 || is_frozen() || fold_.from != 0 || !inbox_.empty()) continue;
        hand_over(node, reached::handover_by_use);
    }
}

// Nothing is ordered until the heir's epoch is here, or does not come.
template <replicated_machine M>
void member<M>::hand_over(std::uint32_t heir, reached why) {
    handing_until_ = now() + options_.patience_ms;
    handing_because_ = why;
    flush_batch();
    io_->send(heir, format::peer_handover{stream().at});
}

// Each that has all there is, is asked once: its disk may have failed, too.
template <replicated_machine M>
void member<M>::hand_over_for_disk() {
    if (!disk_fails_ || !is_master() || handing_until_ != 0 || is_frozen()) return;
    bool any = false;
    for (auto const& [node, p] : peers_) {
        if (!p.up || !p.follows || heirs_asked_.contains(node)) continue;
        any = true;
        if (!below_.has_in_memory(node, stream().at)) continue;
        heirs_asked_.insert(node);
        return hand_over(node, reached::flush_failed_handover);
    }
    if (!any && heirs_asked_.insert(options_.self.node).second) hit(reached::flush_failed_alone);
}

// From the master: be it. From a follower, who reaches a branch that we do not: let me.
template <replicated_machine M>
void member<M>::on(std::uint32_t node, peer& p, format::peer_handover const& m) {
    if (m.at != stream().at || is_frozen() || barrier_ || !inbox_.empty()) return;
    if (p.follows && may_hand_over()) return hand_over(node, reached::handover_asked);
    if (node != upstream_ || !caught_up_ || disk_fails_) return;
    leave_upstream();
    claim();
}

// What waits for a disk that fails may be on it: its place is another step's only where we order no more in its epoch.
template <replicated_machine M>
void member<M>::withdraw() {
    if (!barrier_) return;
    barrier_.reset();
    inbox_.clear();
    io_->withdraw(stream().at);
}

}  // namespace mailfs::detail
