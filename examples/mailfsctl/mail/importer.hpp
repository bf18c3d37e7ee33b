// SPDX-License-Identifier: BSL-1.0
// Puts messages into a mailbox, many at a time, and leaves out those that are there already.
#pragma once

#include "mail/found_message.hpp"
#include "storage.hpp"

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace mailfsctl {

/// A message is there already when one in the mailbox has the same INTERNALDATE (to the second) and the same bytes; each
/// message of the mailbox counts for one. So a repeated import adds only what is new, and two equal messages stay two.
/// Bodies are read only where date and size agree.
class importer {
public:
    static constexpr std::size_t batch_count_max = 1000;
    static constexpr std::size_t batch_size_max = std::size_t{8} << 20;  ///< bytes; a longer message goes alone

    importer(mailbox_access& to, line_ends ends);

    /// False: it was there already. Throws mailfs::error.
    bool take(found_message message);
    /// What is left of the last batch.
    void finish();

    std::uint64_t imported() const noexcept { return imported_; }

private:
    static std::uint64_t key(std::uint64_t size, std::uint64_t received_ms) noexcept;
    bool is_there(found_message const& message);

    mailbox_access* to_;
    line_ends ends_;
    std::unordered_multimap<std::uint64_t, mailfs::uid_t> there_;   // by date and size
    std::unordered_multimap<std::uint64_t, mailfs::uid_t> hashed_;  // by these and the bytes: taken over when first asked for
    std::vector<found_message> batch_;
    std::size_t batch_bytes_ = 0;
    std::uint64_t imported_ = 0;
};

}  // namespace mailfsctl
