// SPDX-License-Identifier: BSL-1.0
// What a node of a replica set does with its own disk: one coroutine writes what its member hands out, in that order.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/aligned_bytes.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/host/host.hpp>
#include <mailfs/log/log_options.hpp>
#include <mailfs/log/state_machine.hpp>
#include <mailfs/replication/arbiter.hpp>
#include <mailfs/replication/detail/node_log.hpp>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/this_coro.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// Part of Core, the journal that it works for; see multimaster.hpp.
template <class Core, filesystem Fs, host Host, state_machine M>
class disk_keeper {
public:
    static constexpr std::size_t record_payload_max = format::payload_size_max(std::min<std::uint64_t>(format::record_size_max, Fs::traits.append_size_max));
    static constexpr std::uint32_t retry_min_ms = 50, retry_ms = 1000;  ///< before a disk that failed is tried again
    static constexpr bool store_tells = false;       ///< whether an object is nowhere: peers may have it

    disk_keeper(Core& core, Fs fs, Host& host, std::string directory, log_options options, own_disks const&)
        : core_(core), log_(std::move(fs), host, std::move(directory), options) {}

    asio::awaitable<bool> create(guid object) { return log_.create(object, core_.machine); }
    /// Loads what is on the disk; false: nothing. Nothing that was written before is appended to.
    asio::awaitable<bool> open() {
        bool const there = co_await log_.open(core_.machine);
        if (there) co_await log_.begin(core_.machine);
        co_return there;
    }
    std::uint32_t epoch_heard() const noexcept { return log_.epoch_heard(); }
    asio::awaitable<void> start(std::shared_ptr<Core> self) {
        auto const executor = co_await asio::this_coro::executor;
        asio::co_spawn(executor, work(std::move(self)), asio::detached);
    }
    void stop(bool) {
        core_.wake.raise();
        synced_.raise();
    }

    void write(format::stream_step const& step, bool stored) {
        steps_.push_back(step);
        stored_wanted_ = stored_wanted_ || stored;
        if (disk_fails_ && !is_beginning_) drop_applied();
        core_.wake.raise();
    }
    void read_steps(std::uint32_t node, position from, std::uint64_t chain, std::size_t size_max) {
        wanted_.push_back({node, from, chain, size_max});
        core_.wake.raise();
    }
    void adopt(std::vector<std::byte> bytes) {
        snapshot_ = std::move(bytes);
        core_.wake.raise();
    }
    position on_disk() const noexcept { return written_; }
    void claim() {}
    void withdraw(position behind) {
        std::erase_if(steps_, [&](format::stream_step const& s) { return s.at > behind; });
    }
    void note_stored(position) {}
    bool has_room(std::size_t) const noexcept { return true; }
    bool works() const noexcept { return true; }

    asio::awaitable<void> sync(position through) {
        while (core_.is_open && written_ < through && (unsynced_ || !steps_.empty() || disk_fails_)) {
            sync_wanted_ = true;
            core_.wake.raise();
            co_await synced_.wait();
        }
    }
    void tick(std::uint64_t now) {
        if (unsynced_ && sync_due_ <= now) core_.wake.raise();
    }
    std::uint64_t next_due_ms() const noexcept { return unsynced_ ? sync_due_ : ~std::uint64_t{0}; }

private:
    struct wanted_steps {
        std::uint32_t node;
        position from;
        std::uint64_t chain;
        std::size_t size_max;
    };

