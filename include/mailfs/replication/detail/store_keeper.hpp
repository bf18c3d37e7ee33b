// SPDX-License-Identifier: BSL-1.0
// What a node of a replica set does with the store that all reach: it claims there, and writes there while it is the master.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/aligned_bytes.hpp>
#include <mailfs/detail/signal.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/host/host.hpp>
#include <mailfs/log/log_options.hpp>
#include <mailfs/log/state_machine.hpp>
#include <mailfs/replication/arbiter.hpp>
#include <mailfs/replication/detail/coverage.hpp>
#include <mailfs/replication/detail/member.hpp>
#include <mailfs/replication/detail/mutant.hpp>
#include <mailfs/replication/detail/shared_log.hpp>

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

/// Part of Core, the journal that it works for; see multimaster.hpp. Three coroutines: one claims and flushes, one covers what is
/// long and removes what is covered, one takes over states that peers give: so that a slow store holds up nobody who follows.
template <class Core, filesystem Fs, host Host, state_machine M>
class store_keeper {
    using log_type = shared_log<Fs, Host, M>;
    using made = typename log_type::made;

public:
    static constexpr bool store_tells = true;  ///< whether an object is nowhere
    static constexpr int claims_max = 8;       ///< tries in one claim, each behind data that got in first
    static constexpr int tries_max = 4;        ///< to learn what became of one file of a claim

    store_keeper(Core& core, Fs fs, Host& host, std::string directory, log_options options, shared_store const& arbiter)
        : core_(core), arbiter_(arbiter), log_(std::move(fs), host, std::move(directory), options, arbiter, [this] { return steady_ms(); }) {}

    asio::awaitable<bool> create(guid object) {
        set_stopped(false);
        bool const made_it = co_await log_.create(object, core_.machine);
        if (made_it) begin_log({.number = 1, .held = {}, .files = 1, .bytes = 0, .snapshot_size = 0});
        co_return made_it;
    }
    /// Loads what the store holds; false: nothing.
    asio::awaitable<bool> open() {
        set_stopped(false);
        typename log_type::tail t;
        bool const there = co_await log_.read(core_.machine, t);
        if (there) {
            begin_log(t);
            mapping_ = std::move(t.held);
            held_ = {};
            if (log_.is_long()) cover_ = cover{t.number, core_.machine.dump()};
        }
        co_return there;
    }
    std::uint32_t epoch_heard() const noexcept { return 0; }
    asio::awaitable<void> start(std::shared_ptr<Core> self) {
        auto const executor = co_await asio::this_coro::executor;
        asio::co_spawn(executor, work(self), asio::detached);
        asio::co_spawn(executor, tend(self), asio::detached);
        asio::co_spawn(executor, take_states(std::move(self)), asio::detached);
    }
    /// A master that closes writes what waits, once.
    void stop(bool was_master) {
        auto const& stream = std::as_const(core_.machine).stream();
        if (was_master && log_.last() > stream.at) log_.withdraw(stream.at);
        if (was_master && log_.has_unflushed()) last_ = log_.next_file(core_.machine.object());
        core_.set.note_unflushed(std::exchange(told_unflushed_, 0), 0);
        set_stopped(true);
        core_.wake.raise();
        given_.raise();
        tend_.raise();
        stored_signal_.raise();
    }

    void write(format::stream_step const& step, bool stored) {
        auto const now = core_.set.steady_ms();
        if (!log_.has_unflushed()) oldest_ms_ = now;
        newest_ms_ = now;
        urgent_ = urgent_ || stored;
        log_.add(step);
        tell_unflushed();
        if (is_due(now)) core_.wake.raise();
    }
    void adopt(std::vector<std::byte> bytes) {
        snapshot_ = std::move(bytes);
        given_.raise();
    }
    void claim() {
        claim_wanted_ = true;
        ++claims_;
        core_.wake.raise();
    }
    void withdraw(position behind) {
        log_.withdraw(behind);
        tell_unflushed();
        urgent_ = false;
    }
    position on_disk() const noexcept { return stored_; }
    void read_steps(std::uint32_t, position, std::uint64_t, std::size_t) {}
    void note_stored(position at) {
        log_.note_stored(at);
        tell_unflushed();
        if (at > stored_) {
            stored_ = at;
            stored_signal_.raise();
        }
    }
    bool has_room(std::size_t size) {
        if (log_.has_unflushed() && log_.unflushed() + size > arbiter_.unflushed_max) return false;  // a greater one goes alone
        return core_.set.has_unflushed_room(core_.name, size);
    }
    bool works() const noexcept { return works_; }

