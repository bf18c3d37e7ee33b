// SPDX-License-Identifier: BSL-1.0
// What one node does for one mailbox that it shares with others: follow a master or be one, fold what grew apart.
//
// No I/O in here: what comes in are calls of this class, what goes out are calls of member_io. The page that tells the
// whole story is docs/protocols/replication.md; the words are those of its tables. What it does is in member/, a file for each concern.
#pragma once

#include <mailfs/detail/aligned_bytes.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/peer_message.hpp>
#include <mailfs/format/replication_record.hpp>
#include <mailfs/log/state_machine.hpp>
#include <mailfs/replication/arbiter.hpp>
#include <mailfs/replication/detail/coverage.hpp>
#include <mailfs/replication/detail/found_steps.hpp>
#include <mailfs/replication/detail/mutant.hpp>
#include <mailfs/replication/detail/own_calls.hpp>
#include <mailfs/replication/detail/progress_table.hpp>
#include <mailfs/replication/detail/record_of.hpp>
#include <mailfs/replication/detail/step_ring.hpp>
#include <mailfs/replication/member_options.hpp>
#include <mailfs/types/lineage.hpp>
#include <mailfs/types/uid_blocks.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace mailfs::detail {

enum class member_role : std::uint8_t {
    closed,
    joining,   ///< looks for a master, or catches up with one
    member,    ///< follows one
    claiming,  ///< opens an epoch of its own, or asks the store for it
    master,    ///< orders
    ousted,    ///< a branch that gave its state to be folded, and waits for it
};

/// What a member does to the world. Called on the member's executor, from inside its calls; none of them calls back.
struct member_io {
    virtual void send(std::uint32_t node, format::peer_message const& message) = 0;  ///< lost where there is no link
    virtual void write(format::stream_step const& step, bool stored) = 0;  ///< into the node's own log, in this order; written() tells
                                                                           ///< when it is on stable storage: soon, where `stored`
    virtual void adopt(std::vector<std::byte> snapshot) = 0;               ///< in the place of all that is there; adopted() tells
    virtual void finish(dot const& id, errc why) = 0;                      ///< errc{}: as asked for; the outcome is in calls()
    virtual void moved() = 0;                                              ///< the state is another now, or the role
    virtual std::uint64_t steady_ms() = 0;
    virtual std::uint64_t wall_ms() = 0;

    // With a store that all reach. Its steps are written by the master alone; what others are told to write, they keep in
    // memory until they hear that it is stored.
    virtual void claim() {}                                   ///< read the store, compose_claim(), create that file; ends by written(),
                                                              ///< took_over() or claim_lost()
    virtual void withdraw([[maybe_unused]] position behind) {}      ///< steps behind this one were never applied: forget them
    virtual void note_stored([[maybe_unused]] position at) {}       ///< the master says that the store has all up to here
    /// Of the node's own log, for that peer; steps_read() tells.
    virtual void read_steps([[maybe_unused]] std::uint32_t node, [[maybe_unused]] position from, [[maybe_unused]] std::uint64_t chain,
                            [[maybe_unused]] std::size_t size_max) {}
    virtual bool has_room([[maybe_unused]] std::size_t size) { return true; }  ///< for so much more that is not in the store; if not, tick()
                                                                           ///< comes when there is
    virtual bool store_works() { return true; }               ///< as far as the last call told

protected:
    ~member_io() = default;
};

/// What the arbiter changes in the protocol.
struct arbiter_rules {
    bool shared = false;                      ///< epochs, and what is stored, are the shared store's
    bool strict = false;                      ///< all is acknowledged when it is stored
    std::uint32_t ids_reserved = uid_block_size;
};
constexpr arbiter_rules rules_of(own_disks const&) noexcept { return {}; }
constexpr arbiter_rules rules_of(shared_store const& s) noexcept { return {true, s.strict, s.ids_reserved}; }

/// The steps that a claim puts into the store, behind what is there.
struct store_claim {
    std::deque<format::stream_step> steps;
    bool replaces = false;  ///< the machine that was read, with these steps applied, is the state then
};

/// What a member keeps beside the state, all of it bounded: by inbox_max, and by waiting_max and ring_size of the options.
struct member_load {
    std::size_t inbox = 0;    ///< steps that wait for the disk
    std::size_t waiting = 0;  ///< bytes of proposals that wait for their place
    std::size_t ring = 0;     ///< bytes of recent steps
};

