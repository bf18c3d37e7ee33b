// SPDX-License-Identifier: BSL-1.0
// Telling a client what changed in its mailbox, and what its message numbers mean. Included by session.hpp.
#pragma once

#include "imap/session.hpp"

namespace imapd::imap {

/// Takes over what others did. EXPUNGE responses that may not be said now are held back, and the numbers with them.
template <class Store, mime::extractor Extractor>
asio::awaitable<void> session<Store, Extractor>::sync(sync_options o) {
    auto& s = *box_;
    auto const changes = co_await s.box.refresh();
    s.numbers.hold(changes.expunged);
    for (auto const range : changes.expunged_uids.ranges()) s.gone.add(range.first, range.last);
    if (changes.keywords_added) say_flags();
    if (o.expunges) {
        if (qresync_ && !s.gone.empty()) say_format("* VANISHED {}", s.gone.text());
        for (auto const number : s.numbers.release()) {
            if (!qresync_) say_format("* {} EXPUNGE", number);
            --s.told;
            co_await flush_if_large();
        }
        s.gone = {};
    }
    auto const count = s.box.view().messages() + s.numbers.untold();
    if (count > s.told) say_format("* {} EXISTS", count);
    s.told = count;
    auto tell = std::move(o.also);
    for (auto const range : changes.changed.ranges()) tell.add(range.first, range.last);
    for (auto const range : tell.ranges()) {
        for (std::uint64_t uid = range.first; uid <= range.last; ++uid) {
            say_fetch_flags(static_cast<mailfs::uid_t>(uid), o.uids || qresync_);
            co_await flush_if_large();
        }
    }
}

/// What the client expects it is told only for its MODSEQ.
template <class Store, mime::extractor Extractor>
void session<Store, Extractor>::say_fetch_flags(mailfs::uid_t uid, bool with_uid) {
    auto const& view = box_->box.view();
    auto const number = view.number(uid);
    auto const row = view.row(uid);
    if (!number || !row) return;
    bool const silent = expected_.met(uid, row->flags, row->keywords);
    if (silent && !condstore_) return;
    fmt::format_to(std::back_inserter(out_), "* {} FETCH (", box_->numbers.to_client(*number));
    auto const items = out_.size();
    auto const gap = [&] { return out_.size() > items ? " " : ""; };
    if (with_uid) fmt::format_to(std::back_inserter(out_), "UID {}", uid);
    if (!silent) {
        fmt::format_to(std::back_inserter(out_), "{}FLAGS ", gap());
        write_flags(out_, row->flags, row->keywords);
    }
    if (condstore_) fmt::format_to(std::back_inserter(out_), "{}MODSEQ ({})", gap(), row->modseq);
    out_ += ")\r\n";
}

template <class Store, mime::extractor Extractor>
void session<Store, Extractor>::say_flags() {
    std::string flags;
    write_flags(flags, mailfs::all_flags, box_->box.view().state().keywords().names());
    say_format("* FLAGS {}", flags);
    flags.insert(flags.size() - 1, " \\*");
    say_format("* OK [PERMANENTFLAGS {}] Kept for good", box_->read_only ? "()" : flags);
}

/// The UIDs of messages that the view has; nothing when a message number is beyond what the client counts.
template <class Store, mime::extractor Extractor>
std::optional<mailfs::uid_set> session<Store, Extractor>::targets(sequence_set const& set, bool uid) const {
    auto const& view = box_->box.view();
    auto const count = view.messages();
    mailfs::uid_set out;
    auto const add_shown = [&](mailfs::uid_t first, mailfs::uid_t last) {
        view.for_each(first, last, [&](mailfs::uid_t u) { out.add(u); });
    };
    if (set.saved) {
        for (auto const range : saved_.ranges()) add_shown(range.first, range.last);
        return out;
    }
    if (uid) {
        auto const wanted = set.resolve(count > 0 ? view.uid(count) : 0);
        for (auto const range : wanted.ranges()) add_shown(range.first, range.last);
        return out;
    }
    auto const wanted = set.resolve(box_->told);
    for (auto const range : wanted.ranges()) {
        if (range.last > box_->told) return std::nullopt;
        auto const [first, last] = box_->numbers.to_view(range.first, range.last);
        if (first <= last && first <= count) add_shown(view.uid(first), view.uid(std::min(last, count)));
    }
    return out;
}

template <class Store, mime::extractor Extractor>
void session<Store, Extractor>::enable_condstore() {
    if (std::exchange(condstore_, true) || !box_) return;
    say_format("* OK [HIGHESTMODSEQ {}] Mod-sequences are on", box_->box.view().highest_modseq());
}

}  // namespace imapd::imap
