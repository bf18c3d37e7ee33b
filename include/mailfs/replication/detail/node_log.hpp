// SPDX-License-Identifier: BSL-1.0
// One node's own copy of a replicated stream: a log with one writer, never appended to again once that writer has gone.
//
// The files are those of docs/formats/log.md, with feature bit `replicated`: each record tells its position, nothing is
// sealed or scarred, and the end of what counts in a file is its first byte that is no record, or no next step.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/aligned_bytes.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/format/peer_message.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/host/host.hpp>
#include <mailfs/log/detail/log_file.hpp>
#include <mailfs/log/log_directory.hpp>
#include <mailfs/log/log_options.hpp>
#include <mailfs/log/state_machine.hpp>
#include <mailfs/replication/detail/found_steps.hpp>
#include <mailfs/replication/detail/mutant.hpp>
#include <mailfs/replication/detail/record_of.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// Belongs to one executor; one call at a time, but for add(). After an error of any call that writes only open() or leave_file() may follow.
template <filesystem Fs, host Host, state_machine M>
class node_log {
public:
    node_log(Fs fs, Host& host, std::string directory, log_options options)
        : fs_(std::move(fs)), host_(&host), directory_(std::move(directory)), options_(options) {}

    Fs const& fs() const noexcept { return fs_; }
    std::string const& directory() const noexcept { return directory_; }
    /// Something was lost: a file ended early though a later one begins farther on. The state is an older one of the same history.
    bool fell_back() const noexcept { return heard_ > 0; }
    /// The greatest epoch that any file tells of, be it readable or not.
    std::uint32_t epoch_heard() const noexcept { return heard_; }

    /// Makes log.1 of an object that is nowhere yet; false: there is a log. `machine` is its empty state then.
    asio::awaitable<bool> create(guid object, M& machine) {
        auto const names = co_await list_logs(fs_, directory_);
        if (!names.empty()) co_return false;
        machine.reset(object);
        number_ = 0;
        co_await begin(machine);
        co_return true;
    }

    /// Loads the newest state into `machine`; false: there is no log. What was read is on stable storage afterwards.
    asio::awaitable<bool> open(M& machine) {
        file_.reset();
        buffer_.clear();
        pieces_.clear();
        heard_ = 0;
        auto const names = co_await list_logs(fs_, directory_);
        if (names.empty()) co_return false;
        number_ = std::max(names.newest_log(), names.snapshots.empty() ? 0 : names.snapshots.back());
        auto const first = co_await load_snapshot(machine, names);
        co_await replay(machine, names, first);
        co_return true;
    }

    /// The next file, which goes on where `machine` stands. A process calls it before it adds anything.
    asio::awaitable<void> begin(M const& machine) {
        auto const h = header_after(number_ + 1, machine);
        co_await begin_with(h);
    }

    /// Encodes a step behind those that wait for flush(). Its place is the one behind them.
    void add(format::stream_step const& step) {
        auto const record = record_of(step);
        auto const begin = buffer_.size();
        format::encode_record(buffer_, record.header, record.payload, seed_);
        auto const piece = pieces_.empty() ? 0 : pieces_.back();
        if (begin > piece && buffer_.size() - piece > Fs::traits.append_size_max) pieces_.push_back(begin);
    }
    bool has_more() const noexcept { return !buffer_.empty(); }

    /// Writes what was added; with `stored` it is on stable storage then. Two or three system calls: more only where an append takes less.
    asio::awaitable<void> flush(bool stored) {
        auto const bytes = std::exchange(buffer_, {});
        auto pieces = std::exchange(pieces_, {});
        if (!bytes.empty()) pieces.push_back(bytes.size());
        size_ += bytes.size();
        std::size_t begin = 0;
        for (auto const end : pieces) {
            co_await file_->append(bytes_view(bytes).subspan(begin, end - begin));
            begin = end;
        }
        if (stored) co_await file_->sync();
    }

    bool is_long() const noexcept {
        auto const most = std::min(std::max(options_.rotate_size_max, options_.rotate_size_min), format::log_size_max / 2);
        return size_ >= std::min<std::uint64_t>(std::max<std::uint64_t>(options_.rotate_size_min, snapshot_size_ / std::max(options_.rotate_share, 1U)), most);
    }

    /// Goes on in the next file, behind a snapshot of `machine`, whose steps were all flushed, or belong into that file. What
    /// is added meanwhile waits.
    asio::awaitable<void> rotate(M const& machine) {
        auto const snapshot = machine.dump();
        auto const h = header_after(number_ + 1, machine);
        co_await make(path(snapshot_name(number_ + 1)), snapshot);
        co_await begin_with(h);
        snapshot_size_ = snapshot.size();
        co_await remove_old();
    }

