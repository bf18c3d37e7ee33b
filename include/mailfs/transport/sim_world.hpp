// SPDX-License-Identifier: BSL-1.0
// A world for simulations: simulated time, a queue of events, and one seed from which all that happens follows.
//
//     sim_world world(seed);
//     auto process = sim_process::start(world, node);      // has an executor; coroutines live there
//     world.run_until(limit, [&] { return done; });
//
// One thread. Nothing here asks a clock, and nothing is ordered by address or by hash: the same seed and the same calls give
// the same trace_hash(). Coroutines may wait on what sim_process and its users offer, and on timers that never expire and are
// cancelled (as detail/turns.hpp does); a timer that expires would bring the real clock in.
#pragma once

#include <mailfs/fs/detail/seeded_random.hpp>
#include <mailfs/types/bytes.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

namespace mailfs {

using sim_time = std::uint64_t;  ///< microseconds since the world began
inline constexpr sim_time sim_never = std::numeric_limits<sim_time>::max();

namespace detail {
/// What has coroutines that may be ready to go on.
struct sim_runnable {
    virtual void run_ready() = 0;
    virtual void kill() = 0;

protected:
    ~sim_runnable() = default;
};
}  // namespace detail

/// What took place, for who follows along: folded into the trace hash, and handed to the observer.
struct sim_note {
    enum class kind : std::uint8_t { sent, arrived, connected, refused, broken, closed, cut, healed, started, killed, paused, resumed, disk, other };
    kind what = kind::other;
    sim_time when = 0;
    std::uint32_t from = 0, to = 0;  ///< nodes
    std::uint64_t detail = 0;        ///< of `sent` and `arrived`: which bytes, the same number for both; else what suits the kind
    std::uint64_t size = 0;
    bytes_view bytes{};              ///< of `sent`, during the call
};

class sim_world {
public:
    static constexpr std::uint64_t events_max = 200'000'000;  ///< beyond it nothing real is being simulated

    explicit sim_world(std::uint64_t seed) : seed_(seed), hash_(detail::seeded_random(seed)()) {}
    sim_world(sim_world const&) = delete;
    sim_world& operator=(sim_world const&) = delete;
    ~sim_world() {
        for (auto const& weak : runnables_)
            if (auto const r = weak.lock()) r->kill();
    }

    sim_time now() const noexcept { return now_; }
    std::uint64_t seed() const noexcept { return seed_; }
    /// A source of chance of its own: what others draw does not change what this one gives.
    detail::seeded_random stream(std::uint64_t kind, std::uint64_t a = 0, std::uint64_t b = 0) const noexcept {
        auto mixed = detail::seeded_random(seed_ ^ (kind * 0xd6e8'feb8'6659'fd93U))();
        mixed = detail::seeded_random(mixed ^ (a * 0xa076'1d64'78bd'642fU))();
        return detail::seeded_random(mixed ^ (b * 0xe703'7ed1'a0b4'28dbU));
    }

    /// Calls `what` at that time, or now when it has passed. Equal times: in the order of these calls.
    void at(sim_time when, std::function<void()> what) {
        queue_.push_back({std::max(when, now_), ++sequence_, std::move(what)});
        std::push_heap(queue_.begin(), queue_.end(), later{});
    }
    void after(sim_time delay, std::function<void()> what) { at(delay > sim_never - now_ ? sim_never : now_ + delay, std::move(what)); }

    /// Goes on until `done` says so or that time has come. True: done.
    template <class Condition>
    bool run_until(sim_time limit, Condition done) {
        while (true) {
            run_ready();
            if (done()) return true;
            if (queue_.empty() || queue_.front().when > limit) {
                now_ = std::max(now_, limit);
                return false;
            }
            step();
        }
    }
    void run_until(sim_time limit) {
        run_until(limit, [] { return false; });
    }
    void run_for(sim_time time) { run_until(now_ + time); }

    void note(sim_note::kind what, std::uint32_t from, std::uint32_t to = 0, std::uint64_t detail = 0, std::uint64_t size = 0, bytes_view bytes = {}) {
        mix(now_);
        mix(static_cast<std::uint64_t>(what) << 56 ^ std::uint64_t{from} << 28 ^ to);
        mix(detail);
        mix(size);
        if (observer) observer({what, now_, from, to, detail, size, bytes});
    }
    std::uint64_t trace_hash() const noexcept { return hash_; }
    std::uint64_t events() const noexcept { return events_; }

    std::function<void(sim_note const&)> observer;  ///< is told of every note; changes nothing

    // For processes.
    void add(std::shared_ptr<detail::sim_runnable> const& r) {
        std::erase_if(runnables_, [](auto const& weak) { return weak.expired(); });
        runnables_.push_back(r);
    }
    /// It has something to run, before time goes on.
    void make_ready(std::weak_ptr<detail::sim_runnable> r) { ready_.push_back(std::move(r)); }

private:
    struct event {
        sim_time when;
        std::uint64_t sequence;
        std::function<void()> what;
    };
    struct later {
        bool operator()(event const& a, event const& b) const noexcept {
            return a.when != b.when ? a.when > b.when : a.sequence > b.sequence;
        }
    };

    void step() {
        std::pop_heap(queue_.begin(), queue_.end(), later{});
        auto const next = std::move(queue_.back());
        queue_.pop_back();
        now_ = next.when;
        if (++events_ > events_max) throw std::runtime_error("sim_world: too many events");
        next.what();
    }
    void run_ready() {
        while (!ready_.empty()) {
            auto const next = ready_.front().lock();
            ready_.pop_front();
            if (next) next->run_ready();
        }
    }
    void mix(std::uint64_t word) noexcept {
        hash_ = (hash_ ^ word) * 0x9e37'79b9'7f4a'7c15U;
        hash_ ^= hash_ >> 31;
    }

    std::uint64_t seed_, hash_;
    sim_time now_ = 0;
    std::uint64_t sequence_ = 0, events_ = 0;
    std::vector<event> queue_;  // a heap
    std::deque<std::weak_ptr<detail::sim_runnable>> ready_;
    std::vector<std::weak_ptr<detail::sim_runnable>> runnables_;
};

}  // namespace mailfs
