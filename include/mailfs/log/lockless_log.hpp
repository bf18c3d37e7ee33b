// SPDX-License-Identifier: BSL-1.0
// The log without locks: append, read on, seal, go to the next file. What must be true of the bytes: docs/formats/log.md
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/turns.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/fs/shared_sync.hpp>
#include <mailfs/host/host.hpp>
#include <mailfs/log/detail/log_file.hpp>
#include <mailfs/log/log_directory.hpp>
#include <mailfs/log/log_options.hpp>
#include <mailfs/log/log_replay.hpp>
#include <mailfs/log/log_retention.hpp>
#include <mailfs/log/state_machine.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs {

/// A policy: the log of a state machine M on any filesystem whose appends are ordered among all its writers.
struct lockless_log {
    template <filesystem Fs, host Host, state_machine M>
    class on;
};

/// Belongs to one executor; calls may overlap, they take turns. Other threads and processes open their own.
template <filesystem Fs, host Host, state_machine M>
class lockless_log::on {
public:
    using fs_type = Fs;
    using host_type = Host;
    using machine_type = M;
    using outcome_type = typename M::outcome;

    struct appended {
        admission verdict = admission::fresh;
        outcome_type outcome{};
    };

    static constexpr int appends_max = 64;    ///< tries of one transaction, each ended by someone else's rotation
    static constexpr int reloads_max = 16;    ///< tries to open while others rotate and remove
    static constexpr int crossings_max = 64;  ///< files that one catch_up() goes through

    on(Fs fs, Host host, std::string directory, log_options options)
        : fs_(std::move(fs)), host_(std::move(host)), directory_(std::move(directory)), options_(options) {}

    /// Makes log.1 on stable storage, with `first` (one transaction's operations, may be empty) in it; false: there is a log.
    asio::awaitable<bool> create(guid object, dot id, stamp when, bytes_view first) {
        auto const names = co_await list_logs(fs_, directory_);
        if (!names.empty()) co_return false;  // log.1 itself may be gone long since
        format::log_header h = new_header(1);
        format::put_guid(h.object, object);
        format::put_guid(h.boot, host_.boot());
        h.checksum = format::log_header_checksum(h);
        std::vector<std::byte> bytes(format::view_of(h).begin(), format::view_of(h).end());
        if (!first.empty()) {
            auto record = new_record(format::record_kind::transaction, id, when);
            record.base_offset = sizeof h;
            format::encode_record(bytes, record, first, format::record_seed(h.nonce));
        }
        auto const path = directory_ + "/" + log_name(1);
        co_return co_await fs_.create(path, bytes, durability::stored);
    }

    /// Loads the newest state; false: there is no such log. Throws corrupt, newer_version.
    asio::awaitable<bool> open() {
        if (!turns_.try_take()) co_await turns_.wait();
        detail::turn const mine(turns_);
        co_return co_await load_newest();
    }

    M const& machine() const noexcept { return machine_; }
    M& machine() noexcept { return machine_; }
    Host& host() noexcept { return host_; }
    Fs const& fs() const noexcept { return fs_; }
    std::string const& directory() const noexcept { return directory_; }
    log_options const& options() const noexcept { return options_; }
    std::uint64_t number() const noexcept { return segment_ ? segment_->number : 0; }             ///< of the file being read
    std::uint64_t offset() const noexcept { return segment_ ? segment_->replay.position() : 0; }  ///< read up to here
    std::uint64_t bytes_lost() const noexcept { return lost_ + (segment_ ? segment_->replay.bytes_lost() : 0); }
    std::uint64_t loads() const noexcept { return loads_; }  ///< how often the state was taken from files; ids keep their meaning
    std::uint64_t mended() const noexcept { return mended_; }  ///< how often a damaged snapshot was made again from an older one

    /// Applies what others appended; true: there was something. One read when there is not.
    asio::awaitable<bool> catch_up() {
        if (!turns_.try_take()) co_await turns_.wait();
        detail::turn const mine(turns_);
        if (!segment_) co_await reload();
        if (is_damaged()) co_await mend();
        auto const before = std::pair(segment_->number, segment_->replay.position());
        for (int i = 0; i < crossings_max; ++i) {
            co_await read_on();
            if (!segment_->replay.sealed()) break;
            bool const went_on = co_await cross();
            if (!went_on) break;
        }
        co_return before != std::pair(segment_->number, segment_->replay.position());
    }