    /// After an error: what was written since the last sync may be lost, and the next file is one that was never begun. Before
    /// rotate() or adopt().
    asio::awaitable<void> leave_file() {
        file_.reset();
        buffer_.clear();
        pieces_.clear();
        auto const names = co_await list_logs(fs_, directory_);
        number_ = std::max({number_, names.newest_log(), names.snapshots.empty() ? 0 : names.snapshots.back()});
    }
    /// The steps behind this place, as far as they were flushed. None: the files do not have the place, or not all from there on, or
    /// that is more than `size_max` bytes. Cost: one read of the files that have them.
    asio::awaitable<found_steps> read_from(position from, std::uint64_t chain, std::size_t size_max) {
        reading r{from, chain, size_max};
        auto const names = co_await list_logs(fs_, directory_);
        for (auto const n : names.logs) {
            auto log = co_await open_log(fs_, directory_, n, format::log_feature_replicated);
            if (!log) continue;
            auto const& h = log->header;
            if (!r.begin({h.epoch, h.n}, h.chain)) continue;
            auto const bytes = co_await read_log(log->file, path(log_name(n)));
            r.take(bytes_view(bytes).subspan(std::min(bytes.size(), sizeof h)), format::record_seed(h.nonce));
        }
        co_return found_steps{std::move(r.steps), r.is_there ? std::nullopt : r.other_chain};
    }

    /// Leaves what is there and goes on with this state: of this node itself, or a peer's. It is on stable storage then. The bytes
    /// are a dump(); `machine` takes them over. False: suits(state) says no. Throws corrupt, and nothing has changed then.
    template <class Suits>
    asio::awaitable<bool> adopt(bytes_view snapshot, M& machine, Suits const& suits) {
        aligned_bytes copy(snapshot);  // declared first: the probe stands on it
        M probe;
        probe.load(copy.span(), directory_);
        if constexpr (requires { probe.verify(); }) probe.verify();  // others check all of it when they load
        if (!suits(probe)) co_return false;
        auto const name = path(snapshot_name(number_ + 1));
        auto const h = header_after(number_ + 1, probe);
        co_await make(name, snapshot, mutated(mutant::adopted_without_sync) ? durability::none : durability::stored);
        buffer_.clear();
        pieces_.clear();
        co_await begin_with(h);
        co_await remove_old();
        snapshot_size_ = snapshot.size();
        aligned_bytes kept(snapshot);
        machine.load(kept.span(), name);
        held_ = std::move(kept);
        mapping_.reset();
        heard_ = 0;
        co_return true;
    }

private:
    // Goes through files in their order: a file that does not begin where the one before ended begins anew.
    struct reading {
        position from;
        std::uint64_t chain;
        std::size_t size_max;
        position at{};
        std::uint64_t chain_at = 0;
        bool is_there = false;
        std::optional<std::uint64_t> other_chain{};
        std::size_t size = 0;
        std::vector<format::stream_step> steps{};

        // False: the file is not needed.
        bool begin(position first, std::uint64_t first_chain) {
            if (!is_there || at != first || chain_at != first_chain) {
                is_there = false;
                steps.clear();
                size = 0;
            }
            at = first;
            chain_at = first_chain;
            look();
            return is_there || at < from;
        }
        void look() {
            if (at != from) return;
            if (chain_at == chain) is_there = true;
            else other_chain = chain_at;
        }
        void take(bytes_view rest, std::uint32_t seed) {
            while (auto const record = format::decode_record(rest, seed)) {
                if (!is_next(at, *record)) break;
                at = {record->header.base_offset, record->header.base_n};
                chain_at = stream_state::chain_after(chain_at, *record);
                if (is_there) add(*record);
                look();
                rest = rest.subspan(record->header.size);
            }
        }
        void add(format::record_view const& r) {
            size += sizeof(format::stream_step) + r.payload.size();
            if (size <= size_max) steps.push_back(step_of(r));
            else steps.clear();
        }
    };

    // A name that is taken was made by a process of ours that died half-way, or by a stranger.
    asio::awaitable<void> make(std::string const& name, bytes_view bytes, durability wanted = durability::stored) {
        bool const made = co_await fs_.create(name, bytes, wanted);
        if (!made) throw error(errc::exists, name, "was made by someone else: each node needs a disk of its own");
    }
    asio::awaitable<void> begin_with(format::log_header const& h) {
        auto const name = path(log_name(h.number));
        auto const bytes = format::view_of(h);
        co_await make(name, bytes);
        auto opened = co_await fs_.open(name);
        if (!opened) throw error(errc::io, name, "was made and is gone");
        file_.emplace(std::move(*opened));
        number_ = h.number;
        seed_ = format::record_seed(h.nonce);
        size_ = sizeof h;
    }