/// Belongs to one executor. The machine is the caller's, and changes by these calls alone while the member is not closed.
template <replicated_machine M>
class member {
public:
    using outcome_type = typename M::outcome;
    using call = typename own_calls<outcome_type>::call;

    static constexpr std::uint32_t restored_ids = 1U << 20;    ///< that a node whose disk comes from a backup may have shown since
    static constexpr std::uint32_t restored_epochs = 1U << 16; ///< that it may have opened since
    static constexpr std::size_t inbox_max = 1U << 16;        ///< steps that wait for the disk; more are asked for again
    static constexpr std::size_t piece_size = 64U << 10;      ///< of a snapshot
    static constexpr std::size_t push_size_max = 256U << 10;  ///< bytes of steps in one message
    static constexpr std::uint64_t unfoldable_ms = 10'000;    ///< before a branch that could not be folded is tried again
    static constexpr std::size_t step_size_max = 900U << 10;  ///< a greater one travels in a snapshot alone

    member(M& machine, std::string name, replication_options options, member_io& io, arbiter_rules rules = {})
        : machine_(&machine), name_(std::move(name)), options_(std::move(options)), io_(&io), rules_(rules), ring_(options_.ring_size) {
        for (auto const& p : options_.peers) peers_[p.node].slot = p.slot;
    }

    member_role role() const noexcept { return role_; }
    /// What the machine holds may be shown: this node follows a master, or is one, since it was started.
    bool can_serve() const noexcept { return serves_; }
    /// All peers were asked, and none of them has the object.
    bool is_nowhere() const noexcept { return role_ != member_role::closed && !has_state_ && !adopting_ && has_looked(); }
    own_calls<outcome_type>& calls() noexcept { return calls_; }
    std::uint32_t epoch_heard() const noexcept { return heard_; }
    member_load load() const noexcept { return {inbox_.size(), waiting_, ring_.size()}; }

    // --- what comes in -------------------------------------------------------------------------------------------

    /// `has_state`: the machine was loaded, or created just now (`is_new`), and all of it is on stable storage. `incarnation`:
    /// new at every start. `heard`: the greatest epoch that any file tells of.
    void start(bool has_state, bool is_new, std::uint64_t incarnation, std::uint32_t heard);
    /// Everything that waits ends with `why`.
    void stop(errc why);

    void link_up(std::uint32_t node);
    void link_down(std::uint32_t node, bool silent);
    void receive(std::uint32_t node, format::peer_message const& message);

    // --- with a shared store: what came of a claim, and of what the master wrote --------------------------------------

    /// What a claim is to put behind `theirs`, the state that the store holds; nothing: it is not to be made any more. `tail`: the
    /// steps from a place (position, chain hash) to this node's state, if they are known. May be called again, with a later state.
    template <class Tail>
    std::optional<store_claim> compose_claim(M& theirs, Tail const& tail);
    /// It won, and the machine is what it was composed on now.
    void took_over();
    /// Somebody else's epoch began there (0: the store did not answer, or the claim counts for nothing).
    void claim_lost(std::uint32_t epoch);
    /// What the master was to write has not its place in the store: another epoch has begun there.
    void shut_out();
    /// What the master was to write may or may not be in the store, which failed. Again at each try.
    void store_failed();
    bool is_claiming_at_store() const noexcept { return rules_.shared && role_ == member_role::claiming; }

    /// All steps up to this position are on stable storage.
    void written(position at);
    /// What was written may be lost; nothing is on stable storage from here on until disk_works().
    void disk_fails();
    void disk_works();
    /// What read_steps() asked for.
    void steps_read(std::uint32_t node, position from, std::uint64_t chain, found_steps found);
    /// What adopt() asked for is done, and the machine holds it; or it was refused.
    void adopted(bool good);
    /// Whether this state, which a peer gave, may take the place of ours: nothing of ours is missing in it, and no number that
    /// we showed goes back. (Its master hears of our next id by peer_open, and raises its own.)
    bool may_adopt(M const& theirs) const;

    /// A transaction of this node's; its caller hears by finish(). `operations` are padded to a multiple of 8 bytes here.
    dot propose(std::vector<std::byte> operations, bool stored);
    /// Its caller does not wait any more.
    void forget(dot const& id);

