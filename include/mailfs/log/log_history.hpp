// SPDX-License-Identifier: BSL-1.0
// The past of a journal, as far as its files are kept: which generations there are, the state as it was at a moment, and
// the bytes of one log. Reads alone; writers may go on meanwhile.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/log/detail/log_file.hpp>
#include <mailfs/log/detail/replay_file.hpp>
#include <mailfs/log/log_cut.hpp>
#include <mailfs/log/log_directory.hpp>
#include <mailfs/log/log_replay.hpp>
#include <mailfs/log/log_walker.hpp>
#include <mailfs/log/state_machine.hpp>
#include <mailfs/types/bytes.hpp>
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

namespace mailfs {

/// What there is of one number: log.<n>, index.<n>, or both.
struct log_generation {
    std::uint64_t number = 0;
    std::optional<std::uint64_t> log_size;       ///< bytes; nothing: no log
    std::optional<std::uint64_t> snapshot_size;  ///< bytes; nothing: no snapshot
    std::optional<format::log_header> header;    ///< nothing: no log, or its header is damaged or of a newer version
    std::string header_fault;                    ///< why

    position start() const noexcept { return header ? position{header->epoch, header->n} : position{}; }
    std::uint64_t created_ms() const noexcept { return header ? std::uint64_t{header->created_ms} : 0; }
};

/// The state at a moment. Needs no file any more but what is mapped.
template <filesystem Fs, state_machine M>
struct past_state {
    std::optional<typename Fs::file::mapping> mapping;  ///< what `machine` stands on
    M machine;
    std::uint64_t snapshot = 0;    ///< the number of the one that was begun with; 0: with an empty state, at log.1
    std::uint64_t log = 0;         ///< the file in which the moment lies,
    std::uint64_t offset = 0;      ///< and all before this in it has been applied
    bool is_newest = false;        ///< nothing that takes effect was left out
    std::uint64_t bytes_lost = 0;  ///< damage on the way from the snapshot to here

    past_state() = default;
    past_state(past_state const&) = delete;
    past_state& operator=(past_state const&) = delete;
};

/// A whole log file in memory.
struct log_contents {
    std::string path;
    format::log_header header{};
    std::vector<std::byte> bytes;

    /// As long as the bytes stay where they are.
    log_walker walk() const { return log_walker(bytes, header); }
};

/// Belongs to one executor. Works by log_replay, as lockless_log does, and so comes to the same state; but it appends no
/// restart, seal or scar, and makes no snapshot. Nothing in the files can make it crash or hang; memory follows the size of
/// one log and of the state.
template <filesystem Fs, state_machine M>
class log_history {
public:
    using past_type = past_state<Fs, M>;

    static constexpr int tries_max = 16;  ///< while others rotate and remove

    /// `boot`: of the host, as for a log.
    log_history(Fs fs, std::string directory, guid const& boot)
        : fs_(std::move(fs)), directory_(std::move(directory)), boot_(boot) {}

    /// Ascending. Cost: an open for each file, and a read for each log.
    asio::awaitable<std::vector<log_generation>> generations() {
        auto const names = co_await list_logs(fs_, directory_);
        auto numbers = names.logs;
        numbers.insert(numbers.end(), names.snapshots.begin(), names.snapshots.end());
        std::sort(numbers.begin(), numbers.end());
        numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
        std::vector<log_generation> out;
        for (auto n : numbers) {
            auto one = co_await describe(n);
            if (one.log_size || one.snapshot_size) out.push_back(std::move(one));
        }
        co_return out;
    }

    /// The state as it was at the moment, or the newest: from the newest snapshot that is not after it, by replay of what
    /// follows. A snapshot that is damaged is passed over for the one before. Throws past_gone when what is kept begins
    /// after the moment (and says when), not_found when there are no files, corrupt (naming the file and the offset),
    /// newer_version, busy.
    asio::awaitable<std::unique_ptr<past_type>> load(log_cut cut = {}) {
        auto names = co_await list_logs(fs_, directory_);
        for (int i = 0; i < tries_max; ++i) {
            if (names.empty()) throw error(errc::not_found, directory_, "no log");
            std::exception_ptr failure;
            std::unique_ptr<past_type> past;
            try {
                past = co_await load_from(names, cut);
            } catch (error const&) {
                failure = std::current_exception();
            }
            if (past) co_return past;
            auto now = co_await list_logs(fs_, directory_);
            if (failure && now == names) std::rethrow_exception(failure);
            names = std::move(now);
        }
        throw error(errc::busy, directory_, "files were removed at every try to read them");
    }

    /// log.<number> as it is now, to be walked. Throws not_found, corrupt (its header), newer_version, too_big.
    asio::awaitable<log_contents> contents(std::uint64_t number) {
        auto opened = co_await detail::open_log(fs_, directory_, number);
        auto where = path(log_name(number));
        if (!opened) throw error(errc::not_found, where, "no such log");
        auto bytes = co_await detail::read_log(opened->file, where);
        co_return log_contents{std::move(where), opened->header, std::move(bytes)};
    }

    std::string const& directory() const noexcept { return directory_; }

private:
    std::string path(std::string const& name) const { return directory_ + '/' + name; }

