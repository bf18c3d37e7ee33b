// SPDX-License-Identifier: BSL-1.0
// ENVELOPE and BODYSTRUCTURE (RFC 3501 section 7.4.2).
#include "imap/writer.hpp"

#include <utility>

namespace imapd::imap {
namespace {

std::optional<std::string> unless_empty(std::string const& text) {
    return text.empty() ? std::nullopt : std::optional(text);
}

void write_addresses(std::string& out, std::vector<mime::address> const& addresses) {
    if (addresses.empty()) {
        out += "NIL";
        return;
    }
    out += '(';
    for (auto const& a : addresses) {
        out += '(';
        write_nstring(out, unless_empty(a.name));
        out += " NIL ";
        write_nstring(out, a.group ? unless_empty(a.mailbox) : std::optional(a.mailbox));
        out += ' ';
        write_nstring(out, a.group ? std::nullopt : std::optional(a.host));  // NIL means a group
        out += ')';
    }
    out += ')';
}

void write_parameters(std::string& out, mime::parameters const& parameters) {
    if (parameters.empty()) {
        out += "NIL";
        return;
    }
    char before = '(';
    for (auto const& [name, value] : parameters) {
        out += std::exchange(before, ' ');
        write_string(out, name);
        out += ' ';
        write_string(out, value);
    }
    out += ')';
}

/// What BODYSTRUCTURE adds to BODY for all parts: disposition, languages, location.
void write_extension(std::string& out, mime::part const& p) {
    if (p.disposition) {
        out += '(';
        write_string(out, *p.disposition);
        out += ' ';
        write_parameters(out, p.disposition_parameters);
        out += ") ";
    } else {
        out += "NIL ";
    }
    if (p.languages.empty()) {
        out += "NIL";
    } else {
        char before = '(';
        for (auto const& language : p.languages) {
            out += std::exchange(before, ' ');
            write_string(out, language);
        }
        out += ')';
    }
    out += ' ';
    write_nstring(out, p.location);
}

void write_multipart(std::string& out, mime::part const& p, bool extended) {
    for (auto const& child : p.children) write_structure(out, child, extended);
    out += ' ';
    write_string(out, p.subtype);
    if (!extended) return;
    out += ' ';
    write_parameters(out, p.parameters);
    out += ' ';
    write_extension(out, p);
}

void write_leaf(std::string& out, mime::part const& p, bool extended) {
    // MESSAGE/RFC822 that was not taken apart (nested too deep, encoded) lacks what clients must find behind its size
    bool const opaque = p.type == "MESSAGE" && p.subtype == "RFC822" && !p.holds_message();
    write_string(out, opaque ? "APPLICATION" : p.type);
    out += ' ';
    write_string(out, opaque ? "OCTET-STREAM" : p.subtype);
    out += ' ';
    write_parameters(out, p.parameters);
    out += ' ';
    write_nstring(out, p.id);
    out += ' ';
    write_nstring(out, p.description);
    out += ' ';
    write_string(out, p.encoding);
    out += ' ' + std::to_string(p.body_end - p.body_begin);
    if (p.holds_message()) {
        out += ' ';
        write_envelope(out, p.envelope[0]);
        out += ' ';
        write_structure(out, p.children[0], extended);
    }
    if (p.type == "TEXT" || p.holds_message()) out += ' ' + std::to_string(p.lines);
    if (!extended) return;
    out += ' ';
    write_nstring(out, p.md5);
    out += ' ';
    write_extension(out, p);
}

}  // namespace

void write_envelope(std::string& out, mime::envelope const& e) {
    out += '(';
    write_nstring(out, e.date);
    out += ' ';
    write_nstring(out, e.subject);
    for (auto const* addresses : {&e.from, &e.sender, &e.reply_to, &e.to, &e.cc, &e.bcc}) {
        out += ' ';
        write_addresses(out, *addresses);
    }
    out += ' ';
    write_nstring(out, e.in_reply_to);
    out += ' ';
    write_nstring(out, e.message_id);
    out += ')';
}

void write_structure(std::string& out, mime::part const& p, bool extended) {
    out += '(';
    if (p.is_multipart())
        write_multipart(out, p, extended);
    else
        write_leaf(out, p, extended);
    out += ')';
}

}  // namespace imapd::imap
