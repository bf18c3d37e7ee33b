// SPDX-License-Identifier: BSL-1.0
// The fields of a header.
#include "mime/header.hpp"

#include "imap/cursor.hpp"
#include "limits.hpp"

#include <algorithm>

namespace imapd::mime {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t'; }

/// The line at the front of `text`, its end included.
std::string_view first_line(std::string_view text) noexcept {
    auto const end = text.find('\n');
    return end == text.npos ? text : text.substr(0, end + 1);
}
bool is_empty_line(std::string_view line) noexcept { return line == "\r\n" || line == "\n"; }

std::string_view without_line_end(std::string_view line) noexcept {
    if (!line.empty() && line.back() == '\n') line.remove_suffix(1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    return line;
}

}  // namespace

bool equal_name(std::string_view a, std::string_view b) noexcept { return imap::equal_nocase(a, b); }

std::size_t header_size(std::string_view text) noexcept {
    std::size_t at = 0;
    while (at < text.size()) {
        auto const line = first_line(text.substr(at));
        at += line.size();
        if (is_empty_line(line)) break;
    }
    return at;
}

std::optional<field> take_field(std::string_view& header) noexcept {
    auto const line = first_line(header);
    if (line.empty() || is_empty_line(line)) return std::nullopt;
    auto size = line.size();
    while (size < header.size() && is_blank(header[size])) size += first_line(header.substr(size)).size();
    field out;
    out.whole = header.substr(0, size);
    header.remove_prefix(size);
    auto const colon = line.find(':');
    if (colon == line.npos) return out;
    out.name = line.substr(0, colon);
    while (!out.name.empty() && is_blank(out.name.back())) out.name.remove_suffix(1);
    out.value = without_line_end(out.whole.substr(colon + 1));
    return out;
}

std::optional<std::string> find_value(std::string_view header, std::string_view name) {
    while (auto const f = take_field(header))
        if (imap::equal_nocase(f->name, name)) return unfold(f->value);
    return std::nullopt;
}

std::string unfold(std::string_view value) {
    while (!value.empty() && (is_blank(value.front()) || value.front() == '\r' || value.front() == '\n'))
        value.remove_prefix(1);
    std::string out;
    for (char const c : value.substr(0, limits::header_value_size_max))
        if (c != '\r' && c != '\n') out += c == '\0' ? ' ' : c;
    while (!out.empty() && is_blank(out.back())) out.pop_back();
    return out;
}

std::string select_fields(std::string_view header, std::vector<std::string> const& names, bool except) {
    std::string out;
    while (auto const f = take_field(header)) {
        bool const named =
            std::any_of(names.begin(), names.end(), [&](auto const& n) { return imap::equal_nocase(n, f->name); });
        if (named != except) out += f->whole;
    }
    out += first_line(header);
    return out;
}

}  // namespace imapd::mime
