// SPDX-License-Identifier: BSL-1.0
// Searching by index rows.
#include "imap/search.hpp"

#include "imap/cursor.hpp"

namespace imapd::imap {
namespace detail {

bool in_set(sequence_set const& set, std::uint32_t n) {  // after resolve(): ascending, disjoint
    auto const it = std::upper_bound(set.ranges.begin(), set.ranges.end(), n,
                                     [](std::uint32_t v, auto const& r) { return v < r.first; });
    return it != set.ranges.begin() && std::prev(it)->last >= n;
}

bool compare_days(search_key::kind what, day message, day wanted) {
    using kind = search_key::kind;
    if (what == kind::before || what == kind::sent_before || what == kind::saved_before) return message < wanted;
    if (what == kind::on || what == kind::sent_on || what == kind::saved_on) return message == wanted;
    return message >= wanted;
}

}  // namespace detail

namespace {

verdict of(bool yes) { return yes ? verdict::yes : verdict::no; }

bool has_keyword(message_facts const& m, std::string const& wanted) {
    return std::any_of(m.keywords.begin(), m.keywords.end(), [&](auto const& k) { return equal_nocase(k, wanted); });
}

verdict match_children(search_key const& key, message_facts const& m) {
    bool const all = key.what == search_key::kind::conjunction;
    auto const decisive = of(!all);  // the first "no" settles a conjunction, the first "yes" an alternative
    auto sum = of(all);
    for (auto const& child : key.children) {
        auto const v = match_row(child, m);
        if (v == decisive) return v;
        if (v == verdict::needs_bytes) sum = v;
    }
    return sum;
}

}  // namespace

verdict match_row(search_key const& key, message_facts const& m) {
    using kind = search_key::kind;
    switch (key.what) {
        case kind::all: return verdict::yes;
        case kind::none: return verdict::no;
        case kind::conjunction:
        case kind::either: return match_children(key, m);
        case kind::negation: {
            auto const v = match_row(key.children[0], m);
            return v == verdict::needs_bytes ? v : of(v == verdict::no);
        }
        case kind::flag_set: return of(mailfs::has(m.flags, key.flag));
        case kind::flag_unset: return of(!mailfs::has(m.flags, key.flag));
        case kind::keyword: return of(has_keyword(m, key.text));
        case kind::unkeyword: return of(!has_keyword(m, key.text));
        case kind::before:
        case kind::on:
        case kind::since: return of(detail::compare_days(key.what, day_of(m.received_ms), key.date));
        case kind::saved_before:
        case kind::saved_on:
        case kind::saved_since: return of(detail::compare_days(key.what, day_of(m.saved_ms), key.date));
        case kind::older: return of(m.received_ms <= key.number);
        case kind::younger: return of(m.received_ms >= key.number);
        case kind::email_id: return of(m.id.hex() == key.text);
        case kind::larger: return of(m.size > key.number);
        case kind::smaller: return of(m.size < key.number);
        case kind::uids: return of(detail::in_set(key.set, m.uid));
        case kind::numbers: return of(detail::in_set(key.set, m.number));
        case kind::modseq: return of(m.modseq >= key.number);
        case kind::sent_before:
        case kind::sent_on:
        case kind::sent_since:
        case kind::header:
        case kind::body:
        case kind::text: return verdict::needs_bytes;
    }
    return verdict::no;
}

void resolve(search_key& key, search_context const& context) {
    using kind = search_key::kind;
    if (key.what == kind::older || key.what == kind::younger) key.number = context.now_ms - std::min(context.now_ms, key.number * 1000);
    if (key.what == kind::uids || key.what == kind::numbers) {
        auto const plain = key.set.saved ? context.saved : key.set.resolve(key.what == kind::uids ? context.last_uid : context.last_number);
        key.set.ranges.clear();
        for (auto r : plain.ranges()) key.set.ranges.push_back({r.first, r.last});
    }
    for (auto& child : key.children) resolve(child, context);
}

bool asks_modseq(search_key const& key) {
    return key.what == search_key::kind::modseq || std::any_of(key.children.begin(), key.children.end(), asks_modseq);
}

}  // namespace imapd::imap
