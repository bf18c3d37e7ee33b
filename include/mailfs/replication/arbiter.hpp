// SPDX-License-Identifier: BSL-1.0
// Who decides which node orders: nobody, where each has a disk of its own; the store, where all reach one.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace mailfs {

/// Each node keeps its own disk. Nothing arbitrates: both sides of a split go on, and are folded into one at heal.
struct own_disks {};

/// All nodes reach one permanent store, whose exclusive create() elects the master and shuts out the one before. Acknowledged at
/// `stored` is what is in the store. Replicas need no disk. The same on all nodes. Times are milliseconds.
struct shared_store {
    std::uint32_t ids_reserved = 1024;            ///< UIDs that a master may give out before it reserves more: lost when it crashes
    std::size_t flush_size = 64U << 10;           ///< bytes of changes that nobody waits for, before they are written,
    std::uint32_t flush_ms = 2000;                ///< or so long after the oldest came,
    std::uint32_t idle_ms = 200;                  ///< or the newest
    std::size_t unflushed_max = 1U << 20;         ///< bytes that are not in the store: beyond it proposals wait, but for those that
                                                  ///< only take away; a node's mailboxes have a bound together, in replication_options
    bool strict = false;                          ///< who does not reach the store takes no change: every acknowledgement is of what is
                                                  ///< stored. Else its master goes on inside its reservation and unflushed_max
    std::uint32_t retry_ms = 100;                 ///< before a call that failed is made again, with the same bytes
    std::uint32_t files_max = 64;                 ///< written since the last snapshot, before the next
    std::uint64_t late_ms = 600'000;              ///< a create() takes effect, and a listing shows what was made, within this time:
                                                  ///< covered files stay as long
    std::uint64_t keep_epochs_ms = 30ULL * 86'400'000;  ///< files that open an epoch stay, so that a master that slept less is shut out
    std::uint64_t sleep_ms = 86'400'000;          ///< who has not written for so long reads the log anew before it does
};

namespace detail {
template <class A>
inline constexpr bool is_shared_store = std::same_as<A, shared_store>;
}  // namespace detail

/// own_disks or shared_store: no program can add one, since the protocol knows what each means.
template <class A>
concept arbiter = std::same_as<A, own_disks> || std::same_as<A, shared_store>;

}  // namespace mailfs
