// SPDX-License-Identifier: BSL-1.0
// What a node of a replica set does with its own disk: one coroutine writes what its member hands out, in that order.
#pragma once

#include <mailfs/config.hpp>
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
#include <cstdint>
#include <exception>
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
    static constexpr std::uint32_t retry_ms = 1000;  ///< before a disk that failed is opened anew
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
        core_.wake.raise();
    }
    void adopt(std::vector<std::byte> bytes) {
        snapshot_ = std::move(bytes);
        core_.wake.raise();
    }
    position on_disk() const noexcept { return written_; }
    void claim() {}
    void withdraw(position) {}
    void note_stored(position) {}
    bool has_room(std::size_t) const noexcept { return true; }
    bool works() const noexcept { return true; }

    asio::awaitable<void> sync(position through) {
        while (core_.is_open && written_ < through && (unsynced_ || !steps_.empty())) {
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
            if (!failed || !self->is_open) continue;
            co_await k.come_back();
        }
    }
    asio::awaitable<void> write_on() {
        while (core_.is_open) {
            core_.throw_if_broken();
            if (!steps_.empty()) {
                co_await write_steps();
            } else if (snapshot_) {
                co_await take_snapshot();
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
        auto const batch = std::exchange(steps_, {});
        bool const stored = std::exchange(stored_wanted_, false);
        for (auto const& s : batch) log_.add(s);
        co_await log_.flush(stored);
        auto const last = batch.back().at;
        if (stored) {
            note_written(last);
        } else if (!std::exchange(unsynced_, last)) {
            sync_due_ = core_.set.steady_ms() + core_.set.options().flush_ms;
            core_.set.reschedule(core_.name);
        }
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
        try {
            good = co_await log_.adopt(bytes, core_.machine, [&](M const& theirs) { return core_.member.may_adopt(theirs); });
        } catch (error const& e) {
            if (e.code() != errc::corrupt && e.code() != errc::newer_version) throw;
            core_.failure = std::current_exception();
        }
        if (!core_.is_open) co_return;
        if (good) {
            unsynced_.reset();
            written_ = std::as_const(core_.machine).stream().at;
        }
        core_.guarded([&] { core_.member.adopted(good); });
        synced_.raise();
    }
    // What a restarted process does.
    asio::awaitable<void> come_back() {
        core_.member.stop(errc::io);
        steps_.clear();
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
    bool stored_wanted_ = false;
    std::optional<std::vector<std::byte>> snapshot_;  // to be adopted
    std::optional<position> unsynced_;                // the last that was written and not synced
    std::uint64_t sync_due_ = 0;
    bool sync_wanted_ = false;
    position written_;
};

}  // namespace mailfs::detail
