// SPDX-License-Identifier: BSL-1.0
// Puts a name into a mailbox tree, by creation or by rename, and the names above it that are missing.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/format/tree_operations.hpp>
#include <mailfs/store/detail/account_core.hpp>
#include <mailfs/store/mailbox_name.hpp>
#include <mailfs/store/special_use.hpp>
#include <mailfs/store/tree_state.hpp>

#include <asio/awaitable.hpp>

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// One transaction: what decides comes first, then a creation for each missing ancestor. The logs of new mailboxes are made
/// before it; those that it does not take are removed again.
template <class Index, class Format>
class name_placer {
public:
    /// Others may make mailboxes at the same time, and each then needs a greater UIDVALIDITY: so many tries.
    static constexpr int tries_max = 64;

    explicit name_placer(std::shared_ptr<account_core<Index, Format>> core) : core_(std::move(core)) {}

    /// `name` is canonical. Throws exists, too_big, busy, and what the filesystem throws.
    asio::awaitable<void> create(std::string name, special_use use) {
        name_ = std::move(name);
        use_ = use;
        co_await place();
    }
    /// Both are canonical. Throws not_found, exists, denied, bad_name, busy.
    asio::awaitable<void> rename(std::string from, std::string to) {
        from_ = std::move(from);
        name_ = std::move(to);
        co_await place();
        co_await note_name();
    }

private:
    struct new_mailbox {
        std::string name;
        guid id;
        std::uint32_t uid_validity;
        special_use use;
        bool if_absent;
    };

    asio::awaitable<void> place() {
        for (int tries = 0; tries < tries_max; ++tries) {
            co_await core_->refresh_tree();
            plan();
            if (placed_ && fresh_.empty()) co_return;
            auto const begun_ms = core_->services->host.now_ms();
            co_await make_logs();
            auto const operations = transaction_.bytes();  // if this throws it may have happened: the logs stay
            auto const outcome = co_await core_->tree.propose(operations, durability::stored);
            if (core_->services->is_late(begun_ms)) co_await take_back();
            co_await discard_refused();
            placed_ = placed_ || outcome.done > 0;
            if (outcome.verdict == tree_verdict::applied) co_return;
            if (outcome.verdict == tree_verdict::stale) continue;
            if (placed_) co_return;  // its ancestors are listed all the same, though not selectable
            core_->fail(to_errc(outcome.verdict), from_ ? *from_ : name_, why(outcome.verdict));
        }
        core_->fail(errc::busy, name_, "could not be placed: others made mailboxes at every try");
    }

    // For rebuild() alone; names below go without. What was renamed is renamed, whether this can be written or not.
    asio::awaitable<void> note_name() {
        auto const* const entry = core_->state().find(name_);
        if (entry == nullptr) co_return;
        format::mailbox_transaction note;
        note.metadata(mailbox_name_hint, name_);
        auto const operations = note.bytes();
        try {
            auto const index = co_await core_->open_index(entry->id);
            co_await index->propose(operations, durability::none);
        } catch (error const&) {
        }
    }

    static std::string_view why(tree_verdict v) noexcept {
        switch (v) {
            case tree_verdict::name_taken: return "cannot have that name, it is taken";
            case tree_verdict::not_found: return "is no mailbox";
            case tree_verdict::denied: return "cannot be renamed so";
            case tree_verdict::full: return "would be one mailbox too many";
            default: return "cannot be placed";
        }
    }

    void plan() {
        auto const& tree = core_->state();
        transaction_ = {};
        fresh_.clear();
        if (!placed_ && from_) plan_rename(tree);
        if (!placed_ && !from_) {
            if (tree.find(name_) != nullptr) core_->fail(errc::exists, name_, why(tree_verdict::name_taken));
            add(name_, use_, false);
        }
        for (auto above : ancestors_of(name_))
            if (tree.find(above) == nullptr) add(std::string(above), special_use::none, true);
        for (auto const& m : fresh_)
            transaction_.create({m.id, m.uid_validity, static_cast<std::uint16_t>(m.use), m.if_absent, m.name});
    }
    void plan_rename(tree_state const& tree) {
        auto const* source = tree.find(*from_);
        if (source == nullptr && !tree.has_children(*from_))
            core_->fail(errc::not_found, *from_, why(tree_verdict::not_found));
        if (is_below(name_, *from_)) core_->fail(errc::denied, *from_, "cannot go below itself");
        if (tree.find(name_) != nullptr || tree.has_children(name_)) core_->fail(errc::exists, name_, "is taken");
        transaction_.rename({source == nullptr ? guid{} : source->id, *from_, name_});
    }
    void add(std::string name, special_use use, bool if_absent) {
        auto const& services = core_->services;
        auto const last = fresh_.empty() ? core_->state().contents().uid_validity_last : fresh_.back().uid_validity;
        fresh_.push_back(
            {std::move(name), services->new_guid(), next_uid_validity(services->host.now_ms(), last), use, if_absent});
    }

    asio::awaitable<void> make_logs() {
        std::exception_ptr failure;
        try {
            for (auto const& m : fresh_) co_await core_->make_mailbox(m.id, m.uid_validity, m.name);
        } catch (...) {
            failure = std::current_exception();
        }
        if (!failure) co_return;
        for (auto const& m : fresh_) co_await core_->discard_mailbox(m.id);
        std::rethrow_exception(failure);
    }
    // Logs that no tree names are somebody's prey after a while: a purge may have taken ours before the tree named them.
    asio::awaitable<void> take_back() {
        format::tree_transaction away;
        bool any = false;
        for (auto const& m : fresh_) {
            if (core_->state().name_of(m.id) == nullptr) continue;
            away.remove({m.id});
            any = true;
        }
        if (!any) co_return;
        auto const operations = away.bytes();
        co_await core_->tree.propose(operations, durability::stored);
        co_await discard_refused();
        core_->fail(errc::busy, name_, "took so long to make that it may have been purged");
    }
    asio::awaitable<void> discard_refused() {
        for (auto const& m : fresh_)
            if (core_->state().name_of(m.id) == nullptr) co_await core_->discard_mailbox(m.id);
    }

    std::shared_ptr<account_core<Index, Format>> core_;
    std::string name_;
    std::optional<std::string> from_;
    special_use use_ = special_use::none;
    bool placed_ = false;
    format::tree_transaction transaction_;
    std::vector<new_mailbox> fresh_;
};

}  // namespace mailfs::detail
