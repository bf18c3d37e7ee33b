// SPDX-License-Identifier: BSL-1.0
// The state machine concept: what a log needs of the state that its transactions build.
#pragma once

#include <mailfs/format/log_record.hpp>
#include <mailfs/log/stream_state.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/durability.hpp>
#include <mailfs/types/guid.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace mailfs {

/// Deterministic: equal states fed with equal records stay equal, on every machine. No I/O, no clock.
/// apply() is given valid records of kind transaction; it calls stream().admit(record) first and does nothing
/// when that is not fresh. Unknown operations and operations that make no sense are decided by rule, never an
/// error: a record that is in the log is history.
template <class M>
concept state_machine =
    requires(M m, M const c, guid g, format::record_view r, std::uint32_t u, std::string_view name,
                                typename M::outcome* outcome, std::span<std::byte> bytes) {
        requires std::default_initializable<typename M::outcome>;  // what the writer of a transaction learns
        { outcome->at } -> std::same_as<position&>;                // its place in the stream, set by the log
        requires std::default_initializable<M>;
        { m.reset(g) };                                            // becomes the empty state of this object
        { c.object() } -> std::convertible_to<guid>;
        { m.stream() } -> std::same_as<stream_state&>;
        { c.stream() } -> std::same_as<stream_state const&>;
        { m.apply(r, outcome) } -> std::same_as<admission>;        // outcome may be null
        { c.next_id() } -> std::same_as<std::uint32_t>;            // what the next allocation gets (UIDNEXT); 0 when it has none
        { M::next_id_after(u, r) } -> std::same_as<std::uint32_t>; // next_id behind this transaction, applied at next_id u
        { m.skip_ids(u) };                                         // raises next_id by u, for a restart or for damage
        { c.dump() } -> std::same_as<std::vector<std::byte>>;      // the snapshot, canonical: equal states, equal bytes
        { m.load(bytes, name) };                                   // takes a snapshot over; `bytes` outlive the state and may be
                                                                   // written to; throws error (corrupt, newer_version)
    };

/// A machine that works on the bytes of its snapshot, and may find them damaged only when it uses them: it throws corrupt
/// then, is as it was before, and says so until it is mended.
template <class M>
concept mendable_machine = state_machine<M> && requires(M m, M const c, std::span<std::byte> good, std::string_view name) {
    { c.damaged() } -> std::same_as<bool>;
    { m.mend(good, name) };  // `good`: the snapshot that load() took, as it was written; whatever was found damaged is
                             // replaced, all else stays. Throws corrupt when it is not that snapshot
};

/// A machine whose stream several nodes share: it takes steps of every kind, and folds another history's state into its own.
template <class M>
concept replicated_machine =
    state_machine<M> && requires(M m, M const c, format::record_view step, typename M::outcome* outcome, mailfs::dot d, bytes_view operations) {
        { outcome->held } -> std::same_as<copies_held&>;               // set by the replication policy
        { m.apply_step(step, outcome) } -> std::same_as<admission>;    // transaction, epoch, ids, fold or settle; outcome may be
                                                                       // null. A payload that makes no sense moves the position
                                                                       // and changes nothing else
        { c.ids_left() } -> std::same_as<std::uint32_t>;               // in reserve
        { c.is_unsettled() } -> std::same_as<bool>;                    // something is kept that a step of kind settle lets go
        { M::ids_wanted(operations) } -> std::same_as<std::uint32_t>;  // by a transaction: with fewer left its appends get none,
                                                                       // so the master orders a step of kind ids before it
        { M::wants_room(operations) } -> std::same_as<bool>;           // false: it only takes away, and is ordered though the disk is full
        { c.recall(d, operations) } -> std::same_as<std::optional<typename M::outcome>>;  // of a transaction that took effect before
                                                                       // this state was loaded; nothing: its caller cannot be told all
        { c.fold(c) } -> std::same_as<std::vector<std::byte>>;         // the payload of a fold step: c is the trunk, in a new epoch,
                                                                       // n == 0; the argument the branch. Pure
    };

}  // namespace mailfs
