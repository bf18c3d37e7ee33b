// SPDX-License-Identifier: BSL-1.0
// The network of a simulated world: connections between nodes, and all that can befall them.
//
// A connection is two pipes, one in each direction. What is written travels for a while, arrives in order, and waits to be
// read; a pipe holds window_size bytes of it. Nothing is lost in the middle, as TCP has it: a cut or a stall holds back what
// is on its way, a broken connection ends at any byte. Who ends a connection, or dies, is heard of when the word arrives.
#pragma once

#include <mailfs/transport/sim_process.hpp>
#include <mailfs/types/bytes.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace mailfs {

class sim_network;

namespace detail {

/// What travels one way. Its ends belong to the nodes `from` and `to`.
struct sim_pipe {
    enum class word : std::uint8_t { bytes, end, reset };
    struct parcel {
        sim_time due = 0;
        word what = word::bytes;
        std::vector<std::byte> bytes;
        std::uint64_t number = 0;
    };
    std::uint32_t from = 0, to = 0;
    std::deque<parcel> on_way;
    std::vector<std::byte> arrived;  // from `read` on
    std::size_t read = 0;
    std::size_t used = 0;     // of the window
    std::size_t unfreed = 0;  // read, and the writer has not heard of it, for the way back is cut
    std::uint64_t stalls = 0; // more than 0: held back, this pipe alone
    bool ended = false;       // the writer's end has been read of

    std::size_t waiting() const noexcept { return arrived.size() - read; }
};

/// Side 0 dialled, side 1 accepted; pipe[s] is written by side s.
struct sim_connection {
    struct end {
        std::shared_ptr<sim_process> process;  // none: its process died, or it was closed
        std::uint64_t reader = 0, writer = 0;  // tickets
        std::uint64_t death = 0;
        bool broken = false, closed = false, vanished = false;
    };
    std::array<sim_pipe, 2> pipe;
    std::array<end, 2> ends;
    std::uint64_t number = 0;
};

/// Where a process hears of connections made to it.
struct sim_endpoint {
    static constexpr std::size_t backlog_max = 64;
    std::shared_ptr<sim_process> process;
    std::deque<std::shared_ptr<sim_connection>> backlog;
    std::uint64_t acceptor = 0;
    bool stopped = false;
    std::vector<std::uint64_t> waits;  // tickets that stop() wakes
};

/// One try to connect.
struct sim_attempt {
    std::shared_ptr<sim_process> process;
    std::uint64_t ticket = 0;
    bool given_up = false;
    std::shared_ptr<sim_connection> made;
};

}  // namespace detail

/// Outlived by its world; one for all nodes.
class sim_network {
    using connection = detail::sim_connection;
    using pipe = detail::sim_pipe;
    using connection_ptr = std::shared_ptr<connection>;

public:
    static constexpr std::size_t window_size = std::size_t{256} << 10;

    explicit sim_network(sim_world& world) : world_(world), chance_(world.stream(0x6e6574)) {}
    sim_network(sim_network const&) = delete;
    sim_network& operator=(sim_network const&) = delete;

    sim_world& world() const noexcept { return world_; }

