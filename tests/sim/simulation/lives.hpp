// SPDX-License-Identifier: BSL-1.0
// A part of simulation.hpp: how nodes begin, end and are buried.
#pragma once

#include "../simulation.hpp"

namespace mailfs::sim {

template <class Node>
void simulation<Node>::start(machine<Node>& m) {
    if (m.is_up()) return;
    if (seen_[m.number() - 1].died != 0) bury(m);
    seen_[m.number() - 1].held = {};
    node_parts parts{.host = sim_host(world_, m.clock(), m.number()), .fs = sim_fs(nullptr, m.pace, faulty_fs<>())};
    parts.nodes = schedule_.nodes;
    parts.copies_in_memory = schedule_.copies_in_memory;
    parts.copies_on_disk = schedule_.copies_on_disk;
    parts.tuned = schedule_.tuned;
    parts.arbiter = arbiter_of(schedule_);
    parts.unflushed_node_max = schedule_.unflushed_node_max;
    if (m.number() == 1 && schedule_.seed % 2 == 0) parts.arbiter.files_max *= 8;  // it leaves to others what it should cover
    parts.version_min = seen_[m.number() - 1].versions.min;
    parts.version_max = seen_[m.number() - 1].versions.max;
    parts.disk = seen_[m.number() - 1].disk;
    parts.may_create = [this, number = m.number()] { return number == 1 && began_ == 0; };
    auto const life = m.lives() + 1;
    m.start(std::move(parts), [this, number = m.number(), life] {
        seen_[number - 1].died = life;
        world_.after(0, [this, number, life] {
            if (seen_[number - 1].died == life) bury(*machines_[number - 1]);
        });
    });
    if (!stopped_ && world_.now() < asleep_until_) pause(m, (asleep_until_ - world_.now()) / ms + pick(1000));
    tell(m.number(), "starts");
}

template <class Node>
shared_store simulation<Node>::arbiter_of(schedule const& s) {
    shared_store a;
    a.ids_reserved = s.ids_reserved;
    a.unflushed_max = s.unflushed_max;
    a.files_max = s.files_max;
    a.late_ms = s.late_ms;
    a.strict = s.store == storage::strict;
    if (s.files_max < 8) a.sleep_ms = 3000;
    bool const jumps = std::any_of(s.choices.begin(), s.choices.end(), [](choice const& c) { return c.what == deed::clock_jump; });
    if (s.files_max < 8 && !jumps) a.keep_epochs_ms = 4 * 3'600'000;  // more than clocks differ by, less than a long sleep
    return a;
}

// After its process has died: what is left of it goes, and its callers know nothing.
template <class Node>
void simulation<Node>::bury(machine<Node>& m) {
    auto& seen = seen_[m.number() - 1];
    seen.died = 0;
    seen.shows = false;
    seen.at = {};
    seen.watcher.reset();
    seen.session.reset();
    send_away(m.number());
    calm_since_ = world_.now();
    for (auto& a : ledger_) a.steady.erase(m.number());
    for (std::size_t n = 0; n < ledger_.all().size(); ++n)
        if (auto& a = ledger_[n]; a.node == m.number() && a.what_became == fate::pending) finish(a, fate::unknown);
    if (!m.is_up()) m.crash();
    if (observer_ != nullptr) observer_->state(world_.now(), m.number(), false, false, {});
    tell(m.number(), "is down");
}

template <class Node>
void simulation<Node>::crash(std::uint32_t number, bool power, std::uint32_t arg) {
    auto& m = at(number);
    if (!m.is_up()) return;
    seen_[number - 1].watcher.reset();
    seen_[number - 1].session.reset();
    send_away(number);
    if (power) {
        ++result_.power_cuts[arg % power_cut_count];
        m.cut_power(static_cast<power_cut>(arg % power_cut_count), arg);
    } else {
        m.crash();
    }
    bury(m);
}

template <class Node>
void simulation<Node>::start_later(std::uint32_t number, std::uint64_t after_ms) {
    world_.after(after_ms * ms, [this, number] {
        if (!seen_[number - 1].stays_down) start(at(number));
    });
}

template <class Node>
void simulation<Node>::stop_faults() {
    stopped_ = true;
    calm_since_ = world_.now();
    for (auto& undo : std::exchange(undo_, {})) undo.second();
    for (auto& m : machines_) {
        if (seen_[m->number() - 1].died != 0) bury(*m);
        start(*m);
        m->process().kill_after_steps(0);
        m->faults().calm();
        if (m->way() != nullptr) m->way()->is_cut = false, m->way()->late = 0;
    }
    if (store_) store_->lag = 0;
    network_.set_delay(50, 500);
    network_.end_stalls();
}

// Undone after that time, or when the faults stop.
template <class Node>
void simulation<Node>::undo_after(std::uint64_t time_ms, std::function<void()> undo) {
    auto const number = ++undos_;
    undo_.emplace(number, std::move(undo));
    world_.after(time_ms * ms, [this, number] {
        auto const found = undo_.extract(number);
        if (found) found.mapped()();
    });
}

}  // namespace mailfs::sim
