// SPDX-License-Identifier: BSL-1.0
// The bytes of stream_state, as every snapshot holds them.
#pragma once

#include <mailfs/format/endian.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/log/stream_state.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/lineage.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace mailfs::format {

struct stream_header {
    std::uint8_t boot[16]{};
    le32 epoch;
    le32 n;
    le64 chain;
    le64 latest;
    le32 seen_count;     // seen entries follow, least recently used first
    le32 retired_count;  // then these
};
struct seen_record {
    le32 node;
    le32 reserved;
    le64 incarnation;
    le64 counter;
};
struct retired_record {
    le32 node;
    le32 reserved;
    le64 incarnation;
};
/// What a replicated stream has beside that.
struct replicated_stream_header {
    le32 node;  // of the epoch's owner
    le32 past_count;  // lineage entries follow, ascending
    le64 incarnation;
    le32 ids_last;
    le32 reserved;
};
struct lineage_record {
    le32 epoch, n, ids_last;
};
static_assert(sizeof(replicated_stream_header) == 24 && sizeof(lineage_record) == 12);
static_assert(sizeof(stream_header) == 48 && sizeof(seen_record) == 24 && sizeof(retired_record) == 16);

namespace detail {
template <class T>
void put(std::vector<std::byte>& out, T const& value) {
    auto const bytes = view_of(value);
    out.insert(out.end(), bytes.begin(), bytes.end());
}
}  // namespace detail

template <class = void>
void encode_stream(std::vector<std::byte>& out, stream_state const& s) {
    stream_header h;
    put_guid(h.boot, s.boot);
    h.epoch = s.at.epoch;
    h.n = s.at.n;
    h.chain = s.chain;
    h.latest = s.latest.value;
    h.seen_count = static_cast<std::uint32_t>(s.seen.size());
    h.retired_count = static_cast<std::uint32_t>(s.retired.size());
    detail::put(out, h);
    for (auto const& e : s.seen) detail::put(out, seen_record{e.origin.node, 0, e.origin.incarnation, e.counter});
    for (auto const& e : s.retired) detail::put(out, retired_record{e.node, 0, e.incarnation});
}

/// Consumes what encode_stream wrote from the front of `bytes`; nothing when it is not that.
template <class = void>
std::optional<stream_state> decode_stream(bytes_view& bytes) {
    if (bytes.size() < sizeof(stream_header)) return std::nullopt;
    auto const h = load<stream_header>(bytes);
    if (h.seen_count > stream_state::origins_max || h.retired_count > stream_state::nodes_max || h.epoch > epoch_max) return std::nullopt;
    auto const size = sizeof h + h.seen_count * sizeof(seen_record) + h.retired_count * sizeof(retired_record);
    if (bytes.size() < size) return std::nullopt;
    stream_state s;
    s.boot = get_guid(h.boot);
    s.at = {h.epoch, h.n};
    s.chain = h.chain;
    s.latest = {h.latest};
    auto rest = bytes.subspan(sizeof h);
    for (std::uint32_t i = 0; i < h.seen_count; ++i, rest = rest.subspan(sizeof(seen_record))) {
        auto const r = load<seen_record>(rest);
        s.seen.push_back({{r.node, r.incarnation}, r.counter});
    }
    for (std::uint32_t i = 0; i < h.retired_count; ++i, rest = rest.subspan(sizeof(retired_record))) {
        auto const r = load<retired_record>(rest);
        s.retired.push_back({r.node, r.incarnation});
    }
    bytes = rest;
    return s;
}

template <class = void>
void encode_lineage(std::vector<std::byte>& out, mailfs::lineage const& l) {
    for (auto const& e : l) detail::put(out, lineage_record{e.epoch, e.n, e.ids_last});
}
/// Consumes `count` entries; nothing when they are not there, or not those of one history.
template <class = void>
std::optional<mailfs::lineage> decode_lineage(bytes_view& bytes, std::uint32_t count) {
    if (count > lineage_max || bytes.size() < count * sizeof(lineage_record)) return std::nullopt;
    mailfs::lineage l;
    for (; count > 0; --count, bytes = bytes.subspan(sizeof(lineage_record))) {
        auto const r = load<lineage_record>(bytes);
        if (r.epoch > epoch_max || (!l.empty() && r.epoch <= l.back().epoch)) return std::nullopt;
        l.push_back({r.epoch, r.n, r.ids_last});
    }
    return l;
}

/// Of a replicated stream.
template <class = void>
void encode_replicated_stream(std::vector<std::byte>& out, stream_state const& s) {
    detail::put(out, replicated_stream_header{s.owner.node, static_cast<std::uint32_t>(s.past.size()), s.owner.incarnation, s.ids_last, 0});
    encode_lineage(out, s.past);
}
/// Consumes it, and puts it into `s`, which decode_stream() gave. False: it is not what encode_replicated_stream wrote.
template <class = void>
bool decode_replicated_stream(bytes_view& bytes, stream_state& s) {
    if (bytes.size() < sizeof(replicated_stream_header)) return false;
    auto const h = load<replicated_stream_header>(bytes);
    bytes = bytes.subspan(sizeof h);
    auto past = decode_lineage(bytes, h.past_count);
    if (!past || h.incarnation == 0 || past->size() >= lineage_max || (!past->empty() && past->back().epoch >= s.at.epoch)) return false;
    s.past = std::move(*past);
    s.owner = {h.node, h.incarnation};
    s.ids_last = h.ids_last;
    return true;
}

}  // namespace mailfs::format
