// SPDX-License-Identifier: BSL-1.0
// Numbers, times and bytes from files as people and programs read them.
#pragma once

#include <mailfs/types/flags.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mailfsctl {

/// "2023-11-14T22:13:20.123Z"; a time that no calendar has stays a number of milliseconds.
std::string utc(std::uint64_t milliseconds);
/// "12,345,678"
std::string grouped(std::uint64_t number);
/// "532 bytes", "1.2 kB", "34.5 MB"
std::string readable_size(std::uint64_t bytes);
/// "0:07", "12:30", "3:05:09"
std::string readable_time(std::uint64_t seconds);
/// "1 message", "7 messages"
std::string counted(std::uint64_t number, std::string_view noun);

/// Bytes of any origin, for a terminal: what is no printable UTF-8 becomes \xhh.
std::string printable(std::string_view bytes);
/// A JSON string, quotes and all; what is no UTF-8 becomes U+FFFD.
std::string json_string(std::string_view bytes);

/// "\Seen \Flagged"
std::vector<std::string> flag_names(mailfs::flag flags);
std::string joined(std::vector<std::string> const& words, std::string_view between);

}  // namespace mailfsctl