    // --- what befalls it ---------------------------------------------------------------------------------------
    void set_delay(std::uint32_t from, std::uint32_t to, sim_time min, sim_time max) {
        auto& w = way_of(from, to);
        w.delay_min = min;
        w.delay_max = max;
    }
    void set_delay(sim_time min, sim_time max) {
        delay_min_ = min;
        delay_max_ = max;
        for (auto& [nodes, w] : ways_) w.delay_min = min, w.delay_max = max;
    }
    /// Nothing gets through that way, and nobody is told. Cuts add up: each needs its heal().
    void cut(std::uint32_t from, std::uint32_t to) {
        if (++way_of(from, to).cuts == 1) world_.note(sim_note::kind::cut, from, to);
    }
    void heal(std::uint32_t from, std::uint32_t to) {
        auto& w = way_of(from, to);
        if (w.cuts == 0 || --w.cuts > 0) return;
        world_.note(sim_note::kind::healed, from, to);
        for_each([&](connection_ptr const& c) {
            for (std::size_t side = 0; side < 2; ++side)
                if (is_of(c->pipe[side], from, to)) flow_later(c, side, chance_.up_to(retry_max));  // each is tried again some time
                else if (is_of(c->pipe[side], to, from)) free(*c, side);
        });
    }
    bool is_cut(std::uint32_t from, std::uint32_t to) const {
        auto const at = ways_.find({from, to});
        return at != ways_.end() && at->second.cuts > 0;
    }
    /// Every connection between the two breaks, in mid-frame or not; both sides hear of it, if the way is open.
    std::size_t break_connections(std::uint32_t a, std::uint32_t b) {
        std::size_t n = 0;
        for_each([&](connection_ptr const& c) {
            if (!is_of(c->pipe[0], a, b) && !is_of(c->pipe[0], b, a)) return;
            ++n;
            world_.note(sim_note::kind::broken, c->pipe[0].from, c->pipe[0].to, c->number);
            for (std::size_t side = 0; side < 2; ++side) reset(c, side, true);
        });
        return n;
    }
    /// The connections there are now deliver nothing that way for a while, each for its own; new ones are not concerned, and
    /// may overtake them.
    std::size_t stall_connections(std::uint32_t from, std::uint32_t to, sim_time min, sim_time max) {
        std::size_t n = 0;
        for_each([&](connection_ptr const& c) {
            for (std::size_t side = 0; side < 2; ++side) {
                if (!is_of(c->pipe[side], from, to)) continue;
                ++n;
                ++c->pipe[side].stalls;
                world_.after(min + chance_.up_to(max - min), [this, c, side] {
                    auto& stalls = c->pipe[side].stalls;
                    if (stalls > 0 && --stalls == 0) flow(c, side);
                });
            }
        });
        return n;
    }
    /// Ends them all.
    void end_stalls() {
        for_each([&](connection_ptr const& c) {
            for (std::size_t side = 0; side < 2; ++side)
                if (std::exchange(c->pipe[side].stalls, 0) > 0) flow_later(c, side, 0);
        });
    }

    // --- machines ----------------------------------------------------------------------------------------------
    /// The power of a node fails: its peers hear nothing, not even that. Before its process is killed.
    void vanish(std::uint32_t node) {
        up_[node] = false;
        for_each([&](connection_ptr const& c) {
            for (std::size_t side = 0; side < 2; ++side)
                if (c->pipe[side].from == node) lose(c, side);
        });
    }
    /// It is back: who still talks to what was there before is told so.
    void come_up(std::uint32_t node) {
        up_[node] = true;
        for_each([&](connection_ptr const& c) {
            for (std::size_t side = 0; side < 2; ++side)
                if (c->pipe[side].to == node && c->ends[1 - side].vanished) flow_later(c, side, chance_.up_to(retry_max));
        });
    }
    bool is_up(std::uint32_t node) const {
        auto const at = up_.find(node);
        return at == up_.end() || at->second;
    }

    // --- for transports ----------------------------------------------------------------------------------------
    void listen(std::shared_ptr<detail::sim_endpoint> const& endpoint) {
        auto const node = endpoint->process->node();
        endpoints_[node] = endpoint;
        if (!is_up(node)) come_up(node);
    }

    void dial(std::shared_ptr<detail::sim_attempt> const& attempt, std::uint32_t to) {
        auto const from = attempt->process->node();
        auto const until = world_.now() + connect_time_max / 6 + chance_.up_to(connect_time_max);
        world_.after(delay(from, to), [this, attempt, from, to, until] { arrive(attempt, from, to, until); });
    }

