// SPDX-License-Identifier: BSL-1.0
// One machine under test: a disk, a clock, boots, and processes that are run in turn and stopped in the middle.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/fs/detail/seeded_random.hpp>
#include <mailfs/fs/faulty_fs.hpp>
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/types/guid.hpp>

#include <asio/async_result.hpp>
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/use_awaitable.hpp>

#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace mailfs::crash {

using mailfs::detail::seeded_random;
inline std::uint64_t roll(seeded_random& r, std::uint64_t n) { return r.up_to(n - 1); }
inline bool one_in(seeded_random& r, std::uint64_t n) { return roll(r, n) == 0; }

/// What becomes of the call in which a process is stopped.
struct stop_point {
    static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

    std::uint64_t call = never;  ///< the how-manieth of the stretch that is watched, over all its processes
    std::uint64_t reach = 0;     ///< bytes of an append that get through
    bool done = false;           ///< whether a create, remove or sync happens
    bool all = false;            ///< all processes end here, as in a power cut; else the one whose call it is
};

class process;

class machine {
public:
    explicit machine(std::uint64_t seed) : chance(seed) {}
    machine(machine const&) = delete;
    machine& operator=(machine const&) = delete;

    std::shared_ptr<process> start();
    void stop_all();
    bool has(process const& p) const;

    /// The power is cut and comes back: no process lives, and the disk holds what the model leaves of it.
    void cut_power(power_cut how, std::uint64_t seed);
    /// The disk is another one, as it was found.
    void put_disk(memory_fs found) { disk = faulty_fs<>(std::move(found)); }

    /// Runs the coroutines, one call of one process at a time and whose is left to chance, to their ends.
    void run_interleaved(std::vector<asio::awaitable<void>> all) { run(std::move(all), true); }
    /// Runs the coroutine to its end.
    void run_alone(asio::awaitable<void> one) {
        std::vector<asio::awaitable<void>> all;
        all.push_back(std::move(one));
        run(std::move(all), false);
    }

    void watch_calls(stop_point s) {
        stop_ = s;
        calls_ = 0;
        stopped_ = false;
    }
    std::uint64_t calls() const noexcept { return calls_; }
    bool stopped() const noexcept { return stopped_; }

    faulty_fs<> disk;
    seeded_random chance;
    std::uint64_t clock_ms = 1'750'000'000'000;
    std::uint64_t boots = 1;

private:
    friend class process;
    void run(std::vector<asio::awaitable<void>> all, bool interleaved);
    static asio::io_context& context() {
        static asio::io_context one(1);
        return one;
    }

    stop_point stop_;
    std::uint64_t calls_ = 0;
    bool stopped_ = false;
    bool interleaved_ = false;
    std::vector<std::function<void()>> waiting_;
    std::vector<std::weak_ptr<process>> processes_;
};

/// What the library may know of the machine.
struct machine_host {
    machine* on = nullptr;

    std::uint64_t now_ms() { return ++on->clock_ms; }
    std::uint64_t random() { return on->chance(); }
    guid boot() { return guid::from_words(0, on->boots); }
    std::uint32_t node() { return 0; }
};

/// A process: its own hold on the disk, which can be stopped while others go on.
class process {
public:
    explicit process(machine& m) : fs(m.disk.another_process()), machine_(&m) {}

    bool dead() const { return fs.faults().stopped(); }
    void stop() { fs.faults().stop(); }

    /// Before each call: waits for its turn where calls are interleaved, and ends here when it is to end here.
    bool must_wait() const { return machine_->interleaved_ && !dead(); }
    asio::awaitable<void> wait() {
        auto park = [this](auto handler) {
            auto shared = std::make_shared<decltype(handler)>(std::move(handler));
            machine_->waiting_.push_back([shared] { (*shared)(); });
        };
        return asio::async_initiate<asio::use_awaitable_t<> const, void()>(park, asio::use_awaitable);
    }
    void arrive() {
        if (dead() || ++machine_->calls_ != machine_->stop_.call) return;
        auto const& s = machine_->stop_;
        machine_->stopped_ = true;
        fs.faults().stop_at(fs.faults().calls() + 1, s.reach, s.done);
        if (!s.all) return;
        for (auto const& weak : machine_->processes_)
            if (auto const other = weak.lock(); other && other.get() != this) other->stop();
    }

    faulty_fs<> fs;

private:
    machine* machine_;
};

inline std::shared_ptr<process> machine::start() {
    auto p = std::make_shared<process>(*this);
    processes_.push_back(p);
    return p;
}
inline void machine::stop_all() {
    for (auto const& weak : processes_)
        if (auto const p = weak.lock()) p->stop();
    processes_.clear();
}
inline void machine::cut_power(power_cut how, std::uint64_t seed) {
    auto found = disk.after(how, seed);
    stop_all();
    put_disk(std::move(found));
    ++boots;
    clock_ms += 60'000;  // nothing boots faster
}

inline void machine::run(std::vector<asio::awaitable<void>> all, bool interleaved) {
    interleaved_ = interleaved;
    std::size_t left = all.size();
    std::exception_ptr failure;
    for (auto& one : all)
        asio::co_spawn(context(), std::move(one), [&left, &failure](std::exception_ptr thrown) {
            --left;
            if (thrown) failure = thrown;
        });
    while (left > 0) {
        context().restart();
        context().poll();
        if (waiting_.empty()) break;
        auto const next = static_cast<std::size_t>(roll(chance, waiting_.size()));
        auto const go = std::exchange(waiting_[next], std::move(waiting_.back()));
        waiting_.pop_back();
        go();
    }
    interleaved_ = false;
    if (left > 0) throw std::logic_error("a coroutine waits for what never comes");
    if (failure) std::rethrow_exception(failure);
}

}  // namespace mailfs::crash