    static asio::awaitable<void> work(std::shared_ptr<Core> self) {
        auto& k = self->keeper;
        while (self->is_open) {
            bool failed = false;
            try {
                co_await k.write_on();
            } catch (std::exception const&) {
                self->failure = std::current_exception();
                failed = true;
            }
            if (failed && self->is_open) co_await k.mend();
            if (self->broken && self->is_open) co_await k.come_back();
        }
    }
    asio::awaitable<void> write_on() {
        while (core_.is_open && !core_.broken) {
            if (!steps_.empty()) {
                co_await write_steps();
            } else if (snapshot_) {
                co_await take_snapshot();
            } else if (!wanted_.empty()) {
                co_await read_for_peer();
            } else if (unsynced_ && (sync_due_ <= core_.set.steady_ms() || sync_wanted_)) {
                co_await sync_now();
            } else if (log_.is_long() && is_still()) {
                co_await log_.rotate(core_.machine);
                note_written(std::as_const(core_.machine).stream().at);
            } else {
                co_await core_.wake.wait();
            }
        }
    }
    // No step is applied that is not in the log, or waits for it.
    bool is_still() const noexcept { return steps_.empty() && !snapshot_ && !unsynced_; }
    asio::awaitable<void> write_steps() {
        writing_ = std::exchange(steps_, {});
        bool const stored = std::exchange(stored_wanted_, false);
        auto const last = writing_.back().at;
        if (writing_.back().payload.size() > record_payload_max) {
            co_await write_as_state();
            co_return note_written(last);
        }
        for (auto const& s : writing_) log_.add(s);
        co_await log_.flush(stored);
        writing_.clear();
        if (stored) {
            note_written(last);
        } else if (!std::exchange(unsynced_, last)) {
            sync_due_ = core_.set.steady_ms() + core_.set.options().flush_ms;
            core_.set.reschedule(core_.name);
        }
    }
    // A fold that no record holds, and which is not applied yet: the state that it makes is written in its place.
    asio::awaitable<void> write_as_state() {
        auto const bytes = core_.machine.dump();
        aligned_bytes held(bytes);
        M probe;
        probe.load(held.span(), core_.name);
        for (auto const& s : writing_)
            if (std::as_const(probe).stream().at < s.at) probe.apply_step(record_of(s), nullptr);
        co_await log_.rotate(probe);
        writing_.clear();
    }
    asio::awaitable<void> read_for_peer() {
        auto const w = wanted_.front();
        wanted_.erase(wanted_.begin());
        found_steps found;
        try {
            found = co_await log_.read_from(w.from, w.chain, w.size_max);
        } catch (error const&) {
            core_.failure = std::current_exception();
        }
        if (core_.is_open && !core_.broken) core_.guarded([&] { core_.member.steps_read(w.node, w.from, w.chain, std::move(found)); });
    }
    asio::awaitable<void> sync_now() {
        auto const last = *std::exchange(unsynced_, std::nullopt);
        sync_wanted_ = false;
        co_await log_.flush(true);
        note_written(last);
    }
    void note_written(position last) {
        if (unsynced_ && *unsynced_ <= last) unsynced_.reset();
        written_ = std::max(written_, last);
        core_.guarded([&] { core_.member.written(last); });
        synced_.raise();
    }
    asio::awaitable<void> take_snapshot() {
        auto const bytes = *std::exchange(snapshot_, std::nullopt);
        bool good = false;
        std::exception_ptr of_disk;
        try {
            good = co_await log_.adopt(bytes, core_.machine, [&](M const& theirs) { return core_.member.may_adopt(theirs); });
        } catch (error const& e) {
            core_.failure = std::current_exception();
            if (e.code() != errc::corrupt && e.code() != errc::newer_version) of_disk = core_.failure;
        }
        if (!core_.is_open) co_return;
        if (good) {
            unsynced_.reset();
            written_ = std::as_const(core_.machine).stream().at;
        }
        core_.guarded([&] { core_.member.adopted(good); });
        synced_.raise();
        if (of_disk) std::rethrow_exception(of_disk);
    }
    // A disk that failed is begun anew, with the state as it is by then: what was not written is in it, or stands behind it.
    asio::awaitable<void> mend() {
        disk_fails_ = true;
        unsynced_.reset();
        steps_.insert(steps_.begin(), std::make_move_iterator(writing_.begin()), std::make_move_iterator(writing_.end()));
        writing_.clear();
        core_.guarded([&] { core_.member.disk_fails(); });
        for (auto wait_ms = retry_min_ms; disk_fails_ && core_.is_open && !core_.broken; wait_ms = std::min(2 * wait_ms, retry_ms)) {
            drop_applied();
            co_await core_.set.transport().wait(wait_ms);
            try {
                if (core_.is_open && !core_.broken) co_await begin_anew();
            } catch (error const&) {
                core_.failure = std::current_exception();
                is_beginning_ = false;
            }
        }
        disk_fails_ = false;
    }
    asio::awaitable<void> begin_anew() {
        co_await log_.leave_file();
        drop_applied();
        auto const& machine = std::as_const(core_.machine);
        auto const through = machine.stream().at;
        is_beginning_ = true;
        if (machine.object() != guid{}) co_await log_.rotate(machine);
        is_beginning_ = disk_fails_ = false;
        if (!core_.is_open || core_.broken) co_return;
        core_.guarded([&] { core_.member.disk_works(); });
        note_written(through);
        stored_wanted_ = true;  // whoever waited for it does so still
    }
    void drop_applied() {
        std::erase_if(steps_, [&](format::stream_step const& s) { return s.at <= std::as_const(core_.machine).stream().at; });
    }
    // What a restarted process does, when the member found the state to be wrong.
    asio::awaitable<void> come_back() {
        core_.member.stop(errc::io);
        steps_.clear();
        writing_.clear();
        wanted_.clear();
        snapshot_.reset();
        unsynced_.reset();
        stored_wanted_ = sync_wanted_ = core_.broken = false;
        core_.moved();
        while (core_.is_open) {
            co_await core_.set.transport().wait(retry_ms);
            try {
                bool const there = co_await open();
                if (!core_.is_open) co_return;
                written_ = {};
                core_.begin_member(there, false);
                co_return;
            } catch (error const&) {
                core_.failure = std::current_exception();
            }
        }
    }

    Core& core_;
    node_log<Fs, Host, M> log_;
    signal synced_;
    std::vector<format::stream_step> steps_;          // to be written
    std::vector<format::stream_step> writing_;        // not known to be written
    std::vector<wanted_steps> wanted_;                // by peers, one each
    bool disk_fails_ = false;
    bool is_beginning_ = false;                       // anew, with a state that has been taken already
    bool stored_wanted_ = false;
    std::optional<std::vector<std::byte>> snapshot_;  // to be adopted
    std::optional<position> unsynced_;                // the last that was written and not synced
    std::uint64_t sync_due_ = 0;
    bool sync_wanted_ = false;
    position written_;
};

}  // namespace mailfs::detail
