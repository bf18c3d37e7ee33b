// SPDX-License-Identifier: BSL-1.0
// account: the mailboxes of one user, by name.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/tree_operations.hpp>
#include <mailfs/fwd.hpp>
#include <mailfs/store/detail/account_core.hpp>
#include <mailfs/store/detail/name_placer.hpp>
#include <mailfs/store/mailbox.hpp>
#include <mailfs/store/mailbox_name.hpp>
#include <mailfs/store/special_use.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/uid.hpp>

#include <asio/awaitable.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailfs {

struct mailbox_info {
    std::string name;
    guid id;                  ///< zero when not selectable
    bool selectable = false;  ///< false: a name that only has names below it
    bool subscribed = false;
    bool has_children = false;
    special_use use = special_use::none;
};

struct mailbox_status {
    std::uint64_t messages = 0;
    std::uint64_t unseen = 0;
    std::uint64_t deleted = 0;
    std::uint64_t bytes = 0;
    uid_t uid_next = 0;
    std::uint32_t uid_validity = 0;
    modseq_t highest_modseq = 0;
    guid id;
};

struct create_options {
    special_use use = special_use::none;
};

/// A handle, cheap to copy; belongs to its store's executor. Names are UTF-8 with '/' between levels; INBOX in any case.
/// Each call first reads what others did to the tree (one read when they did nothing). Changes are on stable storage
/// when a call returns. All throw mailfs::error: bad_name for what is no name, newer_version when the tree is beyond us.
template <class Index, message_format Format>
class account {
public:
    using mailbox_type = mailfs::mailbox<Index, Format>;
    using core_type = detail::account_core<Index, Format>;

    /// Made by store::account.
    explicit account(std::shared_ptr<core_type> core) : core_(std::move(core)) {}

    /// All names, INBOX and what is below it first, else by bytes. O(mailboxes).
    asio::awaitable<std::vector<mailbox_info>> list() {
        co_await core_->refresh_tree();
        std::map<std::string, mailbox_info> by_name;
        for (auto const& [name, entry] : core_->state().contents().mailboxes) {
            auto& info = by_name[name];
            info.id = entry.id;
            info.selectable = true;
            info.use = entry.use;
            for (auto above : ancestors_of(name)) by_name[std::string(above)].has_children = true;
        }
        std::vector<mailbox_info> first, rest;
        for (auto& [name, info] : by_name) {
            info.name = name;
            info.subscribed = core_->state().subscribed(name);
            bool const inbox = name == inbox_name || is_below(name, inbox_name);
            (inbox ? first : rest).push_back(std::move(info));
        }
        first.insert(first.end(), std::make_move_iterator(rest.begin()), std::make_move_iterator(rest.end()));
        co_return first;
    }
    /// All subscribed names, whether there is such a mailbox or not.
    asio::awaitable<std::vector<std::string>> subscriptions() {
        co_await core_->refresh_tree();
        std::vector<std::string> names;
        for (auto const& [name, entry] : core_->state().contents().subscriptions)
            if (entry.on) names.push_back(name);
        co_return names;
    }

    /// Makes the names above it too. Throws exists, too_big (mailboxes_max).
    asio::awaitable<void> create(std::string name, create_options options = {}) {
        auto canonical = core_->canonical(name);
        detail::name_placer<Index, Format> placer(core_);
        co_await placer.create(std::move(canonical), options.use);
    }

    /// Names below it stay. Who has the mailbox open reads on, as long as the filesystem lets it. Throws not_found, and
    /// denied for INBOX.
    asio::awaitable<void> remove(std::string name) {
        auto const canonical = core_->canonical(name);
        if (canonical == inbox_name) core_->fail(errc::denied, canonical, "cannot be removed");
        auto const id = co_await find(canonical);
        format::tree_transaction transaction;
        transaction.remove({id});
        auto const operations = transaction.bytes();
        auto const outcome = co_await core_->tree.propose(operations, durability::stored);
        if (outcome.verdict != tree_verdict::applied)
            core_->fail(detail::to_errc(outcome.verdict), canonical, "was removed or became INBOX");
        co_await core_->discard_mailbox(id);
    }

    /// Names below go along, in one transaction; names above the new one are made. Renaming INBOX moves its messages to a
    /// new mailbox and leaves what is below where it is (RFC 9051, section 6.3.6): a crash in between leaves some in INBOX.
    /// Throws not_found, exists, denied (into itself), bad_name (a name below would be too long).
    asio::awaitable<void> rename(std::string from, std::string to) {
        auto source = core_->canonical(from);
        auto target = core_->canonical(to);
        detail::name_placer<Index, Format> placer(core_);
        if (source != inbox_name) {
            co_await placer.rename(std::move(source), std::move(target));
            co_return;
        }
        co_await placer.create(target, special_use::none);
        auto inbox = co_await open(std::move(source));
        auto other = co_await open(std::move(target));
        auto all = inbox.view().uids();
        co_await inbox.move_to(std::move(all), other);
    }

    /// The name need not exist.
    asio::awaitable<void> subscribe(std::string name, bool on) {
        auto const canonical = core_->canonical(name);
        co_await core_->refresh_tree();
        if (core_->state().subscribed(canonical) == on) co_return;
        format::tree_transaction transaction;
        transaction.subscribe({on, canonical});
        auto const operations = transaction.bytes();
        auto const outcome = co_await core_->tree.propose(operations, durability::stored);
        if (outcome.verdict != tree_verdict::applied)
            core_->fail(detail::to_errc(outcome.verdict), canonical, "cannot be subscribed");
    }

    /// At its newest state. Throws not_found.
    asio::awaitable<mailbox_type> open(std::string name) {
        auto const index = co_await find_index(name);
        co_return mailbox_type(core_, index);
    }
    /// Without a view: O(1) once the mailbox is open somewhere on this executor. Throws not_found.
    asio::awaitable<mailbox_status> status(std::string name) {
        auto const index = co_await find_index(name);
        auto const& state = index->state();
        auto const& count = state.counters();
        mailbox_status out;
        out.messages = count.messages;
        out.unseen = count.unseen;
        out.deleted = count.deleted;
        out.bytes = count.bytes;
        out.uid_next = state.uid_next();
        out.uid_validity = state.uid_validity();
        out.highest_modseq = state.highest_modseq();
        out.id = state.object();
        co_return out;
    }

    /// Wakes when list() may have something new.
    auto watch() const { return core_->tree.watch(); }

    /// For what else works on accounts: store/history.hpp, verify.hpp, rebuild.hpp, purge.hpp.
    std::shared_ptr<core_type> const& core() const noexcept { return core_; }

private:
    asio::awaitable<guid> find(std::string canonical) {
        co_await core_->refresh_tree();
        auto const* entry = core_->state().find(canonical);
        if (entry == nullptr) core_->fail(errc::not_found, canonical, "is no mailbox");
        co_return entry->id;
    }
    asio::awaitable<std::shared_ptr<Index>> find_index(std::string name) {
        auto canonical = core_->canonical(name);
        auto const id = co_await find(std::move(canonical));
        auto const index = co_await core_->open_index(id);
        co_await index->catch_up();
        co_return index;
    }

    std::shared_ptr<core_type> core_;
};

}  // namespace mailfs