    /// The master writes now; for others it does within flush_ms. Throws busy after call_ms.
    asio::awaitable<void> sync(position through) {
        auto const until = core_.set.steady_ms() + core_.set.options().call_ms;
        while (core_.is_open && stored_ < through && log_.has_unflushed()) {
            if (core_.set.steady_ms() >= until) throw error(errc::busy, core_.name, "the store has not taken all there is");
            sync_until_ = std::min(sync_until_, until);
            urgent_ = true;
            core_.wake.raise();
            core_.set.reschedule(core_.name);
            co_await stored_signal_.wait();
        }
    }
    void tick(std::uint64_t now) {
        if (is_due(now)) core_.wake.raise();
        if (tend_due_ms() <= now) tend_.raise();
        if (sync_until_ > now) return;
        sync_until_ = never;
        stored_signal_.raise();
    }
    std::uint64_t next_due_ms() const noexcept {
        auto const due = std::min(sync_until_, tend_due_ms());
        if (is_flushing_ || !log_.has_unflushed() || core_.member.role() != member_role::master) return due;
        auto const flush = urgent_ ? retry_at_ : std::max(retry_at_, std::min(oldest_ms_ + arbiter_.flush_ms, newest_ms_ + arbiter_.idle_ms));
        return std::min(flush, due);
    }

private:
    static constexpr std::uint64_t never = ~std::uint64_t{0};

    struct cover {
        std::uint64_t number = 0;
        std::vector<std::byte> dump;
    };

    void set_stopped(bool stopped) {
        is_stopped_ = stopped;
        log_.stop(stopped);
    }
    // Calls of the store may end when the set is gone.
    std::uint64_t steady_ms() {
        if (!is_stopped_) now_ms_ = core_.set.steady_ms();
        return now_ms_;
    }
    void tell_unflushed() {
        if (!is_stopped_) core_.set.note_unflushed(std::exchange(told_unflushed_, log_.unflushed()), log_.unflushed());
    }
    void begin_log(typename log_type::tail const& t) {
        auto const& stream = std::as_const(core_.machine).stream();
        log_.reset(stream.at, stream.chain);
        log_.begin(t);
        tell_unflushed();
        stored_ = stream.at;
    }
    bool is_due(std::uint64_t now) const noexcept {
        if (!log_.has_unflushed() || core_.member.role() != member_role::master || retry_at_ > now) return false;
        return urgent_ || log_.unflushed() >= arbiter_.flush_size || oldest_ms_ + arbiter_.flush_ms <= now || newest_ms_ + arbiter_.idle_ms <= now;
    }

    // --- the store ---------------------------------------------------------------------------------------------------

    static asio::awaitable<void> work(std::shared_ptr<Core> self) {
        auto& k = self->keeper;
        while (self->is_open) {
            if (self->broken) {
                co_await k.come_back();
                continue;
            }
            std::exception_ptr failure;
            try {
                if (std::exchange(k.claim_wanted_, false)) co_await k.claim_now();
                else if (k.is_due(self->set.steady_ms())) co_await k.flush_now();
                else co_await self->wake.wait();
            } catch (std::exception const&) {
                failure = std::current_exception();
            }
            if (!self->is_open) break;
            k.is_flushing_ = false;
            if (failure) {
                self->failure = failure;
                k.note_failure();
            }
            self->set.reschedule(self->name);
        }
        if (k.last_) co_await k.log_.put(*k.last_);
    }
    void note_failure() {
        works_ = false;
        retry_at_ = core_.set.steady_ms() + arbiter_.retry_ms;
        core_.guarded([&] {
            core_.member.claim_lost(0);
            core_.member.store_failed();
        });
    }
    void note_success() noexcept {
        works_ = true;
        retry_at_ = 0;
    }

