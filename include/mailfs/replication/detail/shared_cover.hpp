// SPDX-License-Identifier: BSL-1.0
// Snapshots of a log that nodes share, and the removal of the files that they cover: by any node, whoever comes first.
//
// Both follow from the log alone, so it does not matter who does them, how many at once, or who died half-way. What holds:
//   - A number that was used does not become free again for whoever may still try it: files that open an epoch, which shut out
//     the master before, stay for keep_epochs_ms; other covered files stay until this process has known the snapshot for late_ms.
//   - A snapshot that is made late, from an old view, stands below a newer one, and counts for nothing.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/host/host.hpp>
#include <mailfs/log/detail/log_file.hpp>
#include <mailfs/log/log_directory.hpp>
#include <mailfs/replication/arbiter.hpp>
#include <mailfs/replication/detail/coverage.hpp>
#include <mailfs/replication/detail/mutant.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// Steady milliseconds.
using steady_clock = std::function<std::uint64_t()>;

/// Nothing when it is not there. Throws corrupt, newer_version.
template <filesystem Fs>
asio::awaitable<std::optional<format::log_header>> shared_header_at(Fs& fs, std::string const& directory, std::uint64_t number) {
    auto const log = co_await open_log(fs, directory, number, format::log_feature_shared);
    if (!log) co_return std::nullopt;
    co_return std::optional<format::log_header>(log->header);
}

/// Belongs to one executor.
template <filesystem Fs, host Host>
class shared_cover {
public:
    static constexpr std::uint64_t never = ~std::uint64_t{0};

    shared_cover(Fs fs, Host& host, std::string directory, shared_store const& arbiter, steady_clock clock)
        : fs_(std::move(fs)), host_(&host), directory_(std::move(directory)), arbiter_(arbiter), clock_(std::move(clock)) {}

    /// From now on the host and the clock are not asked, and nothing more is removed: what is under way ends; or go on.
    void stop(bool stopped) noexcept { stopped_ = stopped; }
    /// What a list has shown.
    void note(log_names const& names) {
        if (stopped_) return;
        for (auto const n : names.snapshots) snapshots_.try_emplace(n, clock_());
        plan(names);
    }
    /// `dump`: the state behind the file of this number. False: somebody was faster.
    asio::awaitable<bool> put(std::uint64_t number, bytes_view dump) {
        auto const name = path(snapshot_name(number + 1));
        bool const made = co_await fs_.create(name, dump, durability::stored);
        if (stopped_) co_return made;
        auto const since = snapshots_.try_emplace(number + 1, clock_()).first->second;
        due_ = std::min(due_, since + arbiter_.late_ms);
        co_return made;
    }
    /// When purge() has something to remove, as far as is known; a purge that fails is due again after late_ms.
    std::uint64_t due_ms() const noexcept { return due_; }
    asio::awaitable<void> purge() {
        due_ = clock_() + arbiter_.late_ms;
        auto names = co_await list_logs(fs_, directory_);
        if (stopped_) co_return;
        note(names);
        due_ = clock_() + arbiter_.late_ms;
        auto const covered = covered_for_long();
        auto const logs = std::exchange(names.logs, {});
        for (auto const n : logs) {
            bool stays = n >= covered;
            if (!stays) stays = co_await must_stay(n);
            if (stopped_) co_return;
            if (!stays && epochs_.contains(n)) hit(reached::old_epoch_removed);
            if (stays) names.logs.push_back(n);
            else co_await remove(path(log_name(n)));
        }
        auto const snapshots = std::exchange(names.snapshots, {});
        for (auto const n : snapshots) {
            if (n >= covered) names.snapshots.push_back(n);
            else co_await remove(path(snapshot_name(n)));
            if (stopped_) co_return;
        }
        std::erase_if(snapshots_, [&](auto const& s) { return s.first < covered; });
        std::erase_if(epochs_, [&](auto const& e) { return e.first < covered && !names.has_log(e.first); });
        plan(names);
    }
    /// This process made a file that opens an epoch.
    void note_epoch(std::uint64_t number) { epochs_.insert_or_assign(number, host_->now_ms()); }

private:
    std::string path(std::string const& name) const { return directory_ + "/" + name; }

    std::uint64_t covered_for_long() const {
        std::uint64_t covered = 0;
        for (auto const& [number, since] : snapshots_)
            if (since + arbiter_.late_ms <= clock_()) covered = std::max(covered, number);
        return covered;
    }
    asio::awaitable<void> remove(std::string gone) {
        bool const removed = co_await fs_.remove(gone);
        if (removed) hit(reached::covered_removed);
    }
    // What cannot be read may be what shuts somebody out.
    asio::awaitable<bool> must_stay(std::uint64_t number) {
        if (mutated(mutant::purge_epoch_files)) co_return false;
        if (stopped_) co_return true;
        auto known = epochs_.find(number);
        if (known == epochs_.end()) {
            auto created_ms = host_->now_ms();
            try {
                auto const h = co_await shared_header_at(fs_, directory_, number);
                if (!h || h->opens == 0) co_return false;
                created_ms = h->created_ms;
            } catch (error const& e) {
                if (e.code() != errc::corrupt && e.code() != errc::newer_version) throw;
            }
            if (stopped_) co_return true;
            known = epochs_.emplace(number, created_ms).first;
        }
        co_return known->second + arbiter_.keep_epochs_ms > host_->now_ms();
    }
    // The first time at which something that these names tell of may go.
    void plan(log_names const& names) {
        due_ = never;
        for (auto const& [covered, since] : snapshots_) {
            auto const due = since + arbiter_.late_ms;
            if (names.has_snapshot_below(covered)) due_ = std::min(due_, due);
            for (auto const n : names.logs) {
                if (n >= covered) break;
                auto const epoch = epochs_.find(n);
                due_ = std::min(due_, epoch == epochs_.end() ? due : std::max(due, clock_() + left_of(epoch->second)));
            }
        }
    }
    std::uint64_t left_of(std::uint64_t created_ms) const {
        auto const end = created_ms + arbiter_.keep_epochs_ms;
        auto const now = host_->now_ms();
        return end > now ? end - now : 0;
    }

    Fs fs_;
    Host* host_;
    std::string directory_;
    shared_store arbiter_;
    steady_clock clock_;
    std::map<std::uint64_t, std::uint64_t> snapshots_;  // by number, since when this process knows of each
    std::map<std::uint64_t, std::uint64_t> epochs_;     // files that open one, and when each was made
    std::uint64_t due_ = never;
    bool stopped_ = false;
};

}  // namespace mailfs::detail
