// SPDX-License-Identifier: BSL-1.0
// The log of a replicated stream on a store that all nodes reach: extended by create() alone, so that each number has one file,
// and whose create() made it owns the number.
//
// The files are those of docs/formats/log.md, with feature bit `shared`. What holds:
//   - Only the nonce tells whose file it is: a create() that failed may have taken effect, or take effect later.
//   - A number that was used does not become free again for whoever may still try it: files that open an epoch, which shut out
//     the master before, stay for keep_epochs_ms; other covered files for late_ms.
//   - What lies below the newest snapshot counts for nothing. Who wins a number with a view that was older looks around, and
//     finds that snapshot.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/format/peer_message.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/host/host.hpp>
#include <mailfs/log/detail/log_file.hpp>
#include <mailfs/log/log_directory.hpp>
#include <mailfs/log/log_options.hpp>
#include <mailfs/log/state_machine.hpp>
#include <mailfs/replication/arbiter.hpp>
#include <mailfs/replication/detail/coverage.hpp>
#include <mailfs/replication/detail/mutant.hpp>
#include <mailfs/replication/detail/record_of.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// A file as it is to be created, and what the stream comes to behind it.
struct shared_file {
    std::uint64_t number = 0, nonce = 0;
    std::uint32_t opens = 0;  ///< the epoch that begins in it
    std::vector<std::byte> bytes;
    position end;
    std::uint64_t end_chain = 0;
    bool was_tried = false;
};

/// Belongs to one executor. Calls that wait may overlap with those that do not.
template <filesystem Fs, host Host, state_machine M>
class shared_log {
public:
    static constexpr int lists_max = 8;  ///< tries to read the log while others remove what is covered

    enum class made : std::uint8_t {
        mine,
        theirs,
        unknown,  ///< the same file is to be tried again, until it is one of the others
    };
    /// What was read: the number of the last file, and what the machine stands on.
    struct tail {
        std::uint64_t number = 0;
        std::optional<typename Fs::file::mapping> held;
        std::uint64_t files = 0, bytes = 0, snapshot_size = 0;
    };

    shared_log(Fs fs, Host& host, std::string directory, log_options options, shared_store const& arbiter)
        : fs_(std::move(fs)), host_(&host), directory_(std::move(directory)), options_(options), arbiter_(arbiter) {}

    Fs const& fs() const noexcept { return fs_; }
    std::string const& directory() const noexcept { return directory_; }

    // --- what is in the store ------------------------------------------------------------------------------------

    /// Makes log.1 of an object that is nowhere yet; false: there is a log. `machine` is its empty state then.
    asio::awaitable<bool> create(guid object, M& machine) {
        machine.reset(object);
        shared_file f;
        f.number = 1;
        f.nonce = host_->random();
        auto const h = header_of(f, object, {}, 0);
        auto const bytes = format::view_of(h);
        f.bytes.assign(bytes.begin(), bytes.end());
        auto const came = co_await put(f);
        if (came == made::unknown) throw error(errc::may_have_happened, path(log_name(1)), "whether it was made is unknown: try again");
        co_return came == made::mine;
    }

    /// Loads the newest state into `machine`; false: there is no log. Throws corrupt, newer_version, not_supported, and what the
    /// store throws.
    asio::awaitable<bool> read(M& machine, tail& out) {
        for (int tried = 0;; ++tried) {
            auto const names = co_await list_logs(fs_, directory_);
            if (names.empty()) co_return false;
            note_snapshots(names);
            out = {};
            bool const whole = co_await read_from(machine, names, out);
            if (whole) co_return true;
            if (tried == lists_max) throw error(errc::corrupt, path(log_name(out.number + 1)), "is missing, or does not go on where the file before it ended, and no snapshot stands behind it");
        }
    }

    /// A file behind `number`, where the stream stands at this position.
    shared_file compose(std::uint64_t number, guid const& object, position at, std::uint64_t chain, std::deque<format::stream_step> const& steps) {
        shared_file f;
        f.number = number + 1;
        f.nonce = host_->random();
        f.end = at;
        f.end_chain = chain;
        auto const seed = format::record_seed(f.nonce);
        std::vector<std::byte> records;
        for (auto const& s : steps) {
            auto const record = record_of(s);
            format::encode_record(records, record.header, record.payload, seed);
            f.end = s.at;
            f.end_chain = stream_state::chain_after(f.end_chain, record);
            if (s.kind == format::record_kind::epoch) f.opens = s.at.epoch;
        }
        auto const h = header_of(f, object, at, chain);
        auto const bytes = format::view_of(h);
        f.bytes.assign(bytes.begin(), bytes.end());
        f.bytes.insert(f.bytes.end(), records.begin(), records.end());
        return f;
    }

