// SPDX-License-Identifier: BSL-1.0
// A mailbox as it was: what it held at a moment, the bodies of that, and how to bring back what was expunged since.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/fwd.hpp>
#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/log/log_cut.hpp>
#include <mailfs/log/log_history.hpp>
#include <mailfs/store/account.hpp>
#include <mailfs/store/detail/account_core.hpp>
#include <mailfs/store/detail/message_copier.hpp>
#include <mailfs/store/new_message.hpp>
#include <mailfs/store/purge_marks.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/mail_location.hpp>
#include <mailfs/types/uid.hpp>
#include <mailfs/types/uid_set.hpp>

#include <asio/awaitable.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailfs {

/// One message as it was.
struct past_message {
    uid_t uid = 0;
    modseq_t modseq = 0;
    std::uint64_t saved_ms = 0;
    message_entry entry;  ///< guid, location, size, INTERNALDATE, flags, keywords
};

/// What is left of a mailbox's past, read-only; writers may go on. Belongs to its account's executor. Made by open_past().
template <class Index, message_format Format>
class past_mailbox {
public:
    using core_pointer = std::shared_ptr<detail::account_core<Index, Format>>;
    using state_pointer = std::unique_ptr<past_state<typename Index::fs_type, mailbox_state>>;

    past_mailbox(core_pointer core, state_pointer past) : core_(std::move(core)), past_(std::move(past)) {}

    mailbox_state const& state() const noexcept { return past_->machine; }
    guid id() const noexcept { return state().object(); }
    position at() const noexcept { return state().stream().at; }  ///< at().modseq() is HIGHESTMODSEQ
    std::uint64_t time_ms() const noexcept {
        return state().stream().latest.milliseconds();
    }  ///< of the last change until then
    bool is_newest() const noexcept { return past_->is_newest; }
    core_pointer const& core() const noexcept { return core_; }

    uid_set uids() const {
        uid_set all;
        state().for_each(1, uid_max, [&](std::size_t row) { all.add(state().rows().uid[row]); });
        return all;
    }
    /// Nothing when it was not there.
    std::optional<past_message> find(uid_t uid) const {
        auto const row = state().find(uid);
        return row ? std::optional(message(*row)) : std::nullopt;
    }
    /// Calls f(past_message) for each of them that was there, ascending.
    template <class F>
    void for_each(uid_set const& uids, F&& f) const {
        for (auto range : uids.ranges())
            state().for_each(range.first, range.last, [&](std::size_t row) { f(message(row)); });
    }

    /// The body, from where it was; or, when purge has moved it since, from where the mailbox has it now. Throws
    /// not_found when the message was not there, body_missing when purge removed the body, corrupt.
    asio::awaitable<std::vector<std::byte>> read(uid_t uid) {
        auto const m = find(uid);
        if (!m) throw error(errc::not_found, core_->box_directory(id()), "UID " + std::to_string(uid) + " was not there");
        auto const where = co_await place_of(m->entry);
        co_return co_await core_->mails.read(m->entry.id, where, m->entry.size);
    }

    /// Where the body can be read now, by trying. Throws as read() does.
    asio::awaitable<mail_location> place_of(message_entry const& m) {
        std::exception_ptr failure;
        try {
            co_await core_->mails.read_part(m.id, m.where, 0, 1);
            co_return m.where;
        } catch (error const& e) {
            if (e.code() != errc::body_missing && e.code() != errc::corrupt) throw;
            failure = std::current_exception();
        }
        co_await look_where_they_are();
        auto const now = moved_.find(m.id);
        if (now == moved_.end() || now->second == m.where) std::rethrow_exception(failure);
        co_return now->second;
    }

private:
    past_message message(std::size_t row) const {
        auto const& s = state();
        auto const& r = s.rows();
        past_message m;
        m.uid = r.uid[row];
        m.modseq = r.modseq[row];
        m.saved_ms = r.saved[row];
        m.entry = {r.id[row], r.where[row], r.size[row], r.received[row], static_cast<flag>(r.flags[row]), {}};
        for (auto k : s.keywords().members(r.keyword_set[row])) m.entry.keywords.push_back(s.keywords().names()[k]);
        return m;
    }
    asio::awaitable<void> look_where_they_are() {
        auto const index = co_await core_->open_index(id());
        co_await index->catch_up();
        auto const& now = index->state();
        if (looked_at_ == now.stream().at) co_return;
        moved_.clear();
        now.for_each(1, uid_max, [&](std::size_t row) { moved_.emplace(now.rows().id[row], now.rows().where[row]); });
        looked_at_ = now.stream().at;
    }

    core_pointer core_;
    state_pointer past_;
    std::map<guid, mail_location> moved_;  // where the mailbox had its bodies when it was here
    std::optional<position> looked_at_;
};

/// The mailbox that has this name now, as it was at the moment. Throws not_found, bad_name, and as log_history::load does:
/// past_gone when its logs and snapshots do not reach back so far.
template <class Index, message_format Format>
asio::awaitable<past_mailbox<Index, Format>> open_past(account<Index, Format> from, std::string name, log_cut when) {
    auto const core = from.core();
    auto const canonical = core->canonical(name);
    co_await core->refresh_tree();
    auto const* entry = core->state().find(canonical);
    if (entry == nullptr) core->fail(errc::not_found, canonical, "is no mailbox");
    log_history<typename Index::fs_type, mailbox_state> history(core->services->fs, core->box_directory(entry->id),
                                                                core->services->host.boot());
    auto past = co_await history.load(when);
    co_return past_mailbox<Index, Format>(core, std::move(past));
}