    void tick();
    /// When tick() has something to do at the latest; steady milliseconds.
    std::uint64_t next_due_ms() const noexcept;

private:
    struct peer {
        std::uint32_t slot = 0;
        bool up = false;
        bool follows = false;                   // is pushed to
        std::optional<format::peer_open> told;
        std::uint64_t apart_since = 0;
        std::vector<std::byte> serving;         // a snapshot on its way there
        position serving_at;
        bool is_read_for = false;               // its steps are looked for in the log

        void forget() { *this = peer{.slot = slot, .up = up, .follows = false, .told = {}, .apart_since = 0, .serving = {}, .serving_at = {}, .is_read_for = false}; }
    };
    enum class standing : std::uint8_t { unknown, same, behind, ahead, apart };
    struct waiting_proposal {
        dot id;
        stamp when;
        bool stored;
        std::vector<std::byte> operations;
    };
    struct transfer {
        position at;
        std::vector<std::byte> bytes;
    };
    struct folding {
        std::uint32_t from = 0;
        std::uint64_t due = 0;
        transfer in;
        std::shared_ptr<aligned_bytes> held;  // what branch stands on
        std::shared_ptr<M> branch;
        bool is_next = false;                 // the epoch for it has been opened
    };

    stream_state const& stream() const noexcept { return std::as_const(*machine_).stream(); }
    std::uint64_t now() const { return io_->steady_ms(); }
    peer* find(std::uint32_t node) noexcept;
    bool is_frozen() const noexcept { return frozen_until_ != 0; }
    bool is_master() const noexcept { return role_ == member_role::master; }

    // From a member to its master: where nodes form a line, its ends follow one master, too. (With a lower bound each end would call
    // itself master in turn.) Who follows in a circle is as far from it as that in no time.
    std::uint8_t hops_max() const noexcept { return static_cast<std::uint8_t>(std::min<std::size_t>(peers_.size(), 254)); }

    // A mailbox tree gives out none.
    bool has_ids() const noexcept { return machine_->next_id() != 0; }
    std::uint32_t ids_known() const;

    // One above the next id that may have been shown before a restart. What the disk forgot follows on the reservation it tells of, so it is
    // the next reservation, or another epoch, that leaves it behind: not the last id of this one.
    std::uint32_t first_id_never_shown() const { return std::max(machine_->next_id(), std::min(ids_known(), uid_max - 2) + 2); }

    // The next id that clients may have been told of: before this life began, too, for the state that tells of it may go.
    std::uint32_t ids_shown() const { return std::max(machine_->next_id(), serves_ ? 0 : floor_); }

    // --- how others stand to us --------------------------------------------------------------------------------

    bool has_all_of_ours(lineage const& theirs) const { return covers(theirs, stream().history()) || mutated(mutant::branch_tail_dropped); }

    void leave_behind_what_the_disk_forgot();
    standing compare(peer const& p) const;
    bool has_looked() const;
    bool is_way_to_master(peer const& p) const;
    bool has_more_than_we(peer const& p) const;
    static std::uint64_t preference(peer const& p) noexcept { return std::uint64_t{p.told->at.epoch} << 8 | (255U - p.told->hops); }

    // --- roles -------------------------------------------------------------------------------------------------

    void reconsider();
    void give_up_claim_for_master();
    void drop_inbox();
    void step_down_if_passed();
    void lose_mastership();
    void leave_upstream();
    void choose_upstream();
    void follow(std::uint32_t node, bool tail_only);
    void ask_upstream(bool snapshot);
    void joined();
    void serve_if_possible();
    std::size_t peers_up() const noexcept;

    // --- becoming master ---------------------------------------------------------------------------------------

    std::uint32_t rank() const noexcept;
    void arm_claim();
    bool has_met_state() const noexcept;
    void ask_who();
    void conclude_who();
    bool is_about_to_be_folded() const;
    std::uint32_t longest_tail() const;
    void claim();
    void open_epoch();
    format::stream_step epoch_step(M const& base);
    void add_claim_step(store_claim& c, M& theirs, format::stream_step step);
    static std::uint32_t ids_known_to(M const& m);
    uid_block next_block(std::uint32_t known) const;
    void become_master();
    void after_barrier(format::stream_step const& step);
    origin epoch_owner() const noexcept { return stream().owner; }

