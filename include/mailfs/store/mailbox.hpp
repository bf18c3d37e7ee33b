// SPDX-License-Identifier: BSL-1.0
// mailbox: one session's hold on a mailbox: what it sees, and what it can do to the messages.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/fwd.hpp>
#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/index/view.hpp>
#include <mailfs/log/log_options.hpp>
#include <mailfs/store/detail/account_core.hpp>
#include <mailfs/store/detail/body_reader.hpp>
#include <mailfs/store/detail/common_body.hpp>
#include <mailfs/store/detail/message_copier.hpp>
#include <mailfs/store/fetch_pipeline.hpp>
#include <mailfs/store/new_message.hpp>
#include <mailfs/store/search_query.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/flags.hpp>
#include <mailfs/types/uid.hpp>
#include <mailfs/types/uid_set.hpp>

#include <asio/awaitable.hpp>
#include <asio/this_coro.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace mailfs {

struct flags_result {
    modseq_t modseq = 0;            ///< of all that was changed
    uid_set modified;               ///< left alone, for they had changed after unchanged_since
    bool keywords_refused = false;  ///< the mailbox has no room for so many different keywords
};

/// Belongs to one executor; it must not be moved or destroyed while a call is under way. Calls throw mailfs::error;
/// those that write throw errc::not_found when the mailbox was removed. What a call changed the view shows after refresh().
template <class Index, message_format Format>
class mailbox {
public:
    using fetch_type = fetch_pipeline<detail::body_reader<Index, Format>>;
    static constexpr std::size_t hints_max = 8;  ///< of will_need()
    using core_pointer = std::shared_ptr<detail::account_core<Index, Format>>;

    /// Made by account::open.
    mailbox(core_pointer core, std::shared_ptr<Index> index)
        : core_(std::move(core)), index_(std::move(index)), view_(index_->make_view()) {}
    mailbox(mailbox&&) noexcept = default;
    mailbox& operator=(mailbox&& other) noexcept {  // a view goes before its index, so nothing is given up here
        std::swap(core_, other.core_);
        std::swap(index_, other.index_);
        std::swap(view_, other.view_);
        std::swap(watch_, other.watch_);
        std::swap(hints_, other.hints_);
        return *this;
    }

    guid id() const noexcept { return index_->state().object(); }  ///< MAILBOXID (RFC 8474)
    std::uint32_t uid_validity() const noexcept { return index_->state().uid_validity(); }
    mailfs::view const& view() const noexcept { return view_; }

    /// Shows what happened since the last time, and tells it. One read when nothing did.
    asio::awaitable<view_changes> refresh() {
        co_await index_->catch_up();
        co_return view_.refresh();
    }
    /// Returns when refresh() may have something to tell, or for nothing; the first call always at once. Asio's
    /// cancellation ends it.
    asio::awaitable<void> wait_for_change() {
        if (!watch_) watch_.emplace(index_->watch());
        co_await watch_->changed();
    }

    /// The UID of the message. Throws too_big, no_space, ...; on an error it is not in the mailbox, except with
    /// may_have_happened.
    asio::awaitable<uid_t> append(bytes_view message, append_options options = {}) {
        new_message const one{message, options.flags, std::move(options.keywords), options.received_ms};
        auto const uids = co_await append(std::span(&one, 1));
        co_return uids.front();
    }
    /// All or none, UIDs in order: bodies first, then one record for all of them, which is the commit. At most
    /// append_count_max messages (too_big), 256 where nodes share the mailbox. The bytes must stay until it returns. One write and one sync of the bodies, the
    /// same of the index, when `stored`.
    asio::awaitable<std::vector<uid_t>> append(std::span<new_message const> messages) {
        if (messages.empty()) co_return std::vector<uid_t>{};
        if (messages.size() > detail::appends_max<Index>())
            throw error(errc::too_big, directory(), "more messages than one append takes");
        for (auto const& m : messages) detail::check_keywords(m.keywords, directory());
        auto const begun_ms = core_->services->host.now_ms();
        auto const entries = co_await write_bodies(messages);
        format::mailbox_transaction transaction;
        for (auto const& e : entries) transaction.append(e);
        auto const operations = transaction.bytes();
        auto const outcome = co_await copier().commit(operations, entries.size(), durability_wanted(), begun_ms);
        co_return detail::consecutive(outcome.first_uid, entries.size());
    }

    /// The same for one message that goes to several accounts of the store: its body is written by the first of these calls, and shared
    /// by the others where that is possible. `body` and the account that wrote it must stay until all of them have returned.
    asio::awaitable<uid_t> append(new_message const& message, detail::common_body<Index, Format>& body)
        requires sharing_format<Format>
    {
        detail::check_keywords(message.keywords, directory());
        auto const begun_ms = core_->services->host.now_ms();
        auto const here = co_await body.place_in(core_, message, durability_wanted());
        if (!here) {
            auto const uids = co_await append(std::span(&message, 1));
            co_return uids.front();
        }
        format::mailbox_transaction transaction;
        transaction.append(body.entry(message));
        auto const operations = transaction.bytes();
        auto const outcome = co_await copier().commit(operations, 1, durability_wanted(), std::min(begun_ms, *here));
        co_return outcome.first_uid;
    }

    /// Messages whose MODSEQ is above change.unchanged_since stay as they are and are told as `modified`.
    asio::awaitable<flags_result> set_flags(uid_set uids, flag_change change) {
        if (uids.empty()) co_return flags_result{index_->state().highest_modseq(), {}, false};
        detail::check_keywords(change.keywords, directory());
        format::mailbox_transaction transaction;
        transaction.change_flags(uids, change);
        auto const operations = transaction.bytes();
        auto outcome = co_await index_->propose(operations, durability_wanted());
        co_return flags_result{outcome.at.modseq(), std::move(outcome.modified), outcome.keywords_refused};
    }

