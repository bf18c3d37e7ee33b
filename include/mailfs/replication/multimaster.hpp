// SPDX-License-Identifier: BSL-1.0
// multimaster: every node that has a mailbox open holds its state; one of them orders the transactions, and pushes them to all.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/signal.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/fwd.hpp>
#include <mailfs/host/host.hpp>
#include <mailfs/log/log_options.hpp>
#include <mailfs/log/state_machine.hpp>
#include <mailfs/replication/arbiter.hpp>
#include <mailfs/replication/detail/disk_keeper.hpp>
#include <mailfs/replication/detail/member.hpp>
#include <mailfs/replication/detail/store_keeper.hpp>
#include <mailfs/replication/replica_set.hpp>
#include <mailfs/types/durability.hpp>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/this_coro.hpp>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace mailfs {

/// A replication policy. With own_disks each node keeps its own disk: both sides of a split go on, and are folded into one when
/// they meet again. With shared_store all reach one filesystem, whose exclusive create() elects the master. Copies share the
/// node's replica_set, which must outlive them.
template <transport Transport, host Host, class Arbiter>
class multimaster {
    static_assert(arbiter<Arbiter>, "mailfs: multimaster<Transport, Host, Arbiter>: Arbiter is neither own_disks nor shared_store: see replication/arbiter.hpp");

public:
    using host_type = Host;
    using set_type = replica_set<Transport, Host>;

    explicit multimaster(set_type& set, Arbiter a = {}) : set_(&set), arbiter_(std::move(a)) {}

    template <class Log, filesystem Fs, state_machine M>
    class on;

    set_type& set() const noexcept { return *set_; }
    Host& host() const noexcept { return set_->host(); }
    Arbiter const& arbiter() const noexcept { return arbiter_; }

private:
    set_type* set_;
    [[no_unique_address]] Arbiter arbiter_;
};

/// A journal, as `replication` has it. Belongs to the executor of its replica_set; calls may overlap. close() it before it dies:
/// what it does in the background ends with that.
template <transport Transport, host Host, class Arbiter>
template <class Log, filesystem Fs, state_machine M>
class multimaster<Transport, Host, Arbiter>::on {
    static_assert(Fs::traits.reads_coherent || !detail::is_shared_store<Arbiter>,
                  "mailfs: shared_store needs a filesystem whose nodes see each other's files at once, and this one may answer from a stale cache");
    static_assert(replicated_machine<M>, "mailfs: multimaster<> needs a state machine whose histories can be folded, as mailbox_state: see replicated_machine in log/state_machine.hpp");
    struct core;

public:
    using outcome_type = typename M::outcome;
    static constexpr std::size_t appends_max = uid_block_size;  ///< of one transaction

    /// Wakes when the state has changed. Lives as long as the journal.
    class watch_type {
    public:
        asio::awaitable<void> changed() {
            if (seen_ != core_->moves) {
                seen_ = core_->moves;
                co_return;
            }
            co_await core_->moved_signal.wait();
            seen_ = core_->moves;
        }

    private:
        friend class on;
        explicit watch_type(std::shared_ptr<core> c) : core_(std::move(c)) {}
        std::shared_ptr<core> core_;
        std::uint64_t seen_ = ~std::uint64_t{0};
    };

    on(Fs fs, std::string directory, multimaster const& policy, log_options options = {})
        : core_(std::make_shared<core>(std::move(fs), std::move(directory), policy, options)) {}
    on(on const&) = delete;
    on& operator=(on const&) = delete;
    ~on() { core_->close(); }

    /// False: this node or a peer has it already, and it is open now.
    asio::awaitable<bool> create(guid object, bytes_view first) {
        bool const there = co_await open();
        if (there) co_return false;
        auto const keep = core_;
        bool const made = co_await keep->keeper.create(object);
        if (!made && core::keeper_type::store_tells) {
            co_await open();  // another node was faster
            co_return false;
        }
        if (!made) throw error(errc::exists, keep->name, "there is a log, which did not open");
        co_await keep->begin(true, true);
        if (!first.empty()) co_await propose(first, durability::stored);
        co_return true;
    }
    /// Loads what is on this node's disk, looks for the others, and returns when the state may be shown; false: neither this
    /// node nor any peer that answers within join_ms has it. With a shared store: it is not there. Throws histories_differ when
    /// a peer has other changes at a position of ours, as later calls do when that shows later: the journal is closed then, and
    /// both have what they had. (A history that goes back beyond the logs that the peer keeps cannot be compared.)
    asio::awaitable<bool> open() {
        auto const keep = core_;
        if (keep->is_open) co_return true;
        bool const there = co_await keep->keeper.open();
        if (!there && core::keeper_type::store_tells) co_return false;
        co_return co_await keep->begin(there, false);
    }

