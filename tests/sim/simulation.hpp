// SPDX-License-Identifier: BSL-1.0
// Runs a schedule: machines, clients and what befalls them, with every check of replication.md's section 8 that applies.
//
// Node is the seam, one life of a node in one process:
//     Node(node_parts)                            made before anything runs
//     awaitable<void> run()                       spawned at once; makes the mailbox where it may, or opens it
//     bool shows() const                          whether its state may be shown to clients
//     mailbox_state const& state() const          view make_view()
//     awaitable<mailbox_outcome> propose(std::vector<std::byte> operations, durability)
//     bool is_master() const
//     position on_disk() const                    all up to here is on its stable storage
//     std::string overload() const                what is beyond its bound
//     std::exception_ptr failure() const          why it gave up its state last
// It is destroyed when its coroutines have been.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/replication/detail/coverage.hpp>
#include <mailfs/replication/detail/fold_witness.hpp>
#include <mailfs/transport/sim_network.hpp>
#include <mailfs/transport/sim_world.hpp>

#include "client.hpp"
#include "fold_oracle.hpp"
#include "history.hpp"
#include "ledger.hpp"
#include "machine.hpp"
#include "observations.hpp"
#include "schedule.hpp"
#include "store_reader.hpp"
#include "violation.hpp"

#include <asio/awaitable.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::sim {

static_assert(static_cast<std::size_t>(power_cut::any) + 1 == power_cut_count);

/// What came of a schedule.
struct run_result {
    std::string violation;  ///< empty: none
    std::string rule;
    std::uint64_t trace_hash = 0;
    sim_time simulated = 0;
    std::uint64_t events = 0;
    std::array<std::uint64_t, deed_count> deeds{};  ///< that had an effect
    std::array<std::uint64_t, power_cut_count> power_cuts{};
    std::uint64_t proposed = 0, acknowledged = 0, refused = 0, unknown = 0;
    std::uint64_t epochs = 0, renumbered = 0, deltas = 0, fulls = 0, lost = 0;
    sim_time settled = 0;  ///< from the end of the faults until all states were equal

    void add(run_result const& r) {
        simulated += r.simulated;
        events += r.events;
        for (std::size_t d = 0; d < deed_count; ++d) deeds[d] += r.deeds[d];
        for (std::size_t k = 0; k < power_cut_count; ++k) power_cuts[k] += r.power_cuts[k];
        proposed += r.proposed;
        acknowledged += r.acknowledged;
        refused += r.refused;
        unknown += r.unknown;
        epochs += r.epochs;
        renumbered += r.renumbered;
        deltas += r.deltas;
        fulls += r.fulls;
        lost += r.lost;
        settled = std::max(settled, r.settled);
    }
};

/// Told of what a picture shows beside the network's notes.
struct run_observer {
    virtual ~run_observer() = default;
    virtual void note(sim_note const& n) = 0;
    virtual void state(sim_time when, std::uint32_t node, bool shows, bool master, position at) = 0;
    virtual void told(sim_time when, std::uint32_t node, std::string_view what) = 0;
};

template <class Node>
class simulation {
public:
    static constexpr sim_time ms = 1000;
    static constexpr sim_time settle_max = 2000 * ms;      // R7
    static constexpr sim_time pending_max = 5000 * ms;     // R15
    static constexpr sim_time master_max = 1000 * ms;      // R15
    static constexpr sim_time calm_time = 1000 * ms;       // until all nodes know of each other what there is to know
    static constexpr std::uint64_t clamp_ms = 5000;        // R13
    static constexpr sim_time begin_max = 10'000 * ms;     // until all nodes have the mailbox, before anything goes wrong

