// SPDX-License-Identifier: BSL-1.0
// What a fetch asks for, and what it yields.
#pragma once

#include <mailfs/types/shared_bytes.hpp>
#include <mailfs/types/uid.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>

namespace mailfs {

/// Which bytes of each message. All of it is checked against its checksum; of a part the message's header in the file alone is,
/// so that a part costs what it takes and not the message.
class mail_part {
public:
    constexpr mail_part() = default;
    static constexpr mail_part whole() noexcept { return {}; }
    /// Up to the empty line that ends the header (RFC 5322), and with it; all of a message that has none. What is beyond 32 KiB is
    /// not read ahead.
    static constexpr mail_part header() noexcept { return {0, 0, true}; }
    /// Bytes [begin, begin + size), fewer where the message ends.
    static constexpr mail_part range(std::uint64_t begin, std::uint64_t size) noexcept { return {begin, size, false}; }

    constexpr bool is_whole() const noexcept { return !header_ && begin_ == 0 && size_ == everything; }
    constexpr bool is_header() const noexcept { return header_; }
    constexpr std::uint64_t begin() const noexcept { return begin_; }
    constexpr std::uint64_t size() const noexcept { return size_; }
    friend constexpr bool operator==(mail_part const&, mail_part const&) = default;

private:
    static constexpr std::uint64_t everything = ~std::uint64_t{0};
    constexpr mail_part(std::uint64_t b, std::uint64_t s, bool h) noexcept : begin_(b), size_(s), header_(h) {}
    std::uint64_t begin_ = 0, size_ = everything;
    bool header_ = false;
};

/// One message of a fetch. With `error` set there are no bytes, and `reason` says which file and why.
struct mail {
    uid_t uid = 0;
    shared_bytes bytes;  ///< who keeps them may keep those of neighbours, too: up to 256 KiB
    std::error_code error;
    std::string reason;
};

struct fetch_options {
    std::size_t window = 64;                            ///< messages under way at once, 1 at least
    std::uint64_t bytes_max = std::uint64_t{64} << 20;  ///< of bodies under way; one message always is, however long
    mail_part part{};
};

}  // namespace mailfs