    /// Creates it, or learns who did. The same file may be tried again, and must be when the answer is `unknown` and no other has
    /// taken its place. Two calls of the store at most.
    asio::awaitable<made> put(shared_file& f) {
        auto const name = path(log_name(f.number));
        bool const again = std::exchange(f.was_tried, true);
        bool created = false;
        std::exception_ptr failure;
        try {
            created = co_await fs_.create(name, f.bytes, durability::stored);
        } catch (error const&) {
            failure = std::current_exception();
        }
        if (created) co_return made::mine;
        if (!failure && !again) co_return made::theirs;  // nobody has tried these bytes before
        if (mutated(mutant::store_nonce_ignored)) co_return failure ? made::unknown : made::mine;
        failure_ = failure ? failure : failure_;
        std::optional<format::log_header> found;
        try {
            found = co_await header_at(f.number);
        } catch (error const&) {
            failure_ = std::current_exception();
            co_return made::unknown;
        }
        if (!found) co_return made::unknown;
        co_return found->nonce == f.nonce ? made::mine : made::theirs;
    }
    /// Why the store failed last.
    std::exception_ptr failure() const noexcept { return failure_; }

    /// The epoch that begins in this file; 0: none does. Nothing when it is not there.
    asio::awaitable<std::optional<std::uint32_t>> opened_by(std::uint64_t number) {
        auto const h = co_await header_at(number);
        if (!h) co_return std::nullopt;
        co_return std::optional<std::uint32_t>(h->opens);
    }

    /// There is something behind this number: who has just made it did so with an old view, and it counts for nothing.
    asio::awaitable<bool> is_passed(std::uint64_t number) {
        auto const names = co_await list_logs(fs_, directory_);
        note_snapshots(names);
        co_return names.newest_log() > number || (!names.snapshots.empty() && names.snapshots.back() > number);
    }

    /// `dump`: the state behind the file of this number. Follows from the log, so it does not matter who makes it.
    asio::awaitable<void> put_snapshot(std::uint64_t number, std::vector<std::byte> dump) {
        auto const name = path(snapshot_name(number + 1));
        co_await fs_.create(name, dump, durability::stored);
        files_ = bytes_ = 0;
        snapshot_size_ = dump.size();
        snapshots_.try_emplace(number + 1, now_ms_);
    }
    /// Removes what a snapshot has covered for late_ms; files that open an epoch stay for keep_epochs_ms.
    asio::awaitable<void> purge() {
        auto const names = co_await list_logs(fs_, directory_);
        note_snapshots(names);
        std::uint64_t covered = 0;
        for (auto const& [number, since] : snapshots_)
            if (since + arbiter_.late_ms <= now_ms_) covered = std::max(covered, number);
        for (auto const n : names.logs) {
            if (n >= covered) break;
            bool const keep = co_await must_stay(n);
            if (keep) continue;
            auto const gone = path(log_name(n));
            bool const removed = co_await fs_.remove(gone);
            if (removed) hit(reached::covered_removed);
        }
        for (auto const n : names.snapshots) {
            if (n >= covered) break;
            auto const gone = path(snapshot_name(n));
            co_await fs_.remove(gone);
            snapshots_.erase(n);
        }
        std::erase_if(epochs_, [&](auto const& e) { return e.first < covered && !names.has_log(e.first); });
    }

    /// Steady milliseconds; before each call that waits.
    void at_time(std::uint64_t now_ms) noexcept { now_ms_ = now_ms; }
    /// Nothing was read or written for so long that files which shut this process out may be gone.
    bool has_slept() const noexcept { return touched_ms_ + arbiter_.sleep_ms <= now_ms_; }

    // --- what is in memory alone: steps behind the last that is known to be in the store ---------------------------------

