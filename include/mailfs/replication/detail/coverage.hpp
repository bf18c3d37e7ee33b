// SPDX-License-Identifier: BSL-1.0
// What the protocol came to while it was simulated: a count for each row of its tables.
//
//     hit(reached::push_gap);
//
// Without MAILFS_UNDER_TEST (see config.hpp) hit() is nothing.
#pragma once

#include <mailfs/config.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mailfs::detail {

/// The rows of the tables of events, of outcomes and of merges. `reached_names` below has the same order.
enum class reached : std::uint8_t {
    // events
    open_from_peer,           ///< closed -> joining, state from a peer
    open_from_disk,           ///< closed -> joining, state from snapshot and log
    joined,                   ///< joining -> member, caught up
    served_alone,             ///< joining -> member, no peer in 2 s
    push_applied,
    push_repeated,            ///< old position: acknowledged again
    push_of_older_epoch,      ///< answered "ousted"
    push_gap,
    push_clash,               ///< the chain hash differs
    master_reset,             ///< the link to the master was lost: told
    master_silent,            ///< noticed by silence
    claimed,                  ///< claiming -> master
    claim_adopted_tail,       ///< took over what another member had of the old epoch
    claim_lost,               ///< claiming -> joining: another won
    ordered,                  ///< master: PROPOSE, ordered
    repeated,                 ///< master: PROPOSE, answered from what was done before
    flush_failed_handover,    ///< no space or I/O: handed over to one whose disk works
    flush_failed_alone,       ///< the same, and there is none
    refused_no_room,          ///< ... and so much is unflushed that expunges alone are taken
    ousted,                   ///< a master heard of a higher epoch
    branch_handed_in,         ///< ousted -> member by a fold
    settled,                  ///< every node has it: what was kept for folding goes
    handover_by_use,
    handover_asked,
    restored,                 ///< the disk comes from a backup: waits for a peer
    restored_alone,           ///< the same, and was told to forget the rest
    restarted,                ///< crash: the journal was read up to the first bad record
    // events of a shared store
    claim_with_tail,          ///< claiming: steps that the store lacked went with the epoch
    claim_with_fold,          ///< claiming: this node's state was a branch, and went as a fold with the epoch
    claim_lost_to_data,       ///< claiming: the master's data got in first; again behind it
    claim_lost_to_epoch,      ///< claiming -> joining: another claim got in first
    claim_passed,             ///< claiming: it won a number that had been used and removed, which counts for nothing
    claim_without_store,      ///< claiming -> joining: the store did not answer: read-only
    create_taken_up,          ///< a create() whose outcome was unknown had happened
    create_not_ours,          ///< ... had not, and another's was there
    flush_lost,               ///< master: another epoch has begun in the store
    no_ids_without_store,     ///< master: the reservation is used up, and the store fails
    no_room_without_store,    ///< master: the unflushed bound of the mailbox or the node is reached
    passed_for_room,          ///< ... and what only takes away went before those that wait
    strict_refusal,           ///< master: the store fails, and nothing is ordered
    covered_removed,          ///< files that a snapshot covers were removed
    old_epoch_removed,        ///< ... and what opened an epoch long ago
    covered_for_master,       ///< a member made the snapshot that the master had not
    slept,                    ///< a master that had not written for long looked before it did
    // outcomes
    proposed_again,           ///< by a member that lost its master
    relayed,                  ///< a proposal or its answer went one hop
    one_way,                  ///< a link down for both, as pings were not echoed
    lagging,                  ///< out of the ring: not counted where so many are asked for
    caught_up_by_ring,
    caught_up_by_log,         ///< the steps were read from a peer's disk
    caught_up_by_snapshot,
    refused_unavailable,
    level_raised,             ///< fewer members than wanted: the next level that could be had
    // merges
    fast_forward,
    fold,
    fold_of_nothing,          ///< the branch held no transaction of its own
    fold_same,                ///< live in both, same UID
    fold_registers,           ///< ... and flags or keywords differed
    fold_two_uids,            ///< live in both, two UIDs
    fold_expunged,            ///< expunged on one side
    fold_expunge_beats_flag,  ///< ... and its flags were changed on the other
    fold_kept,                ///< on one side only, keeps its UID
    fold_renumbered,
    fold_vanished,            ///< vanished entries that were on one side only
    fold_same_delivery,       ///< one delivery on both sides
    fold_same_uid,            ///< one UID for two messages: an operator's mistake
    fold_keyword,
    fold_metadata,
    count
};

inline constexpr std::array<std::string_view, static_cast<std::size_t>(reached::count)> reached_names{
    "open_from_peer",
    "open_from_disk",
    "joined",
    "served_alone",
    "push_applied",
    "push_repeated",
    "push_of_older_epoch",
    "push_gap",
    "push_clash",
    "master_reset",
    "master_silent",
    "claimed",
    "claim_adopted_tail",
    "claim_lost",
    "ordered",
    "repeated",
    "flush_failed_handover",
    "flush_failed_alone",
    "refused_no_room",
    "ousted",
    "branch_handed_in",
    "settled",
    "handover_by_use",
    "handover_asked",
    "restored",
    "restored_alone",
    "restarted",
    "claim_with_tail",
    "claim_with_fold",
    "claim_lost_to_data",
    "claim_lost_to_epoch",
    "claim_passed",
    "claim_without_store",
    "create_taken_up",
    "create_not_ours",
    "flush_lost",
    "no_ids_without_store",
    "no_room_without_store",
    "passed_for_room",
    "strict_refusal",
    "covered_removed",
    "old_epoch_removed",
    "covered_for_master",
    "slept",
    "proposed_again",
    "relayed",
    "one_way",
    "lagging",
    "caught_up_by_ring",
    "caught_up_by_log",
    "caught_up_by_snapshot",
    "refused_unavailable",
    "level_raised",
    "fast_forward",
    "fold",
    "fold_of_nothing",
    "fold_same",
    "fold_registers",
    "fold_two_uids",
    "fold_expunged",
    "fold_expunge_beats_flag",
    "fold_kept",
    "fold_renumbered",
    "fold_vanished",
    "fold_same_delivery",
    "fold_same_uid",
    "fold_keyword",
    "fold_metadata",
};
static_assert(!reached_names.back().empty(), "a row without a name");

/// Whether only nodes that share a store come there.
constexpr bool is_of_shared_store(reached r) noexcept { return r >= reached::claim_with_tail && r <= reached::slept; }
/// Whether it takes an operator's mistake: two nodes with one slot.
constexpr bool is_of_broken_slots(reached r) noexcept { return r == reached::push_clash || r == reached::fold_same_uid; }

using reached_counts = std::array<std::uint64_t, static_cast<std::size_t>(reached::count)>;

/// Of this thread's simulations.
inline reached_counts& reached_so_far() noexcept {
    static thread_local constinit reached_counts here{};
    return here;
}

inline void hit([[maybe_unused]] reached what) noexcept {
    if constexpr (under_test) ++reached_so_far()[static_cast<std::size_t>(what)];
}

}  // namespace mailfs::detail
