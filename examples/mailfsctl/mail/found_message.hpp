// SPDX-License-Identifier: BSL-1.0
// A message as it is found outside, on its way in; and as it goes out.
#pragma once

#include "commands.hpp"

#include <mailfs/types/flags.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mailfsctl {

struct message_marks {
    mailfs::flag flags = mailfs::flag::none;
    std::vector<std::string> keywords;
    friend bool operator==(message_marks const&, message_marks const&) = default;
};

struct found_message {
    std::string bytes;
    message_marks marks;
    std::uint64_t received_ms = 0;  ///< INTERNALDATE
    std::string place;              ///< file, or file and offset: for reports
};

/// Each bare LF becomes CRLF, or each CRLF an LF; a bare CR stays. `automatic`: to CRLF when the first line ends in a bare
/// LF.
std::string with_line_ends(std::string text, line_ends ends);

/// A keyword as one word of printable ASCII: other bytes, blanks and % become %hh. And back; what is no such word stays.
std::string keyword_word(std::string_view keyword);
std::string keyword_of_word(std::string_view word);
/// Whether the keyword is such a word as it is.
bool is_plain_keyword(std::string_view keyword);

}  // namespace mailfsctl
