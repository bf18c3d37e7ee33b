// SPDX-License-Identifier: BSL-1.0
// SELECT, CREATE, RENAME, STATUS: what is said of mailboxes by name.
#include "imap/cursor.hpp"
#include "imap/parse.hpp"
#include "imap/writer.hpp"

#include <array>

namespace imapd::imap {
namespace {

mailfs::special_use parse_special_use(cursor& in) {
    in.expect('\\', "a special use begins with a backslash");
    auto const name = in.atom();
    for (auto const& [known, use] : special_uses)
        if (equal_nocase(known.substr(1), name)) return use;
    throw syntax_error{"the special use is not known"};
}

std::string strip_separator(std::string name) {  // RFC 3501 section 6.3.3: it only announces children
    if (name.size() > 1 && name.back() == '/') name.pop_back();
    return name;
}

status_item parse_status_item(cursor& in) {
    static constexpr std::array<std::pair<std::string_view, status_item>, 9> names = {
        {{"MESSAGES", status_item::messages},
         {"MAILBOXID", status_item::mailbox_id},
         {"APPENDLIMIT", status_item::append_limit},
         {"RECENT", status_item::recent},
         {"UIDNEXT", status_item::uid_next},
         {"UIDVALIDITY", status_item::uid_validity},
         {"UNSEEN", status_item::unseen},
         {"HIGHESTMODSEQ", status_item::highest_modseq},
         {"SIZE", status_item::size}}};
    auto const name = in.upper_atom();
    for (auto const& [known, item] : names)
        if (known == name) return item;
    throw syntax_error{"the status item is not known"};
}

// Message numbers that go with UIDs would only spare bytes: they are read and forgotten.
cmd::resync parse_resync(cursor& in) {
    cmd::resync out;
    in.space();
    in.expect('(', "what is known must follow");
    out.uid_validity = in.nz_number();
    in.space();
    out.modseq = in.number64();
    bool more = in.take_if(' ');
    if (more && in.peek() != '(') {
        out.known = in.sequence_set();
        more = in.take_if(' ');
    }
    if (more) {
        in.expect('(', "numbers and UIDs that go with them must follow");
        in.sequence_set();
        in.space();
        in.sequence_set();
        in.expect(')', "the numbers and UIDs have no end");
    }
    in.expect(')', "what is known has no end");
    return out;
}

}  // namespace

cmd::select parse_select(cursor& in, bool examine) {
    cmd::select out;
    out.examine = examine;
    in.space();
    out.mailbox = in.mailbox();
    if (!in.take_if(' ')) return out;
    in.expect('(', "a list of parameters must follow");
    do {
        auto const parameter = in.upper_atom();
        if (parameter == "QRESYNC") out.resync = parse_resync(in);
        else if (parameter != "CONDSTORE") throw syntax_error{"CONDSTORE and QRESYNC are the parameters known"};
        out.condstore = true;
    } while (in.take_if(' '));
    in.expect(')', "the list of parameters has no end");
    return out;
}

cmd::create parse_create(cursor& in) {
    cmd::create out;
    in.space();
    out.mailbox = strip_separator(in.mailbox());
    if (!in.take_if(' ')) return out;
    in.expect('(', "a list of parameters must follow");
    if (in.upper_atom() != "USE") throw syntax_error{"USE is the only parameter known"};
    in.space();
    in.expect('(', "a list of uses must follow");
    do out.use = out.use | parse_special_use(in);
    while (in.take_if(' '));
    in.expect(')', "the list of uses has no end");
    in.expect(')', "the list of parameters has no end");
    return out;
}

cmd::rename parse_rename(cursor& in) {
    cmd::rename out;
    in.space();
    out.from = in.mailbox();
    in.space();
    out.to = strip_separator(in.mailbox());
    return out;
}

cmd::status parse_status(cursor& in) {
    cmd::status out;
    in.space();
    out.mailbox = in.mailbox();
    in.space();
    in.expect('(', "a list of status items must follow");
    do out.items.push_back(parse_status_item(in));
    while (in.take_if(' '));
    in.expect(')', "the list of status items has no end");
    return out;
}

}  // namespace imapd::imap
