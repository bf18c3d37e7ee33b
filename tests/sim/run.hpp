// SPDX-License-Identifier: BSL-1.0
// Runs schedules over the real protocol; compiled once.
#pragma once

#include "schedule.hpp"
#include "simulation.hpp"

#include <string>

namespace mailfs::sim {

run_result run(schedule const& s, run_observer* observer = nullptr);
/// Of nodes that share a store; run() calls it.
run_result run_with_store(schedule const& s, run_observer* observer);
/// Empty: none.
std::string violation_of(schedule const& s);

}  // namespace mailfs::sim
