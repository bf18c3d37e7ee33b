// SPDX-License-Identifier: BSL-1.0
// LMTP's grammar, as far as a delivery needs it.
#include "lmtp/command.hpp"

#include "imap/cursor.hpp"

#include <algorithm>
#include <charconv>

namespace imapd::lmtp {
namespace {

using imap::equal_nocase;

constexpr bad_line syntax{"501 5.5.4 Syntax error in the arguments"};
constexpr bad_line unknown{"500 5.5.1 Command not known"};

bool take_nocase(std::string_view& text, std::string_view word) {
    if (text.size() < word.size() || !equal_nocase(text.substr(0, word.size()), word)) return false;
    text.remove_prefix(word.size());
    return true;
}
void skip_spaces(std::string_view& text) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
}

struct path {
    std::string local;  ///< without quotes
    bool quoted = false;
    std::string domain;
};

/// "<local@domain>" with an optional source route, and quoted local parts; "<>" too.
std::optional<path> take_path(std::string_view& text) {
    skip_spaces(text);
    if (text.empty() || text.front() != '<') return std::nullopt;
    text.remove_prefix(1);
    if (!text.empty() && text.front() == '@') {  // a source route is to be ignored (RFC 5321 appendix C)
        auto const colon = text.find(':');
        if (colon == text.npos) return std::nullopt;
        text.remove_prefix(colon + 1);
    }
    path out;
    if (!text.empty() && text.front() == '"') {
        out.quoted = true;
        std::size_t i = 1;
        for (; i < text.size() && text[i] != '"'; ++i) {
            if (text[i] == '\\' && ++i == text.size()) return std::nullopt;
            out.local += text[i];
        }
        if (i >= text.size()) return std::nullopt;
        text.remove_prefix(i + 1);
    } else {
        auto const end = std::min(text.find_first_of("@> "), text.size());
        out.local = text.substr(0, end);
        text.remove_prefix(end);
    }
    if (!text.empty() && text.front() == '@') {
        auto const end = std::min(text.find_first_of("> "), text.size());
        out.domain = text.substr(1, end - 1);
        text.remove_prefix(end);
    }
    if (text.empty() || text.front() != '>') return std::nullopt;
    text.remove_prefix(1);
    return out;
}

/// The next "NAME=value" or "NAME" behind the path; nothing at the end.
std::optional<std::string_view> take_parameter(std::string_view& text) {
    skip_spaces(text);
    if (text.empty()) return std::nullopt;
    auto const end = std::min(text.find(' '), text.size());
    auto const out = text.substr(0, end);
    text.remove_prefix(end);
    return out;
}

command parse_mail(std::string_view text) {
    auto const from = take_path(text);
    if (!from) return syntax;
    cmd::mail out;
    out.sender = from->domain.empty() ? from->local : from->local + '@' + from->domain;
    while (auto parameter = take_parameter(text)) {
        if (take_nocase(*parameter, "SIZE=")) {
            auto const [end, ec] = std::from_chars(parameter->data(), parameter->data() + parameter->size(), out.size);
            if (ec != std::errc{} || end != parameter->data() + parameter->size()) return syntax;
        } else if (take_nocase(*parameter, "BODY=")) {
            if (!equal_nocase(*parameter, "7BIT") && !equal_nocase(*parameter, "8BITMIME")) return syntax;
        } else if (!equal_nocase(*parameter, "SMTPUTF8")) {
            return bad_line{"555 5.5.4 Parameter not known"};
        }
    }
    return out;
}

command parse_rcpt(std::string_view text) {
    auto const to = take_path(text);
    if (!to || to->local.empty()) return syntax;
    if (take_parameter(text)) return bad_line{"555 5.5.4 Parameter not known"};
    auto const plus = to->quoted ? std::string::npos : to->local.find('+');
    cmd::rcpt out{to->local.substr(0, plus)};
    if (out.user.empty()) return syntax;
    return out;
}

}  // namespace

command parse(std::string_view line) {
    if (line.find('\0') != line.npos) return syntax;
    auto const end = std::min(line.find_first_of(" :"), line.size());
    auto const verb = line.substr(0, end);
    auto rest = line.substr(end);
    skip_spaces(rest);
    bool const bare = rest.empty();
    if (equal_nocase(verb, "LHLO")) return bare ? command(syntax) : cmd::lhlo{};
    if (equal_nocase(verb, "MAIL")) return take_nocase(rest, "FROM:") ? parse_mail(rest) : syntax;
    if (equal_nocase(verb, "RCPT")) return take_nocase(rest, "TO:") ? parse_rcpt(rest) : syntax;
    if (equal_nocase(verb, "DATA")) return bare ? cmd::data{} : command(syntax);
    if (equal_nocase(verb, "RSET")) return bare ? cmd::reset{} : command(syntax);
    if (equal_nocase(verb, "QUIT")) return bare ? cmd::quit{} : command(syntax);
    if (equal_nocase(verb, "NOOP")) return cmd::noop{};
    if (equal_nocase(verb, "VRFY")) return cmd::verify{};
    if (equal_nocase(verb, "HELO") || equal_nocase(verb, "EHLO")) return bad_line{"500 5.5.1 This is LMTP: begin with LHLO"};
    return unknown;
}

void dot_decoder::put(std::string_view bytes, std::string& message, std::size_t size_max) {
    size_ += bytes.size();
    message.append(bytes.substr(0, size_max - std::min(size_max, message.size())));
}

bool dot_decoder::feed(std::string_view& input, std::string& message, std::size_t size_max) {
    while (!input.empty()) {
        char const c = input.front();
        switch (state_) {
            case state::line_begin:
                if (c != '.') {
                    state_ = state::text;
                    continue;
                }
                state_ = state::dot;
                input.remove_prefix(1);
                break;
            case state::dot:
                if (c != '\r') {  // the dot was stuffing
                    state_ = state::text;
                    continue;
                }
                state_ = state::dot_cr;
                input.remove_prefix(1);
                break;
            case state::dot_cr:
                if (c == '\n') {
                    input.remove_prefix(1);
                    return true;
                }
                put("\r", message, size_max);
                state_ = state::cr;
                continue;
            case state::text: {
                auto const end = std::min(input.find('\r'), input.size());
                put(input.substr(0, end), message, size_max);
                input.remove_prefix(end);
                if (input.empty()) break;
                put("\r", message, size_max);
                input.remove_prefix(1);
                state_ = state::cr;
                break;
            }
            case state::cr:
                state_ = state::text;
                if (c != '\n') continue;
                put("\n", message, size_max);
                input.remove_prefix(1);
                state_ = state::line_begin;
                break;
        }
    }
    return false;
}

}  // namespace imapd::lmtp
