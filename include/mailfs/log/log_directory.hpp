// SPDX-License-Identifier: BSL-1.0
// Names of logs and snapshots in a directory, and the check of a log's header.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/numbered_name.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/fs/filesystem.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mailfs {

inline std::string log_name(std::uint64_t number) { return "log." + std::to_string(number); }
inline std::string snapshot_name(std::uint64_t number) { return "index." + std::to_string(number); }

struct log_names {
    std::vector<std::uint64_t> logs, snapshots;  // ascending

    bool has_log(std::uint64_t n) const { return std::binary_search(logs.begin(), logs.end(), n); }
    bool has_snapshot(std::uint64_t n) const { return std::binary_search(snapshots.begin(), snapshots.end(), n); }
    bool has_snapshot_below(std::uint64_t n) const noexcept { return !snapshots.empty() && snapshots.front() < n; }
    friend bool operator==(log_names const&, log_names const&) = default;
    bool empty() const noexcept { return logs.empty() && snapshots.empty(); }
    std::uint64_t newest_log() const noexcept { return logs.empty() ? 0 : logs.back(); }
    std::vector<std::uint64_t> snapshots_newest_first() const { return {snapshots.rbegin(), snapshots.rend()}; }

    /// A snapshot whose log, and the one before that, are gone: the logs that are left come to an older state. 0: there is none.
    std::uint64_t beyond_the_logs() const noexcept {
        return !logs.empty() && !snapshots.empty() && snapshots.back() > logs.back() + 1 ? snapshots.back() : 0;
    }

    /// Files that a snapshot of `number` makes superfluous, but for `kept` generations.
    std::vector<std::string> older_than(std::uint64_t number, std::uint64_t kept) const {
        std::vector<std::string> names;
        for (auto n : logs)
            if (n < number && number - n > kept) names.push_back(log_name(n));
        for (auto n : snapshots)
            if (n < number && number - n > kept) names.push_back(snapshot_name(n));
        return names;
    }
};

/// Other names are ignored.
template <filesystem Fs>
asio::awaitable<log_names> list_logs(Fs& fs, std::string_view directory) {
    log_names names;
    auto const entries = co_await fs.list(directory);
    for (auto const& entry : entries) {
        if (auto const n = detail::number_in(entry, "log.")) names.logs.push_back(*n);
        if (auto const n = detail::number_in(entry, "index.")) names.snapshots.push_back(*n);
    }
    std::sort(names.logs.begin(), names.logs.end());
    std::sort(names.snapshots.begin(), names.snapshots.end());
    co_return names;
}

/// Throws corrupt where the newest logs are gone, and a snapshot tells so: what the others come to is not to be gone on with.
inline void check_newest_log(log_names const& names, std::string_view directory) {
    auto const n = names.beyond_the_logs();
    if (n == 0) return;
    throw error(errc::corrupt, std::string(directory) + '/' + log_name(n), "is gone, and the log before it; its snapshot is there: rebuild");
}

/// Throws corrupt or newer_version, naming the file and the offset. `size`: how many bytes of `h` were there.
inline void check_log_header(format::log_header const& h, std::size_t size, std::uint64_t number, std::string_view name,
                             std::uint64_t features = format::log_features_known) {
    if (size < sizeof h) throw error(errc::corrupt, name, size, "ends inside the log header");
    if (std::memcmp(h.magic, format::log_magic.data(), sizeof h.magic) != 0) throw error(errc::corrupt, name, 0, "is not a mailfs log");
    if (h.checksum != format::log_header_checksum(h)) throw error(errc::corrupt, name, 0, "the log header fails its checksum");
    if (h.major > format::log_major) throw error(errc::newer_version, name, 8, "log format " + std::to_string(h.major));
    if (features == format::log_features_known && (h.features_required == format::log_feature_replicated || h.features_required == format::log_feature_shared))
        throw error(errc::not_supported, name, 48, "a log that nodes share: open it by multimaster<>, as it was written");
    if ((h.features_required & ~features) != 0) throw error(errc::newer_version, name, 48, "log features that this version lacks");
    if (h.size != sizeof h || h.number != number) throw error(errc::corrupt, name, 12, "the log header contradicts the file's name or size");
    if (h.epoch > epoch_max) throw error(errc::corrupt, name, 80, "an epoch beyond the last");
    if (number > 1 && h.seal_offset < sizeof h) throw error(errc::corrupt, name, 104, "the seal of the log before cannot stand there");
}

}  // namespace mailfs
