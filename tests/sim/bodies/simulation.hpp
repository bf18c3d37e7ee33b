// SPDX-License-Identifier: BSL-1.0
// Do nodes with their own disks keep the mail that they acknowledge? A run: nodes append and expunge for some seconds while they
// are killed, cut off, held up, left without room or power; then all of it stops, and each must come to have all mail.
//
// Checked: when a body is acknowledged it is on as many disks as was said, synced, by what a power cut at that moment would leave
// (R5, I2); and on as many as were asked for where nothing was wrong. At the end no row is without its body on any node's own
// disk, byte for byte (I6). Calls end (R15).
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/fs/power_cut.hpp>
#include <mailfs/transport/sim_network.hpp>

#include "../machine.hpp"
#include "../violation.hpp"
#include "node.hpp"

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace mailfs::sim {

struct body_sums {
    std::uint64_t appends = 0, acknowledged = 0, refused = 0, copies = 0, crashes = 0, power_cuts = 0, cuts = 0, full_disks = 0, pauses = 0, bodies = 0;
    std::uint64_t settled_ms_max = 0, events = 0;
};

template <template <class, class> class Dbox>
class body_simulation {
    static constexpr sim_time ms = 1000;
    static constexpr sim_time act_time = 6000 * ms, begin_max = 10'000 * ms, settle_max = 15'000 * ms, call_max = 12'000 * ms;
    static constexpr std::size_t appends = 40, faults = 14;
    using node_type = body_node<Dbox>;

public:
    explicit body_simulation(std::uint64_t seed)
        : world_(seed), network_(world_), chance_(world_.stream(0x626f'6479)), nodes_(2 + static_cast<std::uint32_t>(chance_.up_to(2))),
          copies_(1 + chance_.up_to(2)) {
        network_.set_delay(50, 50 + chance_.up_to(2000));
        for (std::uint32_t n = 1; n <= nodes_; ++n) machines_.push_back(std::make_unique<machine<node_type>>(network_, n, sim_clock(world_)));
        ends_.resize(nodes_);
    }
    ~body_simulation() {
        for (auto& m : machines_) m->crash();
    }

    /// What went wrong; empty: nothing.
    std::string run(body_sums& sums) {
        std::string why;
        try {
            begin();
            act();
            end();
        } catch (std::exception const& e) {
            why = e.what();
        }
        sums_.events = world_.events();
        add(sums);
        return why;
    }

private:
    struct call {
        std::uint64_t number;
        std::uint32_t node;
        sim_time begun;
        bool calm;  // when it began
        bool ended = false;
    };
    struct end_of_life {
        bool died = false;
        bool stays_down = false;
    };

    machine<node_type>& at(std::uint32_t n) { return *machines_[n - 1]; }
    std::uint32_t some_node() { return 1 + static_cast<std::uint32_t>(chance_.up_to(nodes_ - 1)); }

    void start(std::uint32_t n) {
        node_parts parts{.host = sim_host(world_, sim_clock(world_), n), .fs = sim_fs(nullptr, nullptr, faulty_fs<>())};
        parts.nodes = nodes_;
        parts.copies_on_disk = copies_;
        parts.may_create = [this, n] { return n == 1 && !made_; };
        begun_[n] = world_.now();
        ends_[n - 1] = {};
        at(n).start(std::move(parts), [this, n] { ends_[n - 1].died = true; });
    }
    // Whoever died of itself is cleaned up, and comes back.
    void look_after() {
        for (std::uint32_t n = 1; n <= nodes_; ++n) {
            if (!ends_[n - 1].died || ends_[n - 1].stays_down) continue;
            at(n).crash();
            back_soon(n);
        }
    }
    void back_soon(std::uint32_t n) {
        ends_[n - 1] = {true, true};
        troubled_ = world_.now();
        ++open_faults_;
        world_.after((1 + chance_.up_to(800)) * ms, [this, n] {
            --open_faults_;
            troubled_ = world_.now();
            start(n);
        });
    }
    template <class F>
    bool go_until(sim_time limit, F done) {
        return world_.run_until(limit, [&] {
            look_after();
            return done();
        });
    }

    void begin() {
        for (std::uint32_t n = 1; n <= nodes_; ++n) start(n);
        bool const ready = go_until(world_.now() + begin_max, [&] { return all_show(); });
        if (!ready) throw violation("R15", "not all nodes opened the mailbox");
        made_ = true;
        world_.run_for(500 * ms);
        troubled_ = world_.now();
    }
    bool all_show() {
        return std::all_of(machines_.begin(), machines_.end(), [](auto const& m) { return m->shows(); });
    }
    bool all_linked() {
        for (std::uint32_t a = 1; a <= nodes_; ++a)
            for (std::uint32_t b = 1; b <= nodes_; ++b)
                if (a != b && (!at(a).is_up() || !at(a).node()->is_up(b) || !at(a).node()->keeps_mail())) return false;
        return true;
    }
    bool is_calm() { return world_.now() > troubled_ + 1500 * ms && open_faults_ == 0 && all_linked(); }

    void act() {
        auto const begun = world_.now();
        for (std::size_t i = 0; i < appends; ++i) world_.at(begun + chance_.up_to(act_time), [this] { append(some_node()); });
        for (std::size_t i = 0; i < appends / 6; ++i) world_.at(begun + chance_.up_to(act_time), [this] { expunge(some_node()); });
        for (std::size_t i = 0; i < appends / 4; ++i) world_.at(begun + chance_.up_to(act_time), [this] { read(some_node()); });
        auto const many = chance_.up_to(faults);
        auto const calm_first = chance_.up_to(act_time / 2);
        for (std::uint64_t i = 0; i < many; ++i) world_.at(begun + calm_first + chance_.up_to(act_time - calm_first), [this] { fault(); });
        go_until(begun + act_time, [] { return false; });
    }

    // --- what clients do -----------------------------------------------------------------------------------------

    void append(std::uint32_t n) {
        if (!at(n).shows()) return;
        auto const c = std::make_shared<call>(call{++number_, n, world_.now(), is_calm()});
        calls_.push_back(c);
        ++sums_.appends;
        at(n).process().spawn(do_append(c));
    }
    asio::awaitable<void> do_append(std::shared_ptr<call> c) {
        std::size_t copies = 0;
        bool taken = false;
        try {
            co_await at(c->node).node()->append(c->number, copies);
            taken = true;
        } catch (error const&) {
        }
        c->ended = true;
        ++(taken ? sums_.acknowledged : sums_.refused);
        if (taken) acknowledged(*c, copies);
    }
    void acknowledged(call const& c, std::size_t copies) {
        sums_.copies += copies;
        std::size_t stable = 0;
        for (auto& m : machines_) stable += has(m->stable_files(), c.number) ? std::size_t{1} : 0;
        auto const why = [&] {
            return fmt::format("body {} was acknowledged by node {} on {} disks of {} wanted; it is on {} of {}", c.number, c.node, copies, copies_, stable, nodes_);
        };
        if (stable < copies || copies == 0) failed_ = why();
        if (c.calm && is_calm() && copies < std::min<std::size_t>(copies_, nodes_)) failed_ = why() + ", though all was well";
    }
    void expunge(std::uint32_t n) {
        if (!at(n).shows()) return;
        auto const& state = at(n).node()->state();
        std::vector<uid_t> all;
        state.for_each(1, uid_max, [&](std::size_t row) { all.push_back(state.rows().uid[row]); });
        if (all.empty()) return;
        at(n).process().spawn(at(n).node()->expunge(all[chance_.up_to(all.size() - 1)]), [](std::exception_ptr) {});
    }
    void read(std::uint32_t n) {
        if (!at(n).shows() || number_ == 0) return;
        auto const number = 1 + chance_.up_to(number_ - 1);
        at(n).process().spawn(do_read(n, number));
    }
    // It may not be there, or not be had; but never another's bytes.
    asio::awaitable<void> do_read(std::uint32_t n, std::uint64_t number) {
        auto const wanted = body_bytes(number);
        try {
            auto const got = co_await at(n).node()->read(body_id(number), wanted.size());
            if (got != wanted) failed_ = fmt::format("node {} read other bytes than those of body {}", n, number);
        } catch (error const&) {
        }
    }

    // --- what befalls them ---------------------------------------------------------------------------------------

    void fault() {
        troubled_ = world_.now();
        auto const n = some_node();
        switch (chance_.up_to(6)) {
            case 0:
                if (!at(n).is_up()) break;
                ++sums_.crashes;
                ends_[n - 1].stays_down = true;
                at(n).crash();
                back_soon(n);
                break;
            case 1:
                if (!at(n).is_up()) break;
                ++sums_.crashes;
                at(n).process().kill_after_steps(1 + chance_.up_to(300));
                break;
            case 2:
                if (!at(n).is_up()) break;
                ++sums_.power_cuts;
                ends_[n - 1].stays_down = true;
                at(n).cut_power(static_cast<power_cut>(chance_.up_to(6)), chance_());
                back_soon(n);
                break;
            case 3: cut(n); break;
            case 4:
                if (!at(n).is_up()) break;
                ++sums_.full_disks;
                at(n).faults().disk_full_after(chance_.up_to(100'000));
                later([this, n] {
                    if (at(n).is_up()) at(n).faults().disk_has_room();
                });
                break;
            case 5:
                if (!at(n).is_up()) break;
                ++sums_.pauses;
                at(n).process().pause();
                later([this, n, life = at(n).lives()] {
                    if (at(n).is_up() && at(n).lives() == life) at(n).process().go_on();
                });
                break;
            default:
                at(n).pace->sync_max = 200'000;
                later([this, n] { at(n).pace->sync_max = 400; });
                break;
        }
    }
    void cut(std::uint32_t n) {
        auto const other = some_node();
        if (n == other) return;
        ++sums_.cuts;
        bool const both = chance_.up_to(3) != 0;
        network_.cut(n, other);
        if (both) network_.cut(other, n);
        later([this, n, other] {
            network_.heal(n, other);
            network_.heal(other, n);
        });
    }
    template <class F>
    void later(F undo) {
        ++open_faults_;
        world_.after((50 + chance_.up_to(1500)) * ms, [this, undo] {
            --open_faults_;
            troubled_ = world_.now();
            undo();
        });
    }

    // --- what must be --------------------------------------------------------------------------------------------

    void end() {
        go_until(world_.now() + 2000 * ms, [&] { return open_faults_ == 0; });
        auto const quiet = world_.now();
        bool const equal = go_until(quiet + settle_max, [&] { return all_equal(); });
        check_calls(quiet);
        if (!failed_.empty()) throw violation("R5", failed_);
        if (!equal) throw violation("R7", "the nodes are not equal");
        bool const all_here = go_until(quiet + settle_max, [&] { return all_equal() && lacking().empty(); });
        sums_.settled_ms_max = (world_.now() - quiet) / ms;
        if (!failed_.empty()) throw violation("R5", failed_);
        if (!all_here) throw violation("I6", lacking());
        check_disks();
    }
    void check_calls(sim_time quiet) {
        go_until(quiet + call_max, [&] {
            return std::all_of(calls_.begin(), calls_.end(), [&](auto const& c) { return c->ended || is_dead(*c); });
        });
        for (auto const& c : calls_)
            if (!c->ended && !is_dead(*c)) throw violation("R15", fmt::format("the append of body {} on node {} has not ended", c->number, c->node));
    }
    // Its process went, and the call with it.
    bool is_dead(call const& c) { return begun_[c.node] > c.begun || !at(c.node).is_up(); }
    bool all_equal() {
        if (!all_show()) return false;
        auto const& first = at(1).node()->state();
        for (std::uint32_t n = 2; n <= nodes_; ++n)
            if (at(n).node()->state().stream().at != first.stream().at || at(n).node()->state().counters().messages != first.counters().messages) return false;
        return true;
    }
    std::vector<std::uint64_t> live_bodies() {
        std::vector<std::uint64_t> all;
        auto const& state = at(1).node()->state();
        state.for_each(1, uid_max, [&](std::size_t row) {
            auto const id = state.rows().id[row];
            for (std::uint64_t n = 1; n <= number_; ++n)
                if (body_id(n) == id) all.push_back(n);
        });
        return all;
    }
    std::string lacking() {
        for (auto const b : live_bodies())
            for (std::uint32_t n = 1; n <= nodes_; ++n)
                if (!at(n).node()->has(b)) return fmt::format("node {} has a row and not its body {}", n, b);
        return {};
    }
    void check_disks() {
        auto const all = live_bodies();
        sums_.bodies = all.size();
        for (auto const b : all)
            for (std::uint32_t n = 1; n <= nodes_; ++n)
                if (!has(at(n).files(), b)) throw violation("I6", fmt::format("node {} says that it has body {}, and has not, on its disk", n, b));
    }

    bool has(memory_fs files, std::uint64_t number) {
        Dbox<memory_fs, sim_host> mails(std::move(files), "mail", sim_host(world_, sim_clock(world_), 99));
        bool found = false;
        asio::io_context context;
        asio::co_spawn(context, look_for(mails, number, found), [](std::exception_ptr thrown) {
            if (thrown) std::rethrow_exception(thrown);
        });
        context.run();
        return found;
    }
    static asio::awaitable<void> look_for(Dbox<memory_fs, sim_host>& mails, std::uint64_t number, bool& found) {
        auto const id = body_id(number);
        auto const wanted = body_bytes(number);
        auto const files = co_await mails.files();
        for (auto const& file : files) {
            auto const there = co_await mails.scan(file);
            for (auto const& mail : there.mails) {
                if (mail.id != id || !mail.sound) continue;
                auto const body = co_await mails.read(id, mail.where);
                found = found || body == wanted;
            }
        }
    }
    void add(body_sums& s) const {
        s.appends += sums_.appends, s.acknowledged += sums_.acknowledged, s.refused += sums_.refused, s.copies += sums_.copies;
        s.crashes += sums_.crashes, s.power_cuts += sums_.power_cuts, s.cuts += sums_.cuts, s.full_disks += sums_.full_disks, s.pauses += sums_.pauses;
        s.bodies += sums_.bodies, s.events += sums_.events, s.settled_ms_max = std::max(s.settled_ms_max, sums_.settled_ms_max);
    }

    sim_world world_;
    sim_network network_;
    mailfs::detail::seeded_random chance_;
    std::uint32_t nodes_;
    std::size_t copies_;
    std::vector<std::unique_ptr<machine<node_type>>> machines_;
    std::vector<end_of_life> ends_;
    std::map<std::uint32_t, sim_time> begun_;  // the life that each node has now
    std::vector<std::shared_ptr<call>> calls_;
    bool made_ = false;
    std::uint64_t number_ = 0;
    sim_time troubled_ = 0;
    std::uint64_t open_faults_ = 0;
    std::string failed_;
    body_sums sums_;
};

}  // namespace mailfs::sim
