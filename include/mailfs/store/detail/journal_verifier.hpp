// SPDX-License-Identifier: BSL-1.0
// Checks all files of one journal: each log's bytes, the chain from file to file, and that snapshots are what the logs make.
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
#include <mailfs/log/state_machine.hpp>
#include <mailfs/store/detail/verify_report.hpp>
#include <mailfs/types/guid.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// Reads alone, and each file once or twice. Memory: one log, one snapshot, and two states. What rotation removes meanwhile
/// is passed by.
template <filesystem Fs, state_machine M>
class journal_verifier {
public:
    using past_type = past_state<Fs, M>;

    journal_verifier(Fs fs, std::string directory, guid const& boot, verify_report& report)
        : fs_(std::move(fs)), directory_(std::move(directory)), boot_(boot), report_(report) {}

    /// The newest state; null when the journal cannot be opened, which has been told then. `object`: whose it should be; 0:
    /// any.
    asio::awaitable<std::unique_ptr<past_type>> run(guid object) {
        object_ = object;
        auto const names = co_await list_logs(fs_, directory_);
        auto numbers = names.logs;
        numbers.insert(numbers.end(), names.snapshots.begin(), names.snapshots.end());
        std::sort(numbers.begin(), numbers.end());
        numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
        for (auto n : numbers) {
            if (behind_ && behind_->number + 1 != n) behind_.reset();
            co_await check_generation(n, names);
            if (n > numbers.front()) co_await tell_absent(n, names);
        }
        co_return co_await newest();
    }

private:
    using opened = opened_log<Fs>;
    struct snapshot_in_use {
        std::optional<typename Fs::file::mapping> mapping;
        M machine;
    };
    // The state behind a log that was replayed.
    struct replayed_to {
        std::uint64_t number = 0;  // of that log
        std::shared_ptr<M> machine;
        std::shared_ptr<snapshot_in_use> base;  // what the machine stands on
        bool whole = false;                     // nothing was lost on the way
    };

    std::string path(std::string const& name) const { return directory_ + '/' + name; }

    asio::awaitable<void> check_generation(std::uint64_t n, log_names const& names) {
        std::shared_ptr<snapshot_in_use> snapshot;
        if (names.has_snapshot(n)) snapshot = co_await check_snapshot(n);
        std::optional<opened> log;
        if (names.has_log(n)) log = co_await open(n);
        if (!log) {
            behind_.reset();
            if (snapshot && !names.has_log(n) && n > names.newest_log())
                report_.tell(severity::loss, path(log_name(n)), finding::no_offset, "is gone, and its snapshot is there");
            co_return;
        }
        ++report_.sum.logs;
        auto const name = path(log_name(n));
        auto const& h = log->header;
        if (object_ && format::get_guid(h.object) != object_)
            report_.tell(severity::damage, name, 16, "belongs to another object: " + format::get_guid(h.object).hex());
        if (behind_) check_chain(h, name);
        replayed_to now{n, nullptr, snapshot, true};
        if (snapshot) {
            check_start(*snapshot, h, n);
            if (behind_ && behind_->whole) compare(*snapshot, h, n);
            now.machine = std::shared_ptr<M>(snapshot, &snapshot->machine);
        } else if (behind_) {
            now = std::move(*behind_);
            now.number = n;
        } else {
            now.machine = std::make_shared<M>();
            now.machine->reset(format::get_guid(h.object));
            now.whole = n == 1;
        }
        behind_.reset();
        enter_log(*now.machine, h);
        co_await check_log(*log, name, std::move(now), names);
    }

    asio::awaitable<std::optional<opened>> open(std::uint64_t n) {
        try {
            co_return co_await open_log(fs_, directory_, n);
        } catch (error const& e) {
            report_.tell(severity::damage, e);
        }
        co_return std::nullopt;
    }

    asio::awaitable<std::shared_ptr<snapshot_in_use>> check_snapshot(std::uint64_t n) {
        auto const name = path(snapshot_name(n));
        auto file = co_await fs_.open(name);
        if (!file) co_return nullptr;
        ++report_.sum.snapshots;
        auto out = std::make_shared<snapshot_in_use>();
        out->mapping.emplace(co_await file->map());
        auto const size = out->mapping->bytes().size();
        try {
            out->machine.load(out->mapping->bytes(), name);
            if constexpr (requires { out->machine.verify(); }) out->machine.verify();
            if (object_ && out->machine.object() != object_)
                report_.tell(severity::damage, name, 16, "belongs to another object: " + out->machine.object().hex());
        } catch (error const& e) {
            out.reset();
            report_.tell(severity::damage, e);
        }
        report_.read(size);
        co_return out;
    }

