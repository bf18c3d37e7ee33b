// SPDX-License-Identifier: BSL-1.0
// The parser: which command it is, and the commands with simple arguments.
#include "imap/parse.hpp"

#include "imap/cursor.hpp"
#include "limits.hpp"

#include <algorithm>
#include <array>

namespace imapd::imap {
namespace {

using parser = arguments (*)(cursor&);

template <word Word>
arguments bare(cursor&) {
    return cmd::bare{Word};
}

arguments id(cursor& in) {
    in.space();
    if (in.take_word_if("NIL")) return cmd::id{};
    in.expect('(', "a list or NIL must follow");
    while (!in.take_if(')')) {
        if (!in.take_word_if("NIL")) in.string();
        in.take_if(' ');
    }
    return cmd::id{};
}

arguments login(cursor& in) {
    cmd::login out;
    in.space();
    out.user = in.astring();
    in.space();
    out.password = in.astring();
    return out;
}

arguments authenticate(cursor& in) {
    cmd::authenticate out;
    in.space();
    out.mechanism = in.upper_atom();
    if (in.take_if(' ')) out.initial = std::string(in.take_if('=') ? "" : in.atom());
    return out;
}

arguments enable(cursor& in) {
    cmd::enable out;
    in.space();
    do out.capabilities.push_back(in.upper_atom());
    while (in.take_if(' '));
    return out;
}

template <bool Examine>
arguments select(cursor& in) {
    return parse_select(in, Examine);
}
arguments create(cursor& in) { return parse_create(in); }
arguments rename(cursor& in) { return parse_rename(in); }
arguments status(cursor& in) { return parse_status(in); }

arguments remove(cursor& in) {
    in.space();
    return cmd::remove{in.mailbox()};
}

template <bool On>
arguments subscribe(cursor& in) {
    in.space();
    return cmd::subscribe{in.mailbox(), On};
}

template <bool Lsub>
arguments list(cursor& in) {
    return parse_list(in, Lsub);
}

cmd::appended appended(cursor& in) {
    cmd::appended out;
    in.space();
    if (in.peek() == '(') {
        out.flags = parse_flags(in, true);
        in.space();
    }
    if (in.peek() == '"') {
        auto const ms = parse_date_time(in.string());
        if (!ms) throw syntax_error{"not a date and time"};
        out.received_ms = *ms;
        in.space();
    }
    out.message = in.literal();
    return out;
}

arguments append(cursor& in) {
    cmd::append out;
    in.space();
    out.mailbox = in.mailbox();
    do out.mails.push_back(appended(in));
    while (!in.at_end());
    return out;
}

template <bool Uid>
arguments fetch(cursor& in) {
    return parse_fetch(in, Uid);
}
template <bool Uid>
arguments search(cursor& in) {
    return parse_search(in, Uid);
}

template <bool Uid>
arguments store(cursor& in) {
    cmd::store out;
    out.uid = Uid;
    in.space();
    out.set = in.sequence_set();
    in.space();
    if (in.take_if('(')) {
        if (!in.take_word_if("UNCHANGEDSINCE")) throw syntax_error{"UNCHANGEDSINCE is the only modifier known"};
        in.space();
        out.unchanged_since = in.number64();
        in.expect(')', "the list of modifiers has no end");
        in.space();
    }
    if (in.take_if('+'))
        out.what = cmd::store::mode::add;
    else if (in.take_if('-'))
        out.what = cmd::store::mode::remove;
    auto const item = in.upper_atom();
    if (item != "FLAGS" && item != "FLAGS.SILENT") throw syntax_error{"FLAGS or FLAGS.SILENT must follow"};
    out.silent = item != "FLAGS";
    in.space();
    out.flags = parse_flags(in, false);
    return out;
}

template <bool Uid, bool Move>
arguments copy(cursor& in) {
    cmd::copy out;
    out.uid = Uid;
    out.move = Move;
    in.space();
    out.set = in.sequence_set();
    in.space();
    out.mailbox = in.mailbox();
    return out;
}

arguments expunge_all(cursor&) { return cmd::expunge{}; }
arguments expunge_uids(cursor& in) {
    in.space();
    return cmd::expunge{in.sequence_set()};
}

struct entry {
    std::string_view name;
    parser parse;
};
constexpr entry commands[] = {
    {"APPEND", append},
    {"AUTHENTICATE", authenticate},
    {"CAPABILITY", bare<word::capability>},
    {"CHECK", bare<word::check>},
    {"CLOSE", bare<word::close>},
    {"COPY", copy<false, false>},
    {"CREATE", create},
    {"DELETE", remove},
    {"ENABLE", enable},
    {"EXAMINE", select<true>},
    {"EXPUNGE", expunge_all},
    {"FETCH", fetch<false>},
    {"ID", id},
    {"IDLE", bare<word::idle>},
    {"LIST", list<false>},
    {"LOGIN", login},
    {"LOGOUT", bare<word::logout>},
    {"LSUB", list<true>},
    {"MOVE", copy<false, true>},
    {"NAMESPACE", bare<word::name_space>},
    {"NOOP", bare<word::noop>},
    {"RENAME", rename},
    {"SEARCH", search<false>},
    {"SELECT", select<false>},
    {"STARTTLS", bare<word::starttls>},
    {"STATUS", status},
    {"STORE", store<false>},
    {"SUBSCRIBE", subscribe<true>},
    {"UNSELECT", bare<word::unselect>},
    {"UNSUBSCRIBE", subscribe<false>},
    {"UID COPY", copy<true, false>},
    {"UID EXPUNGE", expunge_uids},
    {"UID FETCH", fetch<true>},
    {"UID MOVE", copy<true, true>},
    {"UID SEARCH", search<true>},
    {"UID STORE", store<true>},
};

parser find(std::string_view name) {
    auto const it = std::find_if(std::begin(commands), std::end(commands), [&](entry const& e) { return e.name == name; });
    if (it == std::end(commands)) throw syntax_error{"the command is not known"};
    return it->parse;
}

flag_list& add_flag(flag_list& list, cursor& in) {
    using mailfs::flag;
    static constexpr std::array<std::pair<std::string_view, flag>, 5> names = {{{"ANSWERED", flag::answered},
                                                                                {"FLAGGED", flag::flagged},
                                                                                {"DELETED", flag::deleted},
                                                                                {"SEEN", flag::seen},
                                                                                {"DRAFT", flag::draft}}};
    if (!in.take_if('\\')) {
        list.keywords.emplace_back(in.atom());
        if (list.keywords.back().size() > limits::keyword_size_max) throw syntax_error{"the keyword is too long"};
        return list;
    }
    auto const name = in.upper_atom();
    auto const it = std::find_if(names.begin(), names.end(), [&](auto const& n) { return n.first == name; });
    if (it == names.end()) throw syntax_error{"no such system flag, or not one to set"};
    list.flags |= it->second;
    return list;
}

}  // namespace

flag_list parse_flags(cursor& in, bool parentheses_needed) {
    flag_list out;
    if (in.take_if('(')) {
        if (in.take_if(')')) return out;
        do add_flag(out, in);
        while (in.take_if(' '));
        in.expect(')', "the list of flags has no end");
    } else {
        if (parentheses_needed) throw syntax_error{"a list of flags must follow"};
        do add_flag(out, in);
        while (in.take_if(' '));
    }
    std::sort(out.keywords.begin(), out.keywords.end());
    out.keywords.erase(std::unique(out.keywords.begin(), out.keywords.end()), out.keywords.end());
    return out;
}

std::variant<command, bad_command> parse(std::string_view text) {
    cursor in(text);
    command out;
    try {
        out.tag = in.tag();
        in.space();
        out.name = in.upper_atom();
        if (out.name == "UID") {
            in.space();
            out.name += ' ' + in.upper_atom();
        }
        out.arguments = find(out.name)(in);
        in.end();
        return out;
    } catch (syntax_error const& error) {
        return bad_command{out.tag.empty() ? "*" : out.tag, error.why};
    }
}

}  // namespace imapd::imap
