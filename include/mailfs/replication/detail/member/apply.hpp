// SPDX-License-Identifier: BSL-1.0
// A part of member.hpp: how steps are applied: the first may have to be on the disk before.
#pragma once

#include <mailfs/replication/detail/member.hpp>

namespace mailfs::detail {

template <replicated_machine M>
void member<M>::written(position at) {
    if (role_ == member_role::closed || adopting_) return;
    disk_ = std::max(disk_, at);
    if (barrier_ && *barrier_ <= disk_ && !inbox_.empty()) {
        barrier_.reset();
        auto const step = std::move(inbox_.front());
        inbox_.pop_front();
        apply(step, false);
        after_barrier(step);
        drain();
        reconsider();
    }
    go_on();
    flush();
}

template <replicated_machine M>
bool member<M>::must_last_first(format::stream_step const& s) noexcept {
    if (s.kind == format::record_kind::epoch) return !mutated(mutant::epoch_shown_before_disk);
    if (s.kind == format::record_kind::ids && mutated(mutant::ids_passed_before_stored)) return false;
    return s.kind == format::record_kind::ids || s.kind == format::record_kind::fold;
}

template <replicated_machine M>
void member<M>::drain() {
    while (!inbox_.empty() && !barrier_) {
        if (must_last_first(inbox_.front()) && !(rules_.shared && !is_master())) {  // its master has put it into the store
            barrier_ = inbox_.front().at;
            io_->write(inbox_.front(), true);
            return;
        }
        auto const step = std::move(inbox_.front());
        inbox_.pop_front();
        apply(step, true);
        after_barrier(step);
    }
}

template <replicated_machine M>
void member<M>::apply(format::stream_step const& step, bool write) {
    auto const before = stream().at;
    auto const chain = stream().chain;
    auto const record = record_of(step);
    auto* const mine = step.kind == format::record_kind::transaction && step.dot.origin == origin_ ? calls_.find(step.dot) : nullptr;
    outcome_type outcome{};
    machine_->apply_step(record, mine != nullptr ? &outcome : nullptr);
    if (stream().at != step.at) throw error(errc::corrupt, name_, "a step did not come to its place");
    if (mine != nullptr) {
        outcome.at = stream().at;
        mine->outcome = std::move(outcome);
    }
    if (step.kind == format::record_kind::epoch) begin_progress();
    if (step.kind == format::record_kind::fold && !mutated(mutant::own_calls_not_found_in_fold)) find_own_in_state();  // a lost master may have ordered some
    heard_ = std::max(heard_, stream().at.epoch);
    if (batch_.empty()) batch_before_ = before, batch_chain_ = chain;
    batch_.push_back(step);
    ring_.push(before, chain, step);
    if (write) io_->write(step, stored_);
    io_->moved();
}

template <replicated_machine M>
void member<M>::begin_progress() {
    if (mutated(mutant::progress_not_begun_anew)) return below_.go_on(stream().at.epoch), told_.go_on(stream().at.epoch);
    below_.begin(stream().at.epoch);
    told_.begin(stream().at.epoch);
    await_followers();
    for (auto& [node, p] : peers_)
        if (p.told && p.told->at.epoch < stream().at.epoch && !p.follows) p.apart_since = 0;
}

// What the caller cannot be told by replay, since the state, or what a fold brought into it, came as a whole.
template <replicated_machine M>
void member<M>::find_own_in_state() {
    for (auto& c : calls_.all()) {
        auto const verdict = c.outcome ? admission::fresh : stream().would_admit(c.id);
        if (verdict == admission::fresh) continue;
        if (verdict == admission::repeat) c.outcome = machine_->recall(c.id, c.operations);
        if (!c.outcome) {
            if (!c.given_up) io_->finish(c.id, errc::may_have_happened);
            c.given_up = true;
            c.outcome.emplace();
        }
        c.outcome->at = stream().at;
    }
}

template <replicated_machine M>
void member<M>::go_on() {
    if (is_master()) {
        raise_for_followers();
        order();
    } else if (upstream_ != 0 && inbox_.empty() && !barrier_ && (is_at_upstreams_end_ || mutated(mutant::caught_up_too_early))) {
        if (!caught_up_) joined();
    }
    serve_if_possible();
}

template <replicated_machine M>
std::uint32_t member<M>::wanted_ids() const {
    auto wanted = mutated(mutant::restart_floor_not_told) ? machine_->next_id() : ids_shown();
    for (auto const& [node, p] : peers_)
        if (p.follows && p.told) wanted = std::max(wanted, p.told->id_next);
    return wanted;
}

// Those whom we follow are to hear of greater ids that were shown.
template <replicated_machine M>
bool member<M>::has_news_of_ids() const {
    if (!has_state_ || adopting_ || is_master()) return false;
    auto const wanted = wanted_ids();
    return wanted > machine_->next_id() && wanted > announced_ids_;
}

// A member that was restarted may have shown greater ids than we know of: the next epoch leaves them behind.
template <replicated_machine M>
void member<M>::raise_for_followers() {
    if (is_frozen() || !inbox_.empty() || !io_->store_works() || !has_ids()) return;
    auto const wanted = wanted_ids();
    if (wanted > machine_->next_id() && !disk_fails_) {
        floor_ = wanted;
        open_epoch();
    }
}

}  // namespace mailfs::detail
