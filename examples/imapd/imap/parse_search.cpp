// SPDX-License-Identifier: BSL-1.0
// SEARCH: the tree of keys, of bounded depth.
#include "imap/cursor.hpp"
#include "imap/parse.hpp"
#include "limits.hpp"

#include <array>

namespace imapd::imap {
namespace {

using kind = search_key::kind;
using mailfs::flag;

search_key parse_key(cursor& in, std::size_t depth);

search_key parse_keys(cursor& in, std::size_t depth) {
    search_key out;
    out.what = kind::conjunction;
    do out.children.push_back(parse_key(in, depth));
    while (in.take_if(' '));
    return out;
}

search_key flag_key(bool set, flag f) {
    search_key out;
    out.what = set ? kind::flag_set : kind::flag_unset;
    out.flag = f;
    return out;
}
search_key plain(kind what) {
    search_key out;
    out.what = what;
    return out;
}

/// Keys without an argument. Nothing is ever \Recent: who was first to see a message is not kept.
std::optional<search_key> parse_bare(std::string_view name) {
    static constexpr std::array<std::pair<std::string_view, flag>, 5> flags = {{{"ANSWERED", flag::answered},
                                                                                {"DELETED", flag::deleted},
                                                                                {"DRAFT", flag::draft},
                                                                                {"FLAGGED", flag::flagged},
                                                                                {"SEEN", flag::seen}}};
    for (auto const& [known, f] : flags) {
        if (name == known) return flag_key(true, f);
        if (name.substr(0, 2) == "UN" && name.substr(2) == known) return flag_key(false, f);
    }
    if (name == "ALL" || name == "OLD" || name == "SAVEDATESUPPORTED") return plain(kind::all);
    if (name == "NEW" || name == "RECENT") return plain(kind::none);
    return std::nullopt;
}

std::string date_text(cursor& in) { return in.peek() == '"' ? in.string() : std::string(in.atom()); }

void parse_header_key(cursor& in, std::string_view name, search_key& out) {
    out.what = kind::header;
    if (name == "HEADER") {
        out.field = in.astring();
        in.space();
    } else {
        out.field = name;
    }
    out.text = in.astring();
}

void parse_modseq_key(cursor& in, search_key& out) {
    out.what = kind::modseq;
    if (in.peek() == '"') {  // per-flag mod-sequences are not kept: the message's own stands for all of them
        in.string();
        in.space();
        in.atom();
        in.space();
    }
    out.number = in.number64();
}

search_key parse_argument(cursor& in, std::string_view name, std::size_t depth) {
    static constexpr std::array<std::pair<std::string_view, kind>, 9> dates = {{{"BEFORE", kind::before},
                                                                                {"SAVEDBEFORE", kind::saved_before},
                                                                                {"SAVEDON", kind::saved_on},
                                                                                {"SAVEDSINCE", kind::saved_since},
                                                                                {"ON", kind::on},
                                                                                {"SINCE", kind::since},
                                                                                {"SENTBEFORE", kind::sent_before},
                                                                                {"SENTON", kind::sent_on},
                                                                                {"SENTSINCE", kind::sent_since}}};
    static constexpr std::array<std::string_view, 6> headers = {"BCC", "CC", "FROM", "SUBJECT", "TO", "HEADER"};
    search_key out;
    in.space();
    for (auto const& [known, what] : dates) {
        if (known != name) continue;
        auto const date = parse_date(date_text(in));
        if (!date) throw syntax_error{"not a date"};
        out.what = what;
        out.date = *date;
        return out;
    }
    for (auto const known : headers) {
        if (known != name) continue;
        parse_header_key(in, name, out);
        return out;
    }
    if (name == "KEYWORD" || name == "UNKEYWORD") {
        out.what = name == "KEYWORD" ? kind::keyword : kind::unkeyword;
        out.text = in.atom();
    } else if (name == "BODY" || name == "TEXT") {
        out.what = name == "BODY" ? kind::body : kind::text;
        out.text = in.astring();
    } else if (name == "LARGER" || name == "SMALLER") {
        out.what = name == "LARGER" ? kind::larger : kind::smaller;
        out.number = in.number();
    } else if (name == "OLDER" || name == "YOUNGER") {
        out.what = name == "OLDER" ? kind::older : kind::younger;
        out.number = in.nz_number();
    } else if (name == "EMAILID") {
        out.what = kind::email_id;
        out.text = in.atom();
    } else if (name == "THREADID") {  // no message has one
        in.atom();
        out.what = kind::none;
    } else if (name == "UID") {
        out.what = kind::uids;
        out.set = in.sequence_set();
    } else if (name == "MODSEQ") {
        parse_modseq_key(in, out);
    } else if (name == "NOT") {
        out.what = kind::negation;
        out.children.push_back(parse_key(in, depth + 1));
    } else if (name == "OR") {
        out.what = kind::either;
        out.children.push_back(parse_key(in, depth + 1));
        in.space();
        out.children.push_back(parse_key(in, depth + 1));
    } else
        throw syntax_error{"the search key is not known"};
    return out;
}

search_key parse_key(cursor& in, std::size_t depth) {
    if (depth > limits::search_depth_max) throw syntax_error{"the search is nested too deep"};
    if (in.take_if('(')) {
        auto out = parse_keys(in, depth + 1);
        in.expect(')', "the search keys have no end");
        return out;
    }
    if (in.peek() == '$') {
        search_key out;
        out.what = kind::uids;
        out.set = in.sequence_set();
        return out;
    }
    if (in.peek() == '*' || (in.peek() >= '0' && in.peek() <= '9')) {
        search_key out;
        out.what = kind::numbers;
        out.set = in.sequence_set();
        return out;
    }
    auto const name = in.upper_atom();
    if (auto bare = parse_bare(name)) return *std::move(bare);
    return parse_argument(in, name, depth);
}

cmd::search_return parse_return(cursor& in) {
    cmd::search_return out;
    in.expect('(', "a list of what is to be returned must follow");
    if (!in.take_if(')')) {
        do {
            auto const option = in.upper_atom();
            if (option == "MIN") out.min = true;
            else if (option == "MAX") out.max = true;
            else if (option == "ALL") out.all = true;
            else if (option == "COUNT") out.count = true;
            else if (option == "SAVE") out.save = true;
            else throw syntax_error{"the return option is not known"};
        } while (in.take_if(' '));
        in.expect(')', "the return options have no end");
    }
    if (!out.min && !out.max && !out.count && !out.save) out.all = true;
    return out;
}

}  // namespace

cmd::search parse_search(cursor& in, bool uid) {
    cmd::search out;
    out.uid = uid;
    in.space();
    if (in.take_word_if("RETURN")) {
        in.space();
        out.wanted = parse_return(in);
        in.space();
    }
    if (in.take_word_if("CHARSET")) {
        in.space();
        auto const charset = to_upper(in.astring());
        out.charset_known = charset == "UTF-8" || charset == "US-ASCII";
        in.space();
    }
    out.key = parse_keys(in, 0);
    return out;
}

}  // namespace imapd::imap
