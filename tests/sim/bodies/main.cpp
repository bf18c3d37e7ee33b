// SPDX-License-Identifier: BSL-1.0
// Is mail that nodes with their own disks acknowledged still there, on each of them?
//   body_sim [--seed N] [--schedules M]      runs schedules, a new seed for each; one line for each figure
//   body_sim --mutants [--schedules M]       plants each error of body_mutant.hpp, and sees it found
#include "simulation.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>

using namespace mailfs;
using namespace mailfs::sim;
using mailfs::detail::body_mutant;
using mailfs::detail::body_mutant_names;

namespace {

std::string run_one(std::uint64_t seed, body_sums& sums) {
    if (seed % 2 == 0) return body_simulation<multi_dbox>(seed).run(sums);
    return body_simulation<single_dbox>(seed).run(sums);
}

// How many were run until one failed; 0: none did.
std::uint64_t first_failure(std::uint64_t seed, std::uint64_t schedules, body_sums& sums, std::string& why) {
    for (std::uint64_t n = 0; n < schedules; ++n) {
        why = run_one(seed + n, sums);
        if (!why.empty()) return n + 1;
    }
    return 0;
}

int run_all(std::uint64_t seed, std::uint64_t schedules) {
    body_sums sums;
    std::string why;
    auto const begun = std::chrono::steady_clock::now();
    fmt::print("body_sim.seed {}\n", seed);
    auto const failed = first_failure(seed, schedules, sums, why);
    auto const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    if (failed != 0) fmt::print("seed {}: {}\n", seed + failed - 1, why);
    fmt::print("body_sim.schedules {}\nbody_sim.violations {}\nbody_sim.schedules_per_second {:.0f}\n", failed == 0 ? schedules : failed, failed == 0 ? 0 : 1,
               static_cast<double>(failed == 0 ? schedules : failed) / seconds);
    fmt::print("body_sim.appends {}\nbody_sim.acknowledged {}\nbody_sim.refused {}\nbody_sim.copies {}\n", sums.appends, sums.acknowledged, sums.refused, sums.copies);
    fmt::print("body_sim.crashes {}\nbody_sim.power_cuts {}\nbody_sim.cuts {}\nbody_sim.full_disks {}\nbody_sim.pauses {}\n", sums.crashes, sums.power_cuts,
               sums.cuts, sums.full_disks, sums.pauses);
    fmt::print("body_sim.bodies {}\nbody_sim.settled_ms_max {}\nbody_sim.events {}\n", sums.bodies, sums.settled_ms_max, sums.events);
    return failed == 0 ? 0 : 1;
}

int plant_all(std::uint64_t schedules) {
    int alive = 0;
    for (std::size_t m = 1; m < body_mutant_names.size(); ++m) {
        mailfs::detail::planted_in_bodies() = static_cast<body_mutant>(m);
        body_sums sums;
        std::string why;
        auto const found = first_failure(1, schedules, sums, why);
        fmt::print("body_sim.mutant.{} {} {}\n", body_mutant_names[m], found, why);
        std::fflush(stdout);
        alive += found == 0 ? 1 : 0;
    }
    return alive;
}

}  // namespace

int main(int argc, char** argv) {
    std::uint64_t schedules = 300, seed = std::random_device{}();
    bool mutants = false;
    for (int i = 1; i < argc; ++i) {
        std::string_view const word = argv[i];
        if (word == "--mutants") mutants = true;
        else if (word == "--schedules" && i + 1 < argc) schedules = std::strtoull(argv[++i], nullptr, 10);
        else if (word == "--seed" && i + 1 < argc) seed = std::strtoull(argv[++i], nullptr, 10);
        else return 2;
    }
    return mutants ? plant_all(schedules) : run_all(seed, schedules);
}
