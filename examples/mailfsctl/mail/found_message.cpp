// SPDX-License-Identifier: BSL-1.0
#include "mail/found_message.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace mailfsctl {
namespace {

bool is_plain(char c) { return c > 0x20 && c < 0x7f && c != '%'; }

int digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

}  // namespace

std::string with_line_ends(std::string text, line_ends ends) {
    auto const first = text.find('\n');
    if (ends == line_ends::automatic)
        ends = first == text.npos || (first > 0 && text[first - 1] == '\r') ? line_ends::keep : line_ends::crlf;
    if (ends == line_ends::keep || first == text.npos) return text;
    std::string out;
    out.reserve(text.size() + (ends == line_ends::crlf ? text.size() / 32 : 0));
    for (std::size_t i = 0; i < text.size(); ++i) {
        char const c = text[i];
        if (ends == line_ends::lf && c == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
        if (ends == line_ends::crlf && c == '\n' && (i == 0 || text[i - 1] != '\r')) out += '\r';
        out += c;
    }
    return out;
}

bool is_plain_keyword(std::string_view keyword) {
    return !keyword.empty() && std::all_of(keyword.begin(), keyword.end(), is_plain);
}

std::string keyword_word(std::string_view keyword) {
    std::string out;
    for (char const c : keyword)
        if (is_plain(c))
            out += c;
        else
            out += fmt::format("%{:02x}", static_cast<unsigned char>(c));
    return out;
}

std::string keyword_of_word(std::string_view word) {
    std::string out;
    for (std::size_t i = 0; i < word.size(); ++i) {
        bool const escaped = word[i] == '%' && i + 2 < word.size() && digit(word[i + 1]) >= 0 && digit(word[i + 2]) >= 0;
        if (escaped) {
            out += static_cast<char>(digit(word[i + 1]) * 16 + digit(word[i + 2]));
            i += 2;
        } else {
            out += word[i];
        }
    }
    return out;
}

}  // namespace mailfsctl
