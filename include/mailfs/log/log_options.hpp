// SPDX-License-Identifier: BSL-1.0
// What a program may choose about its logs.
#pragma once

#include <cstdint>

namespace mailfs {

struct log_options {
    std::uint64_t rotate_size_min = 2U << 20;   ///< bytes; a log is not sealed before it is this long: replay takes some
                                                ///< milliseconds, a rotation with its five syncs as many and more
    std::uint32_t rotate_share = 1;             ///< nor before it has 1/rotate_share of the snapshot's bytes,
    std::uint64_t rotate_size_max = 16U << 20;  ///< unless it is this long
    std::uint32_t generations_kept = 1;         ///< older logs with their snapshots that stay beside the newest
    std::uint64_t history_ms = 0;               ///< and those that were in use within this time stay too, so that the
                                                ///< mailbox can be seen as it was, and expunges undone
    std::uint32_t generations_max = 256;        ///< but no more than this, or generations_kept if that is more
};

/// No more ids than this are ever shown while their records are unsynced, and a restart raises the next id by as
/// many; so it is also the most that one transaction may allocate.
inline constexpr std::uint32_t unsynced_ids_max = 4096;

}  // namespace mailfs