    // The header of a log against the state that the log before came to. A log that was lost and made again has a later
    // epoch.
    void check_chain(format::log_header const& h, std::string const& name) {
        auto const& s = behind_->machine->stream();
        bool const made_again = h.epoch > s.at.epoch && h.n == 0;
        if (made_again)
            report_.tell(severity::note, name, offsetof(format::log_header, epoch),
                         "was made in the place of a log that was lost");
        if (!behind_->whole || made_again) return;
        auto const check = [&](bool good, std::size_t offset, std::string_view what) {
            if (!good)
                report_.tell(severity::damage, name, offset,
                             std::string(what) + " is not that of the end of the log before");
        };
        check(position{h.epoch, h.n} == s.at, offsetof(format::log_header, epoch), "the stream's position");
        check(h.chain == s.chain, offsetof(format::log_header, chain), "the chain hash");
        check(h.next_id == behind_->machine->next_id(), offsetof(format::log_header, next_id), "the next id");
        check(format::get_guid(h.boot) == s.boot, offsetof(format::log_header, boot), "the boot");
    }
    void check_start(snapshot_in_use const& snapshot, format::log_header const& h, std::uint64_t n) {
        auto const& s = snapshot.machine.stream();
        bool const same = position{h.epoch, h.n} == s.at && h.chain == s.chain && h.next_id == snapshot.machine.next_id() &&
                          format::get_guid(h.boot) == s.boot;
        if (!same && h.epoch <= s.at.epoch)
            report_.tell(severity::damage, path(snapshot_name(n)), finding::no_offset,
                         "is not the state at the start of " + log_name(n));
    }
    // Equal streams make equal snapshots. Nothing has been applied to this one yet.
    void compare(snapshot_in_use const& snapshot, format::log_header const& h, std::uint64_t n) {
        auto const name = path(snapshot_name(n));
        try {
            enter_log(*behind_->machine, h);
            auto const made = behind_->machine->dump();
            auto const there = snapshot.mapping->bytes();
            auto const [a, b] = std::mismatch(made.begin(), made.end(), there.begin(), there.end());
            if (a == made.end() && b == there.end()) return;
            report_.tell(severity::damage, name, static_cast<std::uint64_t>(b - there.begin()),
                         "is not what " + log_name(n - 1) + " makes of the generation before");
        } catch (error const& e) {
            report_.tell(severity::damage, e);
        }
    }

