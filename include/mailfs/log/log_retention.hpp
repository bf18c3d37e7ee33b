// SPDX-License-Identifier: BSL-1.0
// Which logs and snapshots of the past have had their time.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/log/detail/log_file.hpp>
#include <mailfs/log/log_directory.hpp>
#include <mailfs/log/log_options.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mailfs::detail {

/// When log.<number> was begun; nothing where it is gone or does not say.
template <filesystem Fs>
asio::awaitable<std::optional<std::uint64_t>> begun_ms(Fs& fs, std::string const& directory, std::uint64_t number) {
    try {
        auto const opened = co_await open_log(fs, directory, number);
        if (opened) co_return std::uint64_t{opened->header.created_ms};
    } catch (error const& e) {
        if (e.code() != errc::corrupt && e.code() != errc::newer_version) throw;
    }
    co_return std::nullopt;
}

/// Names of files that log_options no longer asks for, now that there is a snapshot of `number`. A generation was in use until
/// the next was begun: it is so old. One whose successor does not tell is as old as one that does. Costs an open and a read
/// for each generation that goes and for one that stays; nothing where history_ms is 0.
template <filesystem Fs>
asio::awaitable<std::vector<std::string>> outdated_logs(Fs& fs, std::string const& directory, log_names const& names, std::uint64_t number,
                                                        log_options options, std::uint64_t now_ms) {
    auto const before = [&](std::uint64_t n) { return number > n ? number - n : 0; };
    auto first_kept = before(options.generations_kept);
    auto const oldest_allowed = std::min(first_kept, before(options.generations_max));
    if (options.history_ms > 0) {
        auto const last = first_kept;
        first_kept = oldest_allowed;
        for (auto const n : names.logs) {
            if (n <= std::max(oldest_allowed, names.logs.front()) || n > last) continue;  // nothing is left before the first  // n ended n - 1
            auto const begun = co_await begun_ms(fs, directory, n);
            if (!begun) continue;
            if (*begun > now_ms || now_ms - *begun < options.history_ms) break;
            first_kept = n;
        }
    }
    co_return names.older_than(number, number - first_kept);
}

}  // namespace mailfs::detail