    /// The place of a step is the one behind those that wait.
    void add(format::stream_step const& s) {
        if (s.at <= base_) return;
        unflushed_ += cost(s);
        steps_.push_back(s);
    }
    bool has_unflushed() const noexcept { return !steps_.empty(); }
    std::size_t unflushed() const noexcept { return unflushed_; }
    position last() const noexcept { return steps_.empty() ? base_ : steps_.back().at; }
    /// Another state takes the place of the one that these led to.
    void reset(position at, std::uint64_t chain) {
        steps_.clear();
        unflushed_ = 0;
        base_ = at;
        base_chain_ = chain;
        flying_.reset();
        ++generation_;
    }
    /// Steps behind this one were never applied.
    void withdraw(position at) {
        while (!steps_.empty() && steps_.back().at > at) {
            unflushed_ -= cost(steps_.back());
            steps_.pop_back();
        }
        flying_.reset();
        ++generation_;
    }
    /// The store has all up to here.
    void note_stored(position at) {
        while (!steps_.empty() && steps_.front().at <= at) {
            base_chain_ = stream_state::chain_after(base_chain_, record_of(steps_.front()));
            base_ = steps_.front().at;
            unflushed_ -= cost(steps_.front());
            steps_.pop_front();
        }
    }
    /// The steps from there to the end, if they are known, lead from this chain hash to that one.
    std::optional<std::deque<format::stream_step>> steps_behind(position at, std::uint64_t chain, position end, std::uint64_t end_chain) const {
        auto place = base_;
        auto c = base_chain_;
        std::deque<format::stream_step> out;
        bool found = place == at && c == chain;
        for (auto const& s : steps_) {
            c = stream_state::chain_after(c, record_of(s));
            place = s.at;
            if (found) out.push_back(s);
            else found = place == at && c == chain;
        }
        if (!found || place != end || c != end_chain) return std::nullopt;
        return out;
    }

    // --- the master's: the store ends where the steps begin ------------------------------------------------------------

    /// What was put has made this node the master, or this is its state and `t` where it was read.
    void own(shared_file const& f, tail const& t) {
        reset(f.end, f.end_chain);
        number_ = f.number;
        touched_ms_ = now_ms_;
        files_ = t.files + 1;
        bytes_ = t.bytes + f.bytes.size();
        snapshot_size_ = t.snapshot_size;
        if (f.opens != 0) epochs_.insert_or_assign(f.number, host_->now_ms());
    }
    /// The file with all that waits; the one whose outcome is unknown, if there is such.
    shared_file next_file(guid const& object) {
        if (!flying_) flying_ = compose(number_, object, base_, base_chain_, steps_);
        auto const file = *flying_;
        flying_->was_tried = true;
        return file;
    }
    std::uint64_t number() const noexcept { return number_; }
    /// Another one means that a file whose outcome was awaited is nobody's any more.
    std::uint64_t generation() const noexcept { return generation_; }
    void landed(shared_file const& f) {
        number_ = f.number;
        touched_ms_ = now_ms_;
        ++files_;
        bytes_ += f.bytes.size();
        if (f.opens != 0) epochs_.insert_or_assign(f.number, host_->now_ms());
        auto const end = f.end;
        auto const chain = f.end_chain;
        note_stored(end);
        base_chain_ = chain;
        flying_.reset();
    }
    /// Replay of what was written would take longer than reading a snapshot.
    bool is_long() const noexcept {
        return files_ >= arbiter_.files_max ||
               bytes_ >= std::max<std::uint64_t>(options_.rotate_size_min, snapshot_size_ / std::max(options_.rotate_share, 1U));
    }

private:
    static std::size_t cost(format::stream_step const& s) noexcept { return format::record_size(s.payload.size()); }
    std::string path(std::string const& name) const { return directory_ + "/" + name; }

    format::log_header header_of(shared_file const& f, guid const& object, position at, std::uint64_t chain) const {
        format::log_header h;
        h.number = f.number;
        h.nonce = f.nonce;
        h.node = host_->node();
        h.created_ms = host_->now_ms();
        h.features_required = format::log_feature_shared;
        format::put_guid(h.object, object);
        format::put_guid(h.boot, host_->boot());
        h.epoch = at.epoch;
        h.n = at.n;
        h.chain = chain;
        h.opens = f.opens;
        h.seal_offset = sizeof(format::log_header);
        h.checksum = format::log_header_checksum(h);
        return h;
    }

