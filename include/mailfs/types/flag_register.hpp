// SPDX-License-Identifier: BSL-1.0
// Registers: who changed one value last, so that two histories that both did can be joined.
#pragma once

#include <mailfs/types/stamp.hpp>
#include <mailfs/types/uid.hpp>

#include <cstdint>

namespace mailfs {

/// The last change of a value: when, and which one, decides between two sides (replaces()); where in this stream it stands, how long it
/// must be remembered.
struct register_mark {
    position at;
    mailfs::stamp stamp;
    mailfs::dot dot;

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
