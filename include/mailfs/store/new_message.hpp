// SPDX-License-Identifier: BSL-1.0
// What a program hands in when it puts messages into a mailbox, and what it learns.
#pragma once

#include <mailfs/error.hpp>
#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/log/log_options.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/flags.hpp>
#include <mailfs/types/uid.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs {

inline constexpr std::size_t append_count_max = unsynced_ids_max;  ///< messages of one append, where one machine has the mailbox
inline constexpr std::size_t keywords_per_change_max = 1024;       ///< names in one append or one change of flags

struct append_options {
    mailfs::flag flags = flag::none;
    std::vector<std::string> keywords{};
    std::uint64_t received_ms = 0;  ///< INTERNALDATE, milliseconds since 1970 (shown in whole seconds); 0: now
};

/// `bytes` are the caller's, and stay until the append has returned.
struct new_message {
    bytes_view bytes;
    mailfs::flag flags = flag::none;
    std::vector<std::string> keywords{};
    std::uint64_t received_ms = 0;  ///< as above
};

/// For COPYUID (RFC 4315): pairs in the order of the source.
struct copy_result {
    std::uint32_t uid_validity = 0;  ///< of the target
    std::vector<std::pair<uid_t, uid_t>> uids;
};

namespace detail {

/// Messages of one transaction of such an index.
template <class Index>
constexpr std::size_t appends_max() noexcept {
    if constexpr (requires { Index::appends_max; }) return std::min<std::size_t>(append_count_max, Index::appends_max);
    else return append_count_max;
}

inline constexpr std::uint64_t message_size_max = std::numeric_limits<std::uint32_t>::max();

/// Throws bad_name or too_big.
inline void check_keywords(std::vector<std::string> const& keywords, std::string_view where) {
    if (keywords.size() > keywords_per_change_max) throw error(errc::too_big, where, "more keywords than one change takes");
    for (auto const& k : keywords)
        if (k.empty() || k.size() > format::keyword_size_max)
            throw error(errc::bad_name, where, "a keyword has 1 to 255 bytes");
}

/// Throws too_big.
inline void check_size(new_message const& m, std::string_view where) {
    if (m.bytes.size() > message_size_max) throw error(errc::too_big, where, "message of more than 4 GiB");
}

inline std::vector<uid_t> consecutive(uid_t first, std::size_t count) {
    std::vector<uid_t> uids(count);
    for (auto& uid : uids) uid = first++;
    return uids;
}

}  // namespace detail
}  // namespace mailfs
