// SPDX-License-Identifier: BSL-1.0
// Flags, keywords and dates in the headers that mbox files keep them in.
#pragma once

#include "mail/found_message.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mailfsctl {

/// The block that mbox_text() writes: X-Mailfs, Status, X-Status and X-Keywords, always in this order.
std::string mbox_marks_text(message_marks const& marks, std::uint64_t received_ms, std::size_t size,
                            std::string_view line_end);

/// Reads the marks of a message and takes their headers off it: that block where it stands at the front, and then nothing
/// else; or else Status, X-Status, X-Keywords, X-Mozilla-Status, X-Mozilla-Status2, X-Mozilla-Keys, X-UID, X-IMAP and
/// X-IMAPbase wherever they stand in the header. False: the block says that the message was longer.
bool take_mbox_marks(found_message& message);

}  // namespace mailfsctl
