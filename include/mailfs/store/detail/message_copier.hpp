// SPDX-License-Identifier: BSL-1.0
// Puts messages that exist already into a mailbox: by reference within an account, body by body between two.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/store/detail/account_core.hpp>
#include <mailfs/store/detail/body_reader.hpp>
#include <mailfs/store/fetch_pipeline.hpp>
#include <mailfs/store/new_message.hpp>
#include <mailfs/types/shared_bytes.hpp>
#include <mailfs/types/uid.hpp>
#include <mailfs/types/uid_set.hpp>

#include <asio/awaitable.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace mailfs::detail {

inline constexpr std::size_t copy_transaction_size = std::size_t{1} << 20;  // bytes; a longer one is begun anew
inline constexpr int follow_max = 8;                                         // moves of a body that a copy goes after
inline constexpr std::uint64_t copy_bytes_max = std::uint64_t{16} << 20;    // of bodies held at once; one always is

/// An account and one of its indexes. Used by mailbox.
template <class Index, class Format>
class message_copier {
public:
    message_copier(std::shared_ptr<account_core<Index, Format>> core, std::shared_ptr<Index> index)
        : core_(std::move(core)), index_(std::move(index)) {}

    /// Proposes the transaction, which appends `count` messages, and makes sure that they are where a reader will find them.
    /// Bodies that were written for them were begun at `begun_ms`. Throws not_found when the mailbox is not in the tree (any
    /// more), too_big when there are no UIDs left, busy when a purge may have taken the bodies for orphans.
    asio::awaitable<mailbox_outcome> commit(bytes_view operations, std::size_t count, durability wanted, std::uint64_t begun_ms) {
        if (core_->services->is_late(begun_ms)) fail_late();
        auto outcome = co_await index_->propose(operations, wanted);
        bool const late = core_->services->is_late(begun_ms);
        if (outcome.appended < count || late) {
            uid_set some;
            if (outcome.appended > 0) some.add(outcome.first_uid, outcome.first_uid + outcome.appended - 1);
            co_await undo(std::move(some));
            if (late) fail_late();
            throw error(errc::too_big, core_->box_directory(index_->state().object()), "the mailbox has no UIDs left");
        }
        // The record is in the log. Only if the tree has the mailbox after that was it in time: a removal that comes
        // later removes the message too, one that came before made the log a file without a name.
        bool const there = co_await core_->still_there(index_->state().object(), wanted);
        if (!there) throw error(errc::not_found, core_->box_directory(index_->state().object()), "the mailbox was removed");
        co_return outcome;
    }

    /// `source` is at its newest state. See mailbox::copy_to.
    asio::awaitable<copy_result> copy_from(message_copier source, uid_set uids, durability wanted) {
        copy_result result{index_->state().uid_validity(), {}};
        auto const left = source.live(uids);
        std::exception_ptr failure;
        try {
            for (std::size_t done = 0; done < left.size();) {
                auto const taken = co_await copy_some(source, std::span(left).subspan(done), wanted, result);
                done += taken;
            }
        } catch (...) {
            failure = std::current_exception();
        }
        if (!failure) co_return result;
        uid_set some;
        for (auto const& [from, to] : result.uids) some.add(to);
        try {
            co_await undo(std::move(some));
        } catch (error const&) {  // what stopped the copy stops this too; the caller hears of the first
        }
        std::rethrow_exception(failure);
    }

private:
    [[noreturn]] void fail_late() const {
        throw error(errc::busy, core_->box_directory(index_->state().object()), "it took so long that the bodies may have been purged");
    }
    struct copied {
        uid_t from, to;
        guid id;
        mail_location where;
    };

    std::vector<uid_t> live(uid_set const& uids) const {
        std::vector<uid_t> out;
        auto const& state = index_->state();
        for (auto range : uids.ranges())
            state.for_each(range.first, range.last, [&](std::size_t row) { out.push_back(state.rows().uid[row]); });
        return out;
    }
    message_entry entry_of(std::size_t row) const {
        auto const& state = index_->state();
        auto const& rows = state.rows();
        message_entry e{
            rows.id[row], rows.where[row], rows.size[row], rows.received[row], static_cast<flag>(rows.flags[row]), {}};
        for (auto k : state.keywords().members(rows.keyword_set[row])) e.keywords.push_back(state.keywords().names()[k]);
        return e;
    }

