// SPDX-License-Identifier: BSL-1.0
// A place in the text of one command, and the small words of the grammar (RFC 3501 section 9) read from there.
#pragma once

#include "imap/sequence_set.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace imapd::imap {

/// Thrown inside the parser only; parse() turns it into the text of a BAD.
struct syntax_error {
    std::string_view why;  ///< static text
};

/// Over a whole command whose literals stand where they were sent ("{3}" CR LF and three bytes). All methods move on
/// by what they return and throw syntax_error where the grammar does not allow it; all views point into the command.
class cursor {
public:
    explicit cursor(std::string_view text) noexcept : text_(text) {}

    bool at_end() const noexcept { return at_ == text_.size(); }
    char peek() const noexcept { return at_end() ? '\0' : text_[at_]; }
    bool take_if(char c) noexcept { return peek() == c && !at_end() ? (++at_, true) : false; }
    bool take_word_if(std::string_view upper) noexcept;  ///< a whole atom, in any case
    void expect(char c, std::string_view why);
    void space() { expect(' ', "a space is missing"); }
    void end();

    std::string_view tag();
    std::string_view atom();
    std::string upper_atom();                        ///< ASCII upper case
    std::string_view until(std::string_view stops);  ///< at least one atom character that is not in `stops`
    std::string string();                            ///< quoted or literal
    std::string_view literal();                      ///< without a copy
    std::string astring();
    std::string list_mailbox();  ///< an astring in which wildcards may stand unquoted
    std::string mailbox();       ///< UTF-8; INBOX in capitals
    std::uint32_t number();
    std::uint64_t number64();  ///< below 2^63
    std::uint32_t nz_number();
    imap::sequence_set sequence_set();

private:
    std::string quoted();
    std::string_view take_while(bool (*allowed)(unsigned char), std::string_view why);

    std::string_view text_;
    std::size_t at_ = 0;
};

bool equal_nocase(std::string_view a, std::string_view b) noexcept;  ///< ASCII
std::string to_upper(std::string_view text);                         ///< ASCII

}  // namespace imapd::imap
