// SPDX-License-Identifier: BSL-1.0
// All that is left of a journal: the state that its files still tell, when that has holes, and what was ever there.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/log/detail/log_file.hpp>
#include <mailfs/log/detail/replay_file.hpp>
#include <mailfs/log/log_directory.hpp>
#include <mailfs/log/log_history.hpp>
#include <mailfs/log/log_walker.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/guid.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// A time of which the files that are left do not tell everything: after `from_ms`, up to `to_ms`.
struct untold_time {
    std::uint64_t from_ms = 0;
    std::uint64_t to_ms = std::numeric_limits<std::uint64_t>::max();

    bool holds(std::uint64_t ms) const noexcept { return ms > from_ms && ms <= to_ms; }
};

/// What a rebuild goes by.
template <filesystem Fs, class M>
struct surveyed_journal {
    std::optional<typename Fs::file::mapping> mapping;  // what `machine` stands on
    typename M::facts_type facts;
    M machine;
    bool any = false;       // there was something to begin with: else machine is the empty state of no object
    bool complete = false;  // that was a snapshot, or the first log
    bool openable = false;  // a log would open it
    log_names names;
    std::vector<untold_time> untold;
    std::vector<std::string> faults;  // what was wrong with which file

    surveyed_journal() = default;
    surveyed_journal(surveyed_journal const&) = delete;
    surveyed_journal& operator=(surveyed_journal const&) = delete;

    std::uint64_t newest_number() const noexcept {
        return std::max(names.newest_log(), names.snapshots.empty() ? 0 : names.snapshots.back());
    }
    bool is_untold(std::uint64_t ms) const noexcept {
        return !any || std::any_of(untold.begin(), untold.end(), [&](untold_time const& t) { return t.holds(ms); });
    }
};

/// M: a watched state. The basis is the newest sound snapshot with all sound logs that follow, gaps or not; without one, all
/// sound logs. What is older only tells what was ever there. Reads alone. Memory: one log and two states.
template <filesystem Fs, class M>
class journal_survey {
public:
    using result = surveyed_journal<Fs, M>;

    /// A body lies in its file for so long before its record, at most, where that matters.
    static constexpr std::uint64_t overlap_ms = 60'000;
    static constexpr std::uint32_t epoch_max = 0x7fff'ff00;  ///< no writer came so far

    journal_survey(Fs fs, std::string directory, guid const& boot)
        : fs_(std::move(fs)), directory_(std::move(directory)), boot_(boot) {}

    /// `object`: whose files they must be; 0: of whomever the first sound one is. Throws newer_version, for then nothing may
    /// be taken for damage, and what the filesystem throws.
    asio::awaitable<std::unique_ptr<result>> run(guid object) {
        out_ = std::make_unique<result>();
        out_->machine.facts = &out_->facts;
        out_->names = co_await list_logs(fs_, directory_);
        object_ = object;
        told_since_ms_ = next_created_ms_ = 0;
        auto const snapshots = out_->names.snapshots_newest_first();
        auto const usable = co_await try_to_open();
        std::uint64_t begin = 0;
        for (auto n : snapshots) {
            if (begin == 0 && (!usable || *usable == n)) {
                bool const good = co_await begin_with(n);
                if (good) begin = n;
            } else if (begin != 0) {
                co_await see_snapshot(n);
            }
        }
        auto const& logs = out_->names.logs;
        auto const first = std::lower_bound(logs.begin(), logs.end(), begin);
        for (auto it = logs.begin(); it != first; ++it) co_await see_log(*it);
        last_ = begin == 0 ? 0 : begin - 1;
        for (auto it = first; it != logs.end(); ++it) co_await go_on(*it);
        if (out_->any) out_->untold.push_back({untold_from(), std::numeric_limits<std::uint64_t>::max()});
        co_return std::move(out_);
    }

private:
    using opened = opened_log<Fs>;

