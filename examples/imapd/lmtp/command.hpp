// SPDX-License-Identifier: BSL-1.0
// LMTP's commands (RFC 2033 on RFC 5321) as plain data, and the end of a message found in what follows DATA.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace imapd::lmtp {

namespace cmd {
struct lhlo {};
struct mail {
    std::string sender;      ///< may be empty: a bounce
    std::uint64_t size = 0;  ///< announced; 0: not
};
struct rcpt {
    std::string user;
};  ///< local part, before any "+"
struct data {};
struct reset {};
struct noop {};
struct verify {};
struct quit {};
}  // namespace cmd

/// What is wrong with a line, as the whole reply without its line end.
struct bad_line {
    std::string_view reply;  ///< static text
};

using command =
    std::variant<cmd::lhlo, cmd::mail, cmd::rcpt, cmd::data, cmd::reset, cmd::noop, cmd::verify, cmd::quit, bad_line>;

/// Parses one line, without its end. One pass.
command parse(std::string_view line);

/// Undoes dot-stuffing and finds the end: CR LF "." CR LF and nothing looser, so that no message can smuggle another.
/// All other bytes come out as they went in. Belongs to one message.
class dot_decoder {
public:
    /// Takes bytes from the front of `input` and appends what they mean to `message`, up to `size_max` bytes of it;
    /// true when the end was found, and then `input` begins behind it.
    bool feed(std::string_view& input, std::string& message, std::size_t size_max);
    std::uint64_t size() const noexcept { return size_; }  ///< bytes of the message, those beyond size_max too

private:
    enum class state : std::uint8_t { line_begin, dot, dot_cr, text, cr };
    void put(std::string_view bytes, std::string& message, std::size_t size_max);

    state state_ = state::line_begin;
    std::uint64_t size_ = 0;
};

}  // namespace imapd::lmtp
