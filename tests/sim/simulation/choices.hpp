// SPDX-License-Identifier: BSL-1.0
// A part of simulation.hpp: what is done to nodes, network, disks and clocks.
#pragma once

#include "../simulation.hpp"

namespace mailfs::sim {

template <class Node>
void simulation<Node>::take(choice const& c) {
    bool const done = is_fault(c.what) ? take_fault(c) : c.what == deed::look ? look(c) : operate(c);
    if (done) ++result_.deeds[static_cast<std::size_t>(c.what)];
    faulty_ = faulty_ || is_fault(c.what);
    links_failed_ = links_failed_ || (is_fault(c.what) && !leaves_links(c.what));
    if (done && is_fault(c.what)) tell(c.node, name_of(c.what));
    observe();
}

template <class Node>
void simulation<Node>::tell(std::uint32_t node, std::string_view what) {
    if (observer_ != nullptr) observer_->told(world_.now(), node, what);
}

template <class Node>
bool simulation<Node>::take_fault(choice const& c) {
    auto& m = at(c.node);
    switch (c.what) {
        case deed::cut: return cut(c.node, c.other, true, c.time_ms);
        case deed::cut_one_way: return cut(c.node, c.other, false, c.time_ms);
        case deed::isolate:
            for (std::uint32_t n = 1; n <= schedule_.nodes; ++n)
                if (n != c.node) cut(c.node, n, true, c.time_ms);
            return true;
        case deed::flap:
            for (std::uint64_t t = 0; t < 8; ++t)
                world_.after(t * c.time_ms * ms / 4, [this, c] { cut(c.node, c.other, true, c.time_ms / 8 + 1); });
            return true;
        case deed::break_links: return network_.break_connections(c.node, c.other) > 0;
        case deed::stall: return network_.stall_connections(c.node, c.other, c.time_ms * ms / 2, c.time_ms * ms) > 0;
        case deed::clog: return clog(c);
        case deed::heals_late: return heals_late(c);
        case deed::slow_way:
            network_.set_delay(c.node, c.other, 100, 1000 + c.arg % 200'000);
            undo_after(c.time_ms, [this, c] { network_.set_delay(c.node, c.other, 50, 500); });
            return true;
        case deed::crash:
        case deed::power_cut:
            if (!m.is_up()) return false;
            crash(c.node, c.what == deed::power_cut, c.arg);
            start_later(c.node, c.time_ms);
            return true;
        case deed::crash_in_step:
            if (!m.is_up()) return false;
            m.process().kill_after_steps(1 + c.arg % 100);
            restart_when_dead(c);
            return true;
        case deed::crash_in_call:
            if (!m.is_up()) return false;
            m.faults().stop_at(m.faults().calls() + 1 + c.arg % 20, c.arg);
            restart_when_dead(c);
            return true;
        case deed::pause:
        case deed::long_pause: return pause(m, c.time_ms);
        case deed::sleep: return sleep_all(c);
        case deed::newer_node: return speak(c, 1, 2);
        case deed::other_version: return speak(c, 2, 2);
        case deed::clock_jump: {
            note_clocks();
            auto clock = m.clock();
            clock.jump(static_cast<std::int64_t>(c.arg % 7'200'000) - 3'600'000);
            return true;
        }
        case deed::clock_stands: {
            auto clock = m.clock();
            clock.stand_still();
            undo_after(c.time_ms, [clock]() mutable { clock.go_on(); });
            return true;
        }
        case deed::disk_full:
            if (!m.is_up()) return false;
            m.faults().disk_full_after(c.arg % 2000);
            undo_after(c.time_ms, [this, n = c.node] {
                if (at(n).is_up()) at(n).faults().disk_has_room();
            });
            return true;
        case deed::sync_fails:
            if (!m.is_up()) return false;
            if (store_) m.faults().fail(fs_verb::create, 1 + c.arg % 4);
            else m.faults().fail(fs_verb::sync, 1 + c.arg % 4);
            return true;
        case deed::append_fails:
            if (!m.is_up()) return false;
            if (store_) m.faults().lose_answer(fs_verb::create, 1 + c.arg % 4);
            else if (c.arg % 2 == 0) m.faults().fail(fs_verb::append, 1 + c.arg % 8);
            else m.faults().tear(1 + c.arg % 8, c.arg / 8 % 200, errc::io);
            return true;
        case deed::answer_lost: {
            if (!m.is_up()) return false;
            constexpr std::array verbs{fs_verb::create, fs_verb::append, fs_verb::sync};
            m.faults().lose_answer(verbs[c.arg % verbs.size()], 1 + c.arg / 4 % 4);
            return true;
        }
        case deed::old_disk: return restore_later(c);
        case deed::slow_disk:
            m.pace->sync_max = 1000 + c.arg % 300'000;
            m.pace->append_max = c.arg % 20'000;
            undo_after(c.time_ms, [pace = m.pace] { *pace = disk_pace(pace->chance); });
            return true;
        case deed::store_cut:
            if (!store_) return false;
            m.way()->is_cut = true;
            undo_after(c.time_ms, [&m] { m.way()->is_cut = false; });
            return true;
        case deed::store_late:
            if (!store_) return false;
            m.way()->late = 1 + c.arg % 4;
            m.way()->late_max = c.arg / 4 % schedule_.late_ms * ms;
            return true;
        case deed::store_lags:
            if (!store_) return false;
            store_->lag = c.arg % schedule_.late_ms * ms;
            undo_after(c.time_ms, [this] { store_->lag = 0; });
            return true;
        default: return false;
    }
}

template <class Node>
bool simulation<Node>::cut(std::uint32_t a, std::uint32_t b, bool both, std::uint64_t time_ms) {
    if (stopped_) return false;  // the rest of a flapping link
    network_.cut(a, b);
    if (both) network_.cut(b, a);
    undo_after(time_ms, [this, a, b, both] {
        network_.heal(a, b);
        if (both) network_.heal(b, a);
    });
    return true;
}

// In most cases a master, and its way to who is likely to follow it: then the one is a branch that the other does not reach.
template <class Node>
bool simulation<Node>::heals_late(choice const& c) {
    auto away = c.node, late = c.other;
    for (auto& m : machines_)
        if (c.arg % 4 != 0 && m->shows() && m->node()->is_master()) away = m->number(), late = away == 1 ? 2 : 1;
    for (std::uint32_t n = 1; n <= schedule_.nodes; ++n)
        if (n != away) cut(away, n, true, n == late ? 3 * std::uint64_t{c.time_ms} : c.time_ms);
    return true;
}

template <class Node>
bool simulation<Node>::clog(choice const& c) {
    std::uint32_t any = 0;
    for (std::uint32_t n = 1; n <= schedule_.nodes; ++n) {
        if (n == c.node) continue;
        auto const begin = std::uint64_t{any++} * c.time_ms / schedule_.nodes;
        world_.after(begin * ms, [this, c, n] {
            if (stopped_) return;
            network_.stall_connections(c.node, n, c.time_ms * ms / 4, c.time_ms * ms);
            network_.stall_connections(n, c.node, c.time_ms * ms / 4, c.time_ms * ms);
        });
    }
    return true;
}

template <class Node>
bool simulation<Node>::sleep_all(choice const& c) {
    auto const time_ms = c.time_ms - c.time_ms / 1000;
    asleep_until_ = world_.now() + time_ms * ms;
    bool any = false;
    for (auto& m : machines_) any = pause(*m, time_ms + pick(1000)) || any;
    return any;
}

// Started again with that; and again with what all know.
template <class Node>
bool simulation<Node>::speak(choice const& c, std::uint16_t min, std::uint16_t max) {
    auto& v = seen_[c.node - 1].versions;
    if (!at(c.node).is_up() || v != versions{}) return false;
    v = {min, max};
    crash(c.node, false, 0);
    start_later(c.node, 1 + c.arg % 100);
    undo_after(c.time_ms + 200, [this, n = c.node] {
        seen_[n - 1].versions = {};
        crash(n, false, 0);
        if (!stopped_) start(at(n));
    });
    return true;
}

// A backup is taken now, and the disk breaks later.
template <class Node>
bool simulation<Node>::restore_later(choice const& c) {
    auto& m = at(c.node);
    if (store_ || !m.is_up()) return false;
    auto backup = std::make_shared<memory_fs>(m.backup());
    world_.after(c.time_ms * ms, [this, c, backup] {
        if (stopped_) return;
        crash(c.node, false, 0);
        at(c.node).put_disk(*backup);
        seen_[c.node - 1].disk = c.arg % 2 == 0 ? disk_history::forgotten : disk_history::restored;
        ledger_.lost_its_disk(c.node);
        start(at(c.node));
        ++result_.deeds[static_cast<std::size_t>(deed::old_disk)];
    });
    return false;  // it is counted when it happens
}

template <class Node>
bool simulation<Node>::pause(machine<Node>& m, std::uint64_t time_ms) {
    if (!m.is_up() || m.process().paused()) return false;
    m.process().pause();
    wake_after(time_ms, m.process().weak_from_this());
    return true;
}

// Not before the others, where all sleep.
template <class Node>
void simulation<Node>::wake_after(std::uint64_t time_ms, std::weak_ptr<sim_process> process) {
    undo_after(time_ms, [this, process] {
        auto const p = process.lock();
        if (!p) return;
        if (stopped_ || world_.now() >= asleep_until_) p->go_on();
        else wake_after((asleep_until_ - world_.now()) / ms + pick(1000), process);
    });
}

template <class Node>
void simulation<Node>::restart_when_dead(choice const& c) {
    auto const life = at(c.node).lives();
    auto const asleep = asleep_until_ > world_.now() ? asleep_until_ - world_.now() : 0;
    world_.after(std::max(c.time_ms * ms, asleep), [this, c, life] {
        if (at(c.node).lives() != life) return;
        if (at(c.node).is_up()) restart_when_dead(c);
        else start(at(c.node));
    });
}

}  // namespace mailfs::sim