    /// Appends a transaction and reads up to it. The same `id` twice takes effect once; a verdict other than fresh
    /// says that it took none now. Two system calls on a local disk when nobody else wrote meanwhile. Throws
    /// no_space, io (it did not happen), may_have_happened, busy, too_big.
    asio::awaitable<appended> append(dot id, stamp when, bytes_view operations) {
        auto result = co_await append_in_turn(id, when, operations);
        if (pending_) co_await write_pending();
        co_return result;
    }

    /// What append() does, without a coroutine, where nothing has to be waited for: no other call is under way, the file
    /// takes appends at once, nobody came before, nothing is to be synced or rotated. Else nothing: the caller goes on by
    /// awaiting append() with the same arguments, at once. No allocation.
    std::optional<appended> append_at_once(dot id, stamp when, bytes_view operations) {
        if constexpr (!immediate_append_file<typename Fs::file>) {
            return std::nullopt;
        } else {
            bool const free = turns_.is_free() && segment_ && is_ready() && !is_long();
            if (!free || operations.size() > buffer_size_max) return std::nullopt;
            encode(new_record(format::record_kind::transaction, id, when), operations);
            if (is_beyond_bound()) return std::nullopt;
            appended result;
            auto const l = land_now(result);
            if (l.applied) return result;
            watch(id);
            begun_ = l;
            return std::nullopt;
        }
    }

    /// Returns when all that was read or appended so far is on stable storage, damage before it named by a scar.
    /// Callers that come while a sync is under way share the next.
    asio::awaitable<void> sync() {
        if (!segment_) {
            if (!turns_.try_take()) co_await turns_.wait();
            detail::turn const mine(turns_);
            if (!segment_) co_await reload();
        }
        auto const current = segment_;
        auto const through = current->replay.position();
        auto const ids = machine_.next_id();
        if (current->synced >= through) co_return;
        if (!current->replay.open_damage().empty()) {
            if (!turns_.try_take()) co_await turns_.wait();
            detail::turn const mine(turns_);
            co_await scar(*current);
        }
        co_await current->syncs.sync(current->file);
        current->note_synced(through, ids);
    }

    /// Ends the file whatever its length, and goes to the next.
    asio::awaitable<void> rotate() {
        co_await rotate_in_turn();
        if (pending_) co_await write_pending();
    }
    /// The same, and the next file leaves behind all that clients may have seen of one that was lost: the next epoch, and ids
    /// above so many more. For who knows that records are gone.
    asio::awaitable<void> leave_behind() {
        for (int i = 0; i < appends_max; ++i) {
            auto const epoch = machine_.stream().at.epoch;
            if (machine_.stream().next_epoch().epoch == epoch) throw error(errc::corrupt, directory_, "is in its last epoch: none is left to begin");
            leaves_behind_ = true;
            co_await rotate();
            if (!std::exchange(leaves_behind_, false) && machine_.stream().at.epoch > epoch) co_return;
        }
        throw error(errc::busy, directory_, "others rotated the log at every try");
    }
    /// Why the last rotation after an append failed, if it did, or a snapshot could not be written: no call failed of it.
    std::exception_ptr rotation_failure() const noexcept { return rotation_failure_; }

private:
    struct segment {
        segment(std::uint64_t n, typename Fs::file f, std::uint64_t nonce, M& machine, guid const& boot)
            : number(n), file(std::move(f)), seed(format::record_seed(nonce)),
              replay(machine, seed, boot, sizeof(format::log_header)), synced(sizeof(format::log_header)) {}

        void note_synced(std::uint64_t through, std::uint32_t ids) noexcept {
            synced = std::max(synced, through);
            replay.durable(ids);
        }
        std::uint64_t known_durable() const noexcept { return std::max(synced, replay.attested()); }

        std::uint64_t number;
        typename Fs::file file;
        std::uint32_t seed;
        log_replay<M> replay;
        shared_sync<typename Fs::file> syncs;
        std::uint64_t synced;  // all before it is on stable storage, as far as this process saw to it
    };
    struct pending_snapshot {
        std::uint64_t number;
        std::vector<std::byte> bytes;
    };
    using opened = detail::opened_log<Fs>;

