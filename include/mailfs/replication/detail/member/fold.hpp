// SPDX-License-Identifier: BSL-1.0
// A part of member.hpp: how a branch is found, fetched and folded.
#pragma once

#include <mailfs/replication/detail/member.hpp>

namespace mailfs::detail {

template <replicated_machine M>
void member<M>::fold_branches() {
    apart_due_ = 0;
    if (fold_.from != 0 || is_frozen() || disk_fails_ || mutated(mutant::branches_never_folded)) return;
    if (!inbox_.empty()) return;  // what waits for the disk may be a fold
    for (auto& [node, p] : peers_) {
        if (!is_branch(p) || (p.told->at == unfoldable_ && now() < unfoldable_until_)) continue;
        bool const is_theirs_to_give = p.told->hops == 0 || p.told->hops == 255;
        if (!is_theirs_to_give && p.apart_since + options_.patience_ms > now()) {
            apart_due_ = p.apart_since + options_.patience_ms;
            continue;
        }
        fold_.from = node;
        fold_.due = now() + options_.freeze_ms;
        announce_to(node);  // so that it knows why
        io_->send(node, format::peer_want_branch{0});
        return;
    }
}

template <replicated_machine M>
bool member<M>::is_branch(peer const& p) const {
    if (compare(p) != standing::apart) return false;
    bool const lower = p.told->at.epoch < stream().at.epoch;
    return mutated(mutant::trunk_is_lower_epoch) ? !lower : lower;
}

// A branch that our master does not reach, and we do: we become the master.
template <replicated_machine M>
void member<M>::take_over_for_branch() {
    apart_due_ = 0;
    auto const* const up = find(upstream_);
    for (auto const& [node, p] : peers_) {
        if (!is_branch(p) || up == nullptr || !up->told) continue;
        if (((up->told->reaches >> p.slot) & 1) != 0 && up->told->hops == 0) continue;
        auto const due = p.apart_since + 2 * options_.patience_ms + rank() * options_.rank_ms;
        if (due > now()) {
            apart_due_ = due;
            continue;
        }
        return ask_for_mastership(*up);
    }
    asking_until_ = 0;
}

// A master that is near hands over without a gap in ids; one that does not answer is passed.
template <replicated_machine M>
void member<M>::ask_for_mastership(peer const& up) {
    if (asking_until_ == 0 && up.told->hops == 0) {
        asking_until_ = now() + options_.patience_ms;
        io_->send(upstream_, format::peer_handover{stream().at});
    }
    if (asking_until_ > now()) {
        apart_due_ = asking_until_;
        return;
    }
    asking_until_ = 0;
    leave_upstream();
    claim();
}

template <replicated_machine M>
void member<M>::on(std::uint32_t node, peer& p, format::peer_want_branch const& m) {
    if (!has_state_ || adopting_ || barrier_ || is_claiming_at_store()) return;
    if (m.offset == 0) {
        if (compare(p) != standing::apart || p.told->at.epoch < stream().at.epoch) return announce_to(node);  // it has not heard yet
        freeze();
    }
    serve_piece(node, p, m.offset, true);
}

// Nothing is ordered, applied or acknowledged until the fold is here, or does not come.
template <replicated_machine M>
void member<M>::freeze() {
    hit(reached::ousted);
    frozen_until_ = now() + options_.freeze_ms;
    claim_due_ = who_due_ = 0;
    if (is_master()) return;
    leave_upstream();
    role_ = member_role::ousted;
}

template <replicated_machine M>
void member<M>::thaw() {
    frozen_until_ = 0;
    if (!is_master()) role_ = member_role::joining;
    must_announce_ = true;
    go_on();
}

// Too much to hold: its node goes on by itself, and it is tried again in a while.
template <replicated_machine M>
void member<M>::leave_branch(std::uint32_t node, position at) {
    if (node != fold_.from || fold_.branch) return;
    unfoldable_ = at;
    unfoldable_until_ = now() + unfoldable_ms;
    fold_ = {};
}

template <replicated_machine M>
void member<M>::take_branch(std::uint32_t node, format::peer_snapshot const& m) {
    if (node != fold_.from || !is_master() || fold_.branch) return;
    fold_.due = now() + options_.freeze_ms;
    if (!take_piece(fold_.in, m)) {
        io_->send(node, format::peer_want_branch{fold_.in.bytes.size()});
        return;
    }
    auto held = std::make_shared<aligned_bytes>(bytes_view(fold_.in.bytes));
    auto branch = std::make_shared<M>();
    try {
        branch->load(held->span(), name_ + " of node " + std::to_string(node));
        if constexpr (requires { branch->verify(); }) branch->verify();
    } catch (error const&) {
        fold_ = {};
        return;
    }
    auto const& theirs = std::as_const(*branch).stream();
    bool const foreign = branch->object() != machine_->object();
    if (foreign || theirs.at.epoch >= stream().at.epoch || covers(stream().history(), theirs.history())) {
        fold_ = {};
        must_announce_ = true;
        return;
    }
    fold_.in = {};
    fold_.held = std::move(held);
    fold_.branch = std::move(branch);
    heard_ = std::max(heard_, std::as_const(*fold_.branch).stream().at.epoch);
    open_epoch_for_fold();
}

template <replicated_machine M>
void member<M>::open_epoch_for_fold() {
    if (!fold_.branch || fold_.is_next || !is_master() || is_frozen() || !inbox_.empty() || !io_->store_works()) return;
    if (covers(stream().history(), std::as_const(*fold_.branch).stream().history())) {
        fold_ = {};
        return;
    }
    fold_.is_next = true;
    open_epoch();
}

template <replicated_machine M>
void member<M>::fold_now() {
    hit(reached::fold);
    folded_ = std::as_const(*fold_.branch).stream().at;
    format::stream_step step;
    step.kind = format::record_kind::fold;
    step.at = {stream().at.epoch, stream().at.n + 1};
    step.when = stream().latest.next(io_->wall_ms());
    step.payload = machine_->fold(*fold_.branch);
    step.payload.resize((step.payload.size() + 7) / 8 * 8);
    fold_ = {};
    inbox_.push_back(std::move(step));
    must_announce_ = true;
    drain();
}

}  // namespace mailfs::detail
