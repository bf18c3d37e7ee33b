// SPDX-License-Identifier: BSL-1.0
// FETCH: items, sections, partials, CHANGEDSINCE.
#include "imap/cursor.hpp"
#include "imap/parse.hpp"

#include <array>

namespace imapd::imap {
namespace {

using kind = fetch_item::kind;

/// What stands between the brackets, from behind "[" to behind "]".
section parse_section(cursor& in) {
    section out;
    while (in.peek() >= '0' && in.peek() <= '9') {
        out.path.push_back(in.nz_number());
        if (!in.take_if('.')) {
            in.expect(']', "the section has no end");
            return out;
        }
    }
    if (out.path.empty() && in.take_if(']')) return out;
    auto const word = to_upper(in.until("]"));
    if (word == "HEADER")
        out.what = section::part::header;
    else if (word == "TEXT")
        out.what = section::part::text;
    else if (word == "MIME" && !out.path.empty())
        out.what = section::part::mime;
    else if (word == "HEADER.FIELDS" || word == "HEADER.FIELDS.NOT") {
        out.what = word == "HEADER.FIELDS" ? section::part::fields : section::part::fields_not;
        in.space();
        in.expect('(', "a list of header fields must follow");
        do out.fields.push_back(in.astring());
        while (in.take_if(' '));
        in.expect(')', "the list of header fields has no end");
    } else
        throw syntax_error{"the section is not known"};
    in.expect(']', "the section has no end");
    return out;
}

fetch_item parse_body(cursor& in, bool peek) {
    fetch_item out;
    if (!in.take_if('[')) {
        if (peek) throw syntax_error{"a section must follow"};
        out.what = kind::body;
        return out;
    }
    out.what = kind::section;
    out.peek = peek;
    out.section = parse_section(in);
    if (in.take_if('<')) {
        auto const offset = in.number();
        in.expect('.', "a partial has an offset and a count");
        out.partial = fetch_item::range{offset, in.nz_number()};
        in.expect('>', "the partial has no end");
    }
    return out;
}

fetch_item plain(kind what, bool peek = true) {
    fetch_item out;
    out.what = what;
    out.peek = peek;
    return out;
}

fetch_item parse_item(cursor& in) {
    static constexpr std::array<std::pair<std::string_view, kind>, 11> names = {{{"ENVELOPE", kind::envelope},
                                                                                 {"SAVEDATE", kind::save_date},
                                                                                 {"EMAILID", kind::email_id},
                                                                                 {"THREADID", kind::thread_id},
                                                                                {"FLAGS", kind::flags},
                                                                                {"INTERNALDATE", kind::internal_date},
                                                                                {"RFC822.SIZE", kind::size},
                                                                                {"UID", kind::uid},
                                                                                {"MODSEQ", kind::modseq},
                                                                                {"BODYSTRUCTURE", kind::body_structure},
                                                                                {"RFC822.HEADER", kind::rfc822_header}}};
    auto const name = to_upper(in.until("["));
    if (name == "BODY") return parse_body(in, false);
    if (name == "BODY.PEEK") return parse_body(in, true);
    if (name == "RFC822") return plain(kind::rfc822, false);
    if (name == "RFC822.TEXT") return plain(kind::rfc822_text, false);
    for (auto const& [known, what] : names)
        if (known == name) return plain(what);
    throw syntax_error{"the fetch item is not known"};
}

std::vector<fetch_item> parse_items(cursor& in) {
    std::vector<fetch_item> out;
    std::vector<kind> const fast = {kind::flags, kind::internal_date, kind::size};
    auto const macro = [&](bool envelope, bool body) {
        for (auto what : fast) out.push_back(plain(what));
        if (envelope) out.push_back(plain(kind::envelope));
        if (body) out.push_back(plain(kind::body));
    };
    if (in.take_word_if("FAST")) {
        macro(false, false);
    } else if (in.take_word_if("ALL")) {
        macro(true, false);
    } else if (in.take_word_if("FULL")) {
        macro(true, true);
    } else if (in.take_if('(')) {
        do out.push_back(parse_item(in));
        while (in.take_if(' '));
        in.expect(')', "the list of fetch items has no end");
    } else {
        out.push_back(parse_item(in));
    }
    return out;
}

}  // namespace

cmd::fetch parse_fetch(cursor& in, bool uid) {
    cmd::fetch out;
    out.uid = uid;
    in.space();
    out.set = in.sequence_set();
    in.space();
    out.items = parse_items(in);
    if (in.take_if(' ')) {
        in.expect('(', "a list of modifiers must follow");
        do {
            auto const modifier = in.upper_atom();
            if (modifier == "VANISHED") {
                out.vanished = true;
            } else if (modifier == "CHANGEDSINCE") {
                in.space();
                out.changed_since = in.number64();
            } else {
                throw syntax_error{"CHANGEDSINCE and VANISHED are the modifiers known"};
            }
        } while (in.take_if(' '));
        in.expect(')', "the list of modifiers has no end");
    }
    return out;
}

}  // namespace imapd::imap