    /// Returns when as many nodes hold it as `wanted` asks for. Throws busy (it did not happen), may_have_happened, too_big (it
    /// appends more than 256 messages, or has more than 900 KiB).
    asio::awaitable<outcome_type> propose(bytes_view operations, durability wanted) { return core_->propose(operations, wanted == durability::stored); }

    /// True: the state has moved since the last call. No I/O: pushes move it.
    asio::awaitable<bool> catch_up() {
        core_->check_open();
        co_return std::exchange(core_->caught_up_moves, core_->moves) != core_->moves;
    }
    /// All that state() knows is on this node's disk; of a shared store: in it. Throws busy where the store takes nothing for call_ms.
    asio::awaitable<void> sync() { return core_->sync(); }

    M const& state() const noexcept { return core_->machine; }
    M& machine() noexcept { return core_->machine; }
    watch_type watch() const { return watch_type(core_); }

    /// Ends what is under way: waiting calls throw closed.
    void close() { core_->close(); }
    detail::member_role role() const noexcept { return core_->member.role(); }
    bool can_serve() const noexcept { return core_->member.can_serve(); }
    detail::member_load load() const noexcept { return core_->member.load(); }
    /// All steps up to here are on this node's stable storage, or, as far as it knows, in the shared store.
    position on_disk() const noexcept { return core_->keeper.on_disk(); }
    /// Why the disk failed last, or the store.
    std::exception_ptr failure() const noexcept { return core_->failure; }

private:
    std::shared_ptr<core> core_;
};

template <transport Transport, host Host, class Arbiter>
template <class Log, filesystem Fs, state_machine M>
struct multimaster<Transport, Host, Arbiter>::on<Log, Fs, M>::core final : detail::member_io, detail::replica_endpoint, std::enable_shared_from_this<core> {
    struct waiter {
        detail::signal done;
        bool is_done = false;
        errc why{};
        outcome_type outcome{};
    };
    using keeper_type = std::conditional_t<detail::is_shared_store<Arbiter>, detail::store_keeper<core, Fs, Host, M>, detail::disk_keeper<core, Fs, Host, M>>;

    core(Fs fs, std::string directory, multimaster const& policy, log_options options)
        : set(policy.set()), name(std::move(directory)), keeper(*this, std::move(fs), set.host(), name, options, policy.arbiter()),
          member(machine, name, set.options(), *this, detail::rules_of(policy.arbiter())) {}

    // --- life ----------------------------------------------------------------------------------------------------

    asio::awaitable<bool> begin(bool has_state, bool is_new) {
        auto const self = this->shared_from_this();
        is_open = true;
        clash = {};
        set.attach(name, *this);
        begin_member(has_state, is_new);
        co_await keeper.start(self);
        while (is_open && !member.can_serve()) {
            if (member.is_nowhere()) {
                close();
                co_return false;
            }
            co_await moved_signal.wait();
        }
        check_open();
        co_return true;
    }
    void close() noexcept {
        if (!is_open) return;
        is_open = false;
        set.detach(name);
        bool const was_master = member.role() == detail::member_role::master;
        member.stop(clash ? errc::histories_differ : errc::closed);
        keeper.stop(was_master);
        moved_signal.raise();
    }
    void check_open() const {
        if (clash) std::rethrow_exception(clash);
        if (!is_open) throw error(errc::closed, name, "the journal is not open");
    }
    // Younger than all that the stream knows of this node, whatever the clock says.
    std::uint64_t new_incarnation() {
        auto const node = set.options().self.node;
        auto born_ms = std::max<std::uint64_t>(1, set.host().now_ms());
        auto const& stream = std::as_const(machine).stream();
        if (detail::mutated(detail::mutant::keep_incarnation)) return 1U << 16;
        for (auto const& r : stream.retired)
            if (r.node == node) born_ms = std::max(born_ms, (r.incarnation >> 16) + 1);
        for (auto const& s : stream.seen)
            if (s.origin.node == node) born_ms = std::max(born_ms, (s.origin.incarnation >> 16) + 1);
        if (stream.owner.node == node) born_ms = std::max(born_ms, (stream.owner.incarnation >> 16) + 1);
        return born_ms << 16 | (set.host().random() & 0xffff);
    }