    static constexpr std::size_t transaction_size_max() noexcept {
        return format::payload_size_max(std::min<std::uint64_t>(format::record_size_max, Fs::traits.append_size_max));
    }
    std::string path(std::string const& name) const { return directory_ + "/" + name; }

    // --- reading ---------------------------------------------------------------------------------------------

    asio::awaitable<std::optional<opened>> open_file(std::uint64_t number) { return detail::open_log(fs_, directory_, number); }

    // Reads from position() to the end of the file and applies it.
    asio::awaitable<void> read_on() {
        auto const current = segment_;
        auto& s = *current;
        while (!s.replay.sealed()) {
            auto const size = co_await read_rest(s);
            if (size == 0) co_return;
            auto const halt = co_await feed(s, bytes_view(buffer_).first(size));
            if (buffer_.size() > buffer_size_max) std::vector<std::byte>(read_size_min).swap(buffer_);
            if (halt == replay_halt::voided) co_await reload();
            if (halt == replay_halt::newer)
                throw error(errc::newer_version, path(log_name(s.number)), s.replay.position(), "record of an unknown kind");
            if (halt != replay_halt::doubt) co_return;
            auto const next = co_await open_file(s.number + 1);
            if (!next) co_return;
            s.replay.ends_at(next->header.seal_offset);  // and read again: a restart may have come before that file
        }
    }

    // Fills buffer_ with what lies behind position(); how many bytes that is.
    asio::awaitable<std::size_t> read_rest(segment& s) {
        auto const begin = s.replay.position();
        if (buffer_.size() < read_size_min) buffer_.resize(read_size_min);
        for (std::size_t size = 0;;) {
            auto const room = std::span(buffer_).subspan(size);
            auto const got = co_await s.file.read(begin + size, room);
            size += got;
            if (got < room.size()) co_return size;
            auto const end = co_await s.file.size();
            if (end > format::log_size_max) throw error(errc::too_big, path(log_name(s.number)), format::log_size_max, "longer than a log can be");
            buffer_.resize(std::max<std::size_t>(size, static_cast<std::size_t>(end - begin)) + read_size_min);
        }
    }

    asio::awaitable<replay_halt> feed(segment& s, bytes_view region) {
        auto const begin = s.replay.position();
        while (true) {
            auto const rest = region.subspan(static_cast<std::size_t>(s.replay.position() - begin));
            std::exception_ptr damage;
            auto const halt = try_feed(s, rest, damage);
            if (damage) {
                bool const mended = co_await mend();
                if (mended) continue;
                bool const newer = co_await has_newer_snapshot();
                if (newer) co_return replay_halt::voided;
                std::rethrow_exception(damage);
            }
            if (halt != replay_halt::id_limit) co_return halt;
            co_await sync_now(s);
            s.replay.covered(begin + region.size());
        }
    }
    replay_halt try_feed(segment& s, bytes_view rest, std::exception_ptr& damage) const {
        try {
            return s.replay.feed(rest);
        } catch (error const&) {
            if (!is_damaged()) throw;
            damage = std::current_exception();
            return replay_halt::end;
        }
    }

    // Goes to the next file, or to the newest state when that is farther; false: nobody has made the next file yet.
    asio::awaitable<bool> cross() {
        auto next = co_await open_file(segment_->number + 1);
        // A process that slept may meet a name that was removed, and even one that was made again by another sleeper.
        // Whoever finds a greater number trusts neither, and takes the newest snapshot.
        auto const names = co_await list_logs(fs_, directory_);
        if (names.newest_log() > segment_->number + 1) {
            co_await reload();
            co_return true;
        }
        if (!next) co_return false;
        enter(std::move(*next));
        co_return true;
    }

    void watch(dot const& id) {
        watched_ = id;
        segment_->replay.watch(id);
    }
    void enter(opened next) {
        auto const& h = next.header;
        detail::enter_log(machine_, h);
        auto const old = std::exchange(segment_, std::make_shared<segment>(h.number, std::move(next.file), h.nonce, machine_, host_.boot()));
        if (old) lost_ += old->replay.bytes_lost();
        if (watched_) segment_->replay.watch(*watched_);
    }