    /// Removes those of the messages that have \Deleted, or all of them. Their UIDs.
    asio::awaitable<uid_set> expunge(uid_set uids, bool only_deleted = true) {
        if (uids.empty()) co_return uid_set{};
        format::mailbox_transaction transaction;
        transaction.expunge(uids, only_deleted);
        auto const operations = transaction.bytes();
        auto outcome = co_await index_->propose(operations, durability_wanted());
        co_return std::move(outcome.expunged);
    }

    /// Flags, keywords and INTERNALDATE go along. Within an account a copy refers to the same body and costs one record;
    /// into another account bodies are read and written. All or none: up to append_count_max messages are one transaction;
    /// more go in several, and what an error leaves of them is expunged again. Messages that are gone are passed over.
    asio::awaitable<copy_result> copy_to(uid_set uids, mailbox& target) {
        co_return co_await copy(std::move(uids), target, durability_wanted());
    }
    /// A copy, on stable storage whatever the store's durability, then the expunge of what was copied: a power cut or a
    /// crash between the two leaves a message in both mailboxes, never in neither. Two sessions that move one message
    /// to two mailboxes at once leave it in both.
    asio::awaitable<copy_result> move_to(uid_set uids, mailbox& target) {
        auto result = co_await copy(std::move(uids), target, durability::stored);
        uid_set moved;
        for (auto const& [from, to] : result.uids) moved.add(from);
        co_await expunge(std::move(moved), false);
        co_return result;
    }

    /// By flags, keywords, numbers, sizes and dates, over the messages that the view shows. No I/O.
    uid_set search(search_query const& query) const { return search_view(view_, query); }

    /// The bodies of those messages that the view shows, or the part that the options name, in order, read ahead. The pipeline
    /// keeps what it needs alive.
    fetch_type fetch(uid_set const& uids, fetch_options options = {}) {
        auto wanted = shown(uids);
        for (auto known = hints_.begin(); known != hints_.end(); ++known) {
            if (known->uids != wanted || known->part != options.part) continue;
            auto begun = std::move(known->mails);
            hints_.erase(known);
            return begun;
        }
        return pipeline(std::move(wanted), options);
    }
    /// Says that a fetch() of the same messages and part is to come, so that it finds its first window read or under way: for who
    /// knows before it is their turn. Does not wait for it; again is nothing. The last hints_max hints are kept, each at the cost
    /// of its window.
    asio::awaitable<void> will_need(uid_set const& uids, fetch_options options = {}) {
        auto const executor = co_await asio::this_coro::executor;
        auto wanted = shown(uids);
        auto const known = std::any_of(hints_.begin(), hints_.end(), [&](hint const& h) { return h.uids == wanted && h.part == options.part; });
        if (wanted.empty() || known) co_return;
        if (hints_.size() == hints_max) hints_.pop_front();
        hints_.push_back({wanted, options.part, pipeline(wanted, options)});
        hints_.back().mails.start(executor);
    }
    /// One body. Throws not_found, body_missing, corrupt.
    asio::awaitable<std::vector<std::byte>> read(uid_t uid) {
        if (!view_.number(uid)) throw error(errc::not_found, directory(), "UID " + std::to_string(uid) + " is not there");
        detail::body_reader<Index, Format> reader(core_, index_);
        co_return co_await reader.read(uid);
    }

private:
    struct hint {
        uid_set uids;
        mail_part part;
        fetch_type mails;
    };
    uid_set shown(uid_set const& uids) const {
        uid_set shown;
        for (auto range : uids.ranges()) view_.for_each(range.first, range.last, [&](uid_t uid) { shown.add(uid); });
        return shown;
    }
    fetch_type pipeline(uid_set uids, fetch_options options) const {
        return fetch_type(detail::body_reader<Index, Format>(core_, index_, options.part), std::move(uids), options);
    }
    std::string directory() const { return core_->box_directory(id()); }
    durability durability_wanted() const noexcept { return core_->services->options.durability; }
    detail::message_copier<Index, Format> copier() const { return {core_, index_}; }

    asio::awaitable<std::vector<message_entry>> write_bodies(std::span<new_message const> messages) {
        auto& services = *core_->services;
        auto const now = services.host.now_ms();
        std::vector<mail_to_write> bodies;
        std::vector<message_entry> entries;
        for (auto const& m : messages) {
            detail::check_size(m, directory());
            auto const received = m.received_ms == 0 ? now : m.received_ms;
            bodies.push_back({services.new_guid(), received, m.bytes, id()});
            entries.push_back(
                {bodies.back().id, {}, static_cast<std::uint32_t>(m.bytes.size()), received, m.flags, m.keywords});
        }
        auto const places = co_await core_->mails.write(bodies, durability_wanted());
        for (std::size_t i = 0; i < entries.size(); ++i) entries[i].where = places[i];
        co_return entries;
    }

    asio::awaitable<copy_result> copy(uid_set uids, mailbox& target, durability wanted) {
        co_await index_->catch_up();
        auto to = target.copier();
        co_return co_await to.copy_from(copier(), std::move(uids), wanted);
    }

    core_pointer core_;
    std::shared_ptr<Index> index_;  // outlives view_
    mailfs::view view_;
    std::deque<hint> hints_;
    std::optional<decltype(std::declval<Index const&>().watch())> watch_;
};

}  // namespace mailfs
