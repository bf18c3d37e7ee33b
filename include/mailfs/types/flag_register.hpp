// SPDX-License-Identifier: BSL-1.0
// Registers: who changed one value last, so that two histories that both did can be joined.
#pragma once

#include <mailfs/types/stamp.hpp>
#include <mailfs/types/uid.hpp>

#include <cstdint>
#include <tuple>

namespace mailfs {

/// The last change of a value: when and by whom, which decides between two sides, and where in this stream, which decides
/// how long it must be remembered.
struct register_mark {
    position at;
    mailfs::stamp stamp;
    mailfs::origin origin;

    /// Whether this change wins over `other`.
    bool beats(register_mark const& other) const noexcept { return std::tie(stamp, origin) > std::tie(other.stamp, other.origin); }
    /// What follows another change in one history wins over it for ever, whatever the clocks said.
    void rise_above(mailfs::stamp other) noexcept {
        if (stamp <= other && other.value != ~std::uint64_t{0}) stamp.value = other.value + 1;
    }
    friend bool operator==(register_mark const&, register_mark const&) = default;
};

/// Flags of a message that one change addressed last, or one keyword. What value they got, the message's row tells.
struct flag_register {
    static constexpr std::uint32_t keyword_bit = 1U << 31;

    std::uint32_t what = 0;  ///< bits of flags, or keyword_bit and the number of a keyword
    register_mark mark;

    bool is_keyword() const noexcept { return (what & keyword_bit) != 0; }
    std::uint32_t keyword() const noexcept { return what & ~keyword_bit; }
    friend bool operator==(flag_register const&, flag_register const&) = default;
};

}  // namespace mailfs