    asio::awaitable<void> reload() {
        bool const there = co_await load_newest();
        if (!there) throw error(errc::not_found, directory_, "the log was removed");
    }

    asio::awaitable<bool> load_newest() {
        auto names = co_await list_logs(fs_, directory_);
        for (int i = 0; i < reloads_max; ++i) {
            if (names.empty()) co_return false;
            bool done = false;
            std::exception_ptr failure;
            try {
                done = co_await load_from(names);
            } catch (...) {
                failure = std::current_exception();
                segment_.reset();  // machine_ may be half of what it should be: the next call loads it anew
            }
            // Others may have rotated and removed meanwhile, and a sleeper may have made a removed name again: what was
            // loaded, or found wrong, counts only if nothing newer has come.
            auto now = co_await list_logs(fs_, directory_);
            bool const moved = done ? now.newest_log() > segment_->number : now != names;
            if (failure && !moved) std::rethrow_exception(failure);
            if (done && !moved) {
                co_await join_boot();
                co_return true;
            }
            names = std::move(now);
        }
        segment_.reset();
        throw error(errc::busy, directory_, "files were removed at every try to open them");
    }

    // Clients may have seen what a power cut took. Whoever comes first leaves all of that behind with a restart, so that
    // neither UIDNEXT nor MODSEQ is ever shown lower than before. Where nothing can be written, the state is shown as found.
    asio::awaitable<void> join_boot() {
        try {
            for (int i = 0; i < crossings_max && machine_.stream().boot != host_.boot(); ++i) co_await come_closer();
        } catch (error const&) {
            rotation_failure_ = std::current_exception();
            if (!segment_) throw;
        }
    }

    // False: something listed is gone by now.
    asio::awaitable<bool> load_from(log_names const& names) {
        std::exception_ptr damage;
        segment_.reset();
        check_newest_log(names, directory_);
        for (auto n : names.snapshots_newest_first()) {
            if (!names.has_log(n)) continue;
            auto const name = path(snapshot_name(n));
            auto file = co_await fs_.open(name);
            if (!file) co_return false;
            auto mapping = co_await file->map();
            try {
                machine_.load(mapping.bytes(), name);
            } catch (error const& e) {
                if (e.code() == errc::newer_version) throw;
                damage = std::current_exception();
                distrusted_.push_back(n);
                continue;
            }
            mapping_.emplace(std::move(mapping));
            mapped_ = n;
            beyond_mending_ = false;
            snapshot_size_ = mapping_->bytes().size();
            co_return co_await replay_from(names, n, true);
        }
        if (names.has_log(1)) co_return co_await replay_from(names, 1, false);
        if (damage) std::rethrow_exception(damage);
        throw error(errc::corrupt, directory_, "no snapshot to start from, and the first log is gone: rebuild");
    }

    asio::awaitable<bool> replay_from(log_names const& names, std::uint64_t number, bool loaded) {
        auto first = co_await open_file(number);
        if (!first) co_return false;
        if (!loaded) {
            machine_.reset(format::get_guid(first->header.object));
            mapping_.reset();
            mapped_ = 0;
            snapshot_size_ = 0;
        }
        if (format::get_guid(first->header.object) != machine_.object())
            throw error(errc::corrupt, path(log_name(number)), "belongs to another object");
        enter(std::move(*first));
        ++loads_;
        while (true) {
            auto next = co_await open_file(segment_->number + 1);
            if (next) segment_->replay.ends_at(next->header.seal_offset);
            co_await read_on();
            if (!next) break;
            if (!segment_->replay.sealed())
                throw error(errc::corrupt, path(log_name(segment_->number)), segment_->replay.position(), "ends before the seal that its successor names");
            enter(std::move(*next));
            if (segment_->number == stop_at_) co_return true;
            if (!names.has_snapshot(segment_->number) || is_distrusted(segment_->number)) co_await leave_snapshot();
        }
        if (segment_->number < names.newest_log())
            throw error(errc::corrupt, path(log_name(segment_->number + 1)), "is gone, and what later ones begin with too: rebuild");
        if (segment_->number == names.newest_log()) co_return true;
        auto const now = co_await list_logs(fs_, directory_);  // a name that came since is trusted as little as in cross()
        co_return now.newest_log() <= segment_->number;
    }

    // --- a snapshot that proves damaged while it is in use -----------------------------------------------------

