// SPDX-License-Identifier: BSL-1.0
// Strings, flags and names in responses.
#include "imap/writer.hpp"

#include "imap/cursor.hpp"
#include "imap/utf7.hpp"

#include <algorithm>
#include <array>

namespace imapd::imap {
namespace {

constexpr std::size_t quoted_size_max = 1024;  // longer strings go as literals

bool can_be_quoted(std::string_view text) {
    return text.size() <= quoted_size_max && std::all_of(text.begin(), text.end(), [](char c) {
               auto const octet = static_cast<unsigned char>(c);
               return octet >= 0x20 && octet < 0x7f;
           });
}

void write_literal(std::string& out, std::string_view text) {
    out += '{';
    out += std::to_string(text.size());
    out += "}\r\n";
    out += text;
}

}  // namespace

void write_string(std::string& out, std::string_view text) {
    if (!can_be_quoted(text)) return write_literal(out, text);
    out += '"';
    for (char const c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    out += '"';
}

void write_nstring(std::string& out, std::optional<std::string> const& text) {
    if (text)
        write_string(out, *text);
    else
        out += "NIL";
}

void write_mailbox(std::string& out, std::string_view utf8) { write_string(out, utf7_encode(utf8)); }

void write_flags(std::string& out, mailfs::flag flags, std::span<std::string const> keywords) {
    using mailfs::flag;
    static constexpr std::array<std::pair<flag, std::string_view>, 5> names = {{{flag::answered, "\\Answered"},
                                                                                {flag::flagged, "\\Flagged"},
                                                                                {flag::deleted, "\\Deleted"},
                                                                                {flag::seen, "\\Seen"},
                                                                                {flag::draft, "\\Draft"}}};
    out += '(';
    auto const put = [&](std::string_view name) {
        if (out.back() != '(') out += ' ';
        out += name;
    };
    for (auto const& [f, name] : names)
        if (mailfs::has(flags, f)) put(name);
    for (auto const& keyword : keywords) put(keyword);
    out += ')';
}

void write_section_name(std::string& out, fetch_item const& item) {
    using what = section::part;
    out += "BODY[";
    for (std::size_t i = 0; i < item.section.path.size(); ++i) {
        if (i > 0) out += '.';
        out += std::to_string(item.section.path[i]);
    }
    if (item.section.what != what::all && !item.section.path.empty()) out += '.';
    switch (item.section.what) {
        case what::all: break;
        case what::header: out += "HEADER"; break;
        case what::text: out += "TEXT"; break;
        case what::mime: out += "MIME"; break;
        case what::fields: out += "HEADER.FIELDS ("; break;
        case what::fields_not: out += "HEADER.FIELDS.NOT ("; break;
    }
    for (std::size_t i = 0; i < item.section.fields.size(); ++i) {
        auto const& field = item.section.fields[i];
        if (i > 0) out += ' ';
        bool const plain = !field.empty() && field.find_first_of("(){ %*\"\\]") == field.npos && can_be_quoted(field);
        if (plain)
            out += to_upper(field);
        else
            write_string(out, field);
    }
    if (!item.section.fields.empty()) out += ')';
    out += ']';
    if (item.partial) out += '<' + std::to_string(item.partial->offset) + '>';
}

std::array<special_use_name, 8> const special_uses = {{{"\\All", mailfs::special_use::all},
                                                       {"\\Archive", mailfs::special_use::archive},
                                                       {"\\Drafts", mailfs::special_use::drafts},
                                                       {"\\Flagged", mailfs::special_use::flagged},
                                                       {"\\Important", mailfs::special_use::important},
                                                       {"\\Junk", mailfs::special_use::junk},
                                                       {"\\Sent", mailfs::special_use::sent},
                                                       {"\\Trash", mailfs::special_use::trash}}};

std::string special_use_names(mailfs::special_use uses) {
    std::string out;
    for (auto const& [name, use] : special_uses) {
        if (!mailfs::has(uses, use)) continue;
        if (!out.empty()) out += ' ';
        out += name;
    }
    return out;
}

std::string one_line(std::string_view text) {
    std::string out;
    for (char const c : text.substr(0, 400)) out += c >= ' ' && c < '\x7f' ? c : '?';
    return out;
}

}  // namespace imapd::imap
