// SPDX-License-Identifier: BSL-1.0
// IMAP's dates: "2-Jan-2006" and " 2-Jan-2006 15:04:05 +0100".
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace imapd::imap {

using day = std::chrono::sys_days;

/// "2-Jan-2006", one digit or two; nothing when there is no such day.
std::optional<day> parse_date(std::string_view text);

/// The date-time of APPEND, without its quotes, as milliseconds since 1970; nothing when malformed or before 1970.
std::optional<std::uint64_t> parse_date_time(std::string_view text);

/// INTERNALDATE without its quotes, in UTC: "02-Jan-2006 15:04:05 +0000" with the first digit blank where it is 0.
std::string format_date_time(std::uint64_t ms);

/// The day in UTC.
inline day day_of(std::uint64_t ms) {
    return std::chrono::floor<std::chrono::days>(
        std::chrono::sys_time<std::chrono::milliseconds>(std::chrono::milliseconds(ms)));
}

}  // namespace imapd::imap
