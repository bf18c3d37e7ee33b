// SPDX-License-Identifier: BSL-1.0
// SELECT, EXAMINE, CLOSE, UNSELECT, ENABLE, IDLE. Included by session.hpp.
#pragma once

#include "imap/session.hpp"

#include <asio/experimental/awaitable_operators.hpp>

namespace imapd::imap {

template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::on(cmd::select const& c) {
    if (c.resync && !qresync_) co_return bad("ENABLE QRESYNC first");
    if (box_) say("* OK [CLOSED] The mailbox selected before is closed");
    box_.reset();
    saved_ = {};
    auto const at = locate(c.mailbox);
    auto opened = co_await at.in.open(at.name);
    box_.emplace(selected{std::move(opened), c.mailbox, c.examine, {}, 0, {}});
    box_->told = box_->box.view().messages();
    if (c.condstore) condstore_ = true;
    say_selected();
    if (c.resync) co_await say_resync(*c.resync);
    co_return ok(fmt::format("[{}] {} completed", c.examine ? "READ-ONLY" : "READ-WRITE", c.examine ? "EXAMINE" : "SELECT"));
}

template <class Store, mime::extractor Extractor>
void session<Store, Extractor>::say_selected() {
    auto const& view = box_->box.view();
    say_flags();
    say_format("* {} EXISTS", view.messages());
    say("* 0 RECENT");
    if (auto const unseen = view.first_unseen()) say_format("* OK [UNSEEN {}] The first not seen", *unseen);
    say_format("* OK [UIDVALIDITY {}] UIDs hold", box_->box.uid_validity());
    say_format("* OK [UIDNEXT {}] The next UID at least", view.uid_next());
    say_format("* OK [HIGHESTMODSEQ {}] The latest change", view.highest_modseq());
    say_format("* OK [MAILBOXID ({})] Its name may change, this does not", box_->box.id().hex());
}

/// CLOSE expunges without a word (RFC 3501 section 6.4.2), UNSELECT does not (RFC 3691).
template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::close(bool expunge) {
    if (expunge && !box_->read_only) {
        auto all = box_->box.view().uids();
        co_await box_->box.expunge(std::move(all));
    }
    box_.reset();
    co_return answer{};
}

template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::on(cmd::enable const& c) {
    std::string enabled;
    for (auto const& capability : c.capabilities) {
        bool const known = capability == "CONDSTORE" || capability == "QRESYNC";
        if (!known || enabled.find(' ' + capability) != enabled.npos) continue;
        enabled += ' ' + capability;
        qresync_ = qresync_ || capability == "QRESYNC";
        enable_condstore();
    }
    say_format("* ENABLED{}", enabled);
    co_return answer{};
}

/// Completes when the mailbox may have changed; an error of the watch makes it no worse than a look every second.
template <class Store, mime::extractor Extractor>
asio::awaitable<void> session<Store, Extractor>::wait_for_change() {
    bool failed = false;
    try {
        co_await box_->box.wait_for_change();
    } catch (mailfs::error const& error) {
        failed = true;
        if (!std::exchange(watch_failed_, true))
            fmt::print(stderr, "imapd: looks every second for changes, for {}\n", error.what());
    }
    if (!failed) co_return;
    asio::steady_timer pause(co_await asio::this_coro::executor, std::chrono::seconds(1));
    co_await pause.async_wait(asio::use_awaitable);
}

/// RFC 2177. The line that ends it may be in the input already.
template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::idle() {
    using namespace asio::experimental::awaitable_operators;
    say("+ Idling");
    while (true) {
        if (box_) co_await sync(sync_options{});
        co_await flush();
        if (auto const line = net::take_line(*io_, limits::line_size_max)) {
            if (equal_nocase(line->line, "DONE")) co_return answer{};
            co_return bad("DONE ends IDLE");
        }
        if (io_->pending().size() > limits::line_size_max) co_return bad("DONE ends IDLE");
        if (box_)
            co_await (io_->fill() || wait_for_change());
        else
            co_await io_->fill();
        if (io_->why() != net::ending::none) throw net::hangup{io_->why()};
    }
}

}  // namespace imapd::imap
