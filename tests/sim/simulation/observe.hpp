// SPDX-License-Identifier: BSL-1.0
// A part of simulation.hpp: what is looked at after each event.
#pragma once

#include "../simulation.hpp"

namespace mailfs::sim {

template <class Node>
template <class Condition>
bool simulation<Node>::go_until(sim_time limit, Condition done) {
    return world_.run_until(limit, [&] {
        observe();
        return done();
    });
}

template <class Node>
void simulation<Node>::observe() {
    require(wrong_fold().empty(), "R8", "{}", wrong_fold());
    for (auto& m : machines_) {
        auto& seen = seen_[m->number() - 1];
        if (seen.died != 0) bury(*m);
        if (!m->is_up()) continue;
        check_failure(*m, seen);
        if (m->node()->is_master()) orderers_.insert(m->number());
        bool const shows = m->shows();
        if (shows != seen.shows) change_sight(*m, seen, shows);
        if (shows && m->node()->state().stream().at != seen.at) observe(*m, seen);
        check_position(*m, seen);
    }
}

// Also what it does not show: a disk may tell of another step at a place that everybody knows (R2). But for what a process is about
// to read: a power cut may still take it, and nobody has heard of it.
template <class Node>
void simulation<Node>::check_position(machine<Node>& m, seen_node& seen) {
    auto const& state = m.node()->state();
    if (state.object() == guid{} || !m.node()->may_tell() || state.stream().at == std::exchange(seen.held, state.stream().at)) return;
    positions_.check(m.number(), state);
}

template <class Node>
void simulation<Node>::observe(machine<Node>& m, seen_node& seen) {
    auto const& state = m.node()->state();
    if (seen.at.epoch != state.stream().at.epoch) calm_since_ = world_.now();
    seen.at = state.stream().at;
    check_stamp(state.stream());
    auto const beyond = m.node()->overload();
    require(beyond.empty(), "R12", "node {}: {} is beyond its bound", m.number(), beyond);
    owners_.check(seen.at.epoch, state.stream().owner);
    seen.numbers.check(m.number(), state);
    auto const changes = seen.watcher->refresh();
    seen.messages.check(m.number(), *seen.watcher, changes, names_);
    seen.session->look();
    if (observer_ != nullptr) observer_->state(world_.now(), m.number(), true, m.node()->is_master(), seen.at);
}

template <class Node>
void simulation<Node>::change_sight(machine<Node>& m, seen_node& seen, bool shows) {
    seen.shows = shows;
    seen.at = {};
    calm_since_ = world_.now();
    if (!shows) {
        seen.watcher.reset();
        seen.session.reset();
        send_away(m.number());
        return;
    }
    auto& node = *m.node();
    ledger_.came_back(m.number(), node.state());
    seen.disk = disk_history::whole;
    seen.watcher.emplace(node.make_view());
    seen.messages.begin(m.number(), *seen.watcher, names_);
    seen.session.emplace(m.number(), client_kind::plain, false);
    seen.session->connect(m.number(), node.make_view());
}

template <class Node>
void simulation<Node>::note_clocks() {
    for (auto& m : machines_) clocks_ms_[m->number()] = std::max(clocks_ms_[m->number()], m->clock().now_ms());
}

// A mad clock wins for as long as the clamp, not longer: no stamp is far above the clocks of all that ever ordered anything (R13).
template <class Node>
void simulation<Node>::check_stamp(stream_state const& s) {
    orderers_.insert(s.owner.node);
    if (s.latest <= latest_ || !has_own_disks()) return;
    latest_ = s.latest;
    for (auto const& e : s.past) orderers_.insert(slot_of(e.epoch));  // a node's slot is its number here
    note_clocks();
    std::uint64_t clock_ms = 0;
    for (auto const n : orderers_) clock_ms = std::max(clock_ms, clocks_ms_[n]);
    require(latest_.milliseconds() <= clock_ms + clamp_ms, "R13", "a stamp stands {} ms above the clock of who ordered it", latest_.milliseconds() - clock_ms);
}

// What it finds wrong with what it was given is an assertion of the protocol. Its disk may fail.
template <class Node>
void simulation<Node>::check_failure(machine<Node>& m, seen_node& seen) const {
    if (!has_own_disks()) return;
    auto const why = m.node()->failure();
    if (why == seen.failure) return;
    seen.failure = why;
    if (!why) return;
    try {
        std::rethrow_exception(why);
    } catch (error const& e) {
        require(e.code() != errc::corrupt, "R2", "node {} gave up its state: {}", m.number(), e.what());
    } catch (std::exception const&) {
    }
}

template <class Node>
void simulation<Node>::send_away(std::uint32_t node) {
    for (auto& c : clients_)
        if (c.is_connected() && c.node() == node) c.disconnect();
}

template <class Node>
bool simulation<Node>::all_show() const {
    return std::all_of(machines_.begin(), machines_.end(), [](auto const& m) { return m->shows(); });
}

template <class Node>
bool simulation<Node>::all_equal() const {
    if (!all_show()) return false;
    auto const& first = machines_[0]->node()->state().stream();
    for (auto const& m : machines_)
        if (m->node()->state().stream().at != first.at || m->node()->state().stream().chain != first.chain) return false;
    auto const dump = machines_[0]->node()->state().dump();
    return std::all_of(machines_.begin(), machines_.end(), [&](auto const& m) { return m->node()->state().dump() == dump; });
}

template <class Node>
std::string simulation<Node>::standing() const {
    std::string out;
    for (auto const& m : machines_) {
        out += fmt::format(" node {} ", m->number());
        if (!m->shows()) out += m->is_up() ? "shows nothing;" : "is down;";
        else out += fmt::format("at {} chain {:x}, on disk {}{};", text_of(m->node()->state().stream().at), m->node()->state().stream().chain,
                                text_of(m->node()->on_disk()), m->node()->is_master() ? ", master" : "");
    }
    return out;
}

}  // namespace mailfs::sim