    // --- the master orders -------------------------------------------------------------------------------------

    void send_call(call& c);
    void send_calls();
    void wait_for_place(waiting_proposal w);
    void drop_proposals(dot const& id);
    void refuse_unstored();
    void order();
    bool place_what_takes_away();
    void refuse(dot const& id);
    void refused(dot const& id, bool by_peer);
    void on(std::uint32_t, peer&, format::peer_refuse const& m);
    bool is_next_of_origin(dot const& id) const;
    void reserve_ids();
    void place(waiting_proposal& w);

    void follow_use();
    void hand_over(std::uint32_t heir, reached why);
    bool may_hand_over() const noexcept { return is_master() && handing_until_ == 0 && !is_frozen() && fold_.from == 0 && inbox_.empty(); }
    void hand_over_for_disk();
    void on(std::uint32_t node, peer& p, format::peer_handover const& m);
    void withdraw();
    void settle_if_quiet();

    // --- applying ----------------------------------------------------------------------------------------------

    static bool must_last_first(format::stream_step const& s) noexcept;
    void drain();
    void apply(format::stream_step const& step, bool write);
    void begin_progress();
    void find_own_in_state();
    void go_on();
    std::uint32_t wanted_ids() const;
    bool has_news_of_ids() const;
    void raise_for_followers();

    // --- messages ----------------------------------------------------------------------------------------------

    template <class Other>
    void on(std::uint32_t, peer&, Other const&) {}  // what the links deal with themselves

    void on(std::uint32_t node, peer& p, format::peer_open const& m);
    void on(std::uint32_t node, peer&, format::peer_who const&) { announce_to(node); }
    void on(std::uint32_t node, peer& p, format::peer_close const&);

    void on(std::uint32_t, peer&, format::peer_propose const& m);

    void on(std::uint32_t node, peer& p, format::peer_catch_up const& m);
    void serve_catch_up(std::uint32_t node, peer& p, format::peer_catch_up const& m);
    std::optional<std::uint64_t> chain_at(position p) const;
    void tell_clash(std::uint32_t node, position at, std::uint64_t chain);
    [[noreturn]] void found_clash(std::uint32_t node, position at) const;
    std::size_t size_of_state() const { return machine_->dump().size(); }
    void push_from_log(std::uint32_t node, peer& p, position from, std::uint64_t chain, std::vector<format::stream_step> steps);
    // Behind steps of that size, in one push. The greatest step has a push of its own, or the frame would be too big.
    static bool fits(format::stream_step const& s, std::size_t size) noexcept { return size == 0 || size + 64 + s.payload.size() <= push_size_max; }
    void push_ring(std::uint32_t node, std::size_t first);
    void serve_piece(std::uint32_t node, peer& p, std::uint64_t offset, bool branch);

    void on(std::uint32_t node, peer& p, format::peer_snapshot const& m);
    static bool take_piece(transfer& t, format::peer_snapshot const& m);

    void on(std::uint32_t node, peer&, format::peer_push const& m);
    void ask_again_if_left_behind();
    void ask_again();
    bool contains_waiting(position p) const;
    static bool is_next(position at, format::stream_step const& s) noexcept;

    void on(std::uint32_t node, peer& p, format::peer_progress const& m);

    // --- split and fold ----------------------------------------------------------------------------------------

    void fold_branches();
    bool is_branch(peer const& p) const;
    void take_over_for_branch();
    void ask_for_mastership(peer const& up);
    void on(std::uint32_t node, peer& p, format::peer_want_branch const& m);
    void freeze();
    void thaw();
    void leave_branch(std::uint32_t node, position at);
    void take_branch(std::uint32_t node, format::peer_snapshot const& m);
    void open_epoch_for_fold();
    void fold_now();

    // --- what goes out -----------------------------------------------------------------------------------------

    void flush();
    void flush_batch();
    template <class F>
    static void for_each_push(position before, std::uint64_t chain, bool stored, std::vector<format::stream_step> const& steps, F const& f);
    void flush_progress();
    void judge_lag();
    std::uint64_t late_due() const noexcept { return is_master() ? below_.late_due(options_.patience_ms) : 0; }
    void tell_progress(progress_table const& t, bool down);
    static format::peer_progress progress_of(progress_table const& t, bool down);