    std::string path(std::string const& name) const { return directory_ + '/' + name; }
    void fault(error const& e) {
        if (e.code() == errc::newer_version) throw e;
        if (e.code() != errc::corrupt && e.code() != errc::too_big && e.code() != errc::not_found &&
            e.code() != errc::past_gone)
            throw e;
        out_->faults.push_back(e.what());
    }

    static void check_epoch(std::uint32_t epoch, std::string const& name) {
        if (epoch > epoch_max) throw error(errc::corrupt, name, "has an epoch that leaves no room for another");
    }

    // The number of the snapshot that a log would begin with, 0 for the first log; nothing when it can't be opened.
    asio::awaitable<std::optional<std::uint64_t>> try_to_open() {
        if (out_->names.empty()) co_return std::nullopt;
        log_history<Fs, M> history(fs_, directory_, boot_);
        try {
            auto const past = co_await history.load();
            out_->openable = !object_ || past->machine.object() == object_;
            if (out_->openable) co_return past->snapshot;
        } catch (error const& e) {
            fault(e);
        }
        co_return std::nullopt;
    }

    asio::awaitable<bool> load(std::uint64_t n, std::optional<typename Fs::file::mapping>& mapping, M& machine) {
        auto const name = path(snapshot_name(n));
        auto file = co_await fs_.open(name);
        if (!file) co_return false;
        mapping.emplace(co_await file->map());
        try {
            machine.load(mapping->bytes(), name);
            if constexpr (requires { machine.verify(); }) machine.verify();
            if (object_ && machine.object() != object_) throw error(errc::corrupt, name, 16, "belongs to another object");
            check_epoch(machine.stream().at.epoch, name);
            co_return true;
        } catch (error const& e) {
            fault(e);
        }
        machine.reset({});
        mapping.reset();
        co_return false;
    }
    asio::awaitable<bool> begin_with(std::uint64_t n) {
        auto& s = *out_;
        bool const good = co_await load(n, s.mapping, s.machine);
        if (!good) co_return false;
        s.any = s.complete = true;
        object_ = s.machine.object();
        s.facts.see(s.machine);
        told_since_ms_ = s.machine.stream().latest.milliseconds();
        co_return true;
    }
    asio::awaitable<void> see_snapshot(std::uint64_t n) {
        std::optional<typename Fs::file::mapping> mapping;
        auto const machine = std::make_unique<M>();
        bool const good = co_await load(n, mapping, *machine);
        if (good) out_->facts.see(*machine);
        machine->reset({});
    }

    asio::awaitable<std::optional<opened>> open(std::uint64_t n, bool tell) {
        try {
            auto log = co_await open_log(fs_, directory_, n);
            if (log && object_ && format::get_guid(log->header.object) != object_)
                throw error(errc::corrupt, path(log_name(n)), 16, "belongs to another object");
            if (log) check_epoch(log->header.epoch, path(log_name(n)));
            co_return log;
        } catch (error const& e) {
            if (tell) fault(e);
        }
        co_return std::nullopt;
    }
    asio::awaitable<std::optional<std::uint64_t>> end_of(std::uint64_t n) {
        auto const next = co_await open(n + 1, false);
        if (!next) co_return std::nullopt;
        next_created_ms_ = next->header.created_ms;
        co_return std::uint64_t{next->header.seal_offset};
    }

    // A log from before the basis.
    asio::awaitable<void> see_log(std::uint64_t n) {
        auto log = co_await open(n, true);
        if (!log) co_return;
        auto const bytes = co_await read_log(log->file, path(log_name(n)));
        auto const end = co_await end_of(n);
        auto const machine = std::make_unique<M>();
        machine->facts = &out_->facts;
        machine->reset(format::get_guid(log->header.object));
        enter_log(*machine, log->header);
        co_await replay(*log, bytes, *machine, n, end);
    }