    explicit simulation(schedule const& s, run_observer* observer = nullptr)
        : schedule_(s), observer_(observer), world_(s.seed), network_(world_), chance_(world_.stream(0x7369'6d)) {
        if (observer_ != nullptr) world_.observer = [this](sim_note const& n) { observer_->note(n); };
        if (s.store != storage::own) store_ = std::make_shared<sim_store>(world_);
        auto clocks = world_.stream(0x636c'6f63'6b73);
        for (std::uint32_t n = 1; n <= s.nodes; ++n) {
            auto const offset = static_cast<std::int64_t>(clocks.up_to(2 * std::uint64_t{s.clock_offset_ms})) - s.clock_offset_ms;
            auto const drift = static_cast<std::int64_t>(clocks.up_to(2 * std::uint64_t{s.clock_drift_ppm})) - s.clock_drift_ppm;
            machines_.push_back(std::make_unique<machine<Node>>(network_, n, sim_clock(world_, offset, drift), store_));
        }
        seen_.resize(s.nodes);
        mailfs::detail::fold_witness<mailbox_state>() = [](mailbox_state const& trunk, mailbox_state const& branch, bytes_view payload) {
            if (wrong_fold().empty()) wrong_fold() = fold_oracle::judge(trunk, branch, payload);
        };
        wrong_fold().clear();
        for (std::uint32_t n = 0; n < s.clients; ++n) clients_.emplace_back(n, static_cast<client_kind>(n % 3), n % 2 == 1);
    }
    simulation(simulation const&) = delete;
    simulation& operator=(simulation const&) = delete;
    ~simulation() {
        mailfs::detail::fold_witness<mailbox_state>() = nullptr;
        clients_.clear();
        seen_.clear();
        for (auto& m : machines_) m->crash();
    }

    run_result run() {
        try {
            begin();
            act();
            end();
        } catch (violation const& v) {
            result_.violation = v.what();
            result_.rule = v.rule();
        } catch (std::exception const& e) {
            result_.violation = fmt::format("an exception at {} ms: {}", world_.now() / ms, e.what());
            result_.rule = "exception";
        }
        count();
        return result_;
    }

private:
    struct versions {
        std::uint16_t min = 1, max = 1;
        friend bool operator==(versions const&, versions const&) = default;
    };
    struct seen_node {
        struct versions versions;
        disk_history disk = disk_history::whole;  // said at its next start
        std::uint64_t life = 0;
        bool shows = false;
        position at;
        position held;  // shown or not
        std::optional<view> watcher;
        std::optional<client> session;  // that asks for news whenever there is some
        shown_messages messages;
        announced_numbers numbers;
        std::exception_ptr failure;
        std::uint64_t died = 0;  // life that has ended and is not cleaned up
        bool stays_down = false;
    };

    // --- the phases of a run -----------------------------------------------------------------------------------

    void begin() {
        for (auto& m : machines_) start(*m);
        bool const ready = go_until(world_.now() + begin_max, [&] { return all_show(); });
        require(ready, "R15", "not all nodes opened the mailbox within {} ms: {}", begin_max / ms, standing());
        began_ = world_.now();
    }
    void act() {
        for (auto const& c : schedule_.choices) world_.at(began_ + c.at_ms * ms, [this, c] { take(c); });
        for (std::uint64_t part = 1; store_ && part < 4; ++part) world_.at(began_ + part * schedule_.length_ms * ms / 4, [this] { check_store(); });
        go_until(began_ + schedule_.length_ms * ms, [] { return false; });
    }
    void end() {
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
    void check_store() {
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
    void probe() {
        auto const first = ledger_.all().size();
        for (auto& m : machines_) propose_append(*m, true, 0), propose_append(*m, false, 0);
        bool const ended = go_until(world_.now() + master_max, [&] { return ledger_.pending() == 0; });
        require(ended, "R15", "after {} ms a quiet mailbox has not taken a change: {}", master_max / ms, standing());
        for (auto n = first; n < ledger_.all().size(); ++n)
            require(ledger_[n].what_became == fate::acknowledged, "R15", "a quiet mailbox refused a change on node {}", ledger_[n].node);
    }
    void check_all() {
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
    void check_uids_stay(mailbox_state const& truth) const {
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
    void count() {
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

    // --- looking at all nodes after each event -----------------------------------------------------------------

    template <class Condition>
    bool go_until(sim_time limit, Condition done) {
        return world_.run_until(limit, [&] {
            observe();
            return done();
        });
    }
    void observe() {
        require(wrong_fold().empty(), "R8", "{}", wrong_fold());
        for (auto& m : machines_) {
            auto& seen = seen_[m->number() - 1];
            if (seen.died != 0) bury(*m);
            if (!m->is_up()) continue;
            check_failure(*m, seen);
            if (m->node()->is_master()) orderers_.insert(m->number());
            check_position(*m, seen);
            bool const shows = m->shows();
            if (shows != seen.shows) change_sight(*m, seen, shows);
            if (shows && m->node()->state().stream().at != seen.at) observe(*m, seen);
        }
    }
    // Also what it does not show: a disk may tell of another step at a place that everybody knows (R2).
    void check_position(machine<Node>& m, seen_node& seen) {
        auto const& state = m.node()->state();
        if (state.object() == guid{} || state.stream().at == std::exchange(seen.held, state.stream().at)) return;
        positions_.check(m.number(), state);
    }
    void observe(machine<Node>& m, seen_node& seen) {
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
    void change_sight(machine<Node>& m, seen_node& seen, bool shows) {
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
    bool has_own_disks() const noexcept { return schedule_.store == storage::own; }
    void note_clocks() {
        for (auto& m : machines_) clocks_ms_[m->number()] = std::max(clocks_ms_[m->number()], m->clock().now_ms());
    }
    // A mad clock wins for as long as the clamp, not longer: no stamp is far above the clocks of all that ever ordered anything (R13).
    void check_stamp(stream_state const& s) {
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
    void check_failure(machine<Node>& m, seen_node& seen) const {
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
    void send_away(std::uint32_t node) {
        for (auto& c : clients_)
            if (c.is_connected() && c.node() == node) c.disconnect();
    }

    bool all_show() const {
        return std::all_of(machines_.begin(), machines_.end(), [](auto const& m) { return m->shows(); });
    }
    bool all_equal() const {
        if (!all_show()) return false;
        auto const& first = machines_[0]->node()->state().stream();
        for (auto const& m : machines_)
            if (m->node()->state().stream().at != first.at || m->node()->state().stream().chain != first.chain) return false;
        auto const dump = machines_[0]->node()->state().dump();
        return std::all_of(machines_.begin(), machines_.end(), [&](auto const& m) { return m->node()->state().dump() == dump; });
    }
    std::string standing() const {
        std::string out;
        for (auto const& m : machines_) {
            out += fmt::format(" node {} ", m->number());
            if (!m->shows()) out += m->is_up() ? "shows nothing;" : "is down;";
            else out += fmt::format("at {} chain {:x}, on disk {}{};", text_of(m->node()->state().stream().at), m->node()->state().stream().chain,
                                    text_of(m->node()->on_disk()), m->node()->is_master() ? ", master" : "");
        }
        return out;
    }

    // --- lives -------------------------------------------------------------------------------------------------

    void start(machine<Node>& m) {
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
    static shared_store arbiter_of(schedule const& s) {
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
    void bury(machine<Node>& m) {
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
    void crash(std::uint32_t number, bool power, std::uint32_t arg) {
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
    void start_later(std::uint32_t number, std::uint64_t after_ms) {
        world_.after(after_ms * ms, [this, number] {
            if (!seen_[number - 1].stays_down) start(at(number));
        });
    }
    void stop_faults() {
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
    void undo_after(std::uint64_t time_ms, std::function<void()> undo) {
        auto const number = ++undos_;
        undo_.emplace(number, std::move(undo));
        world_.after(time_ms * ms, [this, number] {
            auto const found = undo_.extract(number);
            if (found) found.mapped()();
        });
    }

    // --- choices -----------------------------------------------------------------------------------------------

    std::uint32_t pick(std::uint64_t n) { return static_cast<std::uint32_t>(chance_.up_to(n - 1)); }
    machine<Node>& at(std::uint32_t number) { return *machines_[(number - 1) % machines_.size()]; }

    void take(choice const& c) {
        bool const done = is_fault(c.what) ? take_fault(c) : c.what == deed::look ? look(c) : operate(c);
        if (done) ++result_.deeds[static_cast<std::size_t>(c.what)];
        faulty_ = faulty_ || is_fault(c.what);
        links_failed_ = links_failed_ || (is_fault(c.what) && !leaves_links(c.what));
        if (done && is_fault(c.what)) tell(c.node, name_of(c.what));
        observe();
    }
    void tell(std::uint32_t node, std::string_view what) {
        if (observer_ != nullptr) observer_->told(world_.now(), node, what);
    }

    bool take_fault(choice const& c) {
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
            case deed::heals_late:
                for (std::uint32_t n = 1; n <= schedule_.nodes; ++n)
                    if (n != c.node) cut(c.node, n, true, n == c.other ? 3 * std::uint64_t{c.time_ms} : c.time_ms);
                return true;
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
    bool cut(std::uint32_t a, std::uint32_t b, bool both, std::uint64_t time_ms) {
        if (stopped_) return false;  // the rest of a flapping link
        network_.cut(a, b);
        if (both) network_.cut(b, a);
        undo_after(time_ms, [this, a, b, both] {
            network_.heal(a, b);
            if (both) network_.heal(b, a);
        });
        return true;
    }
    bool clog(choice const& c) {
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
    bool sleep_all(choice const& c) {
        auto const time_ms = c.time_ms - c.time_ms / 1000;
        asleep_until_ = world_.now() + time_ms * ms;
        bool any = false;
        for (auto& m : machines_) any = pause(*m, time_ms + pick(1000)) || any;
        return any;
    }
    // Started again with that; and again with what all know.
    bool speak(choice const& c, std::uint16_t min, std::uint16_t max) {
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
    bool restore_later(choice const& c) {
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
    bool pause(machine<Node>& m, std::uint64_t time_ms) {
        if (!m.is_up() || m.process().paused()) return false;
        m.process().pause();
        wake_after(time_ms, m.process().weak_from_this());
        return true;
    }
    // Not before the others, where all sleep.
    void wake_after(std::uint64_t time_ms, std::weak_ptr<sim_process> process) {
        undo_after(time_ms, [this, process] {
            auto const p = process.lock();
            if (!p) return;
            if (stopped_ || world_.now() >= asleep_until_) p->go_on();
            else wake_after((asleep_until_ - world_.now()) / ms + pick(1000), process);
        });
    }
    void restart_when_dead(choice const& c) {
        auto const life = at(c.node).lives();
        auto const asleep = asleep_until_ > world_.now() ? asleep_until_ - world_.now() : 0;
        world_.after(std::max(c.time_ms * ms, asleep), [this, c, life] {
            if (at(c.node).lives() != life) return;
            if (at(c.node).is_up()) restart_when_dead(c);
            else start(at(c.node));
        });
    }

    // --- clients -----------------------------------------------------------------------------------------------

    bool look(choice const& c) {
        auto& who = clients_[c.node % clients_.size()];
        if (who.moves() && c.arg % 4 == 0) who.disconnect();
        if (!who.is_connected()) return go_to(who, who.moves() ? 1 + c.arg / 4 % schedule_.nodes : 1 + who.number() % schedule_.nodes);
        who.look();
        return true;
    }
    bool go_to(client& who, std::uint32_t node) {
        auto& m = at(node);
        if (!m.shows() || m.process().paused()) return false;
        who.disconnect();
        who.connect(node, m.node()->make_view());
        return true;
    }

    bool operate(choice const& c) {
        auto& m = at(c.node);
        if (!m.shows() || m.process().paused()) return false;
        if (c.what == deed::append || c.what == deed::append_stored) {
            propose_append(m, c.what == deed::append_stored, c.arg);
            return true;
        }
        if (c.what == deed::append_many) {
            propose_appends(m, 100 + c.arg % 100, false, c.arg);
            return true;
        }
        if (c.what == deed::deliver) {
            auto& second = at(c.node + 1 + c.arg / 256 % (schedule_.nodes - 1));
            auto const delivery = ++deliveries_;
            propose_append(m, c.arg % 2 == 0, c.arg, delivery);
            if (second.shows() && !second.process().paused()) propose_append(second, c.arg % 4 < 2, c.arg, delivery);
            return true;
        }
        if (c.what == deed::set_metadata) {
            propose_metadata(m, c.arg);
            return true;
        }
        return propose_on_message(m, c);
    }
    // One of two entries is set, or removed.
    void propose_metadata(machine<Node>& m, std::uint32_t arg) {
        attempt a;
        a.what = attempt::kind::metadata;
        auto const value = fmt::format("{}", arg >> 8);
        format::mailbox_transaction t;
        t.metadata(arg % 2 == 0 ? "/private/comment" : "/shared/comment", arg / 2 % 4 == 0 ? std::nullopt : std::optional<std::string_view>(value));
        propose(m, std::move(a), t);
    }
    void propose_append(machine<Node>& m, bool stored, std::uint32_t arg, std::uint64_t delivery = 0) { propose_appends(m, 1, stored, arg, delivery); }
    void propose_appends(machine<Node>& m, std::uint32_t count, bool stored, std::uint32_t arg, std::uint64_t delivery = 0) {
        format::mailbox_transaction t;
        std::vector<std::size_t> numbers;
        for (std::uint32_t part = 0; part < count; ++part) {
            attempt a;
            a.what = attempt::kind::append;
            a.message = guid::from_words(++messages_, chance_());
            a.part = part;
            a.flags = arg & static_cast<std::uint32_t>(all_flags) & (arg >> 8);
            a.stored = stored;
            a.delivery = delivery;
            message_entry entry;
            if (delivery != 0) entry.delivery = guid::from_words(0x6465'6c69'7665'72, delivery);
            entry.id = a.message;
            entry.size = arg % 1000;
            entry.received_ms = sim_clock::world_began_ms;
            entry.flags = static_cast<flag>(a.flags);
            t.append(entry);
            numbers.push_back(begin_attempt(m, std::move(a)).number);
        }
        propose(m, std::move(numbers), t, stored);
    }
    bool propose_on_message(machine<Node>& m, choice const& c) {
        auto const& state = m.node()->state();
        if (state.counters().messages == 0) return false;
        auto wanted = c.arg % state.counters().messages;
        attempt a;
        modseq_t modseq = 0;
        state.for_each(1, uid_max, [&](std::size_t row) {
            if (wanted-- != 0) return;
            a.uid = state.rows().uid[row];
            a.message = state.rows().id[row];
            modseq = state.rows().modseq[row];
        });
        auto const uid = uid_set::one(a.uid);
        auto const bits = c.arg >> 8;
        format::mailbox_transaction t;
        flag_change change;
        a.known = ledger_.known_to(state, a.message);
        switch (c.what) {
            case deed::expunge:
            case deed::expunge_stored:
                a.what = attempt::kind::expunge;
                a.stored = c.what == deed::expunge_stored;
                t.expunge(uid, false);
                break;
            case deed::replace_flags:
                a.what = attempt::kind::replace;
                change.mode = flag_mode::replace;
                a.flags = bits & all_registers;
                break;
            case deed::add_keyword:
            case deed::remove_keyword:
                a.what = c.what == deed::add_keyword ? attempt::kind::add : attempt::kind::remove;
                a.flags = 1U << (5 + bits % 2);
                break;
            default:
                a.what = c.what == deed::remove_flag ? attempt::kind::remove : attempt::kind::add;
                a.flags = 1U << bits % 5;
                break;
        }
        if (a.what != attempt::kind::expunge) {
            if (a.what != attempt::kind::replace) change.mode = a.what == attempt::kind::add ? flag_mode::add : flag_mode::remove;
            change.flags = static_cast<flag>(a.flags & static_cast<std::uint32_t>(all_flags));
            for (std::uint32_t k = 0; k < 2; ++k)
                if (((a.flags >> (5 + k)) & 1) != 0) change.keywords.emplace_back(keyword_names[k]);
            if (c.what == deed::conditional) {
                a.conditional = true;
                a.unchanged_since = bits % 3 == 0 && modseq > 0 ? modseq - 1 : modseq;
                change.unchanged_since = a.unchanged_since;
            }
            t.change_flags(uid, change);
        }
        propose(m, std::move(a), t);
        return true;
    }
    attempt& begin_attempt(machine<Node>& m, attempt made) {
        made.node = m.number();
        made.began = world_.now();
        made.adoptions = adoptions();
        made.epoch = m.node()->state().stream().at.epoch;
        return ledger_.begin(std::move(made));
    }
    void propose(machine<Node>& m, attempt made, format::mailbox_transaction const& t) {
        auto const& a = begin_attempt(m, std::move(made));
        propose(m, {a.number}, t, a.stored);
    }
    void propose(machine<Node>& m, std::vector<std::size_t> numbers, format::mailbox_transaction const& t, bool stored) {
        std::vector<std::byte> bytes(t.bytes().begin(), t.bytes().end());
        m.process().spawn(call(this, m.node(), std::move(numbers), std::move(bytes), stored ? durability::stored : durability::none));
    }
    static asio::awaitable<void> call(simulation* self, Node* node, std::vector<std::size_t> numbers, std::vector<std::byte> bytes, durability wanted) {
        std::optional<mailbox_outcome> outcome;
        fate came = fate::unknown;
        try {
            outcome.emplace(co_await node->propose(std::move(bytes), wanted));
        } catch (error const& e) {
            if (e.code() == errc::busy || e.code() == errc::no_space) came = fate::refused;
        }
        for (auto const number : numbers) {
            auto& a = self->ledger_[number];
            if (outcome) self->acknowledge(a, *outcome);
            else self->finish(a, came);
        }
    }
    void finish(attempt& a, fate came) {
        a.what_became = came;
        a.ended = world_.now();
        world_.note(sim_note::kind::other, a.node, static_cast<std::uint32_t>(came), a.number);
    }
    static std::uint64_t adoptions() noexcept {
        return mailfs::detail::reached_so_far()[static_cast<std::size_t>(mailfs::detail::reached::caught_up_by_snapshot)];
    }
    // When nothing has been wrong for a while, a level is what was asked for.
    void check_level(attempt const& a) const {
        if (!has_own_disks() || (faulty_ && !stopped_) || a.began < calm_since_ + calm_time || !all_show()) return;
        auto const synced = std::count_if(machines_.begin(), machines_.end(), [&](auto const& m) { return m->node()->on_disk() >= a.at; });
        auto const have = a.stored ? static_cast<std::size_t>(synced) : a.holders.size();
        auto const wanted = std::min(a.stored ? schedule_.copies_on_disk : schedule_.copies_in_memory, schedule_.nodes);
        require(have >= wanted, "R5", "attempt {} on node {} was acknowledged at {} when {} nodes had it {}, of {}:{}", a.number, a.node, text_of(a.at), have,
                a.stored ? "on disk" : "in memory", wanted, standing());
    }
    void acknowledge(attempt& a, mailbox_outcome const& o) {
        a.at = o.at;
        a.modified = o.modified.contains(a.uid);
        a.is_first_answer = a.adoptions == adoptions();
        if (a.what == attempt::kind::append) a.uid = o.appended > 0 ? o.first_uid + a.part : 0;
        a.effective = a.what == attempt::kind::append ? o.appended > 0 : a.what == attempt::kind::expunge ? o.expunged.contains(a.uid) : o.changed.contains(a.uid);
        for (auto& m : machines_)
            if (m->is_up() && contains(m->node()->state().stream().history(), o.at)) a.holders.insert(m->number());
        a.steady = a.holders;
        check_level(a);
        require(!a.holders.empty(), "R5", "attempt {} on node {} was acknowledged at {}, and nobody has it", a.number, a.node, text_of(o.at));
        // Fewer than were asked for, though none can have lost it since: it was promised to be on the disks of those.
        auto const lost = std::count_if(machines_.begin(), machines_.end(), [](auto const& m) { return !m->is_up() || m->lives() > 1; });
        if (a.holders.size() + static_cast<std::size_t>(lost) < schedule_.copies_in_memory || schedule_.store == storage::strict) a.stored = true;
        if (a.lost_a_disk) a.stored = false;  // as lost_its_disk()
        finish(a, fate::acknowledged);
    }

    schedule schedule_;
    run_observer* observer_;
    sim_world world_;
    sim_network network_;
    mailfs::detail::seeded_random chance_;
    sim_time began_ = 0, asleep_until_ = 0;
    bool stopped_ = false;  // the faults
    std::shared_ptr<sim_store> store_;
    bool faulty_ = false, links_failed_ = false;
    sim_time calm_since_ = 0;
    stamp latest_;  // that any node had
    std::set<std::uint32_t> orderers_;
    std::map<std::uint32_t, std::uint64_t> clocks_ms_;
    static std::string& wrong_fold() {
        static thread_local std::string here;
        return here;
    }
    epoch_owners owners_;
    positions positions_;
    uid_names names_;
    ledger ledger_;
    std::uint64_t messages_ = 0, undos_ = 0, deliveries_ = 0;
    std::map<std::uint64_t, std::function<void()>> undo_;
    run_result result_;
    std::vector<std::unique_ptr<machine<Node>>> machines_;
    std::vector<seen_node> seen_;
    std::vector<client> clients_;
};

}  // namespace mailfs::sim