    // A claim that was given up and is made again is another one: the state may have moved meanwhile.
    bool is_wanted(std::uint64_t claim) const noexcept { return core_.is_open && claims_ == claim && core_.member.is_claiming_at_store(); }
    asio::awaitable<void> claim_now() {
        auto const which = claims_;
        for (int tried = 0; tried < claims_max && is_wanted(which); ++tried) {
            typename log_type::tail t;
            M theirs;
            bool const there = co_await log_.read(theirs, t);
            if (!there) {  // the mailbox was removed
                core_.close();
                co_return;
            }
            auto const& base = std::as_const(theirs).stream();
            auto const before = base.at;
            auto const chain = base.chain;
            std::optional<store_claim> c;
            core_.guarded([&] {
                auto const& mine = std::as_const(core_.machine).stream();
                c = core_.member.compose_claim(theirs, [&](position at, std::uint64_t ch) { return log_.steps_behind(at, ch, mine.at, mine.chain); });
            });
            if (!c) break;
            auto file = log_.compose(t.number, theirs.object(), before, chain, c->steps);
            auto const came = co_await settle(file, which);
            if (!is_wanted(which)) co_return;
            if (came == made::unknown) break;
            if (came == made::theirs && !mutated(mutant::store_lost_claim_stands)) {
                auto const opened = co_await log_.opened_by(file.number);
                if (!opened) continue;  // it was covered and removed meanwhile
                if (*opened != 0) {
                    note_success();
                    core_.guarded([&] { core_.member.claim_lost(*opened); });
                    co_return;
                }
                hit(reached::claim_lost_to_data);
                continue;
            }
            bool const passed = co_await log_.is_passed(file.number);
            if (!is_wanted(which)) co_return;
            if (passed && !mutated(mutant::store_claim_not_looked_around)) {
                hit(reached::claim_passed);
                continue;
            }
            become_master(file, t, *c, theirs);
            co_return;
        }
        if (is_wanted(which)) core_.guarded([&] { core_.member.claim_lost(0); });
    }
    void become_master(shared_file const& file, typename log_type::tail const& t, store_claim const& c, M const& theirs) {
        note_success();
        urgent_ = false;
        log_.own(file, t);
        tell_unflushed();
        stored_ = file.end;
        core_.guarded([&] {
            if (!c.replaces) return core_.member.written(file.end);
            replace_state(theirs.dump());
            core_.member.took_over();
        });
        stored_signal_.raise();
    }
    // The same bytes again, until it is known whose the number is, or the claim is not wanted any more.
    asio::awaitable<made> settle(shared_file& file, std::uint64_t which) {
        auto came = made::unknown;
        for (int tried = 0; tried < tries_max; ++tried) {
            if (tried > 0) co_await core_.set.transport().wait(arbiter_.retry_ms);
            if (!is_wanted(which)) break;
            came = co_await log_.put(file);
            if (came == made::unknown) continue;
            if (tried > 0) hit(came == made::mine ? reached::create_taken_up : reached::create_not_ours);
            break;
        }
        co_return came;
    }

    asio::awaitable<void> flush_now() {
        urgent_ = false;
        is_flushing_ = true;
        auto const generation = log_.generation();
        while (log_.has_slept()) {
            hit(reached::slept);
            bool const passed = co_await log_.is_passed(log_.number());
            if (generation != log_.generation() || !core_.is_open) co_return;
            if (passed && !mutated(mutant::store_slept_not_looked)) co_return core_.guarded([&] { core_.member.shut_out(); });
        }
        auto file = log_.next_file(core_.machine.object());
        bool const again = file.was_tried;
        bool const has_all = file.end == std::as_const(core_.machine).stream().at;
        std::vector<std::byte> dump;
        if (log_.is_long() && has_all && !again && !cover_ && !is_tending_) dump = core_.machine.dump();
        auto const came = co_await log_.put(file);
        if (generation != log_.generation() || !core_.is_open) co_return;
        if (again && came != made::unknown) hit(came == made::mine ? reached::create_taken_up : reached::create_not_ours);
        if (came == made::unknown) {
            core_.failure = log_.failure();
            urgent_ = true;  // somebody may wait for it
            note_failure();
            co_return;
        }
        note_success();
        if (came == made::mine && log_.has_slept()) {  // while it was made
            hit(reached::slept);
            bool const passed = co_await log_.is_passed(file.number);
            if (generation != log_.generation() || !core_.is_open) co_return;
            if (passed && !mutated(mutant::store_slept_not_looked)) co_return core_.guarded([&] { core_.member.shut_out(); });
        }
        if (came == made::theirs && !mutated(mutant::store_flush_lost_goes_on)) co_return core_.guarded([&] { core_.member.shut_out(); });
        log_.landed(file);
        if (log_.has_unflushed()) oldest_ms_ = core_.set.steady_ms();
        auto const end = file.end;
        note_stored(end);
        core_.guarded([&] { core_.member.written(end); });
        if (dump.empty()) co_return;
        cover_ = cover{file.number, std::move(dump)};
        tend_.raise();
    }

    // --- snapshots, and what they cover --------------------------------------------------------------------------------

