// SPDX-License-Identifier: BSL-1.0
// CRC-32C (Castagnoli, RFC 3720 appendix B.4): by SSE4.2 where the processor has it, by table elsewhere, same result.
#pragma once

#include <mailfs/types/bytes.hpp>

#include <array>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace mailfs {

namespace detail {

/// Four tables, so that the portable way takes four bytes a step.
inline constexpr auto crc32c_tables = [] {
    std::array<std::array<std::uint32_t, 256>, 4> t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t c = i;
        for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ (c & 1 ? 0x82f6'3b78U : 0);
        t[0][i] = c;
    }
    for (std::size_t k = 1; k < 4; ++k)
        for (std::size_t i = 0; i < 256; ++i) t[k][i] = (t[k - 1][i] >> 8) ^ t[0][t[k - 1][i] & 0xff];
    return t;
}();

inline std::uint32_t crc32c_portable(std::uint32_t crc, unsigned char const* p, std::size_t n) noexcept {
    auto const& t = crc32c_tables;
    for (; n >= 4; p += 4, n -= 4) {
        crc ^= std::uint32_t{p[0]} | std::uint32_t{p[1]} << 8 | std::uint32_t{p[2]} << 16 | std::uint32_t{p[3]} << 24;
        crc = t[3][crc & 0xff] ^ t[2][crc >> 8 & 0xff] ^ t[1][crc >> 16 & 0xff] ^ t[0][crc >> 24];
    }
    for (; n > 0; ++p, --n) crc = (crc >> 8) ^ t[0][(crc ^ *p) & 0xff];
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) inline std::uint32_t crc32c_sse42(std::uint32_t crc, unsigned char const* p,
                                                                   std::size_t n) noexcept {
    std::uint64_t wide = crc;
    for (; n >= 8; p += 8, n -= 8) {
        std::uint64_t word;
        std::memcpy(&word, p, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = static_cast<std::uint32_t>(wide);
    if (n >= 4) {
        std::uint32_t word;
        std::memcpy(&word, p, 4);
        crc = _mm_crc32_u32(crc, word);
        p += 4, n -= 4;
    }
    for (; n > 0; ++p, --n) crc = _mm_crc32_u8(crc, *p);
    return crc;
}
inline bool const crc32c_in_hardware = __builtin_cpu_supports("sse4.2");
#endif

}  // namespace detail

/// The checksum of `bytes`, going on from `seed` (0, or the checksum of what stands before them).
inline std::uint32_t crc32c(bytes_view bytes, std::uint32_t seed = 0) noexcept {
    auto const* p = reinterpret_cast<unsigned char const*>(bytes.data());
#if defined(__x86_64__)
    if (detail::crc32c_in_hardware) return ~detail::crc32c_sse42(~seed, p, bytes.size());
#endif
    return ~detail::crc32c_portable(~seed, p, bytes.size());
}

}  // namespace mailfs
