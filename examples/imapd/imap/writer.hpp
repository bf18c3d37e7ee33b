// SPDX-License-Identifier: BSL-1.0
// The data of responses as IMAP spells it. Everything is appended to a string; nothing here sends.
#pragma once

#include "imap/command.hpp"
#include "mime/extractor.hpp"

#include <mailfs/types/flags.hpp>

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace imapd::imap {

/// Quoted where quoting can say it, a literal otherwise.
void write_string(std::string& out, std::string_view text);
void write_nstring(std::string& out, std::optional<std::string> const& text);

/// A mailbox name: modified UTF-7, always as a string.
void write_mailbox(std::string& out, std::string_view utf8);

/// "(\Seen keyword)".
void write_flags(std::string& out, mailfs::flag flags, std::span<std::string const> keywords);

void write_envelope(std::string& out, mime::envelope const& e);

/// BODYSTRUCTURE, or BODY when not `extended`.
void write_structure(std::string& out, mime::part const& p, bool extended);

/// "BODY[1.HEADER.FIELDS (FROM)]<0>" as the response names what was asked for.
void write_section_name(std::string& out, fetch_item const& item);

/// "\Drafts \Sent", in the order of special_uses.
std::string special_use_names(mailfs::special_use uses);
struct special_use_name {
    std::string_view name;  ///< "\Drafts"
    mailfs::special_use use;
};
extern std::array<special_use_name, 8> const special_uses;

/// How an error of the store is told to a client (RFC 5530), a space behind it: "[NONEXISTENT] ".
std::string_view code_of(std::error_code code);

/// Free text of a response: one line of printable ASCII.
std::string one_line(std::string_view text);

}  // namespace imapd::imap
