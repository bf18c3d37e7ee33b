// SPDX-License-Identifier: BSL-1.0
// Known deliveries as bytes: in snapshots and in folds. The tables: docs/formats/snapshot.md, docs/protocols/fold.md
#pragma once

#include <mailfs/format/byte_reader.hpp>
#include <mailfs/format/endian.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/format/stream_codec.hpp>
#include <mailfs/types/known_delivery.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mailfs::format {

inline constexpr std::uint32_t deliveries_max = 256;  ///< that a state keeps

struct delivery_layout {
    std::uint8_t id[16]{};
    le64 when;
    le32 node;
    le32 part;
    le64 incarnation;
    le64 counter;
};
static_assert(sizeof(delivery_layout) == 48);

inline void encode_deliveries(std::vector<std::byte>& out, std::vector<known_delivery> const& all) {
    for (auto const& d : all) {
        delivery_layout l{{}, d.when.value, d.dot.origin.node, d.part, d.dot.origin.incarnation, d.dot.counter};
        put_guid(l.id, d.id);
        detail::put(out, l);
    }
}
/// `in` fails when they are cut, do not ascend by id, or are more than a state keeps.
inline std::vector<known_delivery> decode_deliveries(byte_reader& in, std::uint32_t count) {
    std::vector<known_delivery> out;
    if (count > deliveries_max || !in.has(count, sizeof(delivery_layout))) {
        in.fail();
        return out;
    }
    for (std::uint32_t i = 0; i < count; ++i) {
        auto const l = in.take<delivery_layout>();
        out.push_back({get_guid(l.id), {l.when}, {{l.node, l.incarnation}, l.counter}, l.part});
        if (i > 0 && !(out[i - 1].id < out[i].id)) in.fail();
    }
    return out;
}

}  // namespace mailfs::format
