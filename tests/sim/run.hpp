// SPDX-License-Identifier: BSL-1.0
// Runs schedules over the real protocol; compiled once.
#pragma once

#include "schedule.hpp"
#include "simulation.hpp"

#include <string>

namespace mailfs::sim {

run_result run(schedule const& s, run_observer* observer = nullptr);
/// Empty: none.
std::string violation_of(schedule const& s);

}  // namespace mailfs::sim