/// What undo_expunge() came to.
struct undo_result {
    struct lost_message {
        uid_t uid = 0;  ///< that it had
        guid id;
        std::string reason;  ///< names the file
    };
    copy_result back;                ///< the UIDs that they had, and those that they have now
    std::vector<lost_message> lost;  ///< bodies that are gone or damaged
};

namespace detail {

template <class Index, class Format>
class expunge_undoer {
public:
    explicit expunge_undoer(past_mailbox<Index, Format>& past) : past_(past), core_(past.core()) {}

    asio::awaitable<undo_result> run(uid_set uids) {
        index_ = co_await core_->open_index(past_.id());
        co_await index_->catch_up();
        result_.back.uid_validity = index_->state().uid_validity();
        auto gone = gone_of(uids);
        for (auto& m : gone) {
            bool const readable = co_await make_sure(m);
            if (!readable) continue;
            batch_bytes_ += sizeof(format::append_operation) + 8;
            for (auto const& k : m.entry.keywords) batch_bytes_ += k.size() + 2;
            batch_.push_back(std::move(m));
            if (batch_.size() == append_count_max || batch_bytes_ > copy_transaction_size) co_await commit();
        }
        co_await commit();
        co_return std::move(result_);
    }

private:
    // Those that the mailbox had then, and has not now: a body that it has under another UID since was brought back before.
    std::vector<past_message> gone_of(uid_set const& uids) const {
        auto const& now = index_->state();
        bool const same = now.uid_validity() == past_.state().uid_validity();
        std::map<guid, std::uint64_t> arrived;  // with a UID that nobody had then
        now.for_each(same ? past_.state().uid_next() : 1, uid_max, [&](std::size_t row) { ++arrived[now.rows().id[row]]; });
        std::vector<past_message> out;
        past_.for_each(uids, [&](past_message m) {
            if (same && now.find(m.uid)) return;
            auto const again = arrived.find(m.entry.id);
            if (again != arrived.end() && again->second > 0)
                --again->second;
            else
                out.push_back(std::move(m));
        });
        return out;
    }

    // All of the body, since it will be acknowledged.
    asio::awaitable<bool> make_sure(past_message& m) {
        try {
            m.entry.where = co_await past_.place_of(m.entry);
            co_await core_->mails.read(m.entry.id, m.entry.where, m.entry.size);
            co_return true;
        } catch (error const& e) {
            if (e.code() != errc::body_missing && e.code() != errc::corrupt) throw;
            result_.lost.push_back({m.uid, m.entry.id, e.what()});
        }
        co_return false;
    }

    asio::awaitable<void> commit() {
        if (batch_.empty()) co_return;
        purge_marks<typename Index::fs_type> marks(core_->services->fs, core_->marks_directory());
        auto const begun_ms = core_->services->host.now_ms();
        co_await marks.forget();  // nothing refers to these bodies, and a purge may have found that out
        format::mailbox_transaction transaction;
        for (auto const& m : batch_) transaction.append(m.entry);
        auto const operations = transaction.bytes();
        message_copier<Index, Format> copier(core_, index_);
        auto const outcome = co_await copier.commit(operations, batch_.size(), durability::stored, begun_ms);
        uid_set dead;
        for (std::size_t i = 0; i < batch_.size(); ++i) {
            auto const uid = outcome.first_uid + static_cast<uid_t>(i);
            bool const still = co_await make_sure(batch_[i]);  // purge had no reference to see until the commit
            if (still)
                result_.back.uids.emplace_back(batch_[i].uid, uid);
            else
                dead.add(uid);
        }
        batch_.clear();
        batch_bytes_ = 0;
        if (dead.empty()) co_return;
        format::mailbox_transaction take_back;
        take_back.expunge(dead, false);
        auto const expunge = take_back.bytes();
        co_await index_->propose(expunge, durability::stored);
    }

    past_mailbox<Index, Format>& past_;
    std::shared_ptr<account_core<Index, Format>> core_;
    std::shared_ptr<Index> index_;
    std::vector<past_message> batch_;
    std::size_t batch_bytes_ = 0;
    undo_result result_;
};

}  // namespace detail

/// Brings back those of `uids` (past.uids(): all) that were in the mailbox then and are not now: they are appended again, by
/// reference to the same bodies, under new UIDs, with the flags, keywords and INTERNALDATE of then. What was brought back
/// before is left alone, so repeating it is safe. Each body is read before the commit and after it; what cannot be read is
/// told, and is not in the mailbox. On stable storage when it returns. Throws as mailbox::append does; what was committed
/// until then stays. `past` must stay until it returns.
template <class Index, message_format Format>
asio::awaitable<undo_result> undo_expunge(past_mailbox<Index, Format>& past, uid_set uids) {
    detail::expunge_undoer<Index, Format> undoer(past);
    co_return co_await undoer.run(std::move(uids));
}

}  // namespace mailfs
