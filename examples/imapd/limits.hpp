// SPDX-License-Identifier: BSL-1.0
// Every bound of the demo server, by name. What a peer sends can cost no more than these say.
#pragma once

#include <chrono>
#include <cstddef>

namespace imapd::limits {

using namespace std::chrono_literals;

// Bytes.
inline constexpr std::size_t line_size_max = 64 * 1024;         ///< one IMAP command without the message of an APPEND
inline constexpr std::size_t line_preauth_size_max = 4 * 1024;  ///< the same before login
inline constexpr std::size_t drain_size_max = 1024 * 1024;      ///< of a refused line or literal that is read and forgotten
inline constexpr std::size_t message_size_max = 64 * 1024 * 1024;  ///< one message; --message-size-max changes it
inline constexpr std::size_t lmtp_line_size_max = 4 * 1024;        ///< one LMTP command line
inline constexpr std::size_t read_size = 32 * 1024;                ///< bytes taken from a socket at once
inline constexpr std::size_t write_size = 256 * 1024;              ///< bytes handed to a socket at once
inline constexpr std::size_t flush_size = 64 * 1024;  ///< of gathered output that is sent before the command ends
inline constexpr std::size_t fetch_window_size = 16 * 1024 * 1024;    ///< of mail bodies read ahead by one FETCH
inline constexpr std::size_t search_text_size_max = 8 * 1024 * 1024;  ///< of one part that SEARCH TEXT and BODY look at
inline constexpr std::size_t user_name_size_max = 255;                ///< of a user's name
inline constexpr std::size_t keyword_size_max = 255;                  ///< of a keyword's name
inline constexpr std::size_t users_file_size_max = 16 * 1024 * 1024;

// Counts.
inline constexpr std::size_t imap_connections_max = 1024;   ///< more are told BYE and closed
inline constexpr std::size_t lmtp_connections_max = 128;    ///< more are told 421 and closed
inline constexpr std::size_t fetch_window_max = 64;         ///< messages read ahead by one FETCH
inline constexpr std::size_t fetch_hints_max = 8;           ///< FETCH commands in a row whose mail is read ahead
inline constexpr std::size_t login_failures_max = 3;        ///< per connection
inline constexpr std::size_t bad_preauth_max = 10;          ///< malformed commands before login
inline constexpr std::size_t commands_preauth_max = 100;    ///< commands of any kind before login
inline constexpr std::size_t bad_in_a_row_max = 100;        ///< malformed commands without a good one between them
inline constexpr std::size_t appends_max = 256;             ///< messages of one APPEND (MULTIAPPEND)
inline constexpr std::size_t search_depth_max = 32;         ///< nested NOT, OR and parentheses
inline constexpr std::size_t sequence_ranges_max = 10'000;  ///< comma-separated items of a sequence set
inline constexpr std::size_t list_pattern_size_max = 1024;  ///< reference and pattern of a LIST together
inline constexpr std::size_t list_patterns_max = 32;        ///< of one LIST
inline constexpr std::size_t slice_max = 256;               ///< names or rows looked at before others of the thread go on
inline constexpr std::size_t recipients_max = 100;          ///< of one LMTP transaction
inline constexpr std::size_t lmtp_errors_max = 20;          ///< refused commands of one LMTP connection
inline constexpr std::size_t mime_depth_max = 64;           ///< nested parts; what lies deeper is one leaf
inline constexpr std::size_t mime_parts_max = 10'000;       ///< parts of a message; what comes later is one leaf
inline constexpr std::size_t header_value_size_max = 64 * 1024;  ///< of a header field that is parsed; the rest is cut off

inline constexpr std::size_t purge_idle_ticks = 10;  ///< at every so manyth an account that nobody uses is looked at

inline constexpr std::size_t sync_threads = 4;   ///< that wait for disks
inline constexpr std::size_t pool_threads = 16;  ///< the same, where all that may wait is done by them

// Times.
inline constexpr auto imap_idle_time = 30min;
inline constexpr auto preauth_idle_time = 60s;
inline constexpr auto lmtp_idle_time = 5min;
inline constexpr auto write_time = 60s;    ///< for write_size bytes
inline constexpr auto farewell_time = 2s;  ///< for the last words to a peer
inline constexpr auto login_failure_delay = 1s;
inline constexpr auto stop_time = 5s;             ///< for all sessions to end after SIGTERM
inline constexpr auto purge_retry_time = 10min;   ///< after an account could not be purged
inline constexpr auto accept_retry_time = 100ms;  ///< after accept failed, as for want of descriptors

}  // namespace imapd::limits