    bool is_damaged() const noexcept {
        if constexpr (mendable_machine<M>) return machine_.damaged();
        else return false;
    }
    bool is_distrusted(std::uint64_t n) const noexcept { return std::find(distrusted_.begin(), distrusted_.end(), n) != distrusted_.end(); }

    // Makes the snapshot that machine_ stands on again, from the generation before, and puts what was damaged into its
    // place in memory: equal streams make equal snapshots, so rows, views and numbers stay. False: there is nothing to make
    // it from; rotation_failure() tells why.
    asio::awaitable<bool> mend() {
        if constexpr (mendable_machine<M>) {
            if (beyond_mending_) co_return false;
            beyond_mending_ = true;  // till it has been done: trying again at every call would cost a replay each
            std::vector<std::byte> good;
            try {
                good = co_await make_again(mapped_);
                machine_.mend(good, path(snapshot_name(mapped_)));
            } catch (error const&) {
                rotation_failure_ = std::current_exception();
                co_return false;
            }
            beyond_mending_ = false;
            ++mended_;
            co_await replace_snapshot(mapped_, good);
        }
        co_return !is_damaged();
    }
    asio::awaitable<std::vector<std::byte>> make_again(std::uint64_t number) {
        auto const other = std::make_unique<on>(fs_, host_, directory_, options_);
        other->stop_at_ = number;
        auto names = co_await list_logs(fs_, directory_);
        std::erase_if(names.snapshots, [&](std::uint64_t n) { return n >= number; });
        bool const there = co_await other->load_from(names);
        if (!there || other->segment_->number != number)
            throw error(errc::corrupt, path(snapshot_name(number)), "is damaged, and what it was made of is gone");
        co_return other->machine_.dump();
    }
    // On disk too, so that the next one who opens it finds it whole. Others may do the same at the same time.
    asio::awaitable<void> replace_snapshot(std::uint64_t number, bytes_view good) {
        auto const name = path(snapshot_name(number));
        try {
            bool const was_there = co_await fs_.remove(name);
            if (was_there) co_await fs_.create(name, good, durability::stored);
        } catch (error const&) {
            rotation_failure_ = std::current_exception();
        }
    }
    asio::awaitable<bool> has_newer_snapshot() {
        auto const names = co_await list_logs(fs_, directory_);
        co_return !names.snapshots.empty() && names.snapshots.back() > mapped_ && names.has_log(names.snapshots.back());
    }

    // --- writing ---------------------------------------------------------------------------------------------

    asio::awaitable<appended> append_in_turn(dot id, stamp when, bytes_view operations) {
        if (!turns_.try_take()) co_await turns_.wait();
        detail::turn const mine(turns_);
        if (operations.size() > transaction_size_max()) throw error(errc::too_big, directory_, "transaction longer than a record may be");
        if (!segment_) co_await reload();
        auto begun = watched_ == id ? std::exchange(begun_, std::nullopt) : std::nullopt;
        if (!begun) watch(id);
        for (int tries = 0; !segment_->replay.verdict(); ++tries) {
            if (tries == appends_max) throw error(errc::busy, directory_, "the log was rotated by others at every try");
            landing l;
            if (begun) l = *std::exchange(begun, std::nullopt);
            else l = co_await put_when_ready(id, when, operations);
            if (!l.applied) co_await find_out(l, true);
        }
        watched_.reset();
        if (record_.size() > buffer_size_max) record_ = {};
        appended result{*segment_->replay.verdict(), std::move(segment_->replay.outcome())};
        if (is_long()) co_await rotate_quietly();
        co_return result;
    }
    format::log_header new_header(std::uint64_t number) {
        format::log_header h;
        h.number = number;
        h.nonce = host_.random();
        h.node = host_.node();
        h.created_ms = host_.now_ms();
        return h;
    }
    format::record_header new_record(format::record_kind kind, dot id = {}, stamp when = {}) const noexcept {
        format::record_header r;
        r.kind = static_cast<std::uint8_t>(kind);
        r.node = id.origin.node;
        r.incarnation = id.origin.incarnation;
        r.counter = id.counter;
        r.stamp = when.value;
        return r;
    }