    std::size_t room(connection const& c, std::size_t side) const noexcept { return window_size - c.pipe[side].used; }
    void send(connection_ptr const& c, std::size_t side, bytes_view bytes) {
        auto& p = c->pipe[side];
        p.used += bytes.size();
        // Now and then it arrives in two pieces, cut anywhere.
        auto const cut = chance_.up_to(7) == 0 ? static_cast<std::size_t>(chance_.up_to(bytes.size())) : bytes.size();
        for (auto const part : {bytes.first(cut), bytes.subspan(cut)})
            if (!part.empty()) put(c, side, pipe::word::bytes, {part.begin(), part.end()});
    }
    std::size_t take(connection& c, std::size_t side, std::span<std::byte> buffer) {
        auto& p = c.pipe[1 - side];
        auto const n = std::min(buffer.size(), p.waiting());
        std::copy_n(p.arrived.begin() + static_cast<std::ptrdiff_t>(p.read), n, buffer.begin());
        p.read += n;
        if (p.read == p.arrived.size()) {
            p.arrived.clear();
            p.read = 0;
        }
        p.unfreed += n;
        if (!is_cut(p.to, p.from)) free(c, 1 - side);
        return n;
    }
    /// By its owner: the other side reads what was sent before, and then the end of it.
    void close(connection_ptr const& c, std::size_t side) {
        auto& e = c->ends[side];
        if (std::exchange(e.closed, true)) return;
        world_.note(sim_note::kind::closed, c->pipe[side].from, c->pipe[side].to, c->number);
        if (!e.broken) put(c, side, pipe::word::end, {});
        let_go(*c, side);
    }
    /// The process of an accepted or dialled end, from now on.
    void own(connection_ptr const& c, std::size_t side, std::shared_ptr<sim_process> const& process) {
        auto& e = c->ends[side];
        e.process = process;
        e.death = process->at_death([this, weak = std::weak_ptr(c), side] {
            if (auto const there = weak.lock()) die(there, side);
        });
    }

private:
    static constexpr sim_time retry_max = 400'000;  // until a sender tries again what did not get through
    static constexpr sim_time connect_time_max = 3'000'000;

    struct way {
        sim_time delay_min, delay_max;
        std::uint64_t cuts = 0;
    };
    static bool is_of(pipe const& p, std::uint32_t from, std::uint32_t to) noexcept { return p.from == from && p.to == to; }

    way& way_of(std::uint32_t from, std::uint32_t to) { return ways_.try_emplace({from, to}, way{delay_min_, delay_max_}).first->second; }
    sim_time delay(std::uint32_t from, std::uint32_t to) {
        auto const& w = way_of(from, to);
        return w.delay_min + chance_.up_to(w.delay_max - w.delay_min);
    }

    template <class F>
    void for_each(F f) {
        std::erase_if(connections_, [](auto const& weak) { return weak.expired(); });
        auto const all = connections_;
        for (auto const& weak : all)
            if (auto const c = weak.lock()) f(c);
    }

    // --- connecting ----------------------------------------------------------------------------------------------
    // What gets no answer is tried again until that time.
    void arrive(std::shared_ptr<detail::sim_attempt> const& attempt, std::uint32_t from, std::uint32_t to, sim_time until) {
        if (attempt->given_up || !attempt->process->alive()) return;
        if (is_cut(from, to) || is_cut(to, from) || !is_up(to)) {
            if (world_.now() >= until) return fail_after(attempt, 0);
            world_.after(retry_max / 4 + chance_.up_to(retry_max), [this, attempt, from, to, until] { arrive(attempt, from, to, until); });
            return;
        }
        auto const endpoint = endpoints_[to].lock();
        bool const listens = endpoint && endpoint->process->alive() && !endpoint->stopped;
        if (!listens || endpoint->backlog.size() == detail::sim_endpoint::backlog_max) {
            world_.note(sim_note::kind::refused, from, to);
            return fail_after(attempt, delay(to, from));
        }
        auto const c = std::make_shared<connection>();
        c->number = ++numbers_;
        c->pipe[0].from = c->pipe[1].to = from;
        c->pipe[0].to = c->pipe[1].from = to;
        connections_.push_back(c);
        own(c, 1, endpoint->process);
        world_.note(sim_note::kind::connected, from, to, c->number);
        endpoint->backlog.push_back(c);
        endpoint->process->wake(std::exchange(endpoint->acceptor, 0));
        own(c, 0, attempt->process);
        world_.after(delay(to, from), [this, attempt, c] {
            if (attempt->given_up) return close(c, 0);
            attempt->made = c;
            attempt->process->wake(attempt->ticket);
        });
    }
    void fail_after(std::shared_ptr<detail::sim_attempt> const& attempt, sim_time time) {
        world_.after(time, [attempt] { attempt->process->wake(attempt->ticket); });
    }

