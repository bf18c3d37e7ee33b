// SPDX-License-Identifier: BSL-1.0
// The bytes of stream_state, as every snapshot holds them.
#pragma once

#include <mailfs/format/endian.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/log/stream_state.hpp>
#include <mailfs/types/bytes.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
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
static_assert(sizeof(stream_header) == 48 && sizeof(seen_record) == 24 && sizeof(retired_record) == 16);

namespace detail {
template <class T>
void put(std::vector<std::byte>& out, T const& value) {
    auto const bytes = view_of(value);
    out.insert(out.end(), bytes.begin(), bytes.end());
}
}  // namespace detail

inline void encode_stream(std::vector<std::byte>& out, stream_state const& s) {
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
inline std::optional<stream_state> decode_stream(bytes_view& bytes) {
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

}  // namespace mailfs::format
