// SPDX-License-Identifier: BSL-1.0
// How fast are checksums, by the processor's instruction and by table?
#include "bench.hpp"

#include <mailfs/format/crc32c.hpp>

static void checksums(bench::run& run) {
    auto const bytes = bench::random_bytes(1 << 16);
    auto const rounds = run.size(4000);
    auto const rate = [&](auto&& checksum) {
        auto const seconds = bench::seconds([&] {
            for (std::uint64_t n = 0; n < rounds; ++n) run.digest(checksum(static_cast<std::uint32_t>(n)));
        });
        return static_cast<double>(rounds * bytes.size()) / seconds / 1e9;
    };
    auto const* raw = reinterpret_cast<unsigned char const*>(bytes.data());
    auto const portable = rate([&](std::uint32_t seed) { return mailfs::detail::crc32c_portable(seed, raw, bytes.size()); });
    auto const chosen = rate([&](std::uint32_t seed) { return mailfs::crc32c(bytes, seed); });
    run.figure("crc32c", chosen, "GB/s");
    run.figure("crc32c.portable", portable, "GB/s");
}
static bench::entry const here{"crc32c", "How fast are checksums, by the processor's instruction and by table?", checksums};
