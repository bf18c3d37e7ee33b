// SPDX-License-Identifier: BSL-1.0
// A part of member.hpp: how others stand to us, and whom we follow.
#pragma once

#include <mailfs/replication/detail/member.hpp>

namespace mailfs::detail {

// A disk from a backup does not tell how far its node had come: it goes far above.
template <replicated_machine M>
void member<M>::leave_behind_what_the_disk_forgot() {
    has_met_ = options_.disk != disk_history::restored;
    if (options_.disk == disk_history::whole) return;
    hit(options_.disk == disk_history::restored ? reached::restored : reached::restored_alone);
    floor_ += std::min(restored_ids, uid_max - floor_);
    heard_ = std::min(heard_ + (restored_epochs << 4), epoch_max);
}

template <replicated_machine M>
auto member<M>::compare(peer const& p) const -> standing {
    if (!p.up || !p.told || p.told->object == guid{}) return standing::unknown;
    if (!has_state_) return standing::ahead;
    if (p.told->object != machine_->object()) return standing::unknown;
    auto const mine = stream().history();
    // Who would have to go back to a lower position is apart, though nothing of its own would be lost: it was shown.
    bool const ahead = (p.told->at >= stream().at || mutated(mutant::fast_forward_after_serving)) && has_all_of_ours(p.told->lineage);
    bool const behind = p.told->at <= stream().at && covers(mine, p.told->lineage);
    return ahead && behind ? standing::same : ahead ? standing::ahead : behind ? standing::behind : standing::apart;
}

template <replicated_machine M>
bool member<M>::has_looked() const {
    if (join_due_ == 0 || join_due_ <= io_->steady_ms()) return true;
    return std::all_of(peers_.begin(), peers_.end(), [](auto const& p) { return p.second.told.has_value(); });
}

// Its master lives, as far as it knows, and we may follow it.
template <replicated_machine M>
bool member<M>::is_way_to_master(peer const& p) const {
    if (!p.up || !p.told || p.told->hops >= hops_max() || p.told->upstream == options_.self.node) return false;
    if (has_more_than_we(p)) return true;
    return compare(p) == standing::behind && p.told->at.epoch == stream().at.epoch && p.told->owner == stream().owner;  // it was told long ago
}

// Not any more, where what waited for our disk has come behind it: an epoch of our own, say.
template <replicated_machine M>
bool member<M>::has_more_than_we(peer const& p) const {
    auto const s = compare(p);
    return s == standing::ahead || s == standing::same;
}

template <replicated_machine M>
void member<M>::reconsider() {
    if (role_ == member_role::closed || adopting_) return;
    if (is_claiming_at_store() && claiming_since_ + 2 * options_.patience_ms <= now()) give_up_claim_for_master();
    if (is_master() || role_ == member_role::claiming) {
        if (is_master()) step_down_if_passed();
        if (is_master()) fold_branches();
        if (is_master() || role_ == member_role::claiming) return;
    }
    choose_upstream();
    if (upstream_ != 0) {
        if (caught_up_) take_over_for_branch();
        return;
    }
    if (has_state_ && claim_due_ == 0 && who_due_ == 0 && !is_frozen() && !disk_fails_) arm_claim();
}

template <replicated_machine M>
void member<M>::drop_inbox() {
    inbox_.clear();
    barrier_.reset();
}

template <replicated_machine M>
void member<M>::step_down_if_passed() {
    for (auto const& [node, p] : peers_) {
        bool const higher = p.up && p.told && p.told->at.epoch > stream().at.epoch;
        if (!higher || mutated(mutant::master_ignores_higher_epoch)) continue;
        auto const s = compare(p);  // an epoch that somebody has is in the shared store: whatever we have beyond it, we are shut out
        if (s != standing::ahead && (!rules_.shared || s == standing::unknown)) continue;
        hit(handing_until_ == 0 ? reached::ousted : handing_because_);
        lose_mastership();
        return;
    }
}

template <replicated_machine M>
void member<M>::lose_mastership() {
    role_ = member_role::joining;
    handing_until_ = quiet_due_ = 0;
    used_.clear();
    hops_ = 255;
    to_order_.clear();
    waiting_ = 0;
    fold_ = {};
    must_announce_ = true;
    if (!rules_.shared && !disk_fails_) return;
    drop_inbox();
    io_->withdraw(stream().at);
}

template <replicated_machine M>
void member<M>::leave_upstream() {
    upstream_ = 0;
    caught_up_ = false;
    tail_only_ = false;
    hops_ = 255;
    if (!barrier_ || mutated(mutant::barrier_step_dropped)) inbox_.clear();
    else inbox_.resize(1);
    transfer_ = {};
    if (role_ == member_role::member) role_ = member_role::joining;
    must_announce_ = true;
}

template <replicated_machine M>
void member<M>::choose_upstream() {
    std::uint32_t best = 0;
    for (auto const& [node, p] : peers_)
        if (is_way_to_master(p) && (best == 0 || preference(p) > preference(peers_[best]))) best = node;
    auto const* const current = upstream_ == 0 ? nullptr : find(upstream_);
    bool const holds = current != nullptr && (tail_only_ ? has_more_than_we(*current) : is_way_to_master(*current));
    if (best == 0 && !holds && upstream_ != 0) leave_upstream();
    if (best == 0 || best == upstream_) return;
    if (holds && !tail_only_ && peers_[best].told->at.epoch <= current->told->at.epoch && peers_[best].told->hops >= current->told->hops) return;
    follow(best, false);
}

template <replicated_machine M>
void member<M>::follow(std::uint32_t node, bool tail_only) {
    if (who_due_ != 0 && !tail_only) hit(reached::claim_lost);
    leave_upstream();
    upstream_ = node;
    tail_only_ = tail_only;
    claim_due_ = who_due_ = asking_until_ = 0;
    postponed_ = 0;
    who_.clear();
    ask_upstream(!has_state_);
}

template <replicated_machine M>
void member<M>::ask_upstream(bool snapshot) {
    asked_at_ = now();
    is_at_upstreams_end_ = false;
    transfer_ = {};
    auto from = stream().at;
    if (mutated(mutant::catch_up_from_wrong_position) && from.n > 0) --from.n;
    io_->send(upstream_, format::peer_catch_up{from, stream().chain, snapshot, 0});
}

template <replicated_machine M>
void member<M>::joined() {
    caught_up_ = true;
    auto const& up = *find(upstream_);
    if (tail_only_) {
        hit(reached::claim_adopted_tail);
        leave_upstream();
        claim();
        return;
    }
    hops_ = up.told ? static_cast<std::uint8_t>(up.told->hops + 1) : 255;
    role_ = member_role::member;
    must_announce_ = true;
    progress_is_news_ = true;  // to whom we follow now, or again
    frozen_until_ = 0;
    serve_if_possible();
    send_calls();
}

// A restarted node may have shown ids that nobody knows of: it serves when those are left behind.
template <replicated_machine M>
void member<M>::serve_if_possible() {
    if (serves_ || (!is_master() && !caught_up_)) return;
    if (machine_->next_id() < floor_ && !mutated(mutant::uid_next_falls_on_restart)) return;
    hit(is_master() && peers_up() == 0 ? reached::served_alone : reached::joined);
    serves_ = true;
    io_->moved();
}

template <replicated_machine M>
std::size_t member<M>::peers_up() const noexcept {
    return static_cast<std::size_t>(std::count_if(peers_.begin(), peers_.end(), [](auto const& p) { return p.second.up; }));
}

}  // namespace mailfs::detail
