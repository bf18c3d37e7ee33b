// SPDX-License-Identifier: BSL-1.0
// Finds all bodies that the mailboxes of an account refer to at one instant, while others go on moving messages about.
//
// It reads all mailboxes in passes. A message may be copied out of a mailbox that was not read yet into one that was, and so
// slip through a pass. But of two passes the second sees all that was there at the instant between them: what a mailbox
// held at that instant is still there, or it was read in the first pass, or it came and went since, and then the list of
// vanished messages names it. Where that list or the row behind it is gone, there is a third pass, and so on.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/dbox_message.hpp>
#include <mailfs/store/detail/account_core.hpp>
#include <mailfs/store/purge_places.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/uid.hpp>

#include <asio/awaitable.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// Belongs to one executor; keeps the account alive.
template <class Index, message_format Format>
class purge_marker {
public:
    static constexpr int passes_max = 16;

    /// `lasting`: what is found to be out of use must stay so when the power is cut, so logs are synced where they are read.
    /// `young_since_ms`: messages that were saved since then are told apart; none: nobody asks.
    purge_marker(std::shared_ptr<account_core<Index, Format>> core, bool lasting, std::optional<std::uint64_t> young_since_ms = {})
        : core_(std::move(core)), lasting_(lasting), young_since_ms_(young_since_ms), places_(Format::shares_files) {}

    bool done() const noexcept { return pass_ >= 2 && at_ == mailboxes_.size() && stable_; }
    purge_places const& places() const noexcept { return places_; }
    purge_places const& young() const noexcept { return young_; }  ///< files, each with a message at least that was saved since then
    std::uint64_t read() const noexcept { return at_; }                     ///< mailboxes in this pass
    std::uint64_t to_read() const noexcept { return mailboxes_.size(); }

    /// Reads one more mailbox, if there is one. Throws what keeps it from knowing what a mailbox holds; busy, when others
    /// change so much that no pass sees all.
    asio::awaitable<void> step() {
        if (at_ == mailboxes_.size()) co_await begin_pass();
        if (at_ == mailboxes_.size()) co_return;
        auto const id = mailboxes_[at_];
        bool const there = co_await read_mailbox(id);
        stable_ = stable_ && there;
        ++at_;
    }

private:
    asio::awaitable<void> begin_pass() {
        if (pass_ == passes_max) throw error(errc::busy, core_->directory, "its mailboxes change faster than they can be looked through");
        co_await core_->refresh_tree();
        if (lasting_) co_await core_->tree.sync();  // who removed a mailbox may not have come so far
        ++pass_;
        at_ = 0;
        stable_ = true;
        mailboxes_.clear();
        for (auto const& [name, entry] : core_->state().contents().mailboxes) mailboxes_.push_back(entry.id);
        for (auto const& [id, modseq] : seen_) stable_ = stable_ && core_->state().name_of(id) != nullptr;
        std::erase_if(seen_, [&](auto const& entry) { return core_->state().name_of(entry.first) == nullptr; });
    }

    // False: it was removed, or something of it is not known.
    asio::awaitable<bool> read_mailbox(guid id) {
        std::exception_ptr failure;
        try {
            auto const index = co_await core_->borrow_index(id);
            if (!index) co_return false;
            co_await index->catch_up();
            bool const whole = co_await collect(id, *index);
            co_return whole;
        } catch (error const&) {
            failure = std::current_exception();
        }
        co_await core_->refresh_tree();
        if (core_->state().name_of(id) != nullptr) std::rethrow_exception(failure);
        co_return false;
    }

    asio::awaitable<bool> collect(guid id, Index& index) {
        auto const found = seen_.find(id);
        bool const known = found != seen_.end();
        modseq_t const since = known ? found->second : 0;
        if (known && since == index.state().highest_modseq()) co_return true;
        bool whole = false, damaged = false;
        try {
            whole = add_rows(index, since);
        } catch (error const& e) {
            if (e.code() != errc::corrupt) throw;
            damaged = true;
        }
        if (damaged) {
            co_await index.catch_up();  // which mends what it can
            whole = add_rows(index, since);
        }
        seen_[id] = index.state().highest_modseq();
        if (lasting_ && !known) co_await index.sync();
        co_return whole || pass_ == 1;
    }

    // What is there, and what went since then. False: something went and left no row.
    bool add_rows(Index const& index, modseq_t since) {
        auto const& state = index.state();
        state.for_each(1, uid_max, [&](std::size_t row) { add_row(state, row); });
        if (pass_ == 1) return true;
        bool whole = since >= state.vanished().floor();
        state.vanished().since(since).for_each([&](uid_t uid) {
            auto const row = state.rows().lower_bound(uid);
            bool const there = row < state.rows().count() && state.rows().uid[row] == uid;
            if (there) add_row(state, row);
            whole = whole && there;
        });
        return whole;
    }
    template <class State>
    void add_row(State const& state, std::size_t row) {
        auto const where = state.rows().where[row];
        if (!where) return;
        auto const file = core_->mails.file_number(state.rows().id[row], where);
        places_.add(file, where.offset, dbox_extent(state.rows().size[row]));
        if (young_since_ms_ && state.rows().saved[row] >= *young_since_ms_) young_.add(file, 0, 0);
    }

    std::shared_ptr<account_core<Index, Format>> core_;
    bool lasting_;
    std::optional<std::uint64_t> young_since_ms_;
    purge_places places_, young_{false};
    std::vector<guid> mailboxes_;  // of this pass
    std::size_t at_ = 0;
    std::map<guid, modseq_t> seen_;  // HIGHESTMODSEQ of each mailbox when it was last read
    int pass_ = 0;
    bool stable_ = true;
};

}  // namespace mailfs::detail
