// SPDX-License-Identifier: BSL-1.0
// A part of member.hpp: how a member gets what it lacks: by push, from the ring, from the log, as a snapshot.
#pragma once

#include <mailfs/replication/detail/member.hpp>

namespace mailfs::detail {

template <replicated_machine M>
void member<M>::steps_read(std::uint32_t node, position from, std::uint64_t chain, found_steps found) {
    auto const p = find(node);
    if (role_ == member_role::closed || p == nullptr || !p->up || !std::exchange(p->is_read_for, false)) return;
    if (found.other_chain && contains(stream().history(), from)) tell_clash(node, from, *found.other_chain);
    else push_from_log(node, *p, from, chain, std::move(found.steps));
    if (is_master()) go_on();  // it may want greater ids than there are
    flush();
}

template <replicated_machine M>
void member<M>::adopted(bool good) {
    if (role_ == member_role::closed) return;
    adopting_ = false;
    transfer_ = {};
    if (good) {
        hit(reached::caught_up_by_snapshot);
        if (role_ == member_role::ousted || is_frozen()) hit(reached::branch_handed_in);
        if (!has_state_) hit(reached::open_from_peer);
        has_state_ = true;
        frozen_until_ = 0;
        ring_.clear();
        batch_.clear();
        disk_ = stream().at;
        heard_ = std::max(heard_, stream().at.epoch);
        begin_progress();
        find_own_in_state();
        io_->moved();
    }
    must_announce_ = true;  // while it was under way we told of no state
    role_ = member_role::joining;
    if (good && upstream_ != 0) ask_upstream(false);
    else asked_at_ = now();  // and again after a while
    reconsider();
    flush();
}

template <replicated_machine M>
bool member<M>::may_adopt(M const& theirs) const {
    if (!has_state_) return true;
    if (theirs.next_id() < ids_shown() && !mutated(mutant::fast_forward_unshown_ids_lost)) return false;
    return theirs.object() == machine_->object() && theirs.stream().at >= stream().at && has_all_of_ours(theirs.stream().history());
}

template <replicated_machine M>
void member<M>::on(std::uint32_t node, peer& p, format::peer_catch_up const& m) {
    if (!has_state_ || adopting_) return;
    serve_catch_up(node, p, m);
    if (is_master()) go_on();  // it may want greater ids than there are
}

template <replicated_machine M>
void member<M>::serve_catch_up(std::uint32_t node, peer& p, format::peer_catch_up const& m) {
    if (m.snapshot) return serve_piece(node, p, m.offset, false);
    if (m.from == stream().at && m.chain == stream().chain) {
        p.follows = true;
        io_->send(node, format::peer_push{m.from, m.chain, false, {}});
        return;
    }
    if (auto const other = chain_at(m.from); other && other != m.chain) return tell_clash(node, m.from, *other);
    flush_batch();  // what is in the ring goes to it once
    if (auto const first = ring_.find(m.from, m.chain)) {
        hit(reached::caught_up_by_ring);
        p.follows = true;
        push_ring(node, *first + (mutated(mutant::catch_up_skips_first) ? 1 : 0));
    } else if (!rules_.shared && contains(stream().history(), m.from)) {
        hit(reached::lagging);
        if (std::exchange(p.is_read_for, true)) return;
        p.follows = false;
        io_->read_steps(node, m.from, m.chain, size_of_state());
    } else if (covers(stream().history(), p.told ? p.told->lineage : lineage{})) {
        p.follows = true;
        serve_piece(node, p, 0, false);
    } else {
        p.follows = m.from.epoch == stream().at.epoch;  // it is ahead of us, and we both follow one master
        announce_to(node);
    }
}

// As far as it is known without a look into the log.
template <replicated_machine M>
std::optional<std::uint64_t> member<M>::chain_at(position p) const {
    if (rules_.shared) return std::nullopt;  // the store knows which of the two is
    return p == stream().at ? std::optional(stream().chain) : ring_.chain_at(p);
}

// A push of nothing, from where it stands: it sees then that it does not stand there. A snapshot would take the place of what it has.
template <replicated_machine M>
void member<M>::tell_clash(std::uint32_t node, position at, std::uint64_t chain) {
    io_->send(node, format::peer_push{at, chain, false, {}});
}

template <replicated_machine M>
void member<M>::found_clash(std::uint32_t node, position at) const {
    throw error(errc::histories_differ, name_,
                "node " + std::to_string(node) + " has other changes at position " + std::to_string(at.epoch) + "." + std::to_string(at.n) +
                    ", as happens when a disk comes from an older copy and replication_options::disk does not say so. Both nodes keep what they have. "
                    "Move this directory of one of them away, and it gets what the other has");
}

// Behind them comes what the ring has, or what was applied meanwhile and is in the log, too.
template <replicated_machine M>
void member<M>::push_from_log(std::uint32_t node, peer& p, position from, std::uint64_t chain, std::vector<format::stream_step> steps) {
    std::erase_if(steps, [&](format::stream_step const& s) { return s.at > stream().at; });
    if (!has_state_ || adopting_) return;
    if (steps.empty() || !contains(stream().history(), from)) {
        p.follows = true;
        return serve_piece(node, p, 0, false);
    }
    flush_batch();
    hit(reached::caught_up_by_log);
    auto const last = steps.back().at;
    for_each_push(from, chain, false, steps, [&](format::peer_push const& out) { io_->send(node, out); });
    for (auto const& s : steps) chain = stream_state::chain_after(chain, record_of(s));
    auto const next = ring_.find(last, chain);
    p.follows = last == stream().at || next;
    if (next) push_ring(node, *next);
    else if (!p.follows && (p.is_read_for = true)) io_->read_steps(node, last, chain, size_of_state());
}

template <replicated_machine M>
void member<M>::push_ring(std::uint32_t node, std::size_t first) {
    while (first < ring_.count()) {
        format::peer_push out{ring_[first].before, ring_[first].chain, false, {}};
        for (std::size_t size = 0; first < ring_.count() && fits(ring_[first].step, size); ++first) {
            if (ring_[first].step.payload.size() > step_size_max) return;
            size += 64 + ring_[first].step.payload.size();
            out.steps.push_back(ring_[first].step);
        }
        io_->send(node, out);
    }
}

template <replicated_machine M>
void member<M>::serve_piece(std::uint32_t node, peer& p, std::uint64_t offset, bool branch) {
    if (offset == 0) {
        p.serving = machine_->dump();
        p.serving_at = stream().at;
    }
    if (offset >= p.serving.size()) return;
    auto const from = bytes_view(p.serving).subspan(static_cast<std::size_t>(offset));
    auto const piece = from.first(std::min(piece_size, from.size()));
    format::peer_snapshot out{branch, p.serving_at, offset, p.serving.size(), {piece.begin(), piece.end()}};
    if (piece.size() == from.size()) p.serving = {};
    io_->send(node, out);
}

template <replicated_machine M>
void member<M>::on(std::uint32_t node, peer& p, format::peer_snapshot const& m) {
    if (m.size > options_.state_size_max) return m.branch ? leave_branch(node, m.at) : void();
    if (m.branch) return take_branch(node, m);
    if (node != upstream_ || adopting_ || caught_up_) return;
    asked_at_ = now();
    if (!take_piece(transfer_, m)) {
        if (transfer_.bytes.empty()) return;
        io_->send(node, format::peer_catch_up{stream().at, stream().chain, true, transfer_.bytes.size()});
        return;
    }
    if (barrier_) return;  // our own log is busy: it will be asked for again
    hit(p.told && compare(p) == standing::ahead ? reached::fast_forward : reached::caught_up_by_snapshot);
    adopting_ = true;
    inbox_.clear();
    io_->adopt(std::move(transfer_.bytes));
}

// True: it was the last piece. A piece of another snapshot, or not the next one, begins anew or is nothing.
template <replicated_machine M>
bool member<M>::take_piece(transfer& t, format::peer_snapshot const& m) {
    if (m.offset == 0) t = {m.at, {}};
    if (m.at != t.at || m.offset != t.bytes.size() || m.bytes.empty()) return false;
    t.bytes.insert(t.bytes.end(), m.bytes.begin(), m.bytes.end());
    return t.bytes.size() >= m.size;
}

template <replicated_machine M>
void member<M>::on(std::uint32_t node, peer&, format::peer_push const& m) {
    if (node != upstream_ || adopting_) {
        if (m.before.epoch < stream().at.epoch) {
            hit(reached::push_of_older_epoch);
            announce_to(node);
        }
        return;
    }
    auto at = inbox_.empty() ? stream().at : inbox_.back().at;
    auto chain = stream().chain;
    for (auto const& s : inbox_) chain = stream_state::chain_after(chain, record_of(s));
    auto place = m.before;
    auto place_chain = m.chain;
    std::size_t first = 0;
    while (first < m.steps.size() && place != at && contains_waiting(place)) {
        place_chain = stream_state::chain_after(place_chain, record_of(m.steps[first]));
        place = m.steps[first++].at;
        hit(reached::push_repeated);
    }
    if (place != at) {
        if (place < at && contains_waiting(place)) return;  // all of it is here
        hit(reached::push_gap);
        is_at_upstreams_end_ = false;
        if (inbox_.empty()) ask_again();
        return;
    }
    if (place_chain != chain) {
        hit(reached::push_clash);
        if (!rules_.shared) found_clash(node, at);
        caught_up_ = false;
        ask_upstream(true);
        return;
    }
    stored_ = stored_ || m.stored;
    for (; first < m.steps.size() && inbox_.size() < inbox_max; ++first) {
        if (!is_next(at, m.steps[first])) break;
        at = m.steps[first].at;
        inbox_.push_back(m.steps[first]);
    }
    is_at_upstreams_end_ = first == m.steps.size();
    if (!m.steps.empty()) hit(reached::push_applied);
    drain();
    go_on();
}

// Whom we follow has more than it pushed to us for a while: it does not know that we follow.
template <replicated_machine M>
void member<M>::ask_again_if_left_behind() {
    left_behind_due_ = 0;
    auto const* const up = upstream_ == 0 ? nullptr : find(upstream_);
    if (up == nullptr || !caught_up_ || !up->told || up->told->at <= stream().at || !inbox_.empty()) return;
    if (stuck_at_ != stream().at || stuck_since_ == 0) {
        stuck_at_ = stream().at;
        stuck_since_ = now();
    }
    left_behind_due_ = stuck_since_ + options_.patience_ms;
    if (left_behind_due_ > now()) return;
    stuck_since_ = left_behind_due_ = 0;
    ask_again();
}

template <replicated_machine M>
void member<M>::ask_again() {
    caught_up_ = false;
    ask_upstream(!has_state_);
}

template <replicated_machine M>
bool member<M>::contains_waiting(position p) const {
    if (contains(stream().history(), p)) return true;
    return std::any_of(inbox_.begin(), inbox_.end(), [&](format::stream_step const& s) { return s.at == p; });
}

template <replicated_machine M>
bool member<M>::is_next(position at, format::stream_step const& s) noexcept {
    if (s.payload.size() % 8 != 0) return false;
    if (s.kind == format::record_kind::epoch) return s.at.n == 0 && s.at.epoch > at.epoch;
    return s.at == position{at.epoch, at.n + 1};
}

}  // namespace mailfs::detail
