// SPDX-License-Identifier: BSL-1.0
// LIST and LSUB, with the options of RFC 5258 that SPECIAL-USE (RFC 6154) builds on.
#include "imap/cursor.hpp"
#include "imap/parse.hpp"
#include "imap/utf7.hpp"
#include "limits.hpp"

#include <array>

namespace imapd::imap {
namespace {

std::string pattern(cursor& in) {
    auto out = utf7_decode(in.list_mailbox());
    if (!out) throw syntax_error{"the pattern is not modified UTF-7"};
    return *std::move(out);
}

void selection_options(cursor& in, cmd::list& out) {
    if (in.take_if(')')) return;
    do {
        auto const option = in.upper_atom();
        if (option == "SUBSCRIBED")
            out.only_subscribed = out.say_subscribed = true;
        else if (option == "SPECIAL-USE")
            out.only_special_use = true;
        else if (option != "REMOTE")
            throw syntax_error{"the selection option is not known"};
    } while (in.take_if(' '));
    in.expect(')', "the selection options have no end");
}

void return_options(cursor& in, cmd::list& out) {
    in.space();
    in.expect('(', "a list of return options must follow");
    if (in.take_if(')')) return;
    do {
        auto const option = in.upper_atom();
        if (option == "SUBSCRIBED")
            out.say_subscribed = true;
        else if (option != "CHILDREN" && option != "SPECIAL-USE")  // these two are always said
            throw syntax_error{"the return option is not known"};
    } while (in.take_if(' '));
    in.expect(')', "the return options have no end");
}

}  // namespace

cmd::list parse_list(cursor& in, bool lsub) {
    cmd::list out;
    out.lsub = lsub;
    in.space();
    if (!lsub && in.take_if('(')) {
        selection_options(in, out);
        in.space();
    }
    auto reference = utf7_decode(in.astring());
    if (!reference) throw syntax_error{"the reference is not modified UTF-7"};
    out.reference = *std::move(reference);
    in.space();
    if (!lsub && in.take_if('(')) {
        do {
            if (out.patterns.size() == limits::list_patterns_max) throw syntax_error{"too many patterns"};
            out.patterns.push_back(pattern(in));
        } while (in.take_if(' '));
        in.expect(')', "the list of patterns has no end");
    } else {
        out.patterns.push_back(pattern(in));
    }
    if (!lsub && in.take_if(' ')) {
        if (!in.take_word_if("RETURN")) throw syntax_error{"RETURN or the end must follow"};
        return_options(in, out);
    }
    return out;
}

}  // namespace imapd::imap
