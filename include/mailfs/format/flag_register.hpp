// SPDX-License-Identifier: BSL-1.0
// The bytes of registers, as snapshots and folds hold them. docs/formats/snapshot.md
#pragma once

#include <mailfs/format/byte_reader.hpp>
#include <mailfs/format/endian.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/types/flag_register.hpp>

#include <cstddef>
#include <vector>

namespace mailfs::format {

struct register_layout {
    le32 what;
    le32 node;
    le64 incarnation;
    le64 counter;
    le64 stamp;
    le32 epoch;
    le32 n;
};
static_assert(sizeof(register_layout) == 40);

inline register_layout to_layout(flag_register const& r) noexcept {
    return {r.what, r.mark.dot.origin.node, r.mark.dot.origin.incarnation, r.mark.dot.counter, r.mark.stamp.value, r.mark.at.epoch, r.mark.at.n};
}
inline flag_register from_layout(register_layout const& l) noexcept {
    return {l.what, {{l.epoch, l.n}, {l.stamp}, {{l.node, l.incarnation}, l.counter}}};
}

inline void encode_registers(std::vector<std::byte>& out, std::vector<flag_register> const& all) {
    for (auto const& r : all) {
        auto const layout = to_layout(r);
        auto const bytes = view_of(layout);
        out.insert(out.end(), bytes.begin(), bytes.end());
    }
}
inline std::vector<flag_register> decode_registers(byte_reader& in, std::size_t count) {
    std::vector<flag_register> all;
    if (!in.has(count, sizeof(register_layout))) return all;
    all.reserve(count);
    for (; count > 0; --count) all.push_back(from_layout(in.take<register_layout>()));
    return all;
}

}  // namespace mailfs::format
