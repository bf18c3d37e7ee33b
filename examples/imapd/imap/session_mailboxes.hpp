// SPDX-License-Identifier: BSL-1.0
// LIST, LSUB, STATUS, CREATE, DELETE, RENAME, SUBSCRIBE. Included by session.hpp.
#pragma once

#include "imap/list_match.hpp"
#include "imap/session.hpp"

#include <mailfs/store/mailbox_name.hpp>

#include <algorithm>
#include <map>
#include <set>

namespace imapd::imap {

template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::on(cmd::create const& c) {
    mailfs::create_options options;
    options.use = c.use;
    auto const at = locate(c.mailbox);
    co_await at.in.create(at.name, options);
    auto const made = co_await at.in.status(at.name);
    co_return ok(fmt::format("[MAILBOXID ({})] CREATE completed", made.id.hex()));
}
template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::on(cmd::remove const& c) {
    if (box_ && box_->name == c.mailbox) co_return no("[INUSE] The mailbox is selected");
    auto const at = locate(c.mailbox);
    co_await at.in.remove(at.name);
    co_return answer{};
}
template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::on(cmd::rename const& c) {
    auto const from = locate(c.from), to = locate(c.to);
    if (&from.in != &to.in) co_return no("[CANNOT] A mailbox stays in its namespace: make one there, and move the messages");
    co_await from.in.rename(from.name, to.name);
    co_return answer{};
}
template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::on(cmd::subscribe const& c) {
    co_await account_->subscribe(c.mailbox, c.on);
    co_return answer{};
}

template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::on(cmd::status const& c) {
    auto const at = locate(c.mailbox);
    auto const s = co_await at.in.status(at.name);
    std::string items;
    for (auto const item : c.items) {
        if (!items.empty()) items += ' ';
        auto const to = std::back_inserter(items);
        switch (item) {
            case status_item::messages: fmt::format_to(to, "MESSAGES {}", s.messages); break;
            case status_item::recent: items += "RECENT 0"; break;
            case status_item::uid_next: fmt::format_to(to, "UIDNEXT {}", s.uid_next); break;
            case status_item::uid_validity: fmt::format_to(to, "UIDVALIDITY {}", s.uid_validity); break;
            case status_item::unseen: fmt::format_to(to, "UNSEEN {}", s.unseen); break;
            case status_item::mailbox_id: fmt::format_to(to, "MAILBOXID ({})", s.id.hex()); break;
            case status_item::append_limit: fmt::format_to(to, "APPENDLIMIT {}", settings_.message_size_max); break;
            case status_item::size: fmt::format_to(to, "SIZE {}", s.bytes); break;
            case status_item::highest_modseq:
                enable_condstore();
                fmt::format_to(to, "HIGHESTMODSEQ {}", s.highest_modseq);
                break;
        }
    }
    out_ += "* STATUS ";
    write_mailbox(out_, c.mailbox);
    say_format(" ({})", items);
    co_return answer{};
}

template <class Store, mime::extractor Extractor>
void session<Store, Extractor>::list_one(cmd::list const& l, std::string const& name, std::string_view attributes) {
    fmt::format_to(std::back_inserter(out_), "* {} ({}) \"{}\" ", l.lsub ? "LSUB" : "LIST", attributes, separator);
    write_mailbox(out_, name);
    out_ += "\r\n";
}

namespace detail {

inline std::string attributes(mailfs::mailbox_info const& info) {
    std::string out = info.has_children ? "\\HasChildren" : "\\HasNoChildren";
    if (!info.selectable) out += " \\Noselect";
    if (auto const uses = special_use_names(info.use); !uses.empty()) out += ' ' + uses;
    return out;
}

inline bool matches_any(cmd::list const& l, std::string const& name) {
    return std::any_of(l.patterns.begin(), l.patterns.end(),
                       [&](auto const& p) { return list_matches(l.reference + p, name); });
}

/// What LSUB says of one subscribed name. RFC 3501 section 6.3.9: a parent that "%" reaches stands in for subscribed names
/// below it that do not match themselves.
inline void add_subscribed(std::map<std::string, std::string_view>& out, std::string const& name, cmd::list const& l) {
    if (matches_any(l, name)) {
        out[name] = "";
        return;
    }
    for (auto const above : mailfs::ancestors_of(name))
        if (matches_any(l, std::string(above))) out.emplace(above, "\\Noselect");
}

}  // namespace detail

template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::on(cmd::list const& c) {
    if (!c.lsub && c.patterns.size() == 1 && c.patterns[0].empty()) {
        say("* LIST (\\Noselect) \"/\" \"\"");  // what separates levels, and the root
        co_return answer{};
    }
    for (auto const& pattern : c.patterns)
        if (c.reference.size() + pattern.size() > limits::list_pattern_size_max) co_return bad("The pattern is too long");
    std::vector<std::string> subscribed;
    if (c.lsub || c.only_subscribed) subscribed = co_await account_->subscriptions();
    std::size_t looked_at = 0;
    if (c.lsub) {
        std::map<std::string, std::string_view> names;
        for (auto const& name : subscribed) {
            detail::add_subscribed(names, name, c);
            if (++looked_at % limits::slice_max == 0) co_await let_others_go();
        }
        for (auto const& [name, attributes] : names) {
            list_one(c, name, attributes);
            co_await flush_if_large();
        }
        co_return answer{};
    }
    auto infos = co_await account_->list();
    if (shared_) co_await add_shared(infos);
    for (auto const& info : infos) {
        if (++looked_at % limits::slice_max == 0) co_await let_others_go();
        if ((c.only_subscribed && !info.subscribed) || (c.only_special_use && info.use == mailfs::special_use::none))
            continue;
        if (!detail::matches_any(c, info.name)) continue;
        auto attributes = detail::attributes(info);
        if (c.say_subscribed && info.subscribed) attributes += " \\Subscribed";
        list_one(c, info.name, attributes);
        co_await flush_if_large();
    }
    if (!c.only_subscribed) co_return answer{};
    std::set<std::string_view> there;
    for (auto const& info : infos) there.insert(info.name);
    for (auto const& name : subscribed) {
        if (!there.contains(name) && !c.only_special_use && detail::matches_any(c, name))
            list_one(c, name, "\\NonExistent \\Subscribed");
    }
    co_return answer{};
}

}  // namespace imapd::imap