    void begin_member(bool has_state, bool is_new) {
        guarded([&] { member.start(has_state, is_new, new_incarnation(), keeper.epoch_heard()); });
    }
    // What the member finds wrong with the state ends this life of it. Where a peer has another history all that this node has stays as it is.
    template <class F>
    void guarded(F&& f) {
        try {
            f();
        } catch (error const& e) {
            failure = std::current_exception();
            if (e.code() == errc::histories_differ) {
                clash = failure;
                return close();
            }
            broken = true;
            wake.raise();
        }
        set.reschedule(name);
    }

    // --- calls -----------------------------------------------------------------------------------------------------

    asio::awaitable<outcome_type> propose(bytes_view operations, bool stored) {
        check_open();
        if (operations.size() > detail::member<M>::step_size_max) throw error(errc::too_big, name, "more than one transaction may hold");
        if (M::ids_wanted(operations) > uid_block_size)
            throw error(errc::too_big, name, "one transaction appends no more than 256 messages to a mailbox that nodes share: split it");
        auto const self = this->shared_from_this();
        auto const mine = std::make_shared<waiter>();
        dot id;
        guarded([&] {
            starting = mine;
            id = member.propose({operations.begin(), operations.end()}, stored);
        });
        starting.reset();
        if (!mine->is_done) {
            waiting.emplace(id, mine);
            try {
                co_await mine->done.wait();
            } catch (...) {
                waiting.erase(id);
                if (is_open) member.forget(id);
                throw;
            }
        }
        if (mine->why != errc{}) throw error(mine->why, name, text_of(mine->why));
        co_return std::move(mine->outcome);
    }
    static std::string_view text_of(errc why) noexcept {
        switch (why) {
            case errc::busy: return "no master that takes changes could be reached";
            case errc::no_space: return "the master's disk fails, and it has no room for more";
            case errc::histories_differ: return "a peer has another history of it";
            default: return "the call ended before it was acknowledged";
        }
    }
    void finish(dot const& id, errc why) override {
        std::shared_ptr<waiter> w;
        if (auto const it = waiting.find(id); it != waiting.end()) {
            w = it->second;
            waiting.erase(it);
        } else {
            w = starting;
        }
        if (!w) return;
        w->is_done = true;
        w->why = why;
        if (why == errc{}) w->outcome = std::move(*member.calls().find(id)->outcome);
        w->done.raise();
    }

    asio::awaitable<void> sync() {
        check_open();
        auto const self = this->shared_from_this();
        co_await keeper.sync(std::as_const(machine).stream().at);
        check_open();
    }

    // --- member_io -------------------------------------------------------------------------------------------------

    void send(std::uint32_t node, format::peer_message const& m) override { set.send(name, node, m); }
    void write(format::stream_step const& step, bool stored) override { keeper.write(step, stored); }
    void adopt(std::vector<std::byte> bytes) override { keeper.adopt(std::move(bytes)); }
    void claim() override { keeper.claim(); }
    void withdraw(position behind) override { keeper.withdraw(behind); }
    void note_stored(position at) override { keeper.note_stored(at); }
    void read_steps(std::uint32_t node, position from, std::uint64_t chain, std::size_t size_max) override { keeper.read_steps(node, from, chain, size_max); }
    bool has_room(std::size_t size) override { return keeper.has_room(size); }
    bool store_works() override { return keeper.works(); }
    void moved() override {
        ++moves;
        moved_signal.raise();
    }
    std::uint64_t steady_ms() override { return set.steady_ms(); }
    std::uint64_t wall_ms() override { return set.host().now_ms(); }

    // --- replica_endpoint ------------------------------------------------------------------------------------------

    void link_up(std::uint32_t node) override {
        guarded([&] { member.link_up(node); });
    }
    void link_down(std::uint32_t node, bool silent) override {
        guarded([&] { member.link_down(node, silent); });
    }
    void receive(std::uint32_t node, format::peer_message const& m) override {
        guarded([&] { member.receive(node, m); });
    }
    void tick() override {
        guarded([&] { member.tick(); });
        keeper.tick(steady_ms());
        if (!member.can_serve()) moved_signal.raise();  // whoever opens it looks again
    }
    std::uint64_t next_due_ms() const noexcept override {
        return std::min(member.next_due_ms(), keeper.next_due_ms());
    }

    set_type& set;
    std::string name;
    M machine;
    keeper_type keeper;
    detail::member<M> member;
    bool is_open = false;
    std::exception_ptr failure;
    std::exception_ptr clash;  // why it closed itself
    bool broken = false;

    detail::signal wake;          // of the coroutine that writes
    detail::signal moved_signal;  // of those who look at the state
    std::uint64_t moves = 0, caught_up_moves = 0;

    std::map<dot, std::shared_ptr<waiter>> waiting;
    std::shared_ptr<waiter> starting;  // of the call that is being made
};

}  // namespace mailfs