    asio::awaitable<std::optional<std::uint64_t>> size_of(std::string name) {
        auto const where = path(name);
        auto file = co_await fs_.open(where);
        if (!file) co_return std::nullopt;
        co_return co_await file->size();
    }
    asio::awaitable<log_generation> describe(std::uint64_t n) {
        log_generation g;
        g.number = n;
        g.snapshot_size = co_await size_of(snapshot_name(n));
        g.log_size = co_await size_of(log_name(n));
        if (!g.log_size) co_return g;
        try {
            auto const opened = co_await detail::open_log(fs_, directory_, n);
            if (opened) g.header = opened->header;
        } catch (error const& e) {
            g.header_fault = e.what();
        }
        co_return g;
    }

    // Nothing: something listed is gone by now.
    asio::awaitable<std::unique_ptr<past_type>> load_from(log_names const& names, log_cut const& cut) {
        std::exception_ptr damage;
        std::string oldest;
        if (cut == log_cut{}) check_newest_log(names, directory_);
        for (auto n : names.snapshots_newest_first()) {
            if (!names.has_log(n)) continue;
            auto const name = path(snapshot_name(n));
            auto file = co_await fs_.open(name);
            if (!file) co_return nullptr;
            auto past = std::make_unique<past_type>();
            past->mapping.emplace(co_await file->map());
            past->snapshot = n;
            try {
                load_checked(*past, name);
                if (!cut.admits(past->machine.stream())) {
                    oldest = describe(past->machine.stream(), n);
                    continue;
                }
                bool const there = co_await replay_from(names, *past, n, cut);
                if (there) co_return past;
                co_return nullptr;
            } catch (error const& e) {
                if (e.code() != errc::corrupt) throw;
                if (!damage) damage = std::current_exception();
            }
        }
        if (names.has_log(1)) {
            auto past = std::make_unique<past_type>();
            bool const there = co_await replay_from(names, *past, 1, cut);
            if (there && past->machine.stream().at == position{} && !past->is_newest)
                throw error(errc::past_gone, directory_, "it begins after that, with " + log_name(1));
            if (there) co_return past;
            co_return nullptr;
        }
        if (damage) std::rethrow_exception(damage);
        if (!oldest.empty()) throw error(errc::past_gone, directory_, "the oldest state kept is " + oldest);
        throw error(errc::corrupt, directory_, "no snapshot to start from, and the first log is gone: rebuild");
    }

    // All of it, since whoever is handed the state should not meet the damage.
    static void load_checked(past_type& past, std::string const& name) {
        past.machine.load(past.mapping->bytes(), name);
        if constexpr (requires { past.machine.verify(); }) past.machine.verify();
    }
    static std::string describe(stream_state const& s, std::uint64_t number) {
        return snapshot_name(number) + ", at MODSEQ " + std::to_string(s.at.modseq()) + ", of " +
               std::to_string(s.latest.milliseconds()) + " ms since 1970";
    }

    // False: something listed is gone by now.
    asio::awaitable<bool> replay_from(log_names const& names, past_type& past, std::uint64_t number, log_cut const& cut) {
        auto opened = co_await detail::open_log(fs_, directory_, number);
        if (!opened) co_return false;
        if (past.snapshot == 0) past.machine.reset(format::get_guid(opened->header.object));
        while (true) {
            if (format::get_guid(opened->header.object) != past.machine.object())
                throw error(errc::corrupt, path(log_name(number)), 16, "belongs to another object");
            detail::enter_log(past.machine, opened->header);
            past.log = number;
            auto next = co_await detail::open_log(fs_, directory_, number + 1);
            auto const end = next ? std::optional<std::uint64_t>(next->header.seal_offset) : std::nullopt;
            auto const halt = co_await replay(past, *opened, end, cut);
            if (halt == replay_halt::cut) co_return true;
            if (!next) {
                if (names.newest_log() > number)
                    throw error(errc::corrupt, path(log_name(number + 1)),
                                "is gone, and what later ones begin with too: rebuild");
                past.is_newest = true;
                co_return true;
            }
            if (halt != replay_halt::sealed)
                throw error(errc::corrupt, path(log_name(number)), past.offset,
                            "ends before the seal that its successor names");
            if (position{next->header.epoch, next->header.n} > cut.at) co_return true;
            opened.emplace(std::move(*next));
            ++number;
        }
    }

    asio::awaitable<replay_halt> replay(past_type& past, detail::opened_log<Fs>& opened, std::optional<std::uint64_t> end,
                                        log_cut const& cut) {
        auto const name = path(log_name(past.log));
        auto const bytes = co_await detail::read_log(opened.file, name);
        auto const done = co_await detail::replay_file(opened.file, bytes, opened.header, past.machine, boot_, end, cut);
        if (done.halt == replay_halt::newer)
            throw error(errc::newer_version, name, done.position, "record of an unknown kind");
        past.offset = done.position;
        past.bytes_lost += done.bytes_lost;
        co_return done.halt;
    }

    Fs fs_;
    std::string directory_;
    guid boot_;
};

}  // namespace mailfs
