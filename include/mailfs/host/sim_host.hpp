// SPDX-License-Identifier: BSL-1.0
// What a simulated machine lets the library know: its clock, its boots, and randomness that follows from the seed.
#pragma once

#include <mailfs/host/host.hpp>
#include <mailfs/host/sim_clock.hpp>

#include <cstdint>
#include <memory>

namespace mailfs {

/// A value; copies are the same machine.
class sim_host {
public:
    sim_host(sim_world& world, sim_clock clock, std::uint32_t node)
        : clock_(std::move(clock)), machine_(std::make_shared<machine>(machine{world.stream(0x686f7374, node), 1, node})) {}

    std::uint64_t now_ms() const { return clock_.now_ms(); }
    std::uint64_t random() const { return machine_->chance(); }
    guid boot() const { return guid::from_words(machine_->node + 1, machine_->boots); }
    std::uint32_t node() const noexcept { return machine_->node; }

    sim_clock const& clock() const noexcept { return clock_; }
    /// After a power cut.
    void boot_again() { ++machine_->boots; }

private:
    struct machine {
        detail::seeded_random chance;
        std::uint64_t boots;
        std::uint32_t node;
    };
    sim_clock clock_;
    std::shared_ptr<machine> machine_;
};
static_assert(host<sim_host>);

}  // namespace mailfs