    // Everything that must hold before a record of ours may follow.
    bool is_ready() noexcept {
        return !segment_->replay.sealed() && machine_.stream().boot == host_.boot() &&
               segment_->known_durable() >= segment_->replay.restart_end();
    }
    asio::awaitable<void> get_ready() {
        for (int i = 0; i < crossings_max; ++i) {
            if (is_ready()) co_return;
            co_await come_closer();
        }
        throw error(errc::busy, directory_, "others rotated the log at every try");
    }
    asio::awaitable<void> come_closer() {
        if (segment_->replay.sealed()) {
            co_await advance();
        } else if (machine_.stream().boot == host_.boot()) {
            co_await sync_now(*segment_);  // the restart that we rely on
        } else {
            co_await read_on();
            if (!segment_->replay.sealed() && machine_.stream().boot != host_.boot()) co_await append_restart();
        }
    }

    asio::awaitable<void> append_restart() {
        format::restart_payload p;
        format::put_guid(p.previous, machine_.stream().boot);
        format::put_guid(p.boot, host_.boot());
        p.void_from = static_cast<std::uint32_t>(segment_->replay.void_from());
        p.margin = unsynced_ids_max;
        auto const record = new_record(format::record_kind::restart);
        auto const payload = format::view_of(p);
        co_await append_record(record, payload);
    }

    // Appends, and reads up to what was appended. An error of the append counts only if the record did not get there.
    asio::awaitable<void> append_record(format::record_header header, bytes_view payload) {
        encode(header, payload);
        auto const l = co_await put();
        if (!l.applied) co_await find_out(l, false);
    }

    // What is known of the record after it was appended.
    struct landing {
        bool applied = false;        // it lies at position(): nobody came before it
        std::uint64_t at = 0;        // else it lies here,
        std::exception_ptr failure;  // or this is why nobody knows
    };
    landing land_now(appended& result) {
        landing l;
        try {
            l.at = segment_->file.append_now(own_bytes());
            l.applied = l.at == segment_->replay.position();
            if (l.applied) result.verdict = segment_->replay.apply_own(own_, result.outcome);
        } catch (std::system_error const&) {  // of the append; or the snapshot proves damaged where the record needs it
            l = {false, 0, std::current_exception()};
        }
        return l;
    }
    asio::awaitable<landing> put() {
        landing l;
        try {
            l.at = co_await segment_->file.append(own_bytes());
        } catch (std::system_error const&) {
            l.failure = std::current_exception();
        }
        co_return l;
    }
    asio::awaitable<landing> put_when_ready(dot id, stamp when, bytes_view operations) {
        if (!is_ready()) co_await get_ready();
        encode(new_record(format::record_kind::transaction, id, when), operations);
        if (is_beyond_bound()) co_await keep_bound();
        auto l = co_await put();
        if (l.failure || l.at != segment_->replay.position()) co_return l;
        try {
            segment_->replay.apply_own(own_);
            l.applied = true;
        } catch (error const&) {  // the snapshot proves damaged where the record needs it
            l.failure = std::current_exception();
        }
        co_return l;
    }

    // The record is in own_ then, and its bytes in record_.
    void encode(format::record_header const& header, bytes_view payload) {
        auto const size = format::record_size(payload.size());
        if (record_.size() < size) record_.resize(std::max(size, 2 * record_.size()));
        own_.header = header;
        set_base(own_.header, *segment_);
        format::encode_record(std::span(record_).first(size), own_.header, payload, segment_->seed);
        own_.payload = format::payload_of(own_bytes());
    }
    bytes_view own_bytes() const noexcept { return bytes_view(record_).first(own_.header.size); }
    void set_base(format::record_header& h, segment const& s) const noexcept {
        h.base_offset = static_cast<std::uint32_t>(s.replay.position());
        h.base_next_id = machine_.next_id();
        h.base_n = machine_.stream().at.n;
        h.synced = static_cast<std::uint32_t>(s.known_durable());
    }

    // No more ids than unsynced_ids_max are ever unsynced.
    bool is_beyond_bound() const { return M::next_id_after(machine_.next_id(), own_) > segment_->replay.id_limit(); }
    asio::awaitable<void> keep_bound() {
        if (M::next_id_after(machine_.next_id(), own_) - machine_.next_id() > unsynced_ids_max)
            throw error(errc::too_big, directory_, "more messages than one transaction may append");
        co_await sync_now(*segment_);
    }

