// SPDX-License-Identifier: BSL-1.0
// Payloads of the steps of a replicated stream that are no transactions: epoch, ids, settle. docs/protocols/fold.md
#pragma once

#include <mailfs/format/endian.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/lineage.hpp>
#include <mailfs/types/uid.hpp>
#include <mailfs/types/uid_blocks.hpp>

#include <cstddef>
#include <optional>
#include <vector>

namespace mailfs::format {

struct epoch_layout {
    le32 epoch;
    le32 node;  // of its owner
    le64 incarnation;
    le32 ids_first;  // 0: none
    le32 ids_last;
    le32 id_next;
    le32 reserved;
};
struct ids_layout {
    le32 first, last;
};
struct settle_layout {
    le32 epoch, n;  // every node has what came up to here
};
static_assert(sizeof(epoch_layout) == 32 && sizeof(ids_layout) == 8 && sizeof(settle_layout) == 8);

namespace detail {
template <class T>
std::vector<std::byte> bytes_of(T const& layout) {
    auto const bytes = view_of(layout);
    return {bytes.begin(), bytes.end()};
}
/// Ids that a machine can give out: one id remains behind the last, to be the next.
constexpr bool is_sound(uid_block const& b) noexcept { return b.first > 0 && b.first <= b.last && b.last < uid_max; }
}  // namespace detail

inline std::vector<std::byte> encode_epoch_start(epoch_start const& e) {
    return detail::bytes_of(epoch_layout{e.epoch, e.owner.node, e.owner.incarnation, e.ids_first, e.ids_last, e.id_next, 0});
}
/// Nothing when no master could have written it.
inline std::optional<epoch_start> decode_epoch_start(bytes_view payload) noexcept {
    if (payload.size() < sizeof(epoch_layout)) return std::nullopt;
    auto const l = load<epoch_layout>(payload);
    epoch_start const e{l.epoch, {l.node, l.incarnation}, l.ids_first, l.ids_last, l.id_next};
    bool const no_ids = e.ids_first == 0 && e.ids_last == 0;
    if (e.epoch > epoch_max || e.owner.incarnation == 0 || !(no_ids || detail::is_sound({e.ids_first, e.ids_last}))) return std::nullopt;
    return e;
}

inline std::vector<std::byte> encode_ids(uid_block const& ids) { return detail::bytes_of(ids_layout{ids.first, ids.last}); }
inline std::optional<uid_block> decode_ids(bytes_view payload) noexcept {
    if (payload.size() < sizeof(ids_layout)) return std::nullopt;
    auto const l = load<ids_layout>(payload);
    uid_block const ids{l.first, l.last};
    return detail::is_sound(ids) ? std::optional(ids) : std::nullopt;
}

inline std::vector<std::byte> encode_settle(position const& p) { return detail::bytes_of(settle_layout{p.epoch, p.n}); }
inline std::optional<position> decode_settle(bytes_view payload) noexcept {
    if (payload.size() < sizeof(settle_layout)) return std::nullopt;
    auto const l = load<settle_layout>(payload);
    return position{l.epoch, l.n};
}

}  // namespace mailfs::format