    // --- what is on its way --------------------------------------------------------------------------------------
    void put(connection_ptr const& c, std::size_t side, pipe::word what, std::vector<std::byte> bytes) {
        auto& p = c->pipe[side];
        auto const due = std::max(world_.now() + delay(p.from, p.to), p.on_way.empty() ? 0 : p.on_way.back().due);
        auto const number = ++parcels_;
        if (what == pipe::word::bytes) world_.note(sim_note::kind::sent, p.from, p.to, number, bytes.size(), bytes);
        p.on_way.push_back({due, what, std::move(bytes), number});
        world_.at(due, [this, c, side] { flow(c, side); });
    }
    void flow_later(connection_ptr const& c, std::size_t side, sim_time delay) {
        world_.after(delay, [this, c, side] { flow(c, side); });
    }
    void flow(connection_ptr const& c, std::size_t side) {
        auto& p = c->pipe[side];
        auto& reader = c->ends[1 - side];
        bool any = false;
        while (!p.on_way.empty() && p.on_way.front().due <= world_.now() && p.stalls == 0 && !is_cut(p.from, p.to)) {
            if (reader.vanished && !is_up(p.to)) return;  // nobody is there; it will be tried again
            auto const next = std::move(p.on_way.front());
            p.on_way.pop_front();
            any = true;
            if (reader.vanished || reader.closed) {
                if (next.what == pipe::word::bytes && !std::exchange(reader.broken, true)) reset(c, 1 - side, false);
                continue;
            }
            switch (next.what) {
                case pipe::word::bytes:
                    world_.note(sim_note::kind::arrived, p.from, p.to, next.number, next.bytes.size());
                    p.arrived.insert(p.arrived.end(), next.bytes.begin(), next.bytes.end());
                    break;
                case pipe::word::end: p.ended = true; break;
                case pipe::word::reset: reader.broken = true; break;
            }
        }
        if (any) wake(*c, 1 - side);
    }
    // The word goes out that side `side` is no more; in_middle: what is on its way ends at any byte.
    void reset(connection_ptr const& c, std::size_t side, bool in_middle) {
        auto& p = c->pipe[side];
        if (in_middle) shorten(p);
        put(c, side, pipe::word::reset, {});
    }
    void shorten(pipe& p) {
        std::size_t total = 0;
        for (auto const& parcel : p.on_way) total += parcel.bytes.size();
        auto kept = static_cast<std::size_t>(chance_.up_to(total));
        for (auto& parcel : p.on_way) {
            parcel.bytes.resize(std::min(kept, parcel.bytes.size()));
            kept -= parcel.bytes.size();
        }
        std::erase_if(p.on_way, [](auto const& parcel) { return parcel.bytes.empty(); });
    }
    void free(connection& c, std::size_t side) {
        auto& p = c.pipe[side];
        p.used -= std::exchange(p.unfreed, 0);
        wake_writer(c, side);
    }

    // --- ends ----------------------------------------------------------------------------------------------------
    void wake(connection& c, std::size_t side) {
        auto& e = c.ends[side];
        if (e.process && e.reader != 0) e.process->wake(std::exchange(e.reader, 0));
        wake_writer(c, side);
    }
    void wake_writer(connection& c, std::size_t side) {
        auto& e = c.ends[side];
        if (e.process && e.writer != 0) e.process->wake(std::exchange(e.writer, 0));
    }
    void let_go(connection& c, std::size_t side) {
        auto& e = c.ends[side];
        wake(c, side);
        if (e.process) e.process->forget_death(e.death);
        e.process.reset();
    }
    // Its process died: the kernel ends the connection, orderly or not.
    void die(connection_ptr const& c, std::size_t side) {
        auto& e = c->ends[side];
        if (!e.closed && !e.vanished && !e.broken) {
            if (chance_.up_to(1) == 0) put(c, side, pipe::word::end, {});
            else reset(c, side, true);
        }
        e.closed = true;
        e.process.reset();
    }
    // Its machine died: some of what it sent is on its way still.
    void lose(connection_ptr const& c, std::size_t side) {
        if (c->ends[side].closed) return;
        shorten(c->pipe[side]);
        c->ends[side].vanished = true;
    }

    sim_world& world_;
    detail::seeded_random chance_;
    sim_time delay_min_ = 50, delay_max_ = 500;
    std::map<std::pair<std::uint32_t, std::uint32_t>, way> ways_;
    std::map<std::uint32_t, bool> up_;
    std::map<std::uint32_t, std::weak_ptr<detail::sim_endpoint>> endpoints_;
    std::vector<std::weak_ptr<connection>> connections_;
    std::uint64_t numbers_ = 0, parcels_ = 0;
};

}  // namespace mailfs