    // Reads on after an append that failed, or that others came before.
    asio::awaitable<void> find_out(landing l, bool transaction) {
        auto const number = segment_->number;
        auto const name = path(log_name(number));
        try {
            co_await read_on();
        } catch (error const& e) {
            if (!l.failure && !transaction) throw;
            throw error(errc::may_have_happened, name, std::string("what was appended cannot be read back: ") + e.what());
        }
        if (transaction && segment_->replay.verdict()) co_return;
        if (l.failure) std::rethrow_exception(l.failure);
        if (transaction && !segment_->replay.sealed() && segment_->number == number && segment_->replay.position() <= l.at)
            throw error(errc::corrupt, name, l.at, "a record that was just appended cannot be read back");
    }

    // Names damage that a power cut must not be blamed for later.
    asio::awaitable<void> scar(segment& s) {
        auto const& damage = s.replay.open_damage();
        if (damage.empty()) co_return;
        std::vector<std::byte> ranges;
        for (auto const& d : damage) {
            format::scar_range const range{static_cast<std::uint32_t>(d.first), static_cast<std::uint32_t>(d.last)};
            auto const bytes = format::view_of(range);
            ranges.insert(ranges.end(), bytes.begin(), bytes.end());
        }
        std::vector<std::byte> bytes;
        auto record = new_record(format::record_kind::scar);
        if (&s == segment_.get()) set_base(record, s);  // else machine_ has left the file
        format::encode_record(bytes, record, ranges, s.seed);
        co_await s.file.append(bytes);
        s.replay.scarred();
    }

    asio::awaitable<void> sync_now(segment& s) {
        auto const through = s.replay.position();
        auto const ids = machine_.next_id();
        co_await scar(s);
        co_await s.syncs.sync(s.file);
        s.note_synced(through, ids);
    }

    // --- rotation --------------------------------------------------------------------------------------------

    bool is_long() const noexcept {
        auto const share = snapshot_size_ / std::max<std::uint32_t>(options_.rotate_share, 1);
        auto const most = std::min(std::max(options_.rotate_size_max, options_.rotate_size_min), format::log_size_max / 2);
        return segment_->replay.position() >= std::min(std::max(options_.rotate_size_min, share), most);
    }
    // What was acknowledged stays acknowledged when there is no room for the next file; the next append will say so.
    asio::awaitable<void> rotate_quietly() {
        rotation_failure_ = nullptr;
        try {
            co_await seal();
        } catch (error const&) {
            rotation_failure_ = std::current_exception();
        }
    }

    asio::awaitable<void> rotate_in_turn() {
        if (!turns_.try_take()) co_await turns_.wait();
        detail::turn const mine(turns_);
        if (!segment_) co_await reload();
        if (!is_ready()) co_await get_ready();
        co_await seal();
    }

    asio::awaitable<void> seal() {
        if (!segment_->replay.sealed()) {
            auto const record = new_record(format::record_kind::seal);
            co_await append_record(record, {});
        }
        if (segment_->replay.sealed()) co_await advance();
    }

    // The file is sealed: go to the next, which we make if nobody has.
    asio::awaitable<void> advance() {
        bool const went_on = co_await cross();
        if (went_on) co_return;
        auto const old = segment_;
        co_await sync_now(*old);  // that the next file exists proves this one whole
        auto const names = co_await list_logs(fs_, directory_);
        if (names.newest_log() > old->number) {  // we slept: the next file came and may be gone
            co_await reload();
            co_return;
        }
        auto const h = successor(*old, names.has_snapshot(old->number + 1) || leaves_behind_);
        auto const bytes = format::view_of(h);
        auto const name = path(log_name(h.number));
        bool const made = co_await fs_.create(name, bytes, durability::stored);
        if (made) leaves_behind_ = false;
        bool const there = co_await cross();
        if (!there || segment_->number != h.number) co_await reload_unless_newer(h.number);
        else if (made) co_await prepare_snapshot();
    }
    asio::awaitable<void> reload_unless_newer(std::uint64_t number) {
        if (segment_->number < number) co_await reload();
    }

