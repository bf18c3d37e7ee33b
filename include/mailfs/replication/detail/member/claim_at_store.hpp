// SPDX-License-Identifier: BSL-1.0
// A part of member.hpp: how a shared store is claimed, what came of it, and what of the master's writes.
#pragma once

#include <mailfs/replication/detail/member.hpp>

namespace mailfs::detail {

template <replicated_machine M>
template <class Tail>
std::optional<store_claim> member<M>::compose_claim(M& theirs, Tail const& tail) {
    if (!is_claiming_at_store()) return std::nullopt;
    drop_inbox();
    auto const& t = std::as_const(theirs).stream();
    heard_ = std::max(heard_, t.at.epoch);
    store_claim out;
    if (auto steps = tail(t.at, t.chain)) {
        if (!mutated(mutant::store_claim_without_tail)) out.steps = std::move(*steps);
        if (!out.steps.empty()) hit(reached::claim_with_tail);
        auto step = epoch_step(*machine_);
        out.steps.push_back(step);
        barrier_ = step.at;
        inbox_.push_back(std::move(step));
        return out;
    }
    if (t.at.epoch < stream().at.epoch) return std::nullopt;  // it was read with an old list
    out.replaces = true;
    add_claim_step(out, theirs, epoch_step(theirs));
    if (covers(t.history(), stream().history())) return out;
    hit(reached::claim_with_fold);  // what this node has, and the store has not, is a branch
    format::stream_step fold;
    fold.kind = format::record_kind::fold;
    fold.at = {t.at.epoch, 1};
    fold.when = t.latest.next(io_->wall_ms());
    fold.payload = theirs.fold(*machine_);
    fold.payload.resize((fold.payload.size() + 7) / 8 * 8);
    add_claim_step(out, theirs, std::move(fold));
    if (!covers(t.history(), stream().history())) return std::nullopt;
    return out;
}

template <replicated_machine M>
void member<M>::took_over() {
    if (!is_claiming_at_store()) return;
    hit(reached::claimed);
    ring_.clear();
    batch_.clear();
    drop_inbox();
    disk_ = stream().at;
    heard_ = std::max(heard_, stream().at.epoch);
    begin_progress();
    for (auto& [node, p] : peers_) p.follows = false;
    find_own_in_state();
    frozen_until_ = 0;
    become_master();
    io_->moved();
    go_on();
    reconsider();
    flush();
}

template <replicated_machine M>
void member<M>::claim_lost(std::uint32_t epoch) {
    if (!is_claiming_at_store()) return;
    hit(epoch == 0 ? reached::claim_without_store : reached::claim_lost_to_epoch);
    drop_inbox();
    heard_ = std::max(heard_, epoch);
    role_ = member_role::joining;
    claim_due_ = now() + options_.patience_ms + rank() * options_.rank_ms;  // until then its master may be heard of
    must_announce_ = true;
    reconsider();
    flush();
}

template <replicated_machine M>
void member<M>::shut_out() {
    if (!is_master()) return;
    hit(reached::flush_lost);
    lose_mastership();
    reconsider();
    flush();
}

template <replicated_machine M>
void member<M>::tick() {
    if (role_ == member_role::closed) return;
    auto const t = now();
    for (auto const& id : calls_.due(t)) {
        hit(reached::refused_unavailable);
        auto& c = *calls_.find(id);
        bool const was_sent = c.was_sent;
        if (!was_sent) drop_proposals(id);
        io_->finish(id, was_sent ? errc::may_have_happened : errc::busy);
        give_up(c);
    }
    if (join_due_ <= t) join_due_ = 0;
    if (apart_due_ <= t) apart_due_ = 0;
    if (frozen_until_ != 0 && frozen_until_ <= t) thaw();
    if (fold_.from != 0 && fold_.due <= t && !fold_.branch) fold_ = {};
    if (who_due_ != 0 && who_due_ <= t) conclude_who();
    if (claim_due_ != 0 && claim_due_ <= t) ask_who();
    if (upstream_ != 0 && !caught_up_ && !adopting_ && asked_at_ + options_.patience_ms <= t) ask_upstream(!has_state_);
    ask_again_if_left_behind();
    if (resend_at_ <= t) send_calls();
    if (handing_until_ != 0 && handing_until_ <= t) handing_until_ = 0;
    if (is_master()) {
        judge_lag();
        hand_over_for_disk();
        if (use_due_ <= t) follow_use();
        settle_if_quiet();
        order();
    }
    if (announced_ != stream().at && announced_at_ + options_.patience_ms <= t) must_announce_ = true;
    reconsider();
    flush();
}

template <replicated_machine M>
std::uint64_t member<M>::next_due_ms() const noexcept {
    if (role_ == member_role::closed) return ~std::uint64_t{0};
    auto due = calls_.next_due_ms();
    for (auto const t : {frozen_until_, who_due_, claim_due_, apart_due_, join_due_, handing_until_, quiet_due_, left_behind_due_, late_due()})
        if (t != 0) due = std::min(due, t);
    if (fold_.from != 0 && !fold_.branch) due = std::min(due, fold_.due);
    if (upstream_ != 0 && !caught_up_ && !adopting_) due = std::min(due, asked_at_ + options_.patience_ms);
    if (!calls_.empty()) due = std::min(due, resend_at_);
    if (!calls_.empty() && await_until_ > now()) due = std::min(due, await_until_);
    if (is_master() && !used_.empty()) due = std::min(due, use_due_);
    if (announced_ != stream().at) due = std::min(due, announced_at_ + options_.patience_ms);
    return due;
}

template <replicated_machine M>
auto member<M>::find(std::uint32_t node) noexcept -> peer* {
    auto const it = peers_.find(node);
    return it == peers_.end() ? nullptr : &it->second;
}

// The last id that any epoch of our history reserved, or that was announced.
template <replicated_machine M>
std::uint32_t member<M>::ids_known() const {
    auto last = std::max(mutated(mutant::forget_ids_last) ? 0 : stream().ids_last, machine_->next_id() - 1);
    for (auto const& e : stream().past) last = std::max(last, e.ids_last);
    if (!fold_.branch) return last;
    auto const& branch = std::as_const(*fold_.branch);
    last = std::max(last, branch.next_id() - 1);
    for (auto const& e : branch.stream().history()) last = std::max(last, e.ids_last);
    return last;
}

// The store takes its time, and meanwhile there is a master. Should the claim land, it is one that nobody took up: the next
// one goes on top of it.
template <replicated_machine M>
void member<M>::give_up_claim_for_master() {
    role_ = member_role::joining;
    choose_upstream();
    if (upstream_ == 0) role_ = member_role::claiming;
    else drop_inbox();
}

template <replicated_machine M>
void member<M>::add_claim_step(store_claim& c, M& theirs, format::stream_step step) {
    theirs.apply_step(record_of(step), nullptr);
    c.steps.push_back(std::move(step));
}

// Under a mutant: as though a create() that failed had done nothing.
template <replicated_machine M>
void member<M>::refuse_unstored() {
    std::vector<dot> gone;
    for (auto const& c : calls_.all())
        if (c.outcome && !c.given_up && c.stored && !has_reached(c.outcome->at, true)) gone.push_back(c.id);
    for (auto const& id : gone) {
        io_->finish(id, errc::busy);
        calls_.erase(id);
    }
}

}  // namespace mailfs::detail
