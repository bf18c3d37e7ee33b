// SPDX-License-Identifier: BSL-1.0
// APPEND (MULTIAPPEND too, RFC 3502), COPY, MOVE, EXPUNGE, and what UIDPLUS (RFC 4315) says of them. Included by session.hpp.
#pragma once

#include "imap/session.hpp"

#include <algorithm>
#include <span>

namespace imapd::imap {

template <class Store, mime::extractor Extractor>
auto session<Store, Extractor>::open_target(std::string const& name) -> asio::awaitable<std::optional<mailbox>> {
    std::optional<mailbox> out;
    try {
        auto const at = locate(name);
        auto opened = co_await at.in.open(at.name);
        out.emplace(std::move(opened));
    } catch (mailfs::error const& error) {
        if (error.code() != mailfs::errc::not_found) throw;
    }
    co_return out;
}

inline answer try_create() { return no("[TRYCREATE] There is no such mailbox"); }

template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::on(cmd::append const& c) {
    auto target = co_await open_target(c.mailbox);
    if (!target) co_return try_create();
    if (c.mails.size() > limits::appends_max) co_return no("[LIMIT] More messages than one APPEND takes");
    bool const cancelled = std::any_of(c.mails.begin(), c.mails.end(), [](cmd::appended const& m) { return m.message.empty(); });
    if (c.mails.size() > 1 && cancelled) co_return no("APPEND was cancelled, by a message without bytes");  // RFC 3502
    std::vector<mailfs::new_message> mails;
    for (auto const& m : c.mails) mails.push_back({mailfs::as_bytes(m.message), m.flags.flags, m.flags.keywords, m.received_ms});
    std::span<mailfs::new_message const> const all(mails);
    auto const uids = co_await target->append(all);
    co_return ok(fmt::format("[APPENDUID {} {}] APPEND completed", target->uid_validity(), ordered_text(uids)));
}

template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::on(cmd::copy const& c) {
    if (c.move && box_->read_only) co_return no("The mailbox is read-only");
    auto const uids = targets(c.set, c.uid);
    if (!uids) co_return bad("There is no such message number");
    auto target = co_await open_target(c.mailbox);
    if (!target) co_return try_create();
    if (uids->empty()) co_return answer{};
    auto copying = c.move ? box_->box.move_to(*uids, *target) : box_->box.copy_to(*uids, *target);
    auto const result = co_await std::move(copying);
    if (result.uids.empty()) co_return answer{};
    std::vector<mailfs::uid_t> from, to;
    for (auto const& [old_uid, new_uid] : result.uids) {
        from.push_back(old_uid);
        to.push_back(new_uid);
    }
    auto const code = fmt::format("[COPYUID {} {} {}]", result.uid_validity, ordered_text(from), ordered_text(to));
    if (!c.move) co_return ok(code + " COPY completed");
    say_format("* OK {} Moved", code);  // RFC 6851 section 4.3: before the EXPUNGE responses
    co_return answer{};
}

template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::on(cmd::expunge const& c) {
    if (box_->read_only) co_return no("The mailbox is read-only");
    auto uids = c.uids ? *targets(*c.uids, true) : box_->box.view().uids();
    co_await box_->box.expunge(std::move(uids));
    if (!condstore_) co_return answer{};
    co_await sync(sync_options{});
    co_return ok(fmt::format("[HIGHESTMODSEQ {}] EXPUNGE completed", box_->box.view().highest_modseq()));
}

}  // namespace imapd::imap