    // Where the next file's snapshot is there and the file itself is not, it was lost with what clients saw of it.
    format::log_header successor(segment const& s, bool was_lost) {
        auto h = new_header(s.number + 1);
        auto const& stream = machine_.stream();
        format::put_guid(h.object, machine_.object());
        format::put_guid(h.boot, stream.boot);
        auto const at = was_lost ? stream.next_epoch() : stream.at;
        h.epoch = at.epoch;
        h.n = at.n;
        h.chain = stream.chain;
        auto const margin = was_lost ? lost_log_ids : 0;
        h.next_id = machine_.next_id() + std::min(margin, 0xffff'ffffU - machine_.next_id());
        h.seal_offset = static_cast<std::uint32_t>(s.replay.seal_offset());
        h.checksum = format::log_header_checksum(h);
        return h;
    }

    // A snapshot can be missing: whoever opens the log next makes up for it.
    asio::awaitable<void> leave_snapshot() {
        co_await prepare_snapshot();
        co_await write_pending();
    }
    // The state stands at the start of segment_: nothing of the file has been applied. To be written when others may
    // have their turn; a newer one takes the place of one that nobody has begun to write.
    asio::awaitable<void> prepare_snapshot() {
        try {
            auto bytes = co_await dump();
            snapshot_size_ = bytes.size();
            pending_ = {segment_->number, std::move(bytes)};
        } catch (error const&) {
            rotation_failure_ = std::current_exception();
        }
    }
    asio::awaitable<std::vector<std::byte>> dump() {
        try {
            co_return machine_.dump();
        } catch (error const&) {
            if (!is_damaged()) throw;
        }
        co_await mend();
        co_return machine_.dump();
    }
    // One at a time: who comes meanwhile leaves theirs to the one who writes.
    asio::awaitable<void> write_pending() {
        while (pending_ && !writing_) {
            detail::raised const mine(writing_);
            auto const snapshot = *std::exchange(pending_, std::nullopt);
            try {
                co_await write_snapshot(snapshot.number, snapshot.bytes);
            } catch (error const&) {
                rotation_failure_ = std::current_exception();
            }
        }
    }
    asio::awaitable<void> write_snapshot(std::uint64_t number, bytes_view bytes) {
        auto const name = path(snapshot_name(number));
        if (is_distrusted(number)) {
            co_await fs_.remove(name);
            std::erase(distrusted_, number);
        }
        co_await fs_.create(name, bytes, durability::stored);
        auto const names = co_await list_logs(fs_, directory_);
        auto const outdated = co_await detail::outdated_logs(fs_, directory_, names, number, options_, host_.now_ms());
        for (auto const& old : outdated) {
            auto const gone = path(old);
            co_await fs_.remove(gone);
        }
    }

    static constexpr std::uint32_t lost_log_ids = 1U << 20;    // left behind for a whole log that went missing
    static constexpr std::size_t read_size_min = 16U << 10;    // bytes asked for when nothing is known
    static constexpr std::size_t buffer_size_max = 256U << 10; // bytes kept between calls

    Fs fs_;
    Host host_;
    std::string directory_;
    log_options options_;
    std::optional<typename Fs::file::mapping> mapping_;  // what machine_ stands on: declared before it, dies after it
    M machine_;
    std::uint64_t mapped_ = 0;               // number of the snapshot in mapping_
    std::uint64_t stop_at_ = 0;              // load no farther than the start of this file; 0: load all
    std::vector<std::uint64_t> distrusted_;  // snapshots on disk that failed their checks
    bool beyond_mending_ = false;            // what mapping_ holds was found damaged, and nothing is there to mend it
    std::uint64_t mended_ = 0;
    std::shared_ptr<segment> segment_;
    std::uint64_t snapshot_size_ = 0;
    bool leaves_behind_ = false;  // the next file that we make is told to
    std::optional<pending_snapshot> pending_;
    bool writing_ = false;  // a snapshot
    std::uint64_t lost_ = 0;
    std::uint64_t loads_ = 0;
    std::optional<dot> watched_;
    std::exception_ptr rotation_failure_;
    std::vector<std::byte> buffer_;
    std::vector<std::byte> record_;  // the bytes of own_, at its front
    format::record_view own_;        // what is being appended
    std::optional<landing> begun_;   // what append_at_once() of watched_ left to append()
    detail::turns turns_;
};

}  // namespace mailfs
