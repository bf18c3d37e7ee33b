// SPDX-License-Identifier: BSL-1.0
// A part of member.hpp: how a transaction comes to its place in the stream.
#pragma once

#include <mailfs/replication/detail/member.hpp>

namespace mailfs::detail {

template <replicated_machine M>
dot member<M>::propose(std::vector<std::byte> operations, bool stored) {
    operations.resize((operations.size() + 7) / 8 * 8);
    call c;
    c.id = {origin_, ++counter_};
    c.when = last_stamp_ = std::max(stream().latest, last_stamp_).next(io_->wall_ms());
    c.operations = std::move(operations);
    c.stored = stored;
    c.due_ms = now() + options_.call_ms;
    auto& added = calls_.add(std::move(c));
    send_call(added);
    auto const id = added.id;
    flush();
    return id;
}

template <replicated_machine M>
void member<M>::forget(dot const& id) {
    if (auto* const c = calls_.find(id)) give_up(*c);
}

template <replicated_machine M>
void member<M>::send_call(call& c) {
    if (is_master()) {
        ++c.sent;
        wait_for_place({c.id, c.when, c.stored, c.operations});
    } else if (upstream_ != 0 && caught_up_) {
        io_->send(upstream_, format::peer_propose{c.id, c.when, c.stored, c.operations});
        c.was_sent = true;
        ++c.sent, ++c.sent_away;
    }
}

template <replicated_machine M>
void member<M>::send_calls() {
    resend_at_ = now() + options_.patience_ms;
    if (mutated(mutant::pending_not_proposed_again)) return;
    for (auto& c : calls_.all())
        if (!c.outcome) {
            if (c.sent > 0) hit(reached::proposed_again);
            send_call(c);
        }
}

template <replicated_machine M>
void member<M>::wait_for_place(waiting_proposal w) {
    if (waiting_ + w.operations.size() > options_.waiting_max) return;  // it will be proposed again
    waiting_ += w.operations.size() + sizeof w;
    to_order_.push_back(std::move(w));
    order();
}

template <replicated_machine M>
void member<M>::drop_proposals(dot const& id) {
    std::erase_if(to_order_, [&](waiting_proposal const& w) {
        if (w.id == id) waiting_ -= w.operations.size() + sizeof w;
        return w.id == id;
    });
}

template <replicated_machine M>
void member<M>::order() {
    while (is_master() && !is_frozen() && handing_until_ == 0 && inbox_.empty() && !to_order_.empty()) {
        auto& next = to_order_.front();
        auto const size = next.operations.size() + sizeof next;  // place() takes them
        if (!is_next_of_origin(next.id)) {
            hit(reached::repeated);
        } else if (disk_fails_ && unflushed_ + size > options_.unflushed_max && M::wants_room(next.operations)) {
            refuse(dot(next.id));
            continue;
        } else if (auto const ids = M::ids_wanted(next.operations); ids > machine_->ids_left() && ids <= uid_block_size && !mutated(mutant::ids_beyond_reservation)) {
            if (disk_fails_) return;
            if (io_->store_works()) return reserve_ids();
            hit(reached::no_ids_without_store);  // it will be proposed again, until its caller has waited long enough
        } else if (rules_.strict && !io_->store_works()) {
            hit(reached::strict_refusal);
            return;
        } else if (!io_->has_room(size) && M::wants_room(next.operations)) {
            hit(reached::no_room_without_store);
            if (!place_what_takes_away()) return;
            continue;
        } else {
            place(next);
        }
        waiting_ -= size;
        to_order_.pop_front();
    }
}

// From behind those that wait for room. What one origin proposed keeps its order.
template <replicated_machine M>
bool member<M>::place_what_takes_away() {
    auto const it = std::find_if(to_order_.begin(), to_order_.end(), [&](waiting_proposal const& w) {
        return !M::wants_room(w.operations) && is_next_of_origin(w.id);
    });
    if (it == to_order_.end()) return false;
    hit(reached::passed_for_room);
    waiting_ -= it->operations.size() + sizeof *it;
    auto w = std::move(*it);
    to_order_.erase(it);
    place(w);
    return true;
}

// No room: its caller hears of it, and an empty transaction takes its place in time.
template <replicated_machine M>
void member<M>::refuse(dot const& id) {
    hit(reached::refused_no_room);
    drop_proposals(id);
    if (id.origin == origin_) return refused(id, false);
    auto const via = below_.nodes().find(id.origin.node);
    auto const* const direct = find(id.origin.node);
    if (direct != nullptr && direct->up) io_->send(id.origin.node, format::peer_refuse{id});
    else if (via != below_.nodes().end()) io_->send(via->second.via, format::peer_refuse{id});
}

template <replicated_machine M>
void member<M>::refused(dot const& id, bool by_peer) {
    auto* const c = calls_.find(id);
    if (c == nullptr || c->given_up || c->outcome) return;
    bool const alone = by_peer ? c->sent == 1 : c->sent_away == 0;  // nobody else may order it
    io_->finish(id, alone ? errc::no_space : errc::may_have_happened);
    give_up(*c);
}

template <replicated_machine M>
void member<M>::on(std::uint32_t, peer&, format::peer_refuse const& m) {
    if (m.dot.origin == origin_) return refused(m.dot, true);
    auto const* const p = find(m.dot.origin.node);
    if (p != nullptr && p->up && p->follows) io_->send(m.dot.origin.node, m);
}

// Counters of an origin follow one another: a repeat is passed over, and what has lost its predecessor comes again.
template <replicated_machine M>
bool member<M>::is_next_of_origin(dot const& id) const {
    if (mutated(mutant::skip_dedup)) return true;
    if (stream().would_admit(id) != admission::fresh) return false;
    for (auto const& s : stream().seen)
        if (s.origin == id.origin) return id.counter == s.counter + 1;
    return id.counter == 1;
}

template <replicated_machine M>
void member<M>::reserve_ids() {
    format::stream_step step;
    step.kind = format::record_kind::ids;
    step.at = {stream().at.epoch, stream().at.n + 1};
    step.when = stream().latest.next(io_->wall_ms());
    step.payload = format::encode_ids(next_block(0));
    inbox_.push_back(std::move(step));
    drain();
}

template <replicated_machine M>
void member<M>::place(waiting_proposal& w) {
    hit(reached::ordered);
    ++used_[w.id.origin.node];
    format::stream_step step;
    step.at = {stream().at.epoch, stream().at.n + 1};
    step.dot = w.id;
    auto const latest = stamp::at(io_->wall_ms() + 5000);
    step.when = mutated(mutant::stamp_not_clamped) ? w.when : std::min(w.when, latest);
    step.payload = std::move(w.operations);
    if (auto* const c = w.id.origin == origin_ ? calls_.find(w.id) : nullptr) c->was_sent = true;
    stored_ = stored_ || w.stored || rules_.strict || below_.count() < options_.copies_in_memory;
    unflushed_ += disk_fails_ ? sizeof w + step.payload.size() : 0;
    apply(step, true);
}

template <replicated_machine M>
void member<M>::on(std::uint32_t, peer&, format::peer_propose const& m) {
    if (m.operations.size() % 8 != 0 || m.operations.size() > step_size_max) return;
    if (is_master()) {
        wait_for_place({m.dot, m.when, m.stored, m.operations});
    } else if (upstream_ != 0 && caught_up_) {
        hit(reached::relayed);
        io_->send(upstream_, m);
    }
}

// When all nodes have all there is on disk, nobody can come with an older change: what was kept to judge it goes.
template <replicated_machine M>
void member<M>::settle_if_quiet() {
    if (!machine_->is_unsettled() || is_frozen() || fold_.from != 0 || !inbox_.empty() || !to_order_.empty()) {
        quiet_due_ = 0;
        return;
    }
    if (quiet_at_ != stream().at || quiet_due_ == 0) {
        quiet_at_ = stream().at;
        quiet_due_ = now() + options_.quiet_ms;
        return;
    }
    if (quiet_due_ > now()) return;
    quiet_due_ = now() + options_.quiet_ms;
    bool const all = std::all_of(peers_.begin(), peers_.end(), [&](auto const& p) { return rules_.shared ? below_.has_in_memory(p.first, stream().at) : below_.has_on_disk(p.first, stream().at); });
    if ((!all && !mutated(mutant::settle_before_all)) || !below_.has_on_disk(options_.self.node, stream().at)) return;
    hit(reached::settled);
    format::stream_step step;
    step.kind = format::record_kind::settle;
    step.at = {stream().at.epoch, stream().at.n + 1};
    step.when = stream().latest.next(io_->wall_ms());
    step.payload = format::encode_settle(stream().at);
    inbox_.push_back(std::move(step));
    drain();
}

}  // namespace mailfs::detail
