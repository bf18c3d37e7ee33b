// SPDX-License-Identifier: BSL-1.0
// Schedules that found errors of the protocol, made short: mailfs-sim --found replays them.
#pragma once

#include "schedule.hpp"

#include <string_view>
#include <vector>

namespace mailfs::sim {

struct found_schedule {
    std::string_view what;  ///< went wrong then
    schedule how;
};

std::vector<found_schedule> found_schedules();

}  // namespace mailfs::sim