    asio::awaitable<std::optional<format::log_header>> header_at(std::uint64_t number) {
        auto const name = path(log_name(number));
        auto file = co_await fs_.open(name);
        if (!file) co_return std::nullopt;
        format::log_header h;
        auto const buffer = std::as_writable_bytes(std::span(&h, 1));
        auto const size = co_await file->read(0, buffer);
        check_log_header(h, size, number, name, format::log_feature_shared);
        co_return std::optional<format::log_header>(h);
    }
    asio::awaitable<bool> must_stay(std::uint64_t number) {
        if (mutated(mutant::purge_epoch_files)) co_return false;
        auto known = epochs_.find(number);
        if (known == epochs_.end()) {
            auto const h = co_await header_at(number);
            if (!h || h->opens == 0) co_return false;
            known = epochs_.emplace(number, h->created_ms).first;
        }
        co_return known->second + arbiter_.keep_epochs_ms > host_->now_ms();
    }
    void note_snapshots(log_names const& names) {
        touched_ms_ = now_ms_;
        for (auto const n : names.snapshots) snapshots_.try_emplace(n, now_ms_);
    }

    // False: what the list names is not all there; it is to be made anew.
    asio::awaitable<bool> read_from(M& machine, log_names const& names, tail& out) {
        std::uint64_t next = 0;
        for (auto const n : names.snapshots_newest_first()) {
            auto const name = path(snapshot_name(n));
            auto file = co_await fs_.open(name);
            if (!file) continue;
            auto mapping = co_await file->map();
            bool good = true;
            try {
                machine.load(mapping.bytes(), name);
            } catch (error const& e) {
                if (e.code() != errc::corrupt) throw;
                good = false;
            }
            if (!good) continue;
            out.snapshot_size = mapping.bytes().size();
            out.held.emplace(std::move(mapping));
            next = n;
            break;
        }
        bool begun = next != 0;
        if (!begun) next = 1;
        for (;; ++next) {  // a list may lag: what is behind its last name is there all the same
            auto const name = path(log_name(next));
            auto file = co_await fs_.open(name);
            if (!file) break;
            auto const bytes = co_await read_log(*file, name);
            bool const fits = replay(machine, bytes, next, name, begun);
            if (!fits) co_return false;
            out.number = next;
            begun = true;
            ++out.files;
            out.bytes += bytes.size();
        }
        out.number = next - 1;
        co_return begun && names.newest_log() < next && (names.snapshots.empty() || names.snapshots.back() <= next);
    }
    // False: the file does not go on where the machine stands.
    static bool replay(M& machine, bytes_view bytes, std::uint64_t number, std::string const& name, bool begun) {
        format::log_header h;
        auto const size = std::min(bytes.size(), sizeof h);
        std::memcpy(&h, bytes.data(), size);
        check_log_header(h, size, number, name, format::log_feature_shared);
        if (!begun) machine.reset(format::get_guid(h.object));
        if (format::get_guid(h.object) != machine.object()) throw error(errc::corrupt, name, 24, "belongs to another object");
        auto const& stream = std::as_const(machine).stream();
        if (stream.at != position{h.epoch, h.n} || stream.chain != h.chain) return false;
        auto const seed = format::record_seed(h.nonce);
        auto rest = bytes.subspan(sizeof h);
        while (!rest.empty()) {
            auto const record = format::decode_record(rest, seed);
            if (!record || !is_next(stream.at, *record)) throw error(errc::corrupt, name, bytes.size() - rest.size(), "is no next step of the stream");
            machine.apply_step(*record, nullptr);
            rest = rest.subspan(record->header.size);
        }
        return true;
    }
    static bool is_next(position at, format::record_view const& r) noexcept {
        position const next{r.header.base_offset, r.header.base_n};
        if (r.kind() == format::record_kind::epoch) return next.n == 0 && next.epoch > at.epoch;
        return next == position{at.epoch, at.n + 1};
    }

    Fs fs_;
    Host* host_;
    std::string directory_;
    log_options options_;
    shared_store arbiter_;
    std::exception_ptr failure_;
    std::uint64_t now_ms_ = 0, touched_ms_ = 0;
    std::map<std::uint64_t, std::uint64_t> snapshots_;  // by number, since when this process knows of each
    std::map<std::uint64_t, std::uint64_t> epochs_;     // files that open one, and when each was made

    std::deque<format::stream_step> steps_;             // that the store may lack
    std::size_t unflushed_ = 0;                         // bytes of them
    position base_;                                     // where they begin
    std::uint64_t base_chain_ = 0;

    std::uint64_t number_ = 0;                          // of the last file, while this node is the master
    std::optional<shared_file> flying_;                 // on its way, until it is known whose its number is
    std::uint64_t generation_ = 0;
    std::uint64_t files_ = 0, bytes_ = 0, snapshot_size_ = 0;  // since the last snapshot
};

}  // namespace mailfs::detail