    // One transaction from the front of `uids`; how many of them it took.
    asio::awaitable<std::size_t> copy_some(message_copier& source, std::span<uid_t const> uids, durability wanted,
                                           copy_result& result) {
        bool const by_reference = source.core_ == core_;
        auto const begun_ms = core_->services->host.now_ms();
        std::vector<uid_t> from;
        std::vector<message_entry> entries;
        std::size_t taken = 0, records = 0;
        std::uint64_t bytes = 0;
        for (; taken < uids.size() && entries.size() < appends_max<Index>(); ++taken) {
            auto const row = source.index_->state().find(uids[taken]);
            if (!row) continue;
            auto entry = source.entry_of(*row);
            records += sizeof(format::append_operation) + 8;
            for (auto const& k : entry.keywords) records += k.size() + 2;
            bytes += entry.size;
            bool const too_much = records > copy_transaction_size || (!by_reference && bytes > copy_bytes_max);
            if (too_much && !entries.empty()) break;
            from.push_back(uids[taken]);
            entries.push_back(std::move(entry));
        }
        if (entries.empty()) co_return taken;
        if (!by_reference) co_await copy_bodies(source, from, entries, wanted);
        format::mailbox_transaction transaction;
        for (auto const& e : entries) transaction.append(e);
        auto const operations = transaction.bytes();
        auto const outcome = co_await commit(operations, entries.size(), wanted, begun_ms);
        auto const before = result.uids.size();
        std::vector<copied> made;
        for (std::size_t i = 0; i < from.size(); ++i) {
            auto const to = outcome.first_uid + static_cast<uid_t>(i);
            made.push_back({from[i], to, entries[i].id, entries[i].where});
            result.uids.emplace_back(from[i], to);
        }
        if (!by_reference) co_return taken;
        auto const kept = co_await confirm(source, std::move(made), wanted);
        result.uids.resize(before);
        for (auto const& c : kept) result.uids.emplace_back(c.from, c.to);
        co_return taken;
    }

    // A body that one row refers to till another does is never out of use, so no purge takes it. Messages that went before
    // their copy was there are passed over; where a purge moved one meanwhile, the copy follows. One read when all is well.
    asio::awaitable<std::vector<copied>> confirm(message_copier& source, std::vector<copied> made, durability wanted) {
        for (int tries = 0; tries < follow_max; ++tries) {
            co_await source.index_->catch_up();
            auto const& state = source.index_->state();
            uid_set gone;
            format::mailbox_transaction moved;
            for (auto& c : made) {
                auto const row = state.find(c.from);
                if (!row) gone.add(c.to);
                else if (state.rows().where[*row] != c.where) moved.relocate(c.to, c.id, c.where = state.rows().where[*row]);
            }
            std::erase_if(made, [&](auto const& c) { return gone.contains(c.to); });
            co_await undo(std::move(gone));
            if (moved.empty()) co_return made;
            auto const operations = moved.bytes();
            co_await index_->propose(operations, wanted);
        }
        throw error(errc::busy, core_->box_directory(index_->state().object()), "the bodies are moved faster than they can be referred to");
    }

    // The messages become this account's own, under new guids.
    asio::awaitable<void> copy_bodies(message_copier& source, std::vector<uid_t> const& from,
                                      std::vector<message_entry>& entries, durability wanted) {
        body_reader<Index, Format> reader(source.core_, source.index_);
        uid_set uids;
        for (auto const uid : from) uids.add(uid);
        fetch_pipeline<body_reader<Index, Format>> read_ahead(reader, std::move(uids), {});
        std::vector<shared_bytes> bodies;
        std::vector<mail_to_write> mails;
        for (std::size_t i = 0; i < from.size(); ++i) {
            auto one = co_await read_ahead.next();
            if (one->error) one->bytes = shared_bytes(co_await reader.read(from[i]));  // it throws why, in full
            bodies.push_back(std::move(one->bytes));
            entries[i].id = core_->services->new_guid();
            mails.push_back({entries[i].id, entries[i].received_ms, bodies.back(), index_->state().object()});
        }
        auto const places = co_await core_->mails.write(mails, wanted);
        for (std::size_t i = 0; i < entries.size(); ++i) entries[i].where = places[i];
    }

    asio::awaitable<void> undo(uid_set uids) {
        if (uids.empty()) co_return;
        format::mailbox_transaction transaction;
        transaction.expunge(uids, false);
        auto const operations = transaction.bytes();
        co_await index_->propose(operations, durability::stored);
    }

    std::shared_ptr<account_core<Index, Format>> core_;
    std::shared_ptr<Index> index_;
};

}  // namespace mailfs::detail
