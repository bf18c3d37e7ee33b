// SPDX-License-Identifier: BSL-1.0
// CRC-32C (Castagnoli, RFC 3720 appendix B.4): by SSE4.2 where the processor has it, three streams at once, by table elsewhere, same result.
#pragma once

#include <mailfs/types/bytes.hpp>

#include <array>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#include <wmmintrin.h>
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

/// x^exponent modulo the polynomial, in the bit order of the checksum (bit 31 is x^0).
constexpr std::uint32_t crc32c_power(std::size_t exponent) noexcept {
    std::uint32_t p = 0x8000'0000U;
    for (; exponent > 0; --exponent) p = (p >> 1) ^ (p & 1 ? 0x82f6'3b78U : 0);
    return p;
}
/// What the checksum becomes when Size zero bytes follow: its product with x^(8 Size). The two factors' product comes out as
/// one bit more, and the crc instruction multiplies by x^32: hence 33 less.
template <std::size_t Size>
__attribute__((target("sse4.2,pclmul"))) inline std::uint32_t crc32c_over_zeros(std::uint32_t crc) noexcept {
    constexpr auto factor = crc32c_power(8 * Size - 33);
    auto const product = _mm_clmulepi64_si128(_mm_cvtsi32_si128(static_cast<int>(crc)), _mm_cvtsi32_si128(static_cast<int>(factor)), 0);
    return static_cast<std::uint32_t>(_mm_crc32_u64(0, static_cast<std::uint64_t>(_mm_cvtsi128_si64(product))));
}
/// Three blocks of Size at a time: the instruction takes three cycles, and a new one can begin in each.
template <std::size_t Size>
__attribute__((target("sse4.2,pclmul"))) inline std::uint32_t crc32c_by_threes(std::uint32_t crc, unsigned char const*& p,
                                                                              std::size_t& n) noexcept {
    for (; n >= 3 * Size; p += 3 * Size, n -= 3 * Size) {
        std::uint64_t a = crc, b = 0, c = 0;
        for (std::size_t i = 0; i < Size; i += 8) {
            std::uint64_t word[3];
            std::memcpy(&word[0], p + i, 8);
            std::memcpy(&word[1], p + i + Size, 8);
            std::memcpy(&word[2], p + i + 2 * Size, 8);
            a = _mm_crc32_u64(a, word[0]);
            b = _mm_crc32_u64(b, word[1]);
            c = _mm_crc32_u64(c, word[2]);
        }
        crc = crc32c_over_zeros<2 * Size>(static_cast<std::uint32_t>(a)) ^ crc32c_over_zeros<Size>(static_cast<std::uint32_t>(b)) ^
              static_cast<std::uint32_t>(c);
    }
    return crc;
}
inline std::uint32_t crc32c_interleaved(std::uint32_t crc, unsigned char const* p, std::size_t n) noexcept {
    crc = crc32c_by_threes<1024>(crc, p, n);
    crc = crc32c_by_threes<128>(crc, p, n);
    return crc32c_sse42(crc, p, n);
}
inline bool const crc32c_in_hardware = __builtin_cpu_supports("sse4.2");
inline bool const crc32c_by_threes_too = crc32c_in_hardware && __builtin_cpu_supports("pclmul");
#endif

}  // namespace detail

/// The checksum of `bytes`, going on from `seed` (0, or the checksum of what stands before them).
inline std::uint32_t crc32c(bytes_view bytes, std::uint32_t seed = 0) noexcept {
    auto const* p = reinterpret_cast<unsigned char const*>(bytes.data());
#if defined(__x86_64__)
    if (detail::crc32c_by_threes_too && bytes.size() >= 384) return ~detail::crc32c_interleaved(~seed, p, bytes.size());
    if (detail::crc32c_in_hardware) return ~detail::crc32c_sse42(~seed, p, bytes.size());
#endif
    return ~detail::crc32c_portable(~seed, p, bytes.size());
}

}  // namespace mailfs
