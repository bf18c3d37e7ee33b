// SPDX-License-Identifier: BSL-1.0
// What a program may choose about replication.
#pragma once

#include <mailfs/types/guid.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mailfs {

/// A node of the replica set. Slots are 0..15, each node's its own, for ever.
struct replica_node {
    std::uint32_t node = 0;  ///< 1 and up
    std::uint32_t slot = 0;
    friend bool operator==(replica_node const&, replica_node const&) = default;
};

/// How old a node's disk is.
enum class disk_history : std::uint8_t {
    whole,      ///< as the node left it
    restored,   ///< from a backup: it may have shown more. The node waits for a peer that has the mailbox
    forgotten,  ///< the same, and no peer will come: it goes on alone, and what the backup lacks is lost. Once for each backup
};

/// The same on all nodes but for `self`, `disk` and versions. Times are milliseconds.
struct replication_options {
    guid cluster;
    replica_node self;
    std::vector<replica_node> peers;  ///< all others
    disk_history disk = disk_history::whole;
    std::uint16_t version_min = 1, version_max = 1;  ///< of the protocol, as hellos tell: while nodes are upgraded one after another

    std::size_t copies_in_memory = 2;  ///< durability::none: so many nodes hold a change when it is acknowledged
    std::size_t copies_on_disk = 2;    ///< durability::stored: so many have synced it
    std::uint32_t join_ms = 2000;      ///< a node looks for its peers so long before it serves alone
    std::uint32_t reconnect_ms = 500;  ///< at most so long between two tries to reach a peer, and for each to succeed
    std::uint32_t who_ms = 100;        ///< to answer who the master is
    std::uint32_t rank_ms = 20;        ///< each node waits so much longer than the one before it, before it claims
    std::uint32_t call_ms = 5000;      ///< a transaction that has not been acknowledged by then is given up
    std::uint32_t patience_ms = 300;   ///< before a member does what its master should do
    std::uint32_t freeze_ms = 2000;    ///< a branch waits so long for its fold before it goes on
    std::uint32_t use_ms = 10'000;     ///< so long the master looks at who proposes, and hands over to who proposed
    std::uint32_t use_min = 20;        ///< so many transactions at least, and more than three quarters of all
    std::uint32_t quiet_ms = 1000;     ///< without a change, before what is kept for folding is settled
    std::uint32_t flush_ms = 200;      ///< what nobody waits for is synced so long after it came
    std::uint32_t body_ms = 500;       ///< a peer that says nothing about a mail body for so long is replaced by another
    std::size_t bodies_at_once = 4;    ///< bodies of one mailbox that are fetched in the background at once
    std::size_t bodies_in_size = 64U << 20;  ///< bytes of bodies on their way in: beyond it no peer's offer is taken
    std::size_t ring_size = 256U << 10;    ///< bytes of recent steps kept for members that are behind
    std::uint64_t state_size_max = 1U << 30;  ///< bytes of a state that a peer may send: ten million messages
    std::size_t waiting_max = 1U << 20;    ///< bytes of proposals that wait for their place
    std::size_t unflushed_max = 1U << 20;  ///< bytes that a master orders while its disk fails; then it takes expunges alone
    std::size_t unflushed_node_max = 256U << 20;  ///< bytes of all this node's mailboxes that are not in their shared store: beyond it
                                                  ///< proposals wait, but for those that only take away
};

}  // namespace mailfs
