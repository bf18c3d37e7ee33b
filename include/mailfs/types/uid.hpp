// SPDX-License-Identifier: BSL-1.0
// The numbers of a mailbox (RFC 9051 section 2.3.1, RFC 7162).
#pragma once

#include <compare>
#include <cstdint>

namespace mailfs {

using uid_t = std::uint32_t;     ///< unique identifier of a message in a mailbox; 0 is none
using modseq_t = std::uint64_t;  ///< mod-sequence: epoch in the high 32 bits, count in the low; 0 is none, below 2^63

inline constexpr uid_t uid_max = 0xffff'ffff;

/// A place in the ordered stream of transactions: which orderer's reign, and the how-manieth in it.
struct position {
    std::uint32_t epoch = 0;  ///< counter << 4 | slot, 31 bits
    std::uint32_t n = 0;      ///< transactions in this epoch so far

    constexpr modseq_t modseq() const noexcept { return modseq_t{epoch} << 32 | n; }
    friend constexpr auto operator<=>(position const&, position const&) = default;
};

inline constexpr std::uint32_t epoch_max = 0x7fff'ffff;  ///< a MODSEQ has 63 bits (RFC 7162)

}  // namespace mailfs
