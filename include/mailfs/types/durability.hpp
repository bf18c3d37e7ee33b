// SPDX-License-Identifier: BSL-1.0
// How long an acknowledged change must last.
#pragma once

#include <cstdint>

namespace mailfs {

enum class durability : std::uint8_t {
    none,    ///< survives the death of the process, not a power cut
    stored,  ///< on stable storage before the answer
};

/// How many nodes held a change when it was acknowledged: fewer than were asked for where no more were up. 0, 0: nodes do not
/// share the object.
struct copies_held {
    std::uint32_t in_memory = 0, on_disk = 0;
    friend bool operator==(copies_held const&, copies_held const&) = default;
};

}  // namespace mailfs
