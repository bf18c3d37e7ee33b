// SPDX-License-Identifier: BSL-1.0
// The log of a replicated stream on a store that all nodes reach: extended by create() alone, so that each number has one file,
// and whose create() made it owns the number.
//
// The files are those of docs/formats/log.md, with feature bit `shared`. What holds:
//   - Only the nonce tells whose file it is: a create() that failed may have taken effect, or take effect later.
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
#include <mailfs/replication/detail/mutant.hpp>
#include <mailfs/replication/detail/record_of.hpp>
#include <mailfs/replication/detail/shared_cover.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
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

/// Belongs to one executor. What waits may overlap with all else, but for put(), of which there is one at a time.
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

    shared_log(Fs fs, Host& host, std::string directory, log_options options, shared_store const& arbiter, steady_clock clock)
        : fs_(std::move(fs)), host_(&host), directory_(std::move(directory)), options_(options), arbiter_(arbiter), clock_(std::move(clock)),
          cover_(fs_, host, directory_, arbiter_, clock_) {}

    /// The host may go when this was said; what waits for the store ends without it.
    void stop(bool stopped) noexcept { cover_.stop(stopped); }
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
            auto const names = co_await list();
            if (names.empty()) {  // or the list is older than the log, of which nothing can have been removed yet
                auto const first = co_await header_at(1);
                if (!first) co_return false;
            }
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
        auto const begun = clock_();
        try {
            created = co_await fs_.create(name, f.bytes, durability::stored);
        } catch (error const&) {
            failure = std::current_exception();
        }
        if (created) touched_ms_ = std::max(touched_ms_, begun);
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

    /// There is something behind this number: who has just made it did so with an old view, and it counts for nothing. Also
    /// true when somebody has covered it just now: one claim more.
    asio::awaitable<bool> is_passed(std::uint64_t number) {
        auto const names = co_await list();
        co_return names.newest_log() > number || (!names.snapshots.empty() && names.snapshots.back() > number);
    }
    /// Nothing was read or written for so long that files which shut this process out may be gone.
    bool has_slept() const { return touched_ms_ + arbiter_.sleep_ms <= clock_(); }

    // --- what is covered -----------------------------------------------------------------------------------------------

    /// Replay of what was written would take so many times longer than a snapshot's worth, as far as this process has heard.
    bool is_long(std::uint64_t times = 1) const noexcept {
        auto const bytes = std::max<std::uint64_t>(options_.rotate_size_min, snapshot_size_ / std::max(options_.rotate_share, 1U));
        return number_ + 1 - from_ >= times * arbiter_.files_max || bytes_ >= times * bytes;
    }
    /// Finds what others have covered.
    asio::awaitable<void> look() {
        auto const names = co_await list();
        number_ = std::max(number_, names.newest_log());
        if (!names.snapshots.empty()) note_covered(names.snapshots.back());
    }
    /// `dump`: the state behind the file of this number. Follows from the log, so it does not matter who makes it.
    asio::awaitable<void> put_snapshot(std::uint64_t number, std::vector<std::byte> dump) {
        co_await cover_.put(number, dump);
        note_covered(number + 1);
        snapshot_size_ = dump.size();
    }
    asio::awaitable<void> purge() { return cover_.purge(); }
    std::uint64_t purge_due_ms() const noexcept { return cover_.due_ms(); }
    /// `t` is what was read, and what is heard of comes behind it.
    void begin(tail const& t) noexcept {
        number_ = t.number;
        from_ = t.number + 1 - t.files;
        bytes_ = t.bytes;
        snapshot_size_ = t.snapshot_size;
    }

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
    /// The store has all up to here: in one more file, it seems.
    void note_stored(position at) {
        auto const size = drop_through(at);
        bytes_ += size;
        if (size > 0) ++number_;
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
        begin(t);
        number_ = f.number;
        bytes_ += f.bytes.size();
        if (f.opens != 0) cover_.note_epoch(f.number);
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
        bytes_ += f.bytes.size();
        if (f.opens != 0) cover_.note_epoch(f.number);
        auto const end = f.end;
        auto const chain = f.end_chain;
        drop_through(end);
        base_chain_ = chain;
        flying_.reset();
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

    asio::awaitable<std::optional<format::log_header>> header_at(std::uint64_t number) { return shared_header_at(fs_, directory_, number); }
    asio::awaitable<log_names> list() {
        auto const begun = clock_();
        auto names = co_await list_logs(fs_, directory_);
        touched_ms_ = std::max(touched_ms_, begun);
        cover_.note(names);
        co_return names;
    }
    void note_covered(std::uint64_t from) noexcept {
        if (from <= from_) return;
        from_ = from;
        number_ = std::max(number_, from - 1);
        bytes_ = 0;
    }
    std::size_t drop_through(position at) {
        auto const before = unflushed_;
        while (!steps_.empty() && steps_.front().at <= at) {
            base_chain_ = stream_state::chain_after(base_chain_, record_of(steps_.front()));
            base_ = steps_.front().at;
            unflushed_ -= cost(steps_.front());
            steps_.pop_front();
        }
        return before - unflushed_;
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
    steady_clock clock_;
    shared_cover<Fs, Host> cover_;
    std::uint64_t touched_ms_ = 0;                      // what was found then was no older

    std::deque<format::stream_step> steps_;             // that the store may lack
    std::size_t unflushed_ = 0;                         // bytes of them
    position base_;                                     // where they begin
    std::uint64_t base_chain_ = 0;

    std::uint64_t number_ = 0;                          // of the last file; where another is the master, as far as is heard
    std::uint64_t from_ = 1, bytes_ = 0;                // the first file that is not covered, and all since
    std::uint64_t snapshot_size_ = 0;
    std::optional<shared_file> flying_;                 // on its way, until it is known whose its number is
    std::uint64_t generation_ = 0;
};

}  // namespace mailfs::detail
