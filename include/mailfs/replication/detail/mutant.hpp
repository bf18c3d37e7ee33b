// SPDX-License-Identifier: BSL-1.0
// Errors of the protocol that the simulation plants, one at a time, to see whether its checks find them.
//
//     if (!mutated(mutant::skip_dedup)) ...      // the right way, but under that mutant
//
// Without MAILFS_UNDER_TEST (see config.hpp) mutated() is false when the program is compiled, and nothing of this is in it.
#pragma once

#include <mailfs/config.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mailfs::detail {

/// Each bears the name of what goes wrong. `mutant_names` below has the same order.
enum class mutant : std::uint8_t {
    none,
    // identity and incarnation
    keep_incarnation,
    given_up_leaves_gap,
    skip_dedup,
    epoch_without_slot,
    epoch_shown_before_disk,
    // numbers
    forget_ids_last,
    ids_block_of_any_slot,
    ids_beyond_reservation,
    uid_next_falls_on_restart,
    restart_floor_not_told,
    foreign_modseq_as_delta,
    view_news_not_cut,
    // acknowledgement
    acknowledge_before_push,
    acknowledge_before_sync,
    acknowledge_one_too_few,
    acknowledge_by_received,
    progress_not_begun_anew,
    sync_of_one_counts_for_all,
    lagging_counted,
    // stream
    catch_up_from_wrong_position,
    catch_up_skips_first,
    caught_up_too_early,
    barrier_step_dropped,
    ring_without_end,
    adopted_without_sync,
    // election and hand-over
    branches_never_folded,
    master_ignores_higher_epoch,
    // split and merge
    fast_forward_after_serving,
    fast_forward_unshown_ids_lost,
    trunk_is_lower_epoch,
    branch_tail_dropped,
    fold_without_seen_union,
    fold_keeps_only_trunk_flags,
    fold_earlier_stamp_wins,
    fold_expunged_returns,
    fold_keeps_both_deliveries,
    renumber_bound_off_by_one,
    renumber_nothing,
    renumber_out_of_order,
    vanished_below_m,
    vanished_lists_not_joined,
    changed_below_m,
    lineage_of_branch_forgotten,
    keyword_numbers_of_branch,
    settle_before_all,
    later_change_keeps_stamp,
    stamp_not_clamped,
    // shared store
    store_error_trusted,
    store_nonce_ignored,
    store_flush_lost_goes_on,
    store_claim_without_tail,
    store_claim_below_reserved,
    store_lost_claim_stands,
    store_claim_not_looked_around,
    ids_passed_before_stored,
    store_slept_not_looked,
    purge_epoch_files,
    // pending calls
    pending_not_proposed_again,
    own_calls_not_found_in_fold,
    count
};

inline constexpr std::array<std::string_view, static_cast<std::size_t>(mutant::count)> mutant_names{
    "none",
    "keep_incarnation",
    "given_up_leaves_gap",
    "skip_dedup",
    "epoch_without_slot",
    "epoch_shown_before_disk",
    "forget_ids_last",
    "ids_block_of_any_slot",
    "ids_beyond_reservation",
    "uid_next_falls_on_restart",
    "restart_floor_not_told",
    "foreign_modseq_as_delta",
    "view_news_not_cut",
    "acknowledge_before_push",
    "acknowledge_before_sync",
    "acknowledge_one_too_few",
    "acknowledge_by_received",
    "progress_not_begun_anew",
    "sync_of_one_counts_for_all",
    "lagging_counted",
    "catch_up_from_wrong_position",
    "catch_up_skips_first",
    "caught_up_too_early",
    "barrier_step_dropped",
    "ring_without_end",
    "adopted_without_sync",
    "branches_never_folded",
    "master_ignores_higher_epoch",
    "fast_forward_after_serving",
    "fast_forward_unshown_ids_lost",
    "trunk_is_lower_epoch",
    "branch_tail_dropped",
    "fold_without_seen_union",
    "fold_keeps_only_trunk_flags",
    "fold_earlier_stamp_wins",
    "fold_expunged_returns",
    "fold_keeps_both_deliveries",
    "renumber_bound_off_by_one",
    "renumber_nothing",
    "renumber_out_of_order",
    "vanished_below_m",
    "vanished_lists_not_joined",
    "changed_below_m",
    "lineage_of_branch_forgotten",
    "keyword_numbers_of_branch",
    "settle_before_all",
    "later_change_keeps_stamp",
    "stamp_not_clamped",
    "store_error_trusted",
    "store_nonce_ignored",
    "store_flush_lost_goes_on",
    "store_claim_without_tail",
    "store_claim_below_reserved",
    "store_lost_claim_stands",
    "store_claim_not_looked_around",
    "ids_passed_before_stored",
    "store_slept_not_looked",
    "purge_epoch_files",
    "pending_not_proposed_again",
    "own_calls_not_found_in_fold",
};
static_assert(!mutant_names.back().empty(), "a mutant without a name");

/// Whether only nodes that share a store come there.
constexpr bool is_of_shared_store(mutant m) noexcept { return m >= mutant::store_error_trusted && m <= mutant::purge_epoch_files; }

/// The one that is planted in this thread's simulation, and how often the code asked for it.
struct planted_mutant {
    mutant which = mutant::none;
    std::uint64_t met = 0;
};
inline planted_mutant& planted() noexcept {
    static thread_local constinit planted_mutant here;
    return here;
}

/// Whether the code is to do the wrong thing here.
inline bool mutated([[maybe_unused]] mutant m) noexcept {
    if constexpr (under_test) {
        auto& here = planted();
        if (here.which != m) return false;
        ++here.met;
        return true;
    }
    return false;
}

}  // namespace mailfs::detail
