// SPDX-License-Identifier: BSL-1.0
// How long an acknowledged change must last.
#pragma once

#include <cstdint>

namespace mailfs {

enum class durability : std::uint8_t {
    none,    ///< survives the death of the process, not a power cut
    stored,  ///< on stable storage before the answer
};

}  // namespace mailfs
