// SPDX-License-Identifier: BSL-1.0
// The clocks of a simulated machine: one on the wall, which may be wrong in every way, and a steady one, which may drift.
#pragma once

#include <mailfs/transport/sim_world.hpp>

#include <cstdint>
#include <memory>

namespace mailfs {

/// A value; copies are the same clock. Outlives no world.
class sim_clock {
public:
    static constexpr std::uint64_t world_began_ms = 1'750'000'000'000;  ///< on a wall clock that is right

    explicit sim_clock(sim_world& world, std::int64_t offset_ms = 0, std::int64_t drift_ppm = 0)
        : at_(std::make_shared<state>(state{&world, offset_ms, drift_ppm, 0, false, world.stream(0x636c6f636b, static_cast<std::uint64_t>(drift_ppm)).up_to(1'000'000)})) {}

    std::uint64_t now_ms() const {
        auto const& s = *at_;
        auto const us = s.stands ? s.stood_us : local_us();
        return static_cast<std::uint64_t>(static_cast<std::int64_t>(world_began_ms + us / 1000) + s.offset_ms);
    }
    /// Never falls, whatever is done to the wall clock.
    std::uint64_t steady_ms() const { return at_->born_ms + local_us() / 1000; }
    /// How long this machine must be waited for until its steady clock has gone on by `ms`.
    sim_time duration_of(std::uint64_t ms) const {
        auto const rate = static_cast<std::uint64_t>(1'000'000 + at_->drift_ppm);
        return ms * 1'000'000'000 / rate + 1;
    }

    void jump(std::int64_t ms) { at_->offset_ms += ms; }
    void set_offset(std::int64_t ms) { at_->offset_ms = ms; }
    std::int64_t offset_ms() const { return at_->offset_ms; }
    void stand_still() {
        at_->stood_us = local_us();
        at_->stands = true;
    }
    /// From the true time again.
    void go_on() { at_->stands = false; }

private:
    struct state {
        sim_world* world;
        std::int64_t offset_ms, drift_ppm;
        std::uint64_t stood_us;
        bool stands;
        std::uint64_t born_ms;
    };
    std::uint64_t local_us() const {
        auto const now = static_cast<std::int64_t>(at_->world->now());
        return static_cast<std::uint64_t>(now + now / 1'000'000 * at_->drift_ppm + now % 1'000'000 * at_->drift_ppm / 1'000'000);
    }

    std::shared_ptr<state> at_;
};

}  // namespace mailfs
