// SPDX-License-Identifier: BSL-1.0
// A step of a replicated stream as a record of a log.
#pragma once

#include <mailfs/format/log_record.hpp>
#include <mailfs/format/peer_message.hpp>

#include <cstdint>

namespace mailfs::detail {

/// The record that a step is, without a place in a file yet.
inline format::record_view record_of(format::stream_step const& step) noexcept {
    format::record_view r;
    r.header.kind = static_cast<std::uint8_t>(step.kind);
    r.header.node = step.dot.origin.node;
    r.header.incarnation = step.dot.origin.incarnation;
    r.header.counter = step.dot.counter;
    r.header.stamp = step.when.value;
    r.header.base_offset = step.at.epoch;
    r.header.base_n = step.at.n;
    r.payload = step.payload;
    return r;
}
inline format::stream_step step_of(format::record_view const& r) {
    return {r.kind(), {r.header.base_offset, r.header.base_n}, r.dot(), r.stamp(), {r.payload.begin(), r.payload.end()}};
}

}  // namespace mailfs::detail