    asio::awaitable<void> go_on(std::uint64_t n) {
        auto log = co_await open(n, true);
        if (!log) co_return;
        auto const bytes = co_await read_log(log->file, path(log_name(n)));
        auto const end = co_await end_of(n);
        enter(log->header, n);
        auto const before = out_->machine.stream().latest;
        auto const done = co_await replay(*log, bytes, out_->machine, n, end);
        note_damage(bytes, log->header, done.lost, before, end);
        last_ = done.halt == replay_halt::sealed || !end ? n : 0;
        if (end && last_ == 0) out_->faults.push_back(path(log_name(n)) + ": ends before the seal that its successor names");
    }
    void enter(format::log_header const& h, std::uint64_t n) {
        auto& s = *out_;
        auto& m = s.machine;
        if (!s.any) {
            s.any = true;
            s.complete = n == 1;
            object_ = format::get_guid(h.object);
            m.reset(object_);
            if (!s.complete) {
                s.facts.lose_ids(1, h.next_id);
                s.untold.push_back({0, h.created_ms});
                told_since_ms_ = h.created_ms;
            }
        } else if (last_ + 1 != n || (h.epoch > m.stream().at.epoch && h.n == 0)) {
            s.facts.lose_ids(m.next_id(), h.next_id);
            s.untold.push_back({untold_from(), h.created_ms});
            told_since_ms_ = h.created_ms;
            if (last_ + 1 != n) s.faults.push_back(path(log_name(n)) + ": what came before it is gone");
        }
        enter_log(m, h);
    }
    asio::awaitable<replayed_file> replay(opened& log, bytes_view bytes, M& machine, std::uint64_t n,
                                          std::optional<std::uint64_t> end) {
        replayed_file done;
        try {
            done = co_await replay_file(log.file, bytes, log.header, machine, boot_, end, log_cut{});
            if (done.halt == replay_halt::newer)
                throw error(errc::newer_version, path(log_name(n)), done.position, "record of an unknown kind");
        } catch (error const& e) {
            fault(e);
        }
        for (auto const& d : done.lost)
            out_->faults.push_back(path(log_name(n)) + ", offset " + std::to_string(d.first) + ": " +
                                   std::to_string(d.last - d.first) + " bytes are no record");
        co_return done;
    }

    // What came just before a hole was told by the records before it, as far back as those go without another hole.
    std::uint64_t untold_from() const noexcept {
        auto const latest = out_->machine.stream().latest.milliseconds();
        return std::max(told_since_ms_, latest > overlap_ms ? latest - overlap_ms : 0);
    }
    void note_damage(bytes_view bytes, format::log_header const& h, std::vector<log_damage> const& lost, stamp latest,
                     std::optional<std::uint64_t> end) {
        if (lost.empty()) return;
        auto const none = std::numeric_limits<std::uint64_t>::max();
        bool open = false;
        log_walker walk(bytes, h);
        while (auto const e = walk.next()) {
            if (!e->record) {
                bool const counts =
                    std::any_of(lost.begin(), lost.end(), [&](log_damage const& d) { return d.first == e->offset; });
                if (!counts || e->torn || open) continue;
                auto const from = latest.milliseconds();
                out_->untold.push_back({std::max(told_since_ms_, from > overlap_ms ? from - overlap_ms : 0), none});
                open = true;
            } else if (e->record->kind() == format::record_kind::transaction) {
                latest = std::max(latest, e->record->stamp());
                if (std::exchange(open, false)) out_->untold.back().to_ms = latest.milliseconds();
            }
        }
        if (open && end) out_->untold.back().to_ms = std::max(next_created_ms_, latest.milliseconds());
    }

    Fs fs_;
    std::string directory_;
    guid boot_;
    guid object_;
    std::unique_ptr<result> out_;
    std::uint64_t last_ = 0;             // the log that was gone through to its seal, or the number before the basis
    std::uint64_t told_since_ms_ = 0;    // since then each effective append up to where we are was seen
    std::uint64_t next_created_ms_ = 0;  // of the file that end_of() looked at
};

}  // namespace mailfs::detail
