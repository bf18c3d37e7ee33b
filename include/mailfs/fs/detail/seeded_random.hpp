// SPDX-License-Identifier: BSL-1.0
// Random words that follow from a seed alone, the same with every standard library.
#pragma once

#include <cstdint>

namespace mailfs::detail {

/// SplitMix64 (Steele, Lea, Flood 2014). Not for secrets.
class seeded_random {
public:
    explicit constexpr seeded_random(std::uint64_t seed) noexcept : state_(seed) {}

    constexpr std::uint64_t operator()() noexcept {
        auto z = state_ += 0x9e37'79b9'7f4a'7c15;
        z = (z ^ (z >> 30U)) * 0xbf58'476d'1ce4'e5b9;
        z = (z ^ (z >> 27U)) * 0x94d0'49bb'1331'11eb;
        return z ^ (z >> 31U);
    }
    /// 0 to `most`, both included.
    constexpr std::uint64_t up_to(std::uint64_t most) noexcept { return most + 1 == 0 ? (*this)() : (*this)() % (most + 1); }

private:
    std::uint64_t state_;
};

}  // namespace mailfs::detail
