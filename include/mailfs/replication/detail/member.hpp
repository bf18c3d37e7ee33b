// SPDX-License-Identifier: BSL-1.0
// What one node does for one mailbox that it shares with others: follow a master or be one, fold what grew apart.
//
// No I/O in here: what comes in are calls of this class, what goes out are calls of member_io. The page that tells the
// whole story is docs/protocols/replication.md; the words are those of its tables.
#pragma once

#include <mailfs/detail/aligned_bytes.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/peer_message.hpp>
#include <mailfs/format/replication_record.hpp>
#include <mailfs/log/state_machine.hpp>
#include <mailfs/replication/arbiter.hpp>
#include <mailfs/replication/detail/coverage.hpp>
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
    static constexpr std::uint8_t hops_max = 3;               ///< from a member to its master
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
    void start(bool has_state, bool is_new, std::uint64_t incarnation, std::uint32_t heard) {
        has_state_ = has_state;
        origin_ = {options_.self.node, incarnation};
        counter_ = 0;
        role_ = member_role::joining;
        serves_ = false;
        heard_ = std::max({heard_, heard, stream().at.epoch});
        floor_ = has_state && has_ids() ? first_id_never_shown() : 0;
        if (has_state && !is_new) leave_behind_what_the_disk_forgot();
        if (has_state && !is_new) {
            hit(reached::restarted);
            hit(reached::open_from_disk);
        }
        if (is_new) floor_ = 0;
        join_due_ = is_new ? 0 : now() + options_.join_ms;
        disk_ = stream().at;
        disk_fails_ = false;
        below_.begin(stream().at.epoch);
        told_.begin(stream().at.epoch);
        must_announce_ = true;
        reconsider();
        flush();
    }
    /// Everything that waits ends with `why`.
    void stop(errc why) {
        for (auto const& [node, p] : peers_)
            if (p.up) io_->send(node, format::peer_close{});
        role_ = member_role::closed;
        serves_ = false;
        for (auto& c : calls_.all())
            if (!c.given_up) io_->finish(c.id, why);
        calls_.clear();
        upstream_ = 0;
        hops_ = 255;
        adopting_ = false;
        barrier_.reset();
        inbox_.clear();
        to_order_.clear();
        waiting_ = 0;
        batch_.clear();
        ring_.clear();
        fold_ = {};
        transfer_ = {};
        frozen_until_ = claim_due_ = who_due_ = handing_until_ = quiet_due_ = heirs_due_ = asking_until_ = 0;
        disk_fails_ = false;
        used_.clear();
        who_.clear();
        for (auto& [node, p] : peers_) p.forget();
    }

    void link_up(std::uint32_t node) {
        auto const p = find(node);
        if (p == nullptr) return;
        p->forget();
        p->up = true;
        if (role_ == member_role::closed) return;
        must_announce_ = true;
        flush();
    }
    void link_down(std::uint32_t node, bool silent) {
        auto const p = find(node);
        if (p == nullptr) return;
        p->forget();
        p->up = false;
        if (role_ == member_role::closed) return;
        who_.erase(node);
        progress_is_news_ = below_.drop(node) || progress_is_news_;
        if (fold_.from == node && !fold_.branch) fold_ = {};
        if (upstream_ == node) {
            hit(silent ? reached::master_silent : reached::master_reset);
            leave_upstream();
        }
        must_announce_ = true;
        reconsider();
        flush();
    }
    void receive(std::uint32_t node, format::peer_message const& message) {
        auto const p = find(node);
        if (p == nullptr || !p->up || role_ == member_role::closed) return;
        std::visit([&](auto const& m) { on(node, *p, m); }, message);
        flush();
    }

    // --- with a shared store: what came of a claim, and of what the master wrote --------------------------------------

    /// What a claim is to put behind `theirs`, the state that the store holds; nothing: it is not to be made any more. `tail`: the
    /// steps from a place (position, chain hash) to this node's state, if they are known. May be called again, with a later state.
    template <class Tail>
    std::optional<store_claim> compose_claim(M& theirs, Tail const& tail) {
        if (!is_claiming_at_store()) return std::nullopt;
        drop_inbox();
        auto const& t = std::as_const(theirs).stream();
        heard_ = std::max(heard_, t.at.epoch);
        store_claim out;
        if (auto steps = tail(t.at, t.chain)) {
            if (!mutated(mutant::store_claim_without_tail)) out.steps = std::move(*steps);
            if (!out.steps.empty()) hit(reached::claim_with_tail);
            auto step = epoch_step(*machine_);
            out.steps.push_back(step);
            barrier_ = step.at;
            inbox_.push_back(std::move(step));
            return out;
        }
        if (t.at.epoch < stream().at.epoch) return std::nullopt;  // it was read with an old list
        out.replaces = true;
        add_claim_step(out, theirs, epoch_step(theirs));
        if (covers(t.history(), stream().history())) return out;
        hit(reached::claim_with_fold);  // what this node has, and the store has not, is a branch
        format::stream_step fold;
        fold.kind = format::record_kind::fold;
        fold.at = {t.at.epoch, 1};
        fold.when = t.latest.next(io_->wall_ms());
        fold.payload = theirs.fold(*machine_);
        fold.payload.resize((fold.payload.size() + 7) / 8 * 8);
        add_claim_step(out, theirs, std::move(fold));
        if (!covers(t.history(), stream().history())) return std::nullopt;
        return out;
    }
    /// It won, and the machine is what it was composed on now.
    void took_over() {
        if (!is_claiming_at_store()) return;
        hit(reached::claimed);
        ring_.clear();
        batch_.clear();
        drop_inbox();
        disk_ = stream().at;
        heard_ = std::max(heard_, stream().at.epoch);
        begin_progress();
        for (auto& [node, p] : peers_) p.follows = false;
        find_own_in_state();
        frozen_until_ = 0;
        become_master();
        io_->moved();
        go_on();
        reconsider();
        flush();
    }
    /// Somebody else's epoch began there (0: the store did not answer, or the claim counts for nothing).
    void claim_lost(std::uint32_t epoch) {
        if (!is_claiming_at_store()) return;
        hit(epoch == 0 ? reached::claim_without_store : reached::claim_lost_to_epoch);
        drop_inbox();
        heard_ = std::max(heard_, epoch);
        role_ = member_role::joining;
        claim_due_ = now() + options_.patience_ms + rank() * options_.rank_ms;  // until then its master may be heard of
        must_announce_ = true;
        reconsider();
        flush();
    }
    /// What the master was to write has not its place in the store: another epoch has begun there.
    void shut_out() {
        if (!is_master()) return;
        hit(reached::flush_lost);
        lose_mastership();
        reconsider();
        flush();
    }
    /// What the master was to write may or may not be in the store, which failed. Again at each try.
    void store_failed() {
        if (!is_master()) return;
        if (mutated(mutant::store_error_trusted)) refuse_unstored();
        if (is_frozen() || handing_until_ != 0 || !inbox_.empty() || heirs_due_ > now()) return;
        heirs_due_ = now() + 2 * options_.patience_ms;
        for (auto const& [node, p] : peers_) {
            if (!p.up || !p.follows || node <= last_heir_) continue;
            last_heir_ = node;
            return hand_over(node, reached::flush_failed_handover);
        }
        if (std::exchange(last_heir_, 0) == 0) hit(reached::flush_failed_alone);
    }
    bool is_claiming_at_store() const noexcept { return rules_.shared && role_ == member_role::claiming; }

    /// All steps up to this position are on stable storage.
    void written(position at) {
        if (role_ == member_role::closed || adopting_) return;
        disk_ = std::max(disk_, at);
        if (barrier_ && *barrier_ <= disk_ && !inbox_.empty()) {
            barrier_.reset();
            auto const step = std::move(inbox_.front());
            inbox_.pop_front();
            apply(step, false);
            after_barrier(step);
            drain();
            reconsider();
        }
        go_on();
        flush();
    }
    /// What was written may be lost; nothing is on stable storage from here on until disk_works().
    void disk_fails() {
        if (role_ == member_role::closed || disk_fails_) return;
        disk_fails_ = true;
        unflushed_ = 0;
        heirs_asked_.clear();
        if (is_master()) {
            if (barrier_ && inbox_.front().kind == format::record_kind::epoch) withdraw();  // its number is not used again
            fold_ = {};
            hand_over_for_disk();
        } else if (role_ == member_role::claiming) {
            withdraw();
            role_ = member_role::joining;
            reconsider();
        }
        flush();
    }
    void disk_works() {
        if (role_ == member_role::closed) return;
        disk_fails_ = false;
        reconsider();
        go_on();
        flush();
    }
    /// What read_steps() asked for: all steps there are from that place on. None: the log has not all, or they are too many bytes.
    void steps_read(std::uint32_t node, position from, std::uint64_t chain, std::vector<format::stream_step> steps) {
        auto const p = find(node);
        if (role_ == member_role::closed || p == nullptr || !p->up || !std::exchange(p->is_read_for, false)) return;
        push_from_log(node, *p, from, chain, std::move(steps));
        if (is_master()) go_on();  // it may want greater ids than there are
        flush();
    }
    /// What adopt() asked for is done, and the machine holds it; or it was refused.
    void adopted(bool good) {
        if (role_ == member_role::closed) return;
        adopting_ = false;
        transfer_ = {};
        if (good) {
            hit(reached::caught_up_by_snapshot);
            if (role_ == member_role::ousted || is_frozen()) hit(reached::branch_handed_in);
            if (!has_state_) hit(reached::open_from_peer);
            has_state_ = true;
            frozen_until_ = 0;
            ring_.clear();
            batch_.clear();
            disk_ = stream().at;
            heard_ = std::max(heard_, stream().at.epoch);
            begin_progress();
            find_own_in_state();
            must_announce_ = true;
            io_->moved();
        }
        role_ = member_role::joining;
        if (good && upstream_ != 0) ask_upstream(false);
        else asked_at_ = now();  // and again after a while
        reconsider();
        flush();
    }
    /// Whether this state, which a peer gave, may take the place of ours: nothing of ours is missing in it, and no number that
    /// we showed goes back. (Its master hears of our next id by peer_open, and raises its own.)
    bool may_adopt(M const& theirs) const {
        if (!has_state_) return true;
        if (theirs.next_id() < ids_shown() && !mutated(mutant::fast_forward_unshown_ids_lost)) return false;
        return theirs.object() == machine_->object() && theirs.stream().at >= stream().at && has_all_of_ours(theirs.stream().history());
    }

    /// A transaction of this node's; its caller hears by finish(). `operations` are padded to a multiple of 8 bytes here.
    dot propose(std::vector<std::byte> operations, bool stored) {
        operations.resize((operations.size() + 7) / 8 * 8);
        call c;
        c.id = {origin_, ++counter_};
        c.when = last_stamp_ = std::max(stream().latest, last_stamp_).next(io_->wall_ms());
        c.operations = std::move(operations);
        c.stored = stored;
        c.due_ms = now() + options_.call_ms;
        auto& added = calls_.add(std::move(c));
        send_call(added);
        auto const id = added.id;
        flush();
        return id;
    }
    /// Its caller does not wait any more.
    void forget(dot const& id) {
        if (auto* const c = calls_.find(id)) give_up(*c);
    }

    void tick() {
        if (role_ == member_role::closed) return;
        auto const t = now();
        for (auto const& id : calls_.due(t)) {
            hit(reached::refused_unavailable);
            auto& c = *calls_.find(id);
            bool const was_sent = c.was_sent;
            if (!was_sent) drop_proposals(id);
            io_->finish(id, was_sent ? errc::may_have_happened : errc::busy);
            give_up(c);
        }
        if (join_due_ <= t) join_due_ = 0;
        if (apart_due_ <= t) apart_due_ = 0;
        if (frozen_until_ != 0 && frozen_until_ <= t) thaw();
        if (fold_.from != 0 && fold_.due <= t && !fold_.branch) fold_ = {};
        if (who_due_ != 0 && who_due_ <= t) conclude_who();
        if (claim_due_ != 0 && claim_due_ <= t) ask_who();
        if (upstream_ != 0 && !caught_up_ && !adopting_ && asked_at_ + options_.patience_ms <= t) ask_upstream(!has_state_);
        ask_again_if_left_behind();
        if (resend_at_ <= t) send_calls();
        if (handing_until_ != 0 && handing_until_ <= t) handing_until_ = 0;
        if (is_master()) {
            judge_lag();
            hand_over_for_disk();
            if (use_due_ <= t) follow_use();
            settle_if_quiet();
            order();
        }
        if (announced_ != stream().at && announced_at_ + options_.patience_ms <= t) must_announce_ = true;
        reconsider();
        flush();
    }
    /// When tick() has something to do at the latest; steady milliseconds.
    std::uint64_t next_due_ms() const noexcept {
        if (role_ == member_role::closed) return ~std::uint64_t{0};
        auto due = calls_.next_due_ms();
        for (auto const t : {frozen_until_, who_due_, claim_due_, apart_due_, join_due_, handing_until_, quiet_due_, left_behind_due_, late_due()})
            if (t != 0) due = std::min(due, t);
        if (fold_.from != 0 && !fold_.branch) due = std::min(due, fold_.due);
        if (upstream_ != 0 && !caught_up_ && !adopting_) due = std::min(due, asked_at_ + options_.patience_ms);
        if (!calls_.empty()) due = std::min(due, resend_at_);
        if (is_master() && !used_.empty()) due = std::min(due, use_due_);
        if (announced_ != stream().at) due = std::min(due, announced_at_ + options_.patience_ms);
        return due;
    }

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
    peer* find(std::uint32_t node) noexcept {
        auto const it = peers_.find(node);
        return it == peers_.end() ? nullptr : &it->second;
    }
    bool is_frozen() const noexcept { return frozen_until_ != 0; }
    bool is_master() const noexcept { return role_ == member_role::master; }

    // A mailbox tree gives out none.
    bool has_ids() const noexcept { return machine_->next_id() != 0; }
    // The last id that any epoch of our history reserved, or that was announced.
    std::uint32_t ids_known() const {
        auto last = std::max(mutated(mutant::forget_ids_last) ? 0 : stream().ids_last, machine_->next_id() - 1);
        for (auto const& e : stream().past) last = std::max(last, e.ids_last);
        if (!fold_.branch) return last;
        auto const& branch = std::as_const(*fold_.branch);
        last = std::max(last, branch.next_id() - 1);
        for (auto const& e : branch.stream().history()) last = std::max(last, e.ids_last);
        return last;
    }

    // One above the next id that may have been shown before a restart. What the disk forgot follows on the reservation it tells of, so it is
    // the next reservation, or another epoch, that leaves it behind: not the last id of this one.
    std::uint32_t first_id_never_shown() const { return std::max(machine_->next_id(), std::min(ids_known(), uid_max - 2) + 2); }

    // The next id that clients may have been told of: before this life began, too, for the state that tells of it may go.
    std::uint32_t ids_shown() const { return std::max(machine_->next_id(), serves_ ? 0 : floor_); }

    // --- how others stand to us --------------------------------------------------------------------------------

    bool has_all_of_ours(lineage const& theirs) const { return covers(theirs, stream().history()) || mutated(mutant::branch_tail_dropped); }

    // A disk from a backup does not tell how far its node had come: it goes far above.
    void leave_behind_what_the_disk_forgot() {
        has_met_ = options_.disk != disk_history::restored;
        if (options_.disk == disk_history::whole) return;
        hit(options_.disk == disk_history::restored ? reached::restored : reached::restored_alone);
        floor_ += std::min(restored_ids, uid_max - floor_);
        heard_ = std::min(heard_ + (restored_epochs << 4), epoch_max);
    }
    standing compare(peer const& p) const {
        if (!p.up || !p.told || p.told->object == guid{}) return standing::unknown;
        if (!has_state_) return standing::ahead;
        if (p.told->object != machine_->object()) return standing::unknown;
        auto const mine = stream().history();
        // Who would have to go back to a lower position is apart, though nothing of its own would be lost: it was shown.
        bool const ahead = (p.told->at >= stream().at || mutated(mutant::fast_forward_after_serving)) && has_all_of_ours(p.told->lineage);
        bool const behind = p.told->at <= stream().at && covers(mine, p.told->lineage);
        return ahead && behind ? standing::same : ahead ? standing::ahead : behind ? standing::behind : standing::apart;
    }
    bool has_looked() const {
        if (join_due_ == 0 || join_due_ <= io_->steady_ms()) return true;
        return std::all_of(peers_.begin(), peers_.end(), [](auto const& p) { return p.second.told.has_value(); });
    }
    // Its master lives, as far as it knows, and we may follow it.
    bool is_way_to_master(peer const& p) const {
        if (!p.up || !p.told || p.told->hops >= hops_max || p.told->upstream == options_.self.node) return false;
        auto const s = compare(p);
        if (s == standing::ahead || s == standing::same) return true;
        return s == standing::behind && p.told->at.epoch == stream().at.epoch && p.told->owner == stream().owner;  // it was told long ago
    }
    static std::uint64_t preference(peer const& p) noexcept { return std::uint64_t{p.told->at.epoch} << 8 | (255U - p.told->hops); }

    // --- roles -------------------------------------------------------------------------------------------------

    void reconsider() {
        if (role_ == member_role::closed || adopting_) return;
        if (is_claiming_at_store() && claiming_since_ + 2 * options_.patience_ms <= now()) give_up_claim_for_master();
        if (is_master() || role_ == member_role::claiming) {
            if (is_master()) step_down_if_passed();
            if (is_master()) fold_branches();
            if (is_master() || role_ == member_role::claiming) return;
        }
        choose_upstream();
        if (upstream_ != 0) {
            if (caught_up_) take_over_for_branch();
            return;
        }
        if (has_state_ && claim_due_ == 0 && who_due_ == 0 && !is_frozen() && !disk_fails_) arm_claim();
    }
    // The store takes its time, and meanwhile there is a master. Should the claim land, it is one that nobody took up: the next
    // one goes on top of it.
    void give_up_claim_for_master() {
        role_ = member_role::joining;
        choose_upstream();
        if (upstream_ == 0) role_ = member_role::claiming;
        else drop_inbox();
    }
    void drop_inbox() {
        inbox_.clear();
        barrier_.reset();
    }
    void step_down_if_passed() {
        for (auto const& [node, p] : peers_) {
            bool const higher = p.up && p.told && p.told->at.epoch > stream().at.epoch;
            if (!higher || mutated(mutant::master_ignores_higher_epoch)) continue;
            auto const s = compare(p);  // an epoch that somebody has is in the shared store: whatever we have beyond it, we are shut out
            if (s != standing::ahead && (!rules_.shared || s == standing::unknown)) continue;
            hit(handing_until_ == 0 ? reached::ousted : handing_because_);
            lose_mastership();
            return;
        }
    }
    void lose_mastership() {
        role_ = member_role::joining;
        handing_until_ = quiet_due_ = 0;
        used_.clear();
        hops_ = 255;
        to_order_.clear();
        waiting_ = 0;
        fold_ = {};
        must_announce_ = true;
        if (!rules_.shared && !disk_fails_) return;
        drop_inbox();
        io_->withdraw(stream().at);
    }
    void leave_upstream() {
        upstream_ = 0;
        caught_up_ = false;
        tail_only_ = false;
        hops_ = 255;
        if (!barrier_ || mutated(mutant::barrier_step_dropped)) inbox_.clear();
        else inbox_.resize(1);
        transfer_ = {};
        if (role_ == member_role::member) role_ = member_role::joining;
        must_announce_ = true;
    }
    void choose_upstream() {
        std::uint32_t best = 0;
        for (auto const& [node, p] : peers_)
            if (is_way_to_master(p) && (best == 0 || preference(p) > preference(peers_[best]))) best = node;
        auto const* const current = upstream_ == 0 ? nullptr : find(upstream_);
        bool const holds = current != nullptr && (tail_only_ || is_way_to_master(*current));
        if (best == 0 && !holds && upstream_ != 0) leave_upstream();
        if (best == 0 || best == upstream_) return;
        if (holds && !tail_only_ && peers_[best].told->at.epoch <= current->told->at.epoch && peers_[best].told->hops >= current->told->hops) return;
        follow(best, false);
    }
    void follow(std::uint32_t node, bool tail_only) {
        if (who_due_ != 0 && !tail_only) hit(reached::claim_lost);
        leave_upstream();
        upstream_ = node;
        tail_only_ = tail_only;
        claim_due_ = who_due_ = asking_until_ = 0;
        postponed_ = 0;
        who_.clear();
        ask_upstream(!has_state_);
    }
    void ask_upstream(bool snapshot) {
        asked_at_ = now();
        is_at_upstreams_end_ = false;
        transfer_ = {};
        auto from = stream().at;
        if (mutated(mutant::catch_up_from_wrong_position) && from.n > 0) --from.n;
        io_->send(upstream_, format::peer_catch_up{from, stream().chain, snapshot, 0});
    }
    void joined() {
        caught_up_ = true;
        auto const& up = *find(upstream_);
        if (tail_only_) {
            hit(reached::claim_adopted_tail);
            leave_upstream();
            claim();
            return;
        }
        hops_ = up.told ? static_cast<std::uint8_t>(up.told->hops + 1) : 255;
        role_ = member_role::member;
        must_announce_ = true;
        progress_is_news_ = true;  // to whom we follow now, or again
        frozen_until_ = 0;
        serve_if_possible();
        send_calls();
    }
    // A restarted node may have shown ids that nobody knows of: it serves when those are left behind.
    void serve_if_possible() {
        if (serves_ || (!is_master() && !caught_up_)) return;
        if (machine_->next_id() < floor_ && !mutated(mutant::uid_next_falls_on_restart)) return;
        hit(is_master() && peers_up() == 0 ? reached::served_alone : reached::joined);
        serves_ = true;
        io_->moved();
    }
    std::size_t peers_up() const noexcept {
        return static_cast<std::size_t>(std::count_if(peers_.begin(), peers_.end(), [](auto const& p) { return p.second.up; }));
    }

    // --- becoming master ---------------------------------------------------------------------------------------

    std::uint32_t rank() const noexcept {
        return static_cast<std::uint32_t>(std::count_if(peers_.begin(), peers_.end(), [&](auto const& p) {
            return p.second.up && p.second.slot < options_.self.slot;
        }));
    }
    void arm_claim() {
        has_met_ = has_met_ || has_met_state();
        if (!has_met_ || (!has_looked() && !has_met_state())) return;
        claim_due_ = now() + (has_looked() ? 1 : options_.patience_ms) + rank() * options_.rank_ms;
    }
    bool has_met_state() const noexcept {
        return std::any_of(peers_.begin(), peers_.end(), [](auto const& p) { return p.second.told && p.second.told->object != guid{}; });
    }
    void ask_who() {
        claim_due_ = 0;
        who_.clear();
        for (auto const& [node, p] : peers_)
            if (p.up) who_.insert(node);
        for (auto const node : who_) io_->send(node, format::peer_who{});
        who_due_ = now() + options_.who_ms;
        if (who_.empty()) conclude_who();
    }
    void conclude_who() {
        choose_upstream();
        who_due_ = 0;
        who_.clear();
        if (upstream_ != 0) return;
        if (is_about_to_be_folded()) {
            ++postponed_;
            claim_due_ = now() + options_.patience_ms;
            return;
        }
        postponed_ = 0;
        if (auto const ahead = longest_tail(); ahead != 0) follow(ahead, true);
        else claim();
    }
    // The other side has a master, and ours has none: it will ask for our branch.
    bool is_about_to_be_folded() const {
        if (postponed_ >= 4) return false;
        return std::any_of(peers_.begin(), peers_.end(), [&](auto const& n) {
            auto const& p = n.second;
            return p.up && p.told && p.told->hops < hops_max && p.told->at.epoch > stream().at.epoch && compare(p) == standing::apart;
        });
    }
    std::uint32_t longest_tail() const {
        std::uint32_t best = 0;
        for (auto const& [node, p] : peers_)
            if (compare(p) == standing::ahead && (best == 0 || p.told->at > peers_.at(best).told->at)) best = node;
        return best;
    }
    void claim() {
        if (!has_state_ || barrier_ || disk_fails_) return;
        role_ = member_role::claiming;
        claim_due_ = 0;
        claiming_since_ = now();
        if (rules_.shared) io_->claim();
        else open_epoch();
    }
    void open_epoch() {
        inbox_.push_back(epoch_step(*machine_));
        drain();
    }
    // Opens an epoch behind this state: our own, or the one that is to take its place.
    format::stream_step epoch_step(M const& base) {
        auto const heard = std::max(heard_, stream().at.epoch);
        epoch_start s;
        s.epoch = ((heard >> 4) + 1) << 4 | (rules_.shared || mutated(mutant::epoch_without_slot) ? 0 : options_.self.slot);
        s.owner = origin_;
        auto const block = next_block(ids_known_to(base));
        if (block.first <= block.last) s.ids_first = block.first, s.ids_last = block.last;
        s.id_next = std::max({machine_->next_id(), base.next_id(), floor_});
        heard_ = std::max(heard_, s.epoch);
        format::stream_step step;
        step.kind = format::record_kind::epoch;
        step.at = {s.epoch, 0};
        step.when = std::max(stream().latest, base.stream().latest).next(io_->wall_ms());
        step.payload = format::encode_epoch_start(s);
        return step;
    }
    void add_claim_step(store_claim& c, M& theirs, format::stream_step step) {
        theirs.apply_step(record_of(step), nullptr);
        c.steps.push_back(std::move(step));
    }
    static std::uint32_t ids_known_to(M const& m) {
        auto last = m.next_id() - 1;
        for (auto const& e : m.stream().history()) last = std::max(last, e.ids_last);
        return last;
    }
    // Above all that anybody may have given out, as far as we know, and `known`.
    uid_block next_block(std::uint32_t known) const {
        if (!has_ids()) return {};
        auto above = std::max({known, ids_known(), floor_ == 0 ? 0 : floor_ - 1});
        if (rules_.shared && mutated(mutant::store_claim_below_reserved)) above = machine_->next_id() - 1;
        if (!rules_.shared) return next_uid_block(mutated(mutant::ids_block_of_any_slot) ? 1 : options_.self.slot, above);
        if (above >= uid_max - rules_.ids_reserved) return {};
        return {above + 1, above + rules_.ids_reserved};
    }
    void become_master() {
        role_ = member_role::master;
        hops_ = 0;
        upstream_ = 0;
        must_announce_ = true;
        serve_if_possible();
        send_calls();
    }
    void after_barrier(format::stream_step const& step) {
        if (step.kind == format::record_kind::fold && is_master() && !contains(stream().history(), folded_)) {
            unfoldable_ = folded_;  // the machine refused it: once more would do no better
            unfoldable_until_ = now() + unfoldable_ms;
        }
        if (step.kind != format::record_kind::epoch || epoch_owner() != origin_) return;
        if (role_ != member_role::claiming && !is_master()) return;
        hit(reached::claimed);
        if (fold_.branch && fold_.is_next) fold_now();  // the first step of the epoch: proposals wait behind it
        become_master();
    }
    origin epoch_owner() const noexcept { return stream().owner; }

    // --- the master orders -------------------------------------------------------------------------------------

    void send_call(call& c) {
        if (is_master()) {
            ++c.sent;
            wait_for_place({c.id, c.when, c.stored, c.operations});
        } else if (upstream_ != 0 && caught_up_) {
            io_->send(upstream_, format::peer_propose{c.id, c.when, c.stored, c.operations});
            c.was_sent = true;
            ++c.sent, ++c.sent_away;
        }
    }
    void send_calls() {
        resend_at_ = now() + options_.patience_ms;
        if (mutated(mutant::pending_not_proposed_again)) return;
        for (auto& c : calls_.all())
            if (!c.outcome) {
                if (c.sent > 0) hit(reached::proposed_again);
                send_call(c);
            }
    }
    void wait_for_place(waiting_proposal w) {
        if (waiting_ + w.operations.size() > options_.waiting_max) return;  // it will be proposed again
        waiting_ += w.operations.size() + sizeof w;
        to_order_.push_back(std::move(w));
        order();
    }
    void drop_proposals(dot const& id) {
        std::erase_if(to_order_, [&](waiting_proposal const& w) {
            if (w.id == id) waiting_ -= w.operations.size() + sizeof w;
            return w.id == id;
        });
    }
    // Under a mutant: as though a create() that failed had done nothing.
    void refuse_unstored() {
        std::vector<dot> gone;
        for (auto const& c : calls_.all())
            if (c.outcome && !c.given_up && c.stored && !has_reached(c.outcome->at, true)) gone.push_back(c.id);
        for (auto const& id : gone) {
            io_->finish(id, errc::busy);
            calls_.erase(id);
        }
    }
    void order() {
        while (is_master() && !is_frozen() && handing_until_ == 0 && inbox_.empty() && !to_order_.empty()) {
            auto& next = to_order_.front();
            auto const size = next.operations.size() + sizeof next;  // place() takes them
            if (!is_next_of_origin(next.id)) {
                hit(reached::repeated);
            } else if (disk_fails_ && unflushed_ + size > options_.unflushed_max && M::wants_room(next.operations)) {
                refuse(dot(next.id));
                continue;
            } else if (auto const ids = M::ids_wanted(next.operations); ids > machine_->ids_left() && ids <= uid_block_size && !mutated(mutant::ids_beyond_reservation)) {
                if (disk_fails_) return;
                if (io_->store_works()) return reserve_ids();
                hit(reached::no_ids_without_store);  // it will be proposed again, until its caller has waited long enough
            } else if (rules_.strict && !io_->store_works()) {
                hit(reached::strict_refusal);
                return;
            } else if (!io_->has_room(size) && M::wants_room(next.operations)) {
                hit(reached::no_room_without_store);
                if (!place_what_takes_away()) return;
                continue;
            } else {
                place(next);
            }
            waiting_ -= size;
            to_order_.pop_front();
        }
    }
    // From behind those that wait for room. What one origin proposed keeps its order.
    bool place_what_takes_away() {
        auto const it = std::find_if(to_order_.begin(), to_order_.end(), [&](waiting_proposal const& w) {
            return !M::wants_room(w.operations) && is_next_of_origin(w.id);
        });
        if (it == to_order_.end()) return false;
        hit(reached::passed_for_room);
        waiting_ -= it->operations.size() + sizeof *it;
        auto w = std::move(*it);
        to_order_.erase(it);
        place(w);
        return true;
    }
    // No room: its caller hears of it, and an empty transaction takes its place in time.
    void refuse(dot const& id) {
        hit(reached::refused_no_room);
        drop_proposals(id);
        if (id.origin == origin_) return refused(id, false);
        auto const via = below_.nodes().find(id.origin.node);
        auto const* const direct = find(id.origin.node);
        if (direct != nullptr && direct->up) io_->send(id.origin.node, format::peer_refuse{id});
        else if (via != below_.nodes().end()) io_->send(via->second.via, format::peer_refuse{id});
    }
    void refused(dot const& id, bool by_peer) {
        auto* const c = calls_.find(id);
        if (c == nullptr || c->given_up || c->outcome) return;
        bool const alone = by_peer ? c->sent == 1 : c->sent_away == 0;  // nobody else may order it
        io_->finish(id, alone ? errc::no_space : errc::may_have_happened);
        give_up(*c);
    }
    void on(std::uint32_t, peer&, format::peer_refuse const& m) {
        if (m.dot.origin == origin_) return refused(m.dot, true);
        auto const* const p = find(m.dot.origin.node);
        if (p != nullptr && p->up && p->follows) io_->send(m.dot.origin.node, m);
    }
    // Counters of an origin follow one another: a repeat is passed over, and what has lost its predecessor comes again.
    bool is_next_of_origin(dot const& id) const {
        if (mutated(mutant::skip_dedup)) return true;
        if (stream().would_admit(id) != admission::fresh) return false;
        for (auto const& s : stream().seen)
            if (s.origin == id.origin) return id.counter == s.counter + 1;
        return id.counter == 1;
    }
    void reserve_ids() {
        format::stream_step step;
        step.kind = format::record_kind::ids;
        step.at = {stream().at.epoch, stream().at.n + 1};
        step.when = stream().latest.next(io_->wall_ms());
        step.payload = format::encode_ids(next_block(0));
        inbox_.push_back(std::move(step));
        drain();
    }
    void place(waiting_proposal& w) {
        hit(reached::ordered);
        ++used_[w.id.origin.node];
        format::stream_step step;
        step.at = {stream().at.epoch, stream().at.n + 1};
        step.dot = w.id;
        auto const latest = stamp::at(io_->wall_ms() + 5000);
        step.when = mutated(mutant::stamp_not_clamped) ? w.when : std::min(w.when, latest);
        step.payload = std::move(w.operations);
        if (auto* const c = w.id.origin == origin_ ? calls_.find(w.id) : nullptr) c->was_sent = true;
        stored_ = stored_ || w.stored || rules_.strict || below_.count() < options_.copies_in_memory;
        unflushed_ += disk_fails_ ? sizeof w + step.payload.size() : 0;
        apply(step, true);
    }

    // Mastership follows use: who proposes most of what is ordered saves a round trip by ordering it.
    void follow_use() {
        use_due_ = now() + options_.use_ms;
        auto const used = std::exchange(used_, {});
        std::uint64_t all = 0;
        for (auto const& [node, n] : used) all += n;
        for (auto const& [node, n] : used) {
            auto const* const p = find(node);
            if (p == nullptr || !p->up || !p->follows || n < options_.use_min || n * 4 <= all * 3 || is_frozen() || fold_.from != 0 || !inbox_.empty()) continue;
            hand_over(node, reached::handover_by_use);
        }
    }
    // Nothing is ordered until the heir's epoch is here, or does not come.
    void hand_over(std::uint32_t heir, reached why) {
        handing_until_ = now() + options_.patience_ms;
        handing_because_ = why;
        flush_batch();
        io_->send(heir, format::peer_handover{stream().at});
    }
    bool may_hand_over() const noexcept { return is_master() && handing_until_ == 0 && !is_frozen() && fold_.from == 0 && inbox_.empty(); }
    // Each that has all there is, is asked once: its disk may have failed, too.
    void hand_over_for_disk() {
        if (!disk_fails_ || !is_master() || handing_until_ != 0 || is_frozen()) return;
        bool any = false;
        for (auto const& [node, p] : peers_) {
            if (!p.up || !p.follows || heirs_asked_.contains(node)) continue;
            any = true;
            if (!below_.has_in_memory(node, stream().at)) continue;
            heirs_asked_.insert(node);
            return hand_over(node, reached::flush_failed_handover);
        }
        if (!any && heirs_asked_.insert(options_.self.node).second) hit(reached::flush_failed_alone);
    }
    // From the master: be it. From a follower, who reaches a branch that we do not: let me.
    void on(std::uint32_t node, peer& p, format::peer_handover const& m) {
        if (m.at != stream().at || is_frozen() || barrier_ || !inbox_.empty()) return;
        if (p.follows && may_hand_over()) return hand_over(node, reached::handover_asked);
        if (node != upstream_ || !caught_up_ || disk_fails_) return;
        leave_upstream();
        claim();
    }
    // What waits for a disk that fails may be on it: its place is another step's only where we order no more in its epoch.
    void withdraw() {
        if (!barrier_) return;
        barrier_.reset();
        inbox_.clear();
        io_->withdraw(stream().at);
    }
    // When all nodes have all there is on disk, nobody can come with an older change: what was kept to judge it goes.
    void settle_if_quiet() {
        if (!machine_->is_unsettled() || is_frozen() || fold_.from != 0 || !inbox_.empty() || !to_order_.empty()) {
            quiet_due_ = 0;
            return;
        }
        if (quiet_at_ != stream().at || quiet_due_ == 0) {
            quiet_at_ = stream().at;
            quiet_due_ = now() + options_.quiet_ms;
            return;
        }
        if (quiet_due_ > now()) return;
        quiet_due_ = now() + options_.quiet_ms;
        bool const all = std::all_of(peers_.begin(), peers_.end(), [&](auto const& p) { return rules_.shared ? below_.has_in_memory(p.first, stream().at) : below_.has_on_disk(p.first, stream().at); });
        if ((!all && !mutated(mutant::settle_before_all)) || !below_.has_on_disk(options_.self.node, stream().at)) return;
        hit(reached::settled);
        format::stream_step step;
        step.kind = format::record_kind::settle;
        step.at = {stream().at.epoch, stream().at.n + 1};
        step.when = stream().latest.next(io_->wall_ms());
        step.payload = format::encode_settle(stream().at);
        inbox_.push_back(std::move(step));
        drain();
    }

    // --- applying ----------------------------------------------------------------------------------------------

    static bool must_last_first(format::stream_step const& s) noexcept {
        if (s.kind == format::record_kind::epoch) return !mutated(mutant::epoch_shown_before_disk);
        if (s.kind == format::record_kind::ids && mutated(mutant::ids_passed_before_stored)) return false;
        return s.kind == format::record_kind::ids || s.kind == format::record_kind::fold;
    }
    void drain() {
        while (!inbox_.empty() && !barrier_) {
            if (must_last_first(inbox_.front()) && !(rules_.shared && !is_master())) {  // its master has put it into the store
                barrier_ = inbox_.front().at;
                io_->write(inbox_.front(), true);
                return;
            }
            auto const step = std::move(inbox_.front());
            inbox_.pop_front();
            apply(step, true);
            after_barrier(step);
        }
    }
    void apply(format::stream_step const& step, bool write) {
        auto const before = stream().at;
        auto const chain = stream().chain;
        auto const record = record_of(step);
        auto* const mine = step.kind == format::record_kind::transaction && step.dot.origin == origin_ ? calls_.find(step.dot) : nullptr;
        outcome_type outcome{};
        machine_->apply_step(record, mine != nullptr ? &outcome : nullptr);
        if (stream().at != step.at) throw error(errc::corrupt, name_, "a step did not come to its place");
        if (mine != nullptr) {
            outcome.at = stream().at;
            mine->outcome = std::move(outcome);
        }
        if (step.kind == format::record_kind::epoch) begin_progress();
        heard_ = std::max(heard_, stream().at.epoch);
        if (batch_.empty()) batch_before_ = before, batch_chain_ = chain;
        batch_.push_back(step);
        ring_.push(before, chain, step);
        if (write) io_->write(step, stored_);
        io_->moved();
    }
    void begin_progress() {
        if (mutated(mutant::progress_not_begun_anew)) return below_.go_on(stream().at.epoch), told_.go_on(stream().at.epoch);
        below_.begin(stream().at.epoch);
        told_.begin(stream().at.epoch);
        for (auto& [node, p] : peers_)
            if (p.told && p.told->at.epoch < stream().at.epoch && !p.follows) p.apart_since = 0;
    }
    // What the caller cannot be told by replay, since the state came as a whole.
    void find_own_in_state() {
        for (auto& c : calls_.all()) {
            if (c.outcome || stream().would_admit(c.id) == admission::fresh) continue;
            c.outcome = machine_->recall(c.id);
            c.outcome->at = stream().at;
        }
    }
    void go_on() {
        if (is_master()) {
            raise_for_followers();
            order();
        } else if (upstream_ != 0 && inbox_.empty() && !barrier_ && (is_at_upstreams_end_ || mutated(mutant::caught_up_too_early))) {
            if (!caught_up_) joined();
        }
        serve_if_possible();
    }
    std::uint32_t wanted_ids() const {
        auto wanted = mutated(mutant::restart_floor_not_told) ? machine_->next_id() : ids_shown();
        for (auto const& [node, p] : peers_)
            if (p.follows && p.told) wanted = std::max(wanted, p.told->id_next);
        return wanted;
    }
    // Those whom we follow are to hear of greater ids that were shown.
    bool has_news_of_ids() const {
        if (!has_state_ || adopting_ || is_master()) return false;
        auto const wanted = wanted_ids();
        return wanted > machine_->next_id() && wanted > announced_ids_;
    }
    // A member that was restarted may have shown greater ids than we know of: the next epoch leaves them behind.
    void raise_for_followers() {
        if (is_frozen() || !inbox_.empty() || !io_->store_works() || !has_ids()) return;
        auto const wanted = wanted_ids();
        if (wanted > machine_->next_id() && !disk_fails_) {
            floor_ = wanted;
            open_epoch();
        }
    }

    // --- messages ----------------------------------------------------------------------------------------------

    template <class Other>
    void on(std::uint32_t, peer&, Other const&) {}  // what the links deal with themselves

    void on(std::uint32_t node, peer& p, format::peer_open const& m) {
        heard_ = std::max(heard_, m.epoch_heard);
        bool const is_first = !p.told;
        p.told = m;
        if (is_first) announce_to(node);
        if (m.upstream != options_.self.node && p.follows) {
            p.follows = false;
            progress_is_news_ = below_.drop(node) || progress_is_news_;
        }
        if (compare(p) != standing::apart) p.apart_since = 0;
        else if (p.apart_since == 0) p.apart_since = now();
        if (who_.erase(node) > 0 && who_.empty() && who_due_ != 0) conclude_who();
        if (upstream_ == node && caught_up_) {
            auto const hops = static_cast<std::uint8_t>(m.hops >= hops_max ? 255 : m.hops + 1);
            if (hops != hops_) {
                hops_ = hops;
                must_announce_ = true;
            }
        }
        ask_again_if_left_behind();
        if (fold_.from == node && fold_.in.bytes.empty() && !fold_.branch) fold_ = {};  // it stands elsewhere now
        reconsider();
        go_on();
    }
    void on(std::uint32_t node, peer&, format::peer_who const&) { announce_to(node); }
    void on(std::uint32_t node, peer& p, format::peer_close const&) {
        p.forget();
        progress_is_news_ = below_.drop(node) || progress_is_news_;
        if (fold_.from == node && !fold_.branch) fold_ = {};
        if (upstream_ == node) leave_upstream();
        if (who_.erase(node) > 0 && who_.empty() && who_due_ != 0) conclude_who();
        reconsider();
    }

    void on(std::uint32_t, peer&, format::peer_propose const& m) {
        if (m.operations.size() % 8 != 0 || m.operations.size() > step_size_max) return;
        if (is_master()) {
            wait_for_place({m.dot, m.when, m.stored, m.operations});
        } else if (upstream_ != 0 && caught_up_) {
            hit(reached::relayed);
            io_->send(upstream_, m);
        }
    }

    void on(std::uint32_t node, peer& p, format::peer_catch_up const& m) {
        if (!has_state_ || adopting_) return;
        serve_catch_up(node, p, m);
        if (is_master()) go_on();  // it may want greater ids than there are
    }
    void serve_catch_up(std::uint32_t node, peer& p, format::peer_catch_up const& m) {
        if (m.snapshot) return serve_piece(node, p, m.offset, false);
        if (m.from == stream().at && m.chain == stream().chain) {
            p.follows = true;
            io_->send(node, format::peer_push{m.from, m.chain, false, {}});
            return;
        }
        flush_batch();  // what is in the ring goes to it once
        if (auto const first = ring_.find(m.from, m.chain)) {
            hit(reached::caught_up_by_ring);
            p.follows = true;
            push_ring(node, *first + (mutated(mutant::catch_up_skips_first) ? 1 : 0));
        } else if (!rules_.shared && contains(stream().history(), m.from)) {
            hit(reached::lagging);
            if (std::exchange(p.is_read_for, true)) return;
            p.follows = false;
            io_->read_steps(node, m.from, m.chain, size_of_state());
        } else if (covers(stream().history(), p.told ? p.told->lineage : lineage{})) {
            p.follows = true;
            serve_piece(node, p, 0, false);
        } else {
            p.follows = m.from.epoch == stream().at.epoch;  // it is ahead of us, and we both follow one master
            announce_to(node);
        }
    }
    std::size_t size_of_state() const { return machine_->dump().size(); }
    // Behind them comes what the ring has, or what was applied meanwhile and is in the log, too.
    void push_from_log(std::uint32_t node, peer& p, position from, std::uint64_t chain, std::vector<format::stream_step> steps) {
        std::erase_if(steps, [&](format::stream_step const& s) { return s.at > stream().at; });
        if (!has_state_ || adopting_) return;
        if (steps.empty() || !contains(stream().history(), from)) {
            p.follows = true;
            return serve_piece(node, p, 0, false);
        }
        flush_batch();
        hit(reached::caught_up_by_log);
        auto const last = steps.back().at;
        for_each_push(from, chain, false, steps, [&](format::peer_push const& out) { io_->send(node, out); });
        for (auto const& s : steps) chain = stream_state::chain_after(chain, record_of(s));
        auto const next = ring_.find(last, chain);
        p.follows = last == stream().at || next;
        if (next) push_ring(node, *next);
        else if (!p.follows && (p.is_read_for = true)) io_->read_steps(node, last, chain, size_of_state());
    }
    // Behind steps of that size, in one push. The greatest step has a push of its own, or the frame would be too big.
    static bool fits(format::stream_step const& s, std::size_t size) noexcept { return size == 0 || size + 64 + s.payload.size() <= push_size_max; }
    void push_ring(std::uint32_t node, std::size_t first) {
        while (first < ring_.count()) {
            format::peer_push out{ring_[first].before, ring_[first].chain, false, {}};
            for (std::size_t size = 0; first < ring_.count() && fits(ring_[first].step, size); ++first) {
                if (ring_[first].step.payload.size() > step_size_max) return;
                size += 64 + ring_[first].step.payload.size();
                out.steps.push_back(ring_[first].step);
            }
            io_->send(node, out);
        }
    }
    void serve_piece(std::uint32_t node, peer& p, std::uint64_t offset, bool branch) {
        if (offset == 0) {
            p.serving = machine_->dump();
            p.serving_at = stream().at;
        }
        if (offset >= p.serving.size()) return;
        auto const from = bytes_view(p.serving).subspan(static_cast<std::size_t>(offset));
        auto const piece = from.first(std::min(piece_size, from.size()));
        format::peer_snapshot out{branch, p.serving_at, offset, p.serving.size(), {piece.begin(), piece.end()}};
        if (piece.size() == from.size()) p.serving = {};
        io_->send(node, out);
    }

    void on(std::uint32_t node, peer& p, format::peer_snapshot const& m) {
        if (m.size > options_.state_size_max) return m.branch ? leave_branch(node, m.at) : void();
        if (m.branch) return take_branch(node, m);
        if (node != upstream_ || adopting_ || caught_up_) return;
        asked_at_ = now();
        if (!take_piece(transfer_, m)) {
            if (transfer_.bytes.empty()) return;
            io_->send(node, format::peer_catch_up{stream().at, stream().chain, true, transfer_.bytes.size()});
            return;
        }
        if (barrier_) return;  // our own log is busy: it will be asked for again
        hit(p.told && compare(p) == standing::ahead ? reached::fast_forward : reached::caught_up_by_snapshot);
        adopting_ = true;
        inbox_.clear();
        io_->adopt(std::move(transfer_.bytes));
    }
    // True: it was the last piece. A piece of another snapshot, or not the next one, begins anew or is nothing.
    static bool take_piece(transfer& t, format::peer_snapshot const& m) {
        if (m.offset == 0) t = {m.at, {}};
        if (m.at != t.at || m.offset != t.bytes.size() || m.bytes.empty()) return false;
        t.bytes.insert(t.bytes.end(), m.bytes.begin(), m.bytes.end());
        return t.bytes.size() >= m.size;
    }

    void on(std::uint32_t node, peer&, format::peer_push const& m) {
        if (node != upstream_ || adopting_) {
            if (m.before.epoch < stream().at.epoch) {
                hit(reached::push_of_older_epoch);
                announce_to(node);
            }
            return;
        }
        auto at = inbox_.empty() ? stream().at : inbox_.back().at;
        auto chain = stream().chain;
        for (auto const& s : inbox_) chain = stream_state::chain_after(chain, record_of(s));
        auto place = m.before;
        auto place_chain = m.chain;
        std::size_t first = 0;
        while (first < m.steps.size() && place != at && contains_waiting(place)) {
            place_chain = stream_state::chain_after(place_chain, record_of(m.steps[first]));
            place = m.steps[first++].at;
            hit(reached::push_repeated);
        }
        if (place != at) {
            if (place < at && contains_waiting(place)) return;  // all of it is here
            hit(reached::push_gap);
            is_at_upstreams_end_ = false;
            if (inbox_.empty()) ask_again();
            return;
        }
        if (place_chain != chain) {
            hit(reached::push_clash);
            caught_up_ = false;
            ask_upstream(true);
            return;
        }
        stored_ = stored_ || m.stored;
        for (; first < m.steps.size() && inbox_.size() < inbox_max; ++first) {
            if (!is_next(at, m.steps[first])) break;
            at = m.steps[first].at;
            inbox_.push_back(m.steps[first]);
        }
        is_at_upstreams_end_ = first == m.steps.size();
        if (!m.steps.empty()) hit(reached::push_applied);
        drain();
        go_on();
    }
    // Whom we follow has more than it pushed to us for a while: it does not know that we follow.
    void ask_again_if_left_behind() {
        left_behind_due_ = 0;
        auto const* const up = upstream_ == 0 ? nullptr : find(upstream_);
        if (up == nullptr || !caught_up_ || !up->told || up->told->at <= stream().at || !inbox_.empty()) return;
        if (stuck_at_ != stream().at || stuck_since_ == 0) {
            stuck_at_ = stream().at;
            stuck_since_ = now();
        }
        left_behind_due_ = stuck_since_ + options_.patience_ms;
        if (left_behind_due_ > now()) return;
        stuck_since_ = left_behind_due_ = 0;
        ask_again();
    }
    void ask_again() {
        caught_up_ = false;
        ask_upstream(!has_state_);
    }
    bool contains_waiting(position p) const {
        if (contains(stream().history(), p)) return true;
        return std::any_of(inbox_.begin(), inbox_.end(), [&](format::stream_step const& s) { return s.at == p; });
    }
    static bool is_next(position at, format::stream_step const& s) noexcept {
        if (s.payload.size() % 8 != 0) return false;
        if (s.kind == format::record_kind::epoch) return s.at.n == 0 && s.at.epoch > at.epoch;
        return s.at == position{at.epoch, at.n + 1};
    }

    void on(std::uint32_t node, peer& p, format::peer_progress const& m) {
        if (m.epoch != stream().at.epoch) return;
        if (m.down) {
            if (node != upstream_) return;
            told_.replace(m, node);
            progress_is_news_ = progress_is_news_ || below_.has_more_nodes(told_);  // it lost sight of one that moved, and hears of it again
            relay_progress_ = true;
            if (rules_.shared) io_->note_stored({m.epoch, told_.on_disk_max()});
        } else if (p.follows) {
            progress_is_news_ = below_.replace_behind(node, m, options_.self.node) || progress_is_news_;
            hand_over_for_disk();
        }
    }

    // --- split and fold ----------------------------------------------------------------------------------------

    void fold_branches() {
        apart_due_ = 0;
        if (fold_.from != 0 || is_frozen() || disk_fails_ || mutated(mutant::branches_never_folded)) return;
        if (!inbox_.empty()) return;  // what waits for the disk may be a fold
        for (auto& [node, p] : peers_) {
            if (!is_branch(p) || (p.told->at == unfoldable_ && now() < unfoldable_until_)) continue;
            bool const is_theirs_to_give = p.told->hops == 0 || p.told->hops == 255;
            if (!is_theirs_to_give && p.apart_since + options_.patience_ms > now()) {
                apart_due_ = p.apart_since + options_.patience_ms;
                continue;
            }
            fold_.from = node;
            fold_.due = now() + options_.freeze_ms;
            announce_to(node);  // so that it knows why
            io_->send(node, format::peer_want_branch{0});
            return;
        }
    }
    bool is_branch(peer const& p) const {
        if (compare(p) != standing::apart) return false;
        bool const lower = p.told->at.epoch < stream().at.epoch;
        return mutated(mutant::trunk_is_lower_epoch) ? !lower : lower;
    }
    // A branch that our master does not reach, and we do: we become the master.
    void take_over_for_branch() {
        apart_due_ = 0;
        auto const* const up = find(upstream_);
        for (auto const& [node, p] : peers_) {
            if (!is_branch(p) || up == nullptr || !up->told) continue;
            if (((up->told->reaches >> p.slot) & 1) != 0 && up->told->hops == 0) continue;
            auto const due = p.apart_since + 2 * options_.patience_ms + rank() * options_.rank_ms;
            if (due > now()) {
                apart_due_ = due;
                continue;
            }
            return ask_for_mastership(*up);
        }
        asking_until_ = 0;
    }
    // A master that is near hands over without a gap in ids; one that does not answer is passed.
    void ask_for_mastership(peer const& up) {
        if (asking_until_ == 0 && up.told->hops == 0) {
            asking_until_ = now() + options_.patience_ms;
            io_->send(upstream_, format::peer_handover{stream().at});
        }
        if (asking_until_ > now()) {
            apart_due_ = asking_until_;
            return;
        }
        asking_until_ = 0;
        leave_upstream();
        claim();
    }
    void on(std::uint32_t node, peer& p, format::peer_want_branch const& m) {
        if (!has_state_ || adopting_ || barrier_ || is_claiming_at_store()) return;
        if (m.offset == 0) {
            if (compare(p) != standing::apart || p.told->at.epoch < stream().at.epoch) return announce_to(node);  // it has not heard yet
            freeze();
        }
        serve_piece(node, p, m.offset, true);
    }
    // Nothing is ordered, applied or acknowledged until the fold is here, or does not come.
    void freeze() {
        hit(reached::ousted);
        frozen_until_ = now() + options_.freeze_ms;
        claim_due_ = who_due_ = 0;
        if (is_master()) return;
        leave_upstream();
        role_ = member_role::ousted;
    }
    void thaw() {
        frozen_until_ = 0;
        if (!is_master()) role_ = member_role::joining;
        must_announce_ = true;
        go_on();
    }
    // Too much to hold: its node goes on by itself, and it is tried again in a while.
    void leave_branch(std::uint32_t node, position at) {
        if (node != fold_.from || fold_.branch) return;
        unfoldable_ = at;
        unfoldable_until_ = now() + unfoldable_ms;
        fold_ = {};
    }
    void take_branch(std::uint32_t node, format::peer_snapshot const& m) {
        if (node != fold_.from || !is_master() || fold_.branch) return;
        fold_.due = now() + options_.freeze_ms;
        if (!take_piece(fold_.in, m)) {
            io_->send(node, format::peer_want_branch{fold_.in.bytes.size()});
            return;
        }
        auto held = std::make_shared<aligned_bytes>(bytes_view(fold_.in.bytes));
        auto branch = std::make_shared<M>();
        try {
            branch->load(held->span(), name_ + " of node " + std::to_string(node));
            if constexpr (requires { branch->verify(); }) branch->verify();
        } catch (error const&) {
            fold_ = {};
            return;
        }
        auto const& theirs = std::as_const(*branch).stream();
        bool const foreign = branch->object() != machine_->object();
        if (foreign || theirs.at.epoch >= stream().at.epoch || covers(stream().history(), theirs.history())) {
            fold_ = {};
            must_announce_ = true;
            return;
        }
        fold_.in = {};
        fold_.held = std::move(held);
        fold_.branch = std::move(branch);
        heard_ = std::max(heard_, std::as_const(*fold_.branch).stream().at.epoch);
        open_epoch_for_fold();
    }
    void open_epoch_for_fold() {
        if (!fold_.branch || fold_.is_next || !is_master() || is_frozen() || !inbox_.empty() || !io_->store_works()) return;
        if (covers(stream().history(), std::as_const(*fold_.branch).stream().history())) {
            fold_ = {};
            return;
        }
        fold_.is_next = true;
        open_epoch();
    }
    void fold_now() {
        hit(reached::fold);
        folded_ = std::as_const(*fold_.branch).stream().at;
        format::stream_step step;
        step.kind = format::record_kind::fold;
        step.at = {stream().at.epoch, stream().at.n + 1};
        step.when = stream().latest.next(io_->wall_ms());
        step.payload = machine_->fold(*fold_.branch);
        step.payload.resize((step.payload.size() + 7) / 8 * 8);
        fold_ = {};
        inbox_.push_back(std::move(step));
        must_announce_ = true;
        drain();
    }

    // --- what goes out -----------------------------------------------------------------------------------------

    void flush() {
        if (role_ == member_role::closed) return;
        open_epoch_for_fold();
        flush_batch();
        flush_progress();
        check_calls();
        if (has_news_of_ids()) must_announce_ = true;
        if (must_announce_) announce();
    }
    void flush_batch() {
        if (batch_.empty()) return;
        auto const steps = std::exchange(batch_, {});
        bool const stored = std::exchange(stored_, false);
        for_each_push(batch_before_, batch_chain_, stored, steps, [&](format::peer_push const& out) {
            for (auto const& [node, p] : peers_)
                if (p.up && p.follows) io_->send(node, out);
        });
    }
    // What does not fit into a frame is left out: who misses it asks for a snapshot.
    template <class F>
    static void for_each_push(position before, std::uint64_t chain, bool stored, std::vector<format::stream_step> const& steps, F const& f) {
        for (std::size_t first = 0; first < steps.size();) {
            format::peer_push out{before, chain, stored, {}};
            for (std::size_t size = 0; first < steps.size() && fits(steps[first], size); ++first) {
                size += 64 + steps[first].payload.size();
                chain = stream_state::chain_after(chain, record_of(steps[first]));
                before = steps[first].at;
                if (steps[first].payload.size() <= step_size_max) out.steps.push_back(steps[first]);
            }
            f(out);
        }
    }
    void flush_progress() {
        if (!has_state_ || adopting_) return;
        bool const writes = is_master() || !rules_.shared;
        bool const counts = writes && (disk_.epoch == stream().at.epoch || mutated(mutant::acknowledge_by_received));
        auto const disk = !counts ? 0 : mutated(mutant::acknowledge_by_received) ? stream().at.n : disk_.n;
        bool const news = below_.note(options_.self.node, stream().at.n, disk, options_.self.node) || std::exchange(progress_is_news_, false);
        told_.note(options_.self.node, stream().at.n, disk, options_.self.node);
        if (is_master()) judge_lag();
        if (is_master() && (news || std::exchange(progress_is_news_, false))) tell_progress(below_, true);
        else if (!is_master() && news && upstream_ != 0 && caught_up_) io_->send(upstream_, progress_of(below_, false));
        else if (!is_master() && news) progress_is_news_ = true;
        if (!is_master() && std::exchange(relay_progress_, false)) tell_progress(told_, true);
    }
    // Who is out of the ring for long is not waited for.
    void judge_lag() {
        for (auto n = below_.judge(ring_.floor(stream().at.epoch), now(), options_.patience_ms); n > 0; --n) {
            hit(reached::lagging);
            progress_is_news_ = true;
        }
    }
    std::uint64_t late_due() const noexcept { return is_master() ? below_.late_due(options_.patience_ms) : 0; }
    void tell_progress(progress_table const& t, bool down) {
        auto const out = progress_of(t, down);
        for (auto const& [node, p] : peers_)
            if (p.up && p.follows) io_->send(node, out);
    }
    static format::peer_progress progress_of(progress_table const& t, bool down) {
        format::peer_progress out{t.epoch(), down, {}};
        for (auto const& [node, e] : t.nodes())
            if (!down || !e.lags) out.nodes.push_back({node, e.in_memory, e.on_disk});
        return out;
    }

    void check_calls() {
        if (calls_.empty() || !serves_ || adopting_ || is_frozen()) return;
        if (!is_master() && !caught_up_) return;
        std::vector<dot> done;
        for (auto const& c : calls_.all())
            if (c.outcome && (c.given_up || has_reached(c.outcome->at, c.stored))) done.push_back(c.id);
        for (auto const& id : done) {
            auto* const c = calls_.find(id);
            if (!c->given_up) {
                tell_level(*c);
                io_->finish(id, errc{});
            }
            calls_.erase(id);
        }
    }
    bool has_reached(position at, bool stored) const noexcept {
        auto const& t = is_master() ? below_ : told_;
        auto const live = t.count();
        if (mutated(mutant::acknowledge_before_push)) return true;
        if (rules_.shared) {
            bool const in_memory = !stored && !rules_.strict && live >= options_.copies_in_memory;
            if (in_memory) return t.holders(at, false) >= options_.copies_in_memory;
            return t.holders(at, true) >= 1 || mutated(mutant::acknowledge_before_sync);
        }
        if (stored && !mutated(mutant::acknowledge_before_sync)) {
            auto const wanted = std::min(options_.copies_on_disk, live) - (mutated(mutant::acknowledge_one_too_few) ? 1 : 0);
            return t.holders(at, true) >= (mutated(mutant::sync_of_one_counts_for_all) ? 1 : std::max<std::size_t>(1, wanted));
        }
        if (live >= options_.copies_in_memory) return t.holders(at, false) >= options_.copies_in_memory || mutated(mutant::lagging_counted);
        return t.holders(at, true) >= live;  // too few to be safe in memory: on all disks there are
    }
    // No more are up than there are: the caller hears how many hold it.
    void tell_level(call& c) const {
        auto const& t = is_master() ? below_ : told_;
        auto& held = c.outcome->held;
        held.in_memory = static_cast<std::uint32_t>(t.holders(c.outcome->at, false));
        held.on_disk = static_cast<std::uint32_t>(t.holders(c.outcome->at, true));
        if (c.stored ? held.on_disk < options_.copies_on_disk : held.in_memory < options_.copies_in_memory) hit(reached::level_raised);
    }
    void give_up(call& c) {
        c.given_up = true;
        c.operations.clear();
        if (c.outcome || mutated(mutant::given_up_leaves_gap)) calls_.erase(c.id);
    }

    void announce() {
        must_announce_ = false;
        announced_ = stream().at;
        announced_at_ = now();
        for (auto const& [node, p] : peers_)
            if (p.up) announce_to(node);
    }
    void announce_to(std::uint32_t node) {
        flush_batch();  // so that it is no older than what was pushed
        format::peer_open out;
        out.name = name_;
        if (has_state_ && !adopting_) {
            out.object = machine_->object();
            out.at = stream().at;
            out.chain = stream().chain;
            out.lineage = stream().history();
            out.id_next = announced_ids_ = wanted_ids();
            out.owner = stream().owner;
        }
        out.role = static_cast<std::uint8_t>(role_);
        out.hops = is_master() ? 0 : hops_;
        out.upstream = upstream_;
        for (auto const& [other, p] : peers_)
            if (p.up) out.reaches = static_cast<std::uint16_t>(out.reaches | 1U << p.slot);
        out.epoch_heard = heard_;
        io_->send(node, out);
    }

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
