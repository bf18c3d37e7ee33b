// SPDX-License-Identifier: BSL-1.0
// Many schedules on several threads, and what came of them: figures, and the first that fails, made short.
#pragma once

#include <mailfs/replication/detail/coverage.hpp>
#include <mailfs/replication/detail/mutant.hpp>

#include "run.hpp"
#include "schedule.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace mailfs::sim {

struct campaign_options {
    std::uint64_t seed = 1, schedules = 1000;
    schedule_size size;
    unsigned jobs = 1;
    mailfs::detail::mutant planted = mailfs::detail::mutant::none;
    std::uint64_t violations_max = 1;  ///< ends there
};

struct failure {
    std::uint64_t seed = 0;
    std::string violation, rule;
};

struct campaign_result {
    std::uint64_t schedules = 0, violations = 0;
    std::optional<failure> first;       ///< that with the lowest seed, of those that were found
    run_result sums;
    mailfs::detail::reached_counts reached{};
    std::uint64_t met = 0;              ///< how often the code asked for the planted mutant
    double seconds = 0;
};

/// `progress` is told how many are done, now and then, from one thread.
campaign_result run_campaign(campaign_options const& options, std::function<void(std::uint64_t)> const& progress);

/// The schedule of a failure, as short as `runs` tries make it.
schedule shorten(schedule const& s, std::string const& rule, mailfs::detail::mutant planted, std::uint64_t runs = 3000);

}  // namespace mailfs::sim