    std::string path(std::string const& name) const { return directory_ + "/" + name; }

    format::log_header header_after(std::uint64_t number, M const& machine) const {
        format::log_header h;
        h.number = number;
        h.nonce = host_->random();
        h.node = host_->node();
        h.created_ms = host_->now_ms();
        h.features_required = format::log_feature_replicated;
        auto const& stream = machine.stream();
        format::put_guid(h.object, machine.object());
        format::put_guid(h.boot, host_->boot());
        h.epoch = stream.at.epoch;
        h.n = stream.at.n;
        h.chain = stream.chain;
        h.next_id = machine.next_id();
        h.seal_offset = sizeof(format::log_header);
        h.checksum = format::log_header_checksum(h);
        return h;
    }

    // The number of the first log to replay.
    asio::awaitable<std::uint64_t> load_snapshot(M& machine, log_names const& names) {
        std::exception_ptr damage;
        for (auto const n : names.snapshots_newest_first()) {
            auto const name = path(snapshot_name(n));
            auto file = co_await fs_.open(name);
            if (!file) continue;
            auto mapping = co_await file->map();
            try {
                machine.load(mapping.bytes(), name);
            } catch (error const& e) {
                if (e.code() == errc::newer_version) throw;
                damage = std::current_exception();
                continue;
            }
            mapping_.emplace(std::move(mapping));
            held_ = {};
            co_return n;
        }
        if (damage && !names.has_log(1)) std::rethrow_exception(damage);
        if (!names.has_log(1)) throw error(errc::corrupt, directory_, "no snapshot to start from, and the first log is gone: remove the directory, and a peer's state takes its place");
        co_return 1;
    }

    asio::awaitable<void> replay(M& machine, log_names const& names, std::uint64_t first) {
        bool whole = true, begun = !names.snapshots.empty() && first >= names.snapshots.front() && machine.stream().at != position{};
        for (auto const n : names.logs) {
            if (n < first) continue;
            auto log = co_await open_log(fs_, directory_, n, format::log_feature_replicated);
            if (!log) continue;
            auto const name = path(log_name(n));
            auto const& h = log->header;
            if (!begun) machine.reset(format::get_guid(h.object));
            begun = true;
            if (format::get_guid(h.object) != machine.object()) throw error(errc::corrupt, name, 24, "belongs to another object");
            heard_ = std::max<std::uint32_t>(heard_, h.epoch);
            auto const& stream = machine.stream();
            whole = whole && stream.at == position{h.epoch, h.n} && (stream.chain == h.chain);
            if (!whole) continue;
            co_await replay_file(machine, log->file, name, format::record_seed(h.nonce));
            if (n == names.newest_log()) co_await log->file.sync();
        }
        if (whole) heard_ = 0;
    }
    asio::awaitable<void> replay_file(M& machine, typename Fs::file& file, std::string const& name, std::uint32_t seed) {
        auto const bytes = co_await read_log(file, name);
        auto rest = bytes_view(bytes).subspan(std::min(bytes.size(), sizeof(format::log_header)));
        while (auto const record = format::decode_record(rest, seed)) {
            if (!is_next(machine.stream().at, *record)) break;
            machine.apply_step(*record, nullptr);
            rest = rest.subspan(record->header.size);
        }
    }
    static bool is_next(position at, format::record_view const& r) noexcept {
        position const next{r.header.base_offset, r.header.base_n};
        if (r.kind() == format::record_kind::epoch) return next.n == 0 && next.epoch > at.epoch;
        return next == position{at.epoch, at.n + 1};
    }

    asio::awaitable<void> remove_old() {
        auto const names = co_await list_logs(fs_, directory_);
        for (auto const& old : names.older_than(number_, options_.generations_kept)) {
            auto const gone = path(old);
            co_await fs_.remove(gone);
        }
    }

    Fs fs_;
    Host* host_;
    std::string directory_;
    log_options options_;
    std::optional<typename Fs::file::mapping> mapping_;  // what the machine stands on: a snapshot on disk,
    aligned_bytes held_;                                 // or one that was adopted
    std::optional<typename Fs::file> file_;
    std::vector<std::byte> buffer_;
    std::vector<std::size_t> pieces_;  // where those begin which one append does not take with what is before them
    std::uint64_t number_ = 0;
    std::uint64_t size_ = 0;           // of the file
    std::uint64_t snapshot_size_ = 0;  // of the newest one
    std::uint32_t seed_ = 0;
    std::uint32_t heard_ = 0;
};

}  // namespace mailfs::detail
