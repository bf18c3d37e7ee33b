// SPDX-License-Identifier: BSL-1.0
// SEARCH and UID SEARCH: by index rows, then by the bytes of those messages that the rows could not decide.
#pragma once

#include "imap/session.hpp"

#include <chrono>

namespace imapd::imap {

/// A row, and what the search sees of it.
template <class Store, mime::extractor Extractor>
struct session<Store, Extractor>::row_facts {
    std::uint32_t number;
    mailfs::message_row row;
    message_facts get() const { return {number, row.uid, row.flags, row.keywords, row.modseq, row.size, row.received_ms, row.saved_ms, row.id}; }
};

/// Nothing: the message is gone.
template <class Store, mime::extractor Extractor>
auto session<Store, Extractor>::facts(mailfs::uid_t uid) const -> std::optional<row_facts> {
    auto const& view = box_->box.view();
    auto const number = view.number(uid);
    auto row = view.row(uid);
    if (!number || !row) return std::nullopt;
    return row_facts{box_->numbers.to_client(*number), *std::move(row)};
}

template <class Store, mime::extractor Extractor>
asio::awaitable<mailfs::uid_set> session<Store, Extractor>::search_bodies(search_key const& key,
                                                                          mailfs::uid_set const& uids) {
    mailfs::uid_set found;
    mailfs::fetch_options options;
    options.window = limits::fetch_window_max;
    options.bytes_max = limits::fetch_window_size;
    auto mails = box_->box.fetch(uids, options);
    while (true) {
        auto const mail = co_await mails.next();
        if (!mail) break;
        if (mail->error) continue;  // what cannot be read matches nothing
        auto const m = facts(mail->uid);
        if (m && content_matcher(extractor_, mailfs::as_text(mail->bytes)).matches(key, m->get())) found.add(mail->uid);
    }
    co_return found;
}

template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::on(cmd::search const& c) {
    if (!c.charset_known) {
        if (c.wanted && c.wanted->save) saved_ = {};
        co_return no("[BADCHARSET (US-ASCII UTF-8)] The charset is not known");
    }
    auto const& view = box_->box.view();
    auto const count = view.messages();
    auto key = c.key;
    auto const now = std::chrono::system_clock::now().time_since_epoch();
    search_context const context{box_->told, count > 0 ? view.uid(count) : 0, saved_,
                                 static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count())};
    resolve(key, context);
    if (asks_modseq(key)) enable_condstore();
    mailfs::uid_set found, undecided;
    for (std::uint32_t n = 1; n <= count; ++n) {
        auto const uid = view.uid(n);
        auto const m = facts(uid);
        auto const result = m ? match_row(key, m->get()) : verdict::no;
        if (result == verdict::yes) found.add(uid);
        if (result == verdict::needs_bytes) undecided.add(uid);
        if (n % limits::slice_max == 0) co_await let_others_go();
    }
    if (!undecided.empty()) {
        auto const more = co_await search_bodies(key, undecided);
        for (auto const r : more.ranges()) found.add(r.first, r.last);
    }
    if (c.wanted) say_returned(c, found);
    else say_found(c, found);
    co_return answer{};
}

/// ESEARCH (RFC 4731), and what "$" is from now on (RFC 5182 section 2.1).
template <class Store, mime::extractor Extractor>
void session<Store, Extractor>::say_returned(cmd::search const& s, mailfs::uid_set const& found) {
    auto const& w = *s.wanted;
    auto const& view = box_->box.view();
    bool const ends_alone = (w.min || w.max) && !w.all && !w.count;
    mailfs::uid_set ends;
    if (!found.empty() && w.min) ends.add(found.ranges().front().first);
    if (!found.empty() && w.max) ends.add(found.ranges().back().last);
    if (w.save) saved_ = ends_alone ? ends : found;
    if (!w.min && !w.max && !w.all && !w.count) return;
    auto const numbers = s.uid ? found : client_numbers(found);
    auto const to = std::back_inserter(out_);
    fmt::format_to(to, "* ESEARCH (TAG \"{}\")", tag_);
    if (s.uid) out_ += " UID";
    if (w.min && !numbers.empty()) fmt::format_to(to, " MIN {}", numbers.ranges().front().first);
    if (w.max && !numbers.empty()) fmt::format_to(to, " MAX {}", numbers.ranges().back().last);
    if (w.all && !numbers.empty()) fmt::format_to(to, " ALL {}", numbers.text());
    if (w.count) fmt::format_to(to, " COUNT {}", numbers.size());
    if (asks_modseq(s.key) && !found.empty()) {
        mailfs::modseq_t highest = 0;
        (ends_alone ? ends : found).for_each([&](mailfs::uid_t uid) {
            if (auto const row = view.row(uid)) highest = std::max(highest, row->modseq);
        });
        fmt::format_to(to, " MODSEQ {}", highest);
    }
    out_ += "\r\n";
}

template <class Store, mime::extractor Extractor>
void session<Store, Extractor>::say_found(cmd::search const& s, mailfs::uid_set const& found) {
    mailfs::modseq_t highest = 0;
    out_ += "* SEARCH";
    found.for_each([&](mailfs::uid_t uid) {
        auto const number = box_->box.view().number(uid);
        auto const row = box_->box.view().row(uid);
        if (!number || !row) return;
        highest = std::max(highest, row->modseq);
        fmt::format_to(std::back_inserter(out_), " {}", s.uid ? uid : box_->numbers.to_client(*number));
    });
    if (highest > 0 && asks_modseq(s.key)) fmt::format_to(std::back_inserter(out_), " (MODSEQ {})", highest);
    out_ += "\r\n";
}

}  // namespace imapd::imap
