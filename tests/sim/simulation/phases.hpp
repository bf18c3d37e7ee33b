// SPDX-License-Identifier: BSL-1.0
// A part of simulation.hpp: a run from its begin to its end, and what must hold there.
#pragma once

#include "../simulation.hpp"

namespace mailfs::sim {

template <class Node>
void simulation<Node>::begin() {
    for (auto& m : machines_) start(*m);
    bool const ready = go_until(world_.now() + begin_max, [&] { return all_show(); });
    require(ready, "R15", "not all nodes opened the mailbox within {} ms: {}", begin_max / ms, standing());
    began_ = world_.now();
}

template <class Node>
void simulation<Node>::act() {
    for (auto const& c : schedule_.choices) world_.at(began_ + c.at_ms * ms, [this, c] { take(c); });
    for (std::uint64_t part = 1; store_ && part < 4; ++part) world_.at(began_ + part * schedule_.length_ms * ms / 4, [this] { check_store(); });
    go_until(began_ + schedule_.length_ms * ms, [] { return false; });
}

template <class Node>
void simulation<Node>::end() {
    check_store();
    stop_faults();
    auto const quiet = world_.now();
    bool const equal = go_until(quiet + settle_max, [&] { return all_equal(); });
    require(equal, "R7", "the nodes are not equal {} ms after the faults stopped: {}", settle_max / ms, standing());
    result_.settled = world_.now() - quiet;
    bool const ended = go_until(quiet + pending_max, [&] { return ledger_.pending() == 0; });
    go_until(quiet + settle_max, [] { return false; });  // that they were equal says nothing of their links
    require(ended, "R15", "{} calls have not ended {} ms after the faults stopped", ledger_.pending(), pending_max / ms);
    probe();
    bool const still = go_until(world_.now() + settle_max, [&] { return all_equal(); });
    require(still, "R7", "the nodes are not equal {} ms after the last change: {}", settle_max / ms, standing());
    check_store();
    check_all();
}

// R11: what the store alone tells.
template <class Node>
void simulation<Node>::check_store() {
    if (!store_) return;
    stored_state found;
    try {
        found = state_of_store(*store_, machines_[0]->clock());
    } catch (error const& e) {
        throw violation("R11", fmt::format("the store cannot be read: {}", e.what()));
    }
    ledger_.check_stored(*found.state);
}

// One append on each node, which must be acknowledged soon.
template <class Node>
void simulation<Node>::probe() {
    auto const first = ledger_.all().size();
    for (auto& m : machines_) propose_append(*m, true, 0), propose_append(*m, false, 0);
    bool const ended = go_until(world_.now() + master_max, [&] { return ledger_.pending() == 0; });
    require(ended, "R15", "after {} ms a quiet mailbox has not taken a change: {}", master_max / ms, standing());
    for (auto n = first; n < ledger_.all().size(); ++n)
        require(ledger_[n].what_became == fate::acknowledged, "R15", "a quiet mailbox refused a change on node {}", ledger_[n].node);
}

template <class Node>
void simulation<Node>::check_all() {
    auto const& truth = machines_[0]->node()->state();
    bool const slept = result_.deeds[std::size_t(deed::sleep)] > 0 && schedule_.clock_drift_ppm > 0;
    bool const clocks_agree = schedule_.clock_offset_ms <= 2000 && !slept && result_.deeds[std::size_t(deed::clock_jump)] == 0 &&
                              result_.deeds[std::size_t(deed::clock_stands)] == 0;
    ledger_.check(truth, clocks_agree, has_own_disks());
    if (has_own_disks() && result_.deeds[std::size_t(deed::sleep)] == 0) history::check(ledger_.all());
    check_uids_stay(truth);
    for (auto& s : seen_)
        if (s.session) s.session->look(), s.session->check(truth);
    for (auto& c : clients_) {
        if (c.moves() || !c.is_connected()) go_to(c, 1 + pick(schedule_.nodes));
        c.look();
        c.check(truth);
    }
}

// Where no link ever failed nothing grew apart, whatever the clocks said: what several nodes held keeps its UID (R8).
template <class Node>
void simulation<Node>::check_uids_stay(mailbox_state const& truth) const {
    if (links_failed_ || !has_own_disks()) return;
    std::map<guid, uid_t> now;
    truth.for_each(1, uid_max, [&](std::size_t row) { now[truth.rows().id[row]] = truth.rows().uid[row]; });
    for (auto const& a : ledger_.all()) {
        if (a.what != attempt::kind::append || a.steady.empty() || a.holders.size() < 2 || a.uid == 0) continue;
        auto const it = now.find(a.message);
        require(it == now.end() || it->second == a.uid, "R8", "attempt {} on node {} was given UID {}, and no link failed, but it is UID {} now", a.number,
                a.node, a.uid, it == now.end() ? 0 : it->second);
    }
}

template <class Node>
void simulation<Node>::count() {
    result_.trace_hash = world_.trace_hash();
    result_.simulated = world_.now();
    result_.events = world_.events();
    result_.epochs = owners_.count();
    for (auto const& s : seen_) result_.renumbered += s.messages.renumbered();
    for (auto const& c : clients_) result_.deltas += c.deltas, result_.fulls += c.fulls;
    for (auto const& a : ledger_.all()) {
        ++result_.proposed;
        result_.acknowledged += a.what_became == fate::acknowledged ? 1U : 0U;
        result_.refused += a.what_became == fate::refused ? 1U : 0U;
        result_.unknown += a.what_became == fate::unknown ? 1U : 0U;
        result_.lost += a.what_became == fate::acknowledged && !a.must_be_there() ? 1U : 0U;
    }
}

}  // namespace mailfs::sim
