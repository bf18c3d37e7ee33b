// SPDX-License-Identifier: BSL-1.0
// Maildir: what its file and folder names say, and its small files. No I/O.
#pragma once

#include "mail/found_message.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mailfsctl {

/// Keywords of a folder by letter, a to z, as Dovecot keeps them in "dovecot-keywords".
using keyword_letters = std::array<std::string, 26>;
inline constexpr std::string_view forwarded_keyword = "$Forwarded";  ///< the flag P ("passed")

/// Lines "NUMBER NAME"; others are left out.
keyword_letters parse_keyword_letters(std::string_view text);
std::string format_keyword_letters(keyword_letters const& letters);

struct maildir_name {
    std::string_view base;                   ///< without flags: unique in its folder, and the same when flags change
    std::string_view flags;                  ///< letters behind ":2,"
    std::optional<std::uint64_t> seconds{};  ///< of delivery, since 1970, as the name tells
};
maildir_name parse_maildir_name(std::string_view file);

/// Letters that are neither a flag nor one of the folder's keywords are left out.
message_marks marks_of(std::string_view flag_letters, keyword_letters const& keywords);
/// Letters in ASCII order, as the specification wants; a new keyword takes the next free letter. Keywords that no letter can
/// stand for are put into `rest`.
std::string letters_of(message_marks const& marks, keyword_letters& keywords, std::vector<std::string>& rest);

/// INTERNALDATE: when the file was last modified, or what its name tells where that is earlier by more than two seconds (the
/// file was copied since).
std::uint64_t received_ms_of(maildir_name const& name, std::uint64_t modified_ms);

/// A mailbox's name from a folder's: ".A.B" below the Maildir ("Maildir++"), or a path "A/B". Levels in modified UTF-7 or
/// UTF-8, \hh standing for a byte. What cannot be part of a mailbox's name becomes "_".
std::string mailbox_of_folder(std::string_view dotted);
std::string mailbox_of_path(std::string_view path);
/// The inverse: "" for INBOX. In a path no level is cur, new or tmp, or begins with a dot.
std::string folder_of_mailbox(std::string_view mailbox);
std::string path_of_mailbox(std::string_view mailbox);

/// The order and the names of a "dovecot-uidlist": base names by UID.
std::map<std::string, std::uint32_t, std::less<>> parse_uidlist(std::string_view text);

/// Names of mailboxes in a file "subscriptions" (of Dovecot, either version), or in a "courierimapsubscribed".
std::vector<std::string> parse_subscriptions(std::string_view text, bool courier);

}  // namespace mailfsctl
