// SPDX-License-Identifier: BSL-1.0
// Where a mail body stands: what an index row keeps of it.
#pragma once

#include <compare>
#include <cstdint>

namespace mailfs {

/// Made by the mail format that wrote the body, and meant for the same format only.
/// {0, 0} denotes no mail.
struct mail_location {
    std::uint64_t file = 0;    ///< number of the file in its directory; 0 where the guid alone names the file
    std::uint64_t offset = 0;  ///< bytes from the start of that file to the message's header

    constexpr explicit operator bool() const noexcept { return *this != mail_location{}; }
    friend constexpr auto operator<=>(mail_location const&, mail_location const&) = default;
};
static_assert(sizeof(mail_location) == 16);

namespace detail {
/// Of a body that its guid alone finds: in a file that it has for itself, or on each node where that node put it.
inline constexpr mail_location alone_in_its_file{0, 64};
}  // namespace detail

}  // namespace mailfs
