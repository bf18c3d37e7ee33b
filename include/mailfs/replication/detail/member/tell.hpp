// SPDX-License-Identifier: BSL-1.0
// A part of member.hpp: what goes out: pushes, progress, answers, announcements.
#pragma once

#include <mailfs/replication/detail/member.hpp>

namespace mailfs::detail {

template <replicated_machine M>
void member<M>::on(std::uint32_t node, peer& p, format::peer_progress const& m) {
    if (m.epoch != stream().at.epoch) return;
    if (m.down) {
        if (node != upstream_) return;
        told_.replace(m, node);
        progress_is_news_ = progress_is_news_ || below_.has_more_nodes(told_);  // it lost sight of one that moved, and hears of it again
        relay_progress_ = true;
        if (rules_.shared) io_->note_stored({m.epoch, told_.on_disk_max()});
    } else if (p.follows) {
        auto const before = below_.nodes().size();
        progress_is_news_ = below_.replace_behind(node, m, options_.self.node) || progress_is_news_;
        if (below_.nodes().size() < before) await_followers();
        hand_over_for_disk();
    }
}

template <replicated_machine M>
void member<M>::flush() {
    if (role_ == member_role::closed) return;
    open_epoch_for_fold();
    flush_batch();
    flush_progress();
    check_calls();
    if (has_news_of_ids()) must_announce_ = true;
    if (must_announce_) announce();
}

template <replicated_machine M>
void member<M>::flush_batch() {
    if (batch_.empty()) return;
    auto const steps = std::exchange(batch_, {});
    bool const stored = std::exchange(stored_, false);
    for_each_push(batch_before_, batch_chain_, stored, steps, [&](format::peer_push const& out) {
        for (auto const& [node, p] : peers_)
            if (p.up && p.follows) io_->send(node, out);
    });
}

// What does not fit into a frame is left out: who misses it asks for a snapshot.
template <replicated_machine M>
template <class F>
void member<M>::for_each_push(position before, std::uint64_t chain, bool stored, std::vector<format::stream_step> const& steps, F const& f) {
    for (std::size_t first = 0; first < steps.size();) {
        format::peer_push out{before, chain, stored, {}};
        for (std::size_t size = 0; first < steps.size() && fits(steps[first], size); ++first) {
            size += 64 + steps[first].payload.size();
            chain = stream_state::chain_after(chain, record_of(steps[first]));
            before = steps[first].at;
            if (steps[first].payload.size() <= step_size_max) out.steps.push_back(steps[first]);
        }
        f(out);
    }
}

template <replicated_machine M>
void member<M>::flush_progress() {
    if (!has_state_ || adopting_) return;
    bool const writes = is_master() || !rules_.shared;
    bool const counts = writes && (disk_.epoch == stream().at.epoch || mutated(mutant::acknowledge_by_received));
    auto const disk = !counts ? 0 : mutated(mutant::acknowledge_by_received) ? stream().at.n : disk_.n;
    bool const news = below_.note(options_.self.node, stream().at.n, disk, options_.self.node) || std::exchange(progress_is_news_, false);
    told_.note(options_.self.node, stream().at.n, disk, options_.self.node);
    if (is_master()) judge_lag();
    if (is_master() && (news || std::exchange(progress_is_news_, false))) tell_progress(below_, true);
    else if (!is_master() && news && upstream_ != 0 && caught_up_) io_->send(upstream_, progress_of(below_, false));
    else if (!is_master() && news) progress_is_news_ = true;
    if (!is_master() && std::exchange(relay_progress_, false)) tell_progress(told_, true);
}

// Who is out of the ring for long is not waited for.
template <replicated_machine M>
void member<M>::judge_lag() {
    for (auto n = below_.judge(ring_.floor(stream().at.epoch), now(), options_.patience_ms); n > 0; --n) {
        hit(reached::lagging);
        progress_is_news_ = true;
    }
}

template <replicated_machine M>
void member<M>::tell_progress(progress_table const& t, bool down) {
    auto const out = progress_of(t, down);
    for (auto const& [node, p] : peers_)
        if (p.up && p.follows) io_->send(node, out);
}

template <replicated_machine M>
format::peer_progress member<M>::progress_of(progress_table const& t, bool down) {
    format::peer_progress out{t.epoch(), down, {}};
    for (auto const& [node, e] : t.nodes())
        if (!down || !e.lags) out.nodes.push_back({node, e.in_memory, e.on_disk});
    return out;
}

template <replicated_machine M>
void member<M>::check_calls() {
    if (calls_.empty() || !serves_ || adopting_ || is_frozen()) return;
    if (!is_master() && !caught_up_) return;
    std::vector<dot> done;
    for (auto const& c : calls_.all())
        if (c.outcome && (c.given_up || has_reached(c.outcome->at, c.stored))) done.push_back(c.id);
    for (auto const& id : done) {
        auto* const c = calls_.find(id);
        if (!c->given_up) {
            tell_level(*c);
            io_->finish(id, errc{});
        }
        calls_.erase(id);
    }
}

template <replicated_machine M>
bool member<M>::has_reached(position at, bool stored) const noexcept {
    auto const& t = is_master() ? below_ : told_;
    if (mutated(mutant::acknowledge_before_push)) return true;
    if (rules_.shared) {
        auto const live = t.count();
        bool const in_memory = !stored && !rules_.strict && live >= options_.copies_in_memory;
        if (in_memory) return t.holders(at, false) >= options_.copies_in_memory;
        return t.holders(at, true) >= 1 || mutated(mutant::acknowledge_before_sync);
    }
    if (!is_master() && !has_masters_table()) return false;
    auto const live = t.count() + awaited(t);
    if (stored && !mutated(mutant::acknowledge_before_sync)) {
        auto const wanted = std::min(options_.copies_on_disk, live) - (mutated(mutant::acknowledge_one_too_few) ? 1 : 0);
        return t.holders(at, true) >= (mutated(mutant::sync_of_one_counts_for_all) ? 1 : std::max<std::size_t>(1, wanted));
    }
    if (live >= options_.copies_in_memory) return t.holders(at, false) >= options_.copies_in_memory || mutated(mutant::lagging_counted);
    return t.holders(at, true) >= live;  // too few to be safe in memory: on all disks there are
}

// Its master has told who else is there. What stands there without that is this node alone, which may be the one that opened the epoch.
template <replicated_machine M>
bool member<M>::has_masters_table() const noexcept {
    return told_.has_heard_of(stream().owner.node) && (stream().owner.node != options_.self.node || told_.nodes().size() > 1);
}

// Who is not in the table, and up, counts for a while: it will follow, again perhaps, in a moment.
template <replicated_machine M>
void member<M>::await_followers() {
    await_until_ = now() + options_.patience_ms;
}

// An epoch begins with its master alone in the table.
template <replicated_machine M>
std::size_t member<M>::awaited(progress_table const& t) const noexcept {
    if (await_until_ <= now()) return 0;
    return static_cast<std::size_t>(std::count_if(peers_.begin(), peers_.end(), [&](auto const& n) {
        auto const& p = n.second;
        return p.up && p.told && p.told->object == machine_->object() && !t.has_heard_of(n.first);
    }));
}

// No more are up than there are: the caller hears how many hold it.
template <replicated_machine M>
void member<M>::tell_level(call& c) const {
    auto const& t = is_master() ? below_ : told_;
    auto& held = c.outcome->held;
    held.in_memory = static_cast<std::uint32_t>(t.holders(c.outcome->at, false));
    held.on_disk = static_cast<std::uint32_t>(t.holders(c.outcome->at, true));
    if (c.stored ? held.on_disk < options_.copies_on_disk : held.in_memory < options_.copies_in_memory) hit(reached::level_raised);
}

template <replicated_machine M>
void member<M>::give_up(call& c) {
    c.given_up = true;
    c.operations.clear();
    if (c.outcome || mutated(mutant::given_up_leaves_gap)) calls_.erase(c.id);
}

template <replicated_machine M>
void member<M>::announce() {
    must_announce_ = false;
    announced_ = stream().at;
    announced_at_ = now();
    for (auto const& [node, p] : peers_)
        if (p.up) announce_to(node);
}

template <replicated_machine M>
void member<M>::announce_to(std::uint32_t node) {
    flush_batch();  // so that it is no older than what was pushed
    format::peer_open out;
    out.name = name_;
    if (has_state_ && !adopting_) {
        out.object = machine_->object();
        out.at = stream().at;
        out.chain = stream().chain;
        out.lineage = stream().history();
        out.id_next = announced_ids_ = wanted_ids();
        out.owner = stream().owner;
    }
    out.role = static_cast<std::uint8_t>(role_);
    out.hops = is_master() ? 0 : hops_;
    out.upstream = upstream_;
    for (auto const& [other, p] : peers_)
        if (p.up) out.reaches = static_cast<std::uint16_t>(out.reaches | 1U << p.slot);
    out.epoch_heard = heard_;
    io_->send(node, out);
}

}  // namespace mailfs::detail
