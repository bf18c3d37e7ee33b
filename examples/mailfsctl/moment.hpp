// SPDX-License-Identifier: BSL-1.0
// A moment as people write it.
#pragma once

#include <mailfs/log/log_cut.hpp>

#include <cstdint>
#include <optional>
#include <string_view>

namespace mailfsctl {

/// "2026-11-23", "2026-11-23 22:15", "2026-11-23T22:15:00.123Z", "... +0200", "@1700000000", "90s ago", "2h ago", "3d ago", or
/// a MODSEQ as a bare number. Local time where no zone is named. Nothing when it is none of these.
std::optional<mailfs::log_cut> parse_moment(std::string_view text, std::uint64_t now_ms);

}  // namespace mailfsctl