    void check_calls();
    bool has_reached(position at, bool stored) const noexcept;
    void await_followers();
    std::size_t awaited(progress_table const& t) const noexcept;
    bool has_masters_table() const noexcept;
    void tell_level(call& c) const;
    void give_up(call& c);

    void announce();
    void announce_to(std::uint32_t node);

    M* machine_;
    std::string name_;
    replication_options options_;
    member_io* io_;
    arbiter_rules rules_;

    member_role role_ = member_role::closed;
    bool has_state_ = false;
    bool serves_ = false;
    origin origin_;
    std::uint64_t counter_ = 0;
    stamp last_stamp_;             // that a transaction of ours bears
    std::uint32_t heard_ = 0;      // the greatest epoch
    std::uint32_t floor_ = 0;      // ids below may have been shown before a restart
    std::map<std::uint32_t, peer> peers_;

    std::uint32_t upstream_ = 0;   // whom we follow
    std::uint8_t hops_ = 255;
    bool caught_up_ = false;
    bool tail_only_ = false;       // upstream_ has no master either, but more than we
    bool is_at_upstreams_end_ = false;
    std::uint64_t asked_at_ = 0;
    position stuck_at_;            // while upstream_ has more
    std::uint64_t stuck_since_ = 0, left_behind_due_ = 0;
    transfer transfer_;
    bool adopting_ = false;

    std::deque<format::stream_step> inbox_;  // steps that follow the state; the first may wait for the disk
    std::optional<position> barrier_;        // of that one
    position disk_;                          // all up to here is on stable storage
    step_ring ring_;
    std::vector<format::stream_step> batch_; // applied, and not pushed on yet
    position batch_before_;
    std::uint64_t batch_chain_ = 0;
    bool stored_ = false;                    // somebody waits for them to be synced

    own_calls<outcome_type> calls_;
    std::deque<waiting_proposal> to_order_;
    std::size_t waiting_ = 0;                // bytes in it
    std::uint64_t resend_at_ = 0;

    progress_table below_;                   // of this node, and of those that follow it
    progress_table told_;                    // of all, as the master says
    std::uint64_t await_until_ = 0;          // so long, members that are not in the tables of this epoch count as live
    bool progress_is_news_ = false;
    bool relay_progress_ = false;

    std::set<std::uint32_t> who_;
    std::map<std::uint32_t, std::uint64_t> used_;  // transactions ordered lately, by the node that proposed them
    position quiet_at_;
    std::uint64_t use_due_ = 0, handing_until_ = 0, quiet_due_ = 0;
    std::uint64_t claiming_since_ = 0, heirs_due_ = 0;
    std::uint32_t last_heir_ = 0;            // to whom it was last tried to hand over, as the store failed
    reached handing_because_ = reached::handover_by_use;
    std::uint64_t asking_until_ = 0;               // for mastership
    bool has_met_ = true;                          // a peer with the object, or needs none
    bool disk_fails_ = false;
    std::size_t unflushed_ = 0;                    // bytes ordered since
    std::set<std::uint32_t> heirs_asked_;          // since; this node among them: there was none
    std::uint64_t join_due_ = 0, claim_due_ = 0, who_due_ = 0, frozen_until_ = 0, apart_due_ = 0;
    std::uint32_t postponed_ = 0;
    folding fold_;
    position folded_, unfoldable_;           // the tips of branches
    std::uint64_t unfoldable_until_ = 0;

    bool must_announce_ = false;
    position announced_;
    std::uint32_t announced_ids_ = 0;
    std::uint64_t announced_at_ = 0;
};

}  // namespace mailfs::detail

#include <mailfs/replication/detail/member/apply.hpp>
#include <mailfs/replication/detail/member/catch_up.hpp>
#include <mailfs/replication/detail/member/claim.hpp>
#include <mailfs/replication/detail/member/claim_at_store.hpp>
#include <mailfs/replication/detail/member/fold.hpp>
#include <mailfs/replication/detail/member/follow.hpp>
#include <mailfs/replication/detail/member/hand_over.hpp>
#include <mailfs/replication/detail/member/life.hpp>
#include <mailfs/replication/detail/member/order.hpp>
#include <mailfs/replication/detail/member/tell.hpp>
