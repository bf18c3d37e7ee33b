// SPDX-License-Identifier: BSL-1.0
// Runs a schedule: machines, clients and what befalls them, with every check of replication.md's section 8 that applies.
//
// Node is the seam, one life of a node in one process:
//     Node(node_parts)                            made before anything runs
//     awaitable<void> run()                       spawned at once; makes the mailbox where it may, or opens it
//     bool shows() const                          whether its state may be shown to clients
//     bool may_tell() const                       whether peers may hear of it: it has read all that its disk has
//     mailbox_state const& state() const          view make_view()
//     awaitable<mailbox_outcome> propose(std::vector<std::byte> operations, durability)
//     bool is_master() const
//     position on_disk() const                    all up to here is on its stable storage
//     std::string overload() const                what is beyond its bound
//     std::exception_ptr failure() const          why it gave up its state last
// It is destroyed when its coroutines have been.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/replication/detail/coverage.hpp>
#include <mailfs/replication/detail/fold_witness.hpp>
#include <mailfs/transport/sim_network.hpp>
#include <mailfs/transport/sim_world.hpp>

#include "client.hpp"
#include "fold_oracle.hpp"
#include "history.hpp"
#include "ledger.hpp"
#include "machine.hpp"
#include "observations.hpp"
#include "schedule.hpp"
#include "store_reader.hpp"
#include "violation.hpp"

#include <asio/awaitable.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::sim {

static_assert(static_cast<std::size_t>(power_cut::any) + 1 == power_cut_count);

/// What came of a schedule.
struct run_result {
    std::string violation;  ///< empty: none
    std::string rule;
    std::uint64_t trace_hash = 0;
    sim_time simulated = 0;
    std::uint64_t events = 0;
    std::array<std::uint64_t, deed_count> deeds{};  ///< that had an effect
    std::array<std::uint64_t, power_cut_count> power_cuts{};
    std::uint64_t proposed = 0, acknowledged = 0, refused = 0, unknown = 0;
    std::uint64_t epochs = 0, renumbered = 0, deltas = 0, fulls = 0, lost = 0;
    sim_time settled = 0;  ///< from the end of the faults until all states were equal

    void add(run_result const& r) {
        simulated += r.simulated;
        events += r.events;
        for (std::size_t d = 0; d < deed_count; ++d) deeds[d] += r.deeds[d];
        for (std::size_t k = 0; k < power_cut_count; ++k) power_cuts[k] += r.power_cuts[k];
        proposed += r.proposed;
        acknowledged += r.acknowledged;
        refused += r.refused;
        unknown += r.unknown;
        epochs += r.epochs;
        renumbered += r.renumbered;
        deltas += r.deltas;
        fulls += r.fulls;
        lost += r.lost;
        settled = std::max(settled, r.settled);
    }
};

/// Told of what a picture shows beside the network's notes.
struct run_observer {
    virtual ~run_observer() = default;
    virtual void note(sim_note const& n) = 0;
    virtual void state(sim_time when, std::uint32_t node, bool shows, bool master, position at) = 0;
    virtual void told(sim_time when, std::uint32_t node, std::string_view what) = 0;
};

template <class Node>
class simulation {
public:
    static constexpr sim_time ms = 1000;
    static constexpr sim_time settle_max = 2000 * ms;      // R7
    static constexpr sim_time pending_max = 3000 * ms;     // R15
    static constexpr sim_time master_max = 1000 * ms;      // R15
    static constexpr sim_time calm_time = 1000 * ms;       // until all nodes know of each other what there is to know
    static constexpr std::uint64_t clamp_ms = 5000;        // R13
    static constexpr sim_time begin_max = 10'000 * ms;     // until all nodes have the mailbox, before anything goes wrong

