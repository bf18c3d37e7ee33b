// SPDX-License-Identifier: BSL-1.0
// What seeds the checksums of a log whose header is damaged: the records tell it.
#pragma once

#include <mailfs/types/bytes.hpp>

#include <cstdint>
#include <optional>

namespace mailfsctl {

/// The seed with which most of the file's first records are valid; nothing when no record is whole. A record's payload is
/// checked by what its header says, whatever the seed, and a CRC can be turned round: the seed follows from the header.
std::optional<std::uint32_t> seed_told_by_records(mailfs::bytes_view log);

}  // namespace mailfsctl
