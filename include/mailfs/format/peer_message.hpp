// SPDX-License-Identifier: BSL-1.0
// What nodes that share a mailbox tell each other.
#pragma once

#include <mailfs/format/log_record.hpp>
#include <mailfs/types/lineage.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/stamp.hpp>
#include <mailfs/types/uid.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace mailfs::format {

/// One step of a replicated stream, as nodes push, keep and catch up with it.
struct stream_step {
    record_kind kind = record_kind::transaction;  ///< transaction, epoch, fold, ids or settle
    position at;                                  ///< its place: n one above its predecessor's, but for an epoch's, which is 0
    mailfs::dot dot;                              ///< of a transaction
    mailfs::stamp when;
    std::vector<std::byte> payload;
    friend bool operator==(stream_step const&, stream_step const&) = default;
};

/// The first thing on each link, both ways.
struct peer_hello {
    std::uint16_t version_min = 1, version_max = 1;
    guid cluster;
    std::uint32_t node = 0;
    std::uint32_t slot = 0;
    std::uint64_t incarnation = 0;
    std::uint64_t features = 0;
    std::uint64_t now_ms = 0;
    guid nonce_high, nonce_low;  // 32 random bytes
    friend bool operator==(peer_hello const&, peer_hello const&) = default;
};
/// By who connected. A link is up while its pings are echoed, and the echoes confirmed.
struct peer_ping {
    std::uint64_t number = 0;
    std::uint64_t confirmed = 0;  // the last ping whose echo came; 0: none
    friend bool operator==(peer_ping const&, peer_ping const&) = default;
};
struct peer_pong {
    std::uint64_t number = 0;
    friend bool operator==(peer_pong const&, peer_pong const&) = default;
};

/// Where the sender stands with one mailbox. Told when a link comes up and whenever it changes other than by a push.
struct peer_open {
    std::string name;               ///< of the mailbox: the directory of its log
    guid object;                    ///< zero: the sender has no state yet
    position at;
    std::uint64_t chain = 0;
    mailfs::lineage lineage;
    std::uint32_t id_next = 0;      ///< as announced to clients
    mailfs::origin owner;           ///< of the epoch it is in
    std::uint8_t role = 0;          ///< see replication/detail/member.hpp
    std::uint8_t hops = 255;        ///< to the master: 0 it is the master, 255 it knows no way
    std::uint32_t upstream = 0;     ///< the node it follows; 0: none
    std::uint16_t reaches = 0;      ///< slots of the nodes it has a link to, as bits
    std::uint32_t epoch_heard = 0;  ///< the greatest it has heard of
    friend bool operator==(peer_open const&, peer_open const&) = default;
};
struct peer_close {
    friend bool operator==(peer_close const&, peer_close const&) = default;
};
/// A transaction to be ordered, on its way to the master.
struct peer_propose {
    mailfs::dot dot;
    mailfs::stamp when;
    bool stored = false;  ///< members shall sync it at once
    std::vector<std::byte> operations;
    friend bool operator==(peer_propose const&, peer_propose const&) = default;
};
/// The master will not order it: its origin's counter was passed over before.
struct peer_refuse {
    mailfs::dot dot;
    friend bool operator==(peer_refuse const&, peer_refuse const&) = default;
};
/// The next steps of the stream.
struct peer_push {
    position before;              ///< they follow this position,
    std::uint64_t chain = 0;      ///< where the chain hash was this
    bool stored = false;          ///< to be synced at once
    std::vector<stream_step> steps;
    friend bool operator==(peer_push const&, peer_push const&) = default;
};
/// How far nodes have come in one epoch: what the sender knows of itself and of those behind it.
struct peer_progress {
    struct entry {
        std::uint32_t node = 0;
        std::uint32_t in_memory = 0;  ///< counts n
        std::uint32_t on_disk = 0;
        friend bool operator==(entry const&, entry const&) = default;
    };
    std::uint32_t epoch = 0;
    bool down = false;  ///< from the master (COMMIT), not to it (ACK)
    std::vector<entry> nodes;
    friend bool operator==(peer_progress const&, peer_progress const&) = default;
};
/// Asks for pushes from a position on, and to be pushed to from then on.
struct peer_catch_up {
    position from;
    std::uint64_t chain = 0;
    bool snapshot = false;     ///< only a snapshot will do: its piece from `offset` on is asked for
    std::uint64_t offset = 0;  ///< 0 begins a new one; a later piece asks for one of the same
    friend bool operator==(peer_catch_up const&, peer_catch_up const&) = default;
};
/// Asks for the receiver's whole state, to fold it: a piece of it.
struct peer_want_branch {
    std::uint64_t offset = 0;  ///< as in peer_catch_up
    friend bool operator==(peer_want_branch const&, peer_want_branch const&) = default;
};
/// A piece of a state: an answer to catch_up, or to want_branch.
struct peer_snapshot {
    bool branch = false;
    position at;                ///< the state's
    std::uint64_t offset = 0;   ///< of this piece
    std::uint64_t size = 0;     ///< of the whole
    std::vector<std::byte> bytes;
    friend bool operator==(peer_snapshot const&, peer_snapshot const&) = default;
};
/// The master hands its reign over: the receiver opens the next epoch.
struct peer_handover {
    position at;
    friend bool operator==(peer_handover const&, peer_handover const&) = default;
};
/// Asks for the receiver's peer_open: the sender has lost its master.
struct peer_who {
    friend bool operator==(peer_who const&, peer_who const&) = default;
};

/// From here on the channel stands for mail bodies: those of a directory, which the sender keeps and takes.
struct peer_bodies {
    std::string name;     ///< of the directory
    bool answer = false;  ///< the receiver said so first; else it says so, too
    friend bool operator==(peer_bodies const&, peer_bodies const&) = default;
};
/// Asks for a piece of a body.
struct peer_want_body {
    guid id;
    std::uint64_t offset = 0;
    friend bool operator==(peer_want_body const&, peer_want_body const&) = default;
};
/// A piece of a body, and what is to be known of the whole.
struct peer_body {
    bool offer = false;  ///< its first piece, which nobody asked for: the receiver shall get the rest, sync it and say that it has it
    guid id;
    guid mailbox;                   ///< where it was delivered to first: a hint
    std::uint64_t received_ms = 0;  ///< milliseconds since 1970
    std::uint64_t written_ms = 0;
    std::uint32_t checksum = 0;     ///< body_checksum() of the whole
    std::uint64_t offset = 0;       ///< of this piece
    std::uint64_t size = 0;         ///< of the whole
    std::vector<std::byte> bytes;
    friend bool operator==(peer_body const&, peer_body const&) = default;
};
/// The body is on the sender's disk, synced.
struct peer_have_body {
    guid id;
    friend bool operator==(peer_have_body const&, peer_have_body const&) = default;
};
/// The sender has no such body, or will not take it.
struct peer_no_body {
    guid id;
    bool later = false;  ///< for now: it may be tried again
    friend bool operator==(peer_no_body const&, peer_no_body const&) = default;
};

using peer_message = std::variant<peer_hello, peer_ping, peer_pong, peer_open, peer_close, peer_propose, peer_refuse, peer_push, peer_progress,
                                  peer_catch_up, peer_want_branch, peer_snapshot, peer_handover, peer_who, peer_bodies, peer_want_body, peer_body,
                                  peer_have_body, peer_no_body>;

}  // namespace mailfs::format
