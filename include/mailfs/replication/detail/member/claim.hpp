// SPDX-License-Identifier: BSL-1.0
// A part of member.hpp: how a master is found where there is none, and how it opens its epoch.
#pragma once

#include <mailfs/replication/detail/member.hpp>

namespace mailfs::detail {

template <replicated_machine M>
std::uint32_t member<M>::rank() const noexcept {
    return static_cast<std::uint32_t>(std::count_if(peers_.begin(), peers_.end(), [&](auto const& p) {
        return p.second.up && p.second.slot < options_.self.slot;
    }));
}

template <replicated_machine M>
void member<M>::arm_claim() {
    has_met_ = has_met_ || has_met_state();
    if (!has_met_ || (!has_looked() && !has_met_state())) return;
    claim_due_ = now() + (has_looked() ? 1 : options_.patience_ms) + rank() * options_.rank_ms;
}

template <replicated_machine M>
bool member<M>::has_met_state() const noexcept {
    return std::any_of(peers_.begin(), peers_.end(), [](auto const& p) { return p.second.told && p.second.told->object != guid{}; });
}

template <replicated_machine M>
void member<M>::ask_who() {
    claim_due_ = 0;
    who_.clear();
    for (auto const& [node, p] : peers_)
        if (p.up) who_.insert(node);
    for (auto const node : who_) io_->send(node, format::peer_who{});
    who_due_ = now() + options_.who_ms;
    if (who_.empty()) conclude_who();
}

template <replicated_machine M>
void member<M>::conclude_who() {
    choose_upstream();
    who_due_ = 0;
    who_.clear();
    if (upstream_ != 0) return;
    if (is_about_to_be_folded()) {
        ++postponed_;
        claim_due_ = now() + options_.patience_ms;
        return;
    }
    postponed_ = 0;
    if (auto const ahead = longest_tail(); ahead != 0) follow(ahead, true);
    else claim();
}

// The other side has a master, and ours has none: it will ask for our branch.
template <replicated_machine M>
bool member<M>::is_about_to_be_folded() const {
    if (postponed_ >= 4) return false;
    return std::any_of(peers_.begin(), peers_.end(), [&](auto const& n) {
        auto const& p = n.second;
        return p.up && p.told && p.told->hops < hops_max() && p.told->at.epoch > stream().at.epoch && compare(p) == standing::apart;
    });
}

template <replicated_machine M>
std::uint32_t member<M>::longest_tail() const {
    std::uint32_t best = 0;
    for (auto const& [node, p] : peers_)
        if (compare(p) == standing::ahead && (best == 0 || p.told->at > peers_.at(best).told->at)) best = node;
    return best;
}

template <replicated_machine M>
void member<M>::claim() {
    if (!has_state_ || barrier_ || disk_fails_) return;
    role_ = member_role::claiming;
    claim_due_ = 0;
    claiming_since_ = now();
    if (rules_.shared) io_->claim();
    else open_epoch();
}

template <replicated_machine M>
void member<M>::open_epoch() {
    inbox_.push_back(epoch_step(*machine_));
    drain();
}

// Opens an epoch behind this state: our own, or the one that is to take its place.
template <replicated_machine M>
format::stream_step member<M>::epoch_step(M const& base) {
    auto const heard = std::max(heard_, stream().at.epoch);
    epoch_start s;
    s.epoch = ((heard >> 4) + 1) << 4 | (rules_.shared || mutated(mutant::epoch_without_slot) ? 0 : options_.self.slot);
    s.owner = origin_;
    auto const block = next_block(ids_known_to(base));
    if (block.first <= block.last) s.ids_first = block.first, s.ids_last = block.last;
    s.id_next = std::max({machine_->next_id(), base.next_id(), floor_});
    heard_ = std::max(heard_, s.epoch);
    format::stream_step step;
    step.kind = format::record_kind::epoch;
    step.at = {s.epoch, 0};
    step.when = std::max(stream().latest, base.stream().latest).next(io_->wall_ms());
    step.payload = format::encode_epoch_start(s);
    return step;
}

template <replicated_machine M>
std::uint32_t member<M>::ids_known_to(M const& m) {
    auto last = m.next_id() - 1;
    for (auto const& e : m.stream().history()) last = std::max(last, e.ids_last);
    return last;
}

// Above all that anybody may have given out, as far as we know, and `known`.
template <replicated_machine M>
uid_block member<M>::next_block(std::uint32_t known) const {
    if (!has_ids()) return {};
    auto above = std::max({known, ids_known(), floor_ == 0 ? 0 : floor_ - 1});
    if (rules_.shared && mutated(mutant::store_claim_below_reserved)) above = machine_->next_id() - 1;
    if (!rules_.shared) return next_uid_block(mutated(mutant::ids_block_of_any_slot) ? 1 : options_.self.slot, above);
    if (above >= uid_max - rules_.ids_reserved) return {};
    return {above + 1, above + rules_.ids_reserved};
}

template <replicated_machine M>
void member<M>::become_master() {
    role_ = member_role::master;
    hops_ = 0;
    upstream_ = 0;
    must_announce_ = true;
    serve_if_possible();
    send_calls();
}

template <replicated_machine M>
void member<M>::after_barrier(format::stream_step const& step) {
    if (step.kind == format::record_kind::fold && is_master() && !contains(stream().history(), folded_)) {
        unfoldable_ = folded_;  // the machine refused it: once more would do no better
        unfoldable_until_ = now() + unfoldable_ms;
    }
    if (step.kind != format::record_kind::epoch || epoch_owner() != origin_) return;
    if (role_ != member_role::claiming && !is_master()) return;
    hit(reached::claimed);
    if (fold_.branch && fold_.is_next) fold_now();  // the first step of the epoch: proposals wait behind it
    become_master();
}

}  // namespace mailfs::detail
