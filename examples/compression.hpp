// SPDX-License-Identifier: BSL-1.0
// How the programs compress mail, where they were built with zstd (Meson feature `zstd`).
#pragma once

#include <mailfs/dbox/body_compression.hpp>

#ifdef MAILFS_EXAMPLES_ZSTD
#include <mailfs/dbox/zstd.hpp>
#endif

#include <memory>

namespace mailfs_examples {

#ifdef MAILFS_EXAMPLES_ZSTD
inline constexpr bool knows_zstd = true;
/// Level 0: what is compressed is read, and new mail stays as it is.
inline std::shared_ptr<mailfs::body_compression const> compression(int level) {
    return mailfs::zstd_compression({.level = level, .packs = level > 0});
}
#else
inline constexpr bool knows_zstd = false;
inline std::shared_ptr<mailfs::body_compression const> compression(int) { return nullptr; }
#endif

}  // namespace mailfs_examples
