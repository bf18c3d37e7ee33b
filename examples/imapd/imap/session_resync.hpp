// SPDX-License-Identifier: BSL-1.0
// QRESYNC (RFC 7162): what a client that comes back is told of what happened meanwhile. Included by session.hpp.
#pragma once

#include "imap/session.hpp"

#include <mailfs/types/lineage.hpp>

#include <optional>

namespace imapd::imap {

/// From where on changes must be told: 0 where the mod-sequence is of no history that this mailbox knows, for then all may be new.
template <class Store, mime::extractor Extractor>
mailfs::modseq_t session<Store, Extractor>::known_since(mailfs::modseq_t told) const {
    auto const& state = box_->box.view().state();
    mailfs::position const at{static_cast<std::uint32_t>(told >> 32), static_cast<std::uint32_t>(told)};
    return contains(state.stream().history(), at) ? told : 0;
}

/// Those of `known` that are no messages any more. Where it is not recorded what went since then, all that are not there.
template <class Store, mime::extractor Extractor>
mailfs::uid_set session<Store, Extractor>::gone_since(mailfs::modseq_t told, mailfs::uid_set const& known) const {
    auto const& view = box_->box.view();
    auto const since = known_since(told);
    auto const gone = since == 0 ? std::nullopt : view.vanished_since(since);
    return gone ? intersect(*gone, known) : subtract(known, view.uids());
}

template <class Store, mime::extractor Extractor>
void session<Store, Extractor>::say_vanished_earlier(mailfs::modseq_t told, mailfs::uid_set const& known) {
    auto const gone = gone_since(told, known);
    if (!gone.empty()) say_format("* VANISHED (EARLIER) {}", gone.text());
}

/// Nothing, where the mailbox is another one than the client knows.
template <class Store, mime::extractor Extractor>
asio::awaitable<void> session<Store, Extractor>::say_resync(cmd::resync const& r) {
    auto const& view = box_->box.view();
    if (r.uid_validity != box_->box.uid_validity() || view.uid_next() <= 1) co_return;
    auto const last = view.uid_next() - 1;
    auto const known = r.known ? r.known->resolve(last) : mailfs::uid_set{{1, last}};
    say_vanished_earlier(r.modseq, known);
    auto const since = known_since(r.modseq);
    auto const there = intersect(known, view.uids());
    std::size_t looked_at = 0;
    for (auto const range : there.ranges()) {
        for (std::uint64_t uid = range.first; uid <= range.last; ++uid) {
            if (++looked_at % limits::slice_max == 0) co_await let_others_go();
            auto const row = view.row(static_cast<mailfs::uid_t>(uid));
            if (!row || row->modseq <= since) continue;
            say_fetch_flags(static_cast<mailfs::uid_t>(uid), true);
            co_await flush_if_large();
        }
    }
}

}  // namespace imapd::imap