    asio::awaitable<void> check_log(opened& log, std::string const& name, replayed_to now, log_names const& names) {
        auto const n = now.number;
        try {
            auto bytes = co_await read_log(log.file, name);
            auto next = co_await open_quietly(n + 1);
            auto const end = next ? std::optional<std::uint64_t>(next->header.seal_offset) : std::nullopt;
            auto done = co_await replay_file(log.file, bytes, log.header, *now.machine, boot_, end, log_cut{});
            bool const last = !next && names.newest_log() == n;
            tell_damage(bytes, log.header, done, name, last, end, loss_in(n, names));
            if (end && bytes.size() == *end)
                report_.tell(severity::damage, name, *end, "ends before its seal, which the next file attests");
            if (done.halt == replay_halt::newer)
                report_.tell(severity::damage, name, done.position, "a record of an unknown kind, by a newer version");
            if (next && done.halt != replay_halt::sealed)
                report_.tell(loss_in(n, names), name, done.position, "ends before the seal that its successor names");
            if (!next && !last && !names.has_snapshot(next_of(n, names))) co_await tell_gap(n);
            report_.read(bytes.size());
            now.whole = now.whole && done.bytes_lost == 0;
            if (done.halt == replay_halt::sealed) behind_ = std::move(now);
        } catch (error const& e) {
            report_.tell(severity::damage, e);
        }
    }
    static std::uint64_t next_of(std::uint64_t n, log_names const& names) {
        auto const it = std::upper_bound(names.logs.begin(), names.logs.end(), n);
        return it == names.logs.end() ? 0 : *it;
    }
    // A snapshot that came later has what it told, but for what was lost before that was made.
    static severity loss_in(std::uint64_t n, log_names const& names) {
        bool const covered = std::any_of(names.snapshots.begin(), names.snapshots.end(),
                                         [&](std::uint64_t s) { return s > n && names.has_log(s); });
        return covered ? severity::damage : severity::loss;
    }
    // Whoever seals a log makes the next one, and then its snapshot.
    asio::awaitable<void> tell_absent(std::uint64_t n, log_names const& names) {
        bool const snapshot = !names.has_snapshot(n), log = !names.has_log(n) && n < names.newest_log();
        bool const before = !names.has_log(n - 1) && !names.has_snapshot(n - 1);
        if (!snapshot && !log && !before) co_return;
        auto const now = co_await list_logs(fs_, directory_);
        if (!now.has_log(n) && !now.has_snapshot(n)) co_return;
        auto const tell = [&](std::string const& file) {
            report_.tell(severity::note, path(file), finding::no_offset, "is not there");
        };
        if (snapshot && !now.has_snapshot(n)) tell(snapshot_name(n));
        if (log && !now.has_log(n)) tell(log_name(n));
        if (before && !now.has_log(n - 1)) tell(log_name(n - 1));
    }
    // Both may have been removed since, in their order.
    asio::awaitable<void> tell_gap(std::uint64_t n) {
        auto const now = co_await list_logs(fs_, directory_);
        if (now.has_log(n) && !now.has_log(n + 1))
            report_.tell(loss_in(n + 1, now), path(log_name(n + 1)), finding::no_offset,
                         "is gone, and later ones are there");
    }
    // Its own turn tells what is wrong with it.
    asio::awaitable<std::optional<opened>> open_quietly(std::uint64_t n) {
        try {
            co_return co_await open_log(fs_, directory_, n);
        } catch (error const&) {
        }
        co_return std::nullopt;
    }

    void tell_damage(bytes_view bytes, format::log_header const& header, replayed_file const& done, std::string const& name,
                     bool last, std::optional<std::uint64_t> end, severity loss) {
        std::vector<log_damage> scars;
        log_walker scan(bytes, header);
        while (auto const e = scan.next())
            if (e->record && e->record->kind() == format::record_kind::scar) add_scars(scars, e->record->payload);
        log_walker walk(bytes, header);
        while (auto const e = walk.next()) {
            if (e->record) continue;
            auto const here = e->offset + e->size;
            auto const lost = [&](log_damage const& d) { return d.first < here && d.last > e->offset; };
            auto const size = std::to_string(e->size) + " bytes ";
            bool const counts = std::any_of(done.lost.begin(), done.lost.end(), lost);
            if (end && e->offset <= *end && *end < here)
                report_.tell(severity::damage, name, e->offset,
                             size + "are no record: its seal, which the next file attests");
            else if (last && here == bytes.size())
                report_.tell(severity::note, name, e->offset,
                             size + "of a record that is not whole: under way, or left by a killed writer");
            else if (e->torn)
                report_.tell(severity::note, name, e->offset, size + "of a record that a killed writer left");
            else if (done.halt == replay_halt::doubt && e->offset >= done.position)
                report_.tell(severity::damage, name, e->offset,
                             size + "that a power cut may have made: nothing behind them counts yet");
            else if (!counts)
                report_.tell(severity::note, name, e->offset, size + "are no record, where none counts");
            else if (std::any_of(scars.begin(), scars.end(), lost))
                report_.tell(severity::damage, name, e->offset, size + "are no record; a scar names them");
            else
                report_.tell(loss, name, e->offset, size + "are no record: what they told is lost");
        }
    }
    static void add_scars(std::vector<log_damage>& scars, bytes_view payload) {
        constexpr auto step = sizeof(format::scar_range);
        for (; payload.size() >= step; payload = payload.subspan(step)) {
            auto const range = format::load<format::scar_range>(payload);
            if (range.first < range.last) scars.push_back({range.first, range.last});
        }
    }

    asio::awaitable<std::unique_ptr<past_type>> newest() {
        log_history<Fs, M> history(fs_, directory_, boot_);
        try {
            co_return co_await history.load();
        } catch (error const& e) {
            if (e.code() == errc::not_found) throw;
            report_.tell(severity::loss, e);
        }
        co_return nullptr;
    }

    Fs fs_;
    std::string directory_;
    guid boot_;
    verify_report& report_;
    guid object_;
    std::optional<replayed_to> behind_;
};

}  // namespace mailfs::detail
