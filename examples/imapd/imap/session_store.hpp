// SPDX-License-Identifier: BSL-1.0
// STORE and UID STORE (RFC 3501 section 6.4.6, RFC 7162 section 3.1.3). Included by session.hpp.
#pragma once

#include "imap/session.hpp"

namespace imapd::imap {

/// Notes what .SILENT leaves unsaid, so that flags that another session changed meanwhile are still told.
template <class Store, mime::extractor Extractor>
void session<Store, Extractor>::expect_change(cmd::store const& s, mailfs::uid_set const& uids) {
    auto const wanted = keyword_digest(s.flags.keywords);
    uids.for_each([&](mailfs::uid_t uid) {
        auto const row = box_->box.view().row(uid);
        if (!row) return;
        auto keywords = row->keywords;
        auto digest = wanted;
        auto flags = s.flags.flags;
        if (s.what != cmd::store::mode::replace) {
            bool const add = s.what == cmd::store::mode::add;
            std::erase_if(keywords, [&](auto const& k) {
                return std::any_of(s.flags.keywords.begin(), s.flags.keywords.end(),
                                   [&](auto const& w) { return equal_nocase(k, w); });
            });
            digest = keyword_digest(keywords) + (add ? wanted : 0);
            flags = add ? row->flags | flags : row->flags & ~flags;
        }
        expected_.add(uid, flags, digest);
    });
}

template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::on(cmd::store const& c) {
    if (box_->read_only) co_return no("The mailbox is read-only");
    if (c.unchanged_since) enable_condstore();
    sync_options const before{.expunges = c.uid, .uids = c.uid};
    if (c.silent) co_await sync(before);  // what others did is told, so that only our own change may stay unsaid
    auto const uids = targets(c.set, c.uid);
    if (!uids) co_return bad("There is no such message number");
    if (c.silent) expect_change(c, *uids);
    mailfs::flag_change change;
    change.mode = c.what == cmd::store::mode::add      ? mailfs::flag_mode::add
                  : c.what == cmd::store::mode::remove ? mailfs::flag_mode::remove
                                                       : mailfs::flag_mode::replace;
    change.flags = c.flags.flags;
    change.keywords = c.flags.keywords;
    change.unchanged_since = c.unchanged_since;
    auto const result = co_await box_->box.set_flags(*uids, change);
    auto const& modified = result.modified;
    auto const stored = subtract(*uids, modified);
    co_await report_store(c, stored);
    if (result.keywords_refused) co_return no("[LIMIT] The mailbox has no room for more keywords");
    if (modified.empty()) co_return answer{};
    co_return ok(fmt::format("[MODIFIED {}] {} completed but for these",
                             c.uid ? modified.text() : client_numbers(modified).text(), c.uid ? "UID STORE" : "STORE"));
}

/// Each message is told once, changed by us or by others, whether its flags are new or were so before.
template <class Store, mime::extractor Extractor>
asio::awaitable<void> session<Store, Extractor>::report_store(cmd::store const& c, mailfs::uid_set const& uids) {
    sync_options how{.expunges = c.uid, .uids = c.uid};
    if (!c.silent) how.also = uids;
    co_await sync(how);
}

template <class Store, mime::extractor Extractor>
mailfs::uid_set session<Store, Extractor>::client_numbers(mailfs::uid_set const& uids) const {
    mailfs::uid_set out;
    uids.for_each([&](mailfs::uid_t uid) {
        if (auto const n = box_->box.view().number(uid)) out.add(box_->numbers.to_client(*n));
    });
    return out;
}

}  // namespace imapd::imap
