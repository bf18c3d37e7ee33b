// SPDX-License-Identifier: BSL-1.0
// From the text of one whole command to plain data.
#pragma once

#include "imap/command.hpp"

#include <string>
#include <string_view>
#include <variant>

namespace imapd::imap {

class cursor;

/// Why a command is malformed, and the tag to say it with ("*" where there is none).
struct bad_command {
    std::string tag;
    std::string_view why;  ///< static text
};

/// Parses a command as the assembler hands it over. Views in the result point into `text`. Never throws but bad_alloc.
/// Cost: one pass.
std::variant<command, bad_command> parse(std::string_view text);

// The parts of the grammar that have a file of their own; they throw syntax_error.
flag_list parse_flags(cursor& in, bool parentheses_needed);
cmd::fetch parse_fetch(cursor& in, bool uid);
cmd::search parse_search(cursor& in, bool uid);
cmd::select parse_select(cursor& in, bool examine);
cmd::create parse_create(cursor& in);
cmd::rename parse_rename(cursor& in);
cmd::status parse_status(cursor& in);
cmd::list parse_list(cursor& in, bool lsub);

}  // namespace imapd::imap
