// SPDX-License-Identifier: BSL-1.0
#include "dump/seed.hpp"

#include <mailfs/format/crc32c.hpp>
#include <mailfs/format/log_record.hpp>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace mailfsctl {
namespace {

namespace f = mailfs::format;

/// The seed for which record_header_checksum(h, seed) is `wanted`. The checksum is affine in the seed over GF(2): 32
/// evaluations make the matrix, elimination solves it.
std::uint32_t solve(f::record_header const& h, std::uint32_t wanted) {
    auto const zero = f::record_header_checksum(h, 0);
    std::array<std::pair<std::uint32_t, std::uint32_t>, 32>
        rows{};  // image of a combination of seed bits, and the combination
    for (unsigned i = 0; i < 32; ++i) rows[i] = {f::record_header_checksum(h, 1U << i) ^ zero, 1U << i};
    auto target = wanted ^ zero;
    std::uint32_t seed = 0;
    auto next = rows.begin();
    for (std::uint32_t bit = 1U << 31; bit != 0; bit >>= 1) {
        auto const pivot = std::find_if(next, rows.end(), [&](auto const& row) { return (row.first & bit) != 0; });
        if (pivot == rows.end()) continue;
        std::swap(*pivot, *next);
        for (auto it = next + 1; it != rows.end(); ++it)
            if ((it->first & bit) != 0) *it = {it->first ^ next->first, it->second ^ next->second};
        if ((target & bit) != 0) {
            target ^= next->first;
            seed ^= next->second;
        }
        ++next;
    }
    return seed;
}

/// Bytes of the record that seems to begin here, by all that needs no seed; 0 when none does.
std::size_t record_like(mailfs::bytes_view bytes) {
    if (bytes.size() < f::record_size(0)) return 0;
    auto const h = f::load<f::record_header>(bytes);
    bool const sane = h.sync == f::record_sync && h.size >= f::record_size(0) && h.size <= f::record_size_max &&
                      h.size <= bytes.size() && (h.size - f::record_size(0)) % 8 == 0 && h.kind != 0;
    if (!sane || mailfs::crc32c(f::payload_of(bytes.first(h.size)), h.header_checksum) != h.payload_checksum) return 0;
    return f::load<mailfs::le32>(bytes.subspan(h.size - sizeof f::record_end)) == f::record_end ? std::size_t{h.size} : 0;
}

}  // namespace

std::optional<std::uint32_t> seed_told_by_records(mailfs::bytes_view log) {
    constexpr std::size_t candidates_max = 64, looked_at_max = std::size_t{64} << 20;
    constexpr auto first = static_cast<std::byte>(f::record_sync & 0xff);
    std::map<std::uint32_t, std::size_t> votes;
    std::size_t candidates = 0, cost = 0;
    for (auto at = std::min(sizeof(f::log_header), log.size());
         at < log.size() && candidates < candidates_max && cost < looked_at_max; ++cost) {
        auto const rest = log.subspan(at);
        auto const size = rest[0] == first ? record_like(rest) : 0;
        if (rest[0] == first && rest.size() >= 8 && f::load<mailfs::le32>(rest) == f::record_sync)
            cost += std::min<std::size_t>(f::load<mailfs::le32>(rest.subspan(4)), f::record_size_max);
        if (size > 0) {
            auto const h = f::load<f::record_header>(rest);
            ++votes[solve(h, h.header_checksum)];
            ++candidates;
        }
        at += std::max<std::size_t>(size, 1);
    }
    auto const best =
        std::max_element(votes.begin(), votes.end(), [](auto const& a, auto const& b) { return a.second < b.second; });
    return best == votes.end() ? std::nullopt : std::optional(best->first);
}

}  // namespace mailfsctl
