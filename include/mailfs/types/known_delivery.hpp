// SPDX-License-Identifier: BSL-1.0
// What a delivery became: which message bears the name that the deliverer gave.
#pragma once

#include <mailfs/types/guid.hpp>
#include <mailfs/types/stamp.hpp>
#include <mailfs/types/uid.hpp>

#include <cstdint>
#include <tuple>

namespace mailfs {

struct known_delivery {
    guid id;                 ///< as the deliverer says at each try
    stamp when;              ///< of the transaction
    mailfs::dot dot;         ///< of the transaction; its message may be gone by now
    std::uint32_t part = 0;  ///< the how-manieth that it appended
    friend bool operator==(known_delivery const&, known_delivery const&) = default;

    /// The order of messages by their dots.
    auto order() const noexcept { return std::tuple(dot.origin.node, dot.origin.incarnation, dot.counter, part); }
};

}  // namespace mailfs
