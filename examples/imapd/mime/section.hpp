// SPDX-License-Identifier: BSL-1.0
// BODY[section] as bytes of the stored message (RFC 3501 section 6.4.5).
#pragma once

#include "imap/command.hpp"
#include "mime/extractor.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace imapd::mime {

/// Bytes that lie in the message, or were put together from pieces of it.
struct section_bytes {
    std::string own;        ///< of HEADER.FIELDS
    std::string_view view;  ///< of all others, into the message
    bool in_message = true;
    std::string_view get() const noexcept { return in_message ? view : std::string_view(own); }
};

/// Whether the section needs the tree of parts; the others need the bytes alone.
bool needs_tree(imap::section const& s) noexcept;

/// The section's bytes; nothing: the message has no such part. `tree` may be null when needs_tree() is false.
std::optional<section_bytes> find_section(std::string_view message, part const* tree, imap::section const& s);

/// What `partial` leaves of it.
std::string_view cut(std::string_view bytes, std::optional<imap::fetch_item::range> const& partial) noexcept;

}  // namespace imapd::mime
