// SPDX-License-Identifier: BSL-1.0
// Puts checksums right over bytes that were changed, so that a fuzzer comes to what lies behind them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace mailfs::fuzz {

using writable = std::span<std::byte>;

/// Of the header, and of each record whose sync word and size could be a record's; of those also the end.
void fix_log(writable file);
void fix_record(writable record, std::uint32_t seed);
/// The file's size, blocks, table and header.
void fix_snapshot(writable file);
void fix_tree_snapshot(writable file);
/// Of the header, and of each message with a header that says how long it is; of those also the trailer.
void fix_dbox(writable file);
void fix_cache(writable file);
/// Of each frame that its size says; `sizes`: a size that reaches beyond the end, or is too small for a frame, is put right, too.
void fix_frames(writable stream, bool sizes);

}  // namespace mailfs::fuzz