    explicit simulation(schedule const& s, run_observer* observer = nullptr)
        : schedule_(s), observer_(observer), world_(s.seed), network_(world_), chance_(world_.stream(0x7369'6d)) {
        if (observer_ != nullptr) world_.observer = [this](sim_note const& n) { observer_->note(n); };
        if (s.store != storage::own) store_ = std::make_shared<sim_store>(world_);
        auto clocks = world_.stream(0x636c'6f63'6b73);
        for (std::uint32_t n = 1; n <= s.nodes; ++n) {
            auto const offset = static_cast<std::int64_t>(clocks.up_to(2 * std::uint64_t{s.clock_offset_ms})) - s.clock_offset_ms;
            auto const drift = static_cast<std::int64_t>(clocks.up_to(2 * std::uint64_t{s.clock_drift_ppm})) - s.clock_drift_ppm;
            machines_.push_back(std::make_unique<machine<Node>>(network_, n, sim_clock(world_, offset, drift), store_));
        }
        seen_.resize(s.nodes);
        mailfs::detail::fold_witness<mailbox_state>() = [](mailbox_state const& trunk, mailbox_state const& branch, bytes_view payload) {
            if (wrong_fold().empty()) wrong_fold() = fold_oracle::judge(trunk, branch, payload);
        };
        wrong_fold().clear();
        for (std::uint32_t n = 0; n < s.clients; ++n) clients_.emplace_back(n, static_cast<client_kind>(n % 3), n % 2 == 1);
    }
    simulation(simulation const&) = delete;
    simulation& operator=(simulation const&) = delete;
    ~simulation() {
        mailfs::detail::fold_witness<mailbox_state>() = nullptr;
        clients_.clear();
        seen_.clear();
        for (auto& m : machines_) m->crash();
    }

    run_result run() {
        try {
            begin();
            act();
            end();
        } catch (violation const& v) {
            result_.violation = v.what();
            result_.rule = v.rule();
        } catch (std::exception const& e) {
            result_.violation = fmt::format("an exception at {} ms: {}", world_.now() / ms, e.what());
            result_.rule = "exception";
        }
        count();
        return result_;
    }

private:
    struct versions {
        std::uint16_t min = 1, max = 1;
        friend bool operator==(versions const&, versions const&) = default;
    };
    struct seen_node {
        struct versions versions;
        disk_history disk = disk_history::whole;  // said at its next start
        std::uint64_t life = 0;
        bool shows = false;
        position at;
        position held;  // shown or not
        std::optional<view> watcher;
        std::optional<client> session;  // that asks for news whenever there is some
        shown_messages messages;
        announced_numbers numbers;
        std::exception_ptr failure;
        std::uint64_t died = 0;  // life that has ended and is not cleaned up
        bool stays_down = false;
    };

    // --- the phases of a run -----------------------------------------------------------------------------------

    void begin();
    void act();
    void end();
    void check_store();
    void probe();
    void check_all();
    void check_uids_stay(mailbox_state const& truth) const;
    void count();

    // --- looking at all nodes after each event -----------------------------------------------------------------

    template <class Condition>
    bool go_until(sim_time limit, Condition done);
    void observe();
    void check_position(machine<Node>& m, seen_node& seen);
    void observe(machine<Node>& m, seen_node& seen);
    void change_sight(machine<Node>& m, seen_node& seen, bool shows);
    bool has_own_disks() const noexcept { return schedule_.store == storage::own; }
    void note_clocks();
    void check_stamp(stream_state const& s);
    void check_failure(machine<Node>& m, seen_node& seen) const;
    void send_away(std::uint32_t node);

    bool all_show() const;
    bool all_equal() const;
    std::string standing() const;

    // --- lives -------------------------------------------------------------------------------------------------

    void start(machine<Node>& m);
    static shared_store arbiter_of(schedule const& s);
    void bury(machine<Node>& m);
    void crash(std::uint32_t number, bool power, std::uint32_t arg);
    void start_later(std::uint32_t number, std::uint64_t after_ms);
    void stop_faults();
    void undo_after(std::uint64_t time_ms, std::function<void()> undo);

    // --- choices -----------------------------------------------------------------------------------------------

    std::uint32_t pick(std::uint64_t n) { return static_cast<std::uint32_t>(chance_.up_to(n - 1)); }
    machine<Node>& at(std::uint32_t number) { return *machines_[(number - 1) % machines_.size()]; }

    void take(choice const& c);
    void tell(std::uint32_t node, std::string_view what);

    bool take_fault(choice const& c);
    bool cut(std::uint32_t a, std::uint32_t b, bool both, std::uint64_t time_ms);
    bool heals_late(choice const& c);
    bool clog(choice const& c);
    bool sleep_all(choice const& c);
    bool speak(choice const& c, std::uint16_t min, std::uint16_t max);
    bool restore_later(choice const& c);
    bool pause(machine<Node>& m, std::uint64_t time_ms);
    void wake_after(std::uint64_t time_ms, std::weak_ptr<sim_process> process);
    void restart_when_dead(choice const& c);

    // --- clients -----------------------------------------------------------------------------------------------

    bool look(choice const& c);
    bool go_to(client& who, std::uint32_t node);

    bool operate(choice const& c);
    void propose_metadata(machine<Node>& m, std::uint32_t arg);
    void propose_append(machine<Node>& m, bool stored, std::uint32_t arg, std::uint64_t delivery = 0) { propose_appends(m, 1, stored, arg, delivery); }
    void propose_appends(machine<Node>& m, std::uint32_t count, bool stored, std::uint32_t arg, std::uint64_t delivery = 0);
    bool propose_on_message(machine<Node>& m, choice const& c);
    attempt& begin_attempt(machine<Node>& m, attempt made);
    void propose(machine<Node>& m, attempt made, format::mailbox_transaction const& t);
    void propose(machine<Node>& m, std::vector<std::size_t> numbers, format::mailbox_transaction const& t, bool stored);
    static asio::awaitable<void> call(simulation* self, Node* node, std::vector<std::size_t> numbers, std::vector<std::byte> bytes, durability wanted);
    void finish(attempt& a, fate came);
    static std::uint64_t adoptions() noexcept;
    void check_level(attempt const& a) const;
    void acknowledge(attempt& a, mailbox_outcome const& o);

    schedule schedule_;
    run_observer* observer_;
    sim_world world_;
    sim_network network_;
    mailfs::detail::seeded_random chance_;
    sim_time began_ = 0, asleep_until_ = 0;
    bool stopped_ = false;  // the faults
    std::shared_ptr<sim_store> store_;
    bool faulty_ = false, links_failed_ = false;
    sim_time calm_since_ = 0;
    stamp latest_;  // that any node had
    std::set<std::uint32_t> orderers_;
    std::map<std::uint32_t, std::uint64_t> clocks_ms_;
    static std::string& wrong_fold() {
        static thread_local std::string here;
        return here;
    }
    epoch_owners owners_;
    positions positions_;
    uid_names names_;
    ledger ledger_;
    std::uint64_t messages_ = 0, undos_ = 0, deliveries_ = 0;
    std::map<std::uint64_t, std::function<void()>> undo_;
    run_result result_;
    std::vector<std::unique_ptr<machine<Node>>> machines_;
    std::vector<seen_node> seen_;
    std::vector<client> clients_;
};

}  // namespace mailfs::sim

#include "simulation/choices.hpp"
#include "simulation/lives.hpp"
#include "simulation/observe.hpp"
#include "simulation/operations.hpp"
#include "simulation/phases.hpp"