    // The master covers what is long, and who opens it; others when it has become twice as long.
    bool is_left_long() const noexcept { return core_.is_open && core_.member.role() != member_role::master && log_.is_long(2); }
    std::uint64_t tend_due_ms() const noexcept {
        if (is_tending_) return never;
        return std::min(log_.purge_due_ms(), is_left_long() ? look_after_ : never);
    }
    // What fails here is done by the next one.
    static asio::awaitable<void> tend(std::shared_ptr<Core> self) {
        auto& k = self->keeper;
        while (self->is_open) {
            auto const now = k.steady_ms();
            k.is_tending_ = true;
            try {
                if (k.cover_) co_await k.put_cover();
                else if (k.log_.purge_due_ms() <= now) co_await k.log_.purge();
                else if (k.is_left_long() && k.look_after_ <= now) co_await k.cover_for_master();
                else co_await k.wait_to_tend();
            } catch (std::exception const&) {
                self->failure = std::current_exception();
            }
            k.is_tending_ = false;
            if (self->is_open) self->set.reschedule(self->name);
        }
    }
    asio::awaitable<void> wait_to_tend() {
        is_tending_ = false;
        core_.set.reschedule(core_.name);
        co_await tend_.wait();
    }
    asio::awaitable<void> put_cover() {
        auto c = *std::exchange(cover_, std::nullopt);
        co_await log_.put_snapshot(c.number, std::move(c.dump));
    }
    asio::awaitable<void> cover_for_master() {
        look_after_ = steady_ms() + arbiter_.late_ms;
        co_await log_.look();
        if (!is_left_long()) co_return;
        typename log_type::tail t;
        M found;
        bool const there = co_await log_.read(found, t);
        if (!there || !core_.is_open) co_return;
        hit(reached::covered_for_master);
        co_await log_.put_snapshot(t.number, found.dump());
    }

    // What a restarted process does.
    asio::awaitable<void> come_back() {
        core_.member.stop(errc::io);
        core_.broken = false;
        claim_wanted_ = urgent_ = false;
        snapshot_.reset();
        core_.moved();
        while (core_.is_open) {
            co_await core_.set.transport().wait(arbiter_.retry_ms);
            try {
                bool const there = co_await open();
                if (!core_.is_open) co_return;
                if (there) core_.begin_member(true, false);
                else core_.close();
                co_return;
            } catch (error const&) {
                core_.failure = std::current_exception();
            }
        }
    }

    // --- states of peers -----------------------------------------------------------------------------------------------

    static asio::awaitable<void> take_states(std::shared_ptr<Core> self) {
        auto& k = self->keeper;
        while (self->is_open) {
            if (k.snapshot_) k.take_state();
            else co_await k.given_.wait();
        }
    }
    void take_state() {
        auto const bytes = *std::exchange(snapshot_, std::nullopt);
        bool good = false;
        try {
            aligned_bytes copy(bytes);  // declared first: the probe stands on it
            M probe;
            probe.load(copy.span(), core_.name);
            if constexpr (requires { probe.verify(); }) probe.verify();  // others check all of it when they load
            good = core_.member.may_adopt(probe);
        } catch (error const&) {
            core_.failure = std::current_exception();
        }
        core_.guarded([&] {
            if (good) {
                replace_state(bytes);
                auto const& stream = std::as_const(core_.machine).stream();
                log_.reset(stream.at, stream.chain);
                tell_unflushed();
            }
            core_.member.adopted(good);
        });
    }
    void replace_state(std::vector<std::byte> const& bytes) {
        aligned_bytes kept(bytes);
        core_.machine.load(kept.span(), core_.name);
        held_ = std::move(kept);
        mapping_.reset();
    }

    Core& core_;
    shared_store arbiter_;
    log_type log_;
    std::optional<typename Fs::file::mapping> mapping_;  // what the machine stands on: a snapshot in the store,
    aligned_bytes held_;                                 // or one that was taken over
    signal given_, stored_signal_, tend_;
    std::optional<std::vector<std::byte>> snapshot_;     // that a peer gave
    bool claim_wanted_ = false;
    std::uint64_t claims_ = 0;
    bool urgent_ = false;                                // somebody waits for what is not in the store
    std::size_t told_unflushed_ = 0;                     // of the set's
    bool is_flushing_ = false, is_tending_ = false, is_stopped_ = false;
    std::optional<cover> cover_;                         // a snapshot that is to be made
    std::uint64_t look_after_ = 0, now_ms_ = 0;
    std::uint64_t sync_until_ = never;
    std::optional<shared_file> last_;
    bool works_ = true;                                  // the store, when it was asked last
    std::uint64_t oldest_ms_ = 0, newest_ms_ = 0, retry_at_ = 0;
    position stored_;
};

}  // namespace mailfs::detail
