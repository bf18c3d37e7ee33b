// SPDX-License-Identifier: BSL-1.0
// rebuild: gives back what mail files, and whatever is left of logs and snapshots, still tell of an account.
// The rules, and why: docs/decisions/rebuild.md
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fwd.hpp>
#include <mailfs/store/detail/account_core.hpp>
#include <mailfs/store/detail/mail_census.hpp>
#include <mailfs/store/detail/mailbox_rebuilder.hpp>
#include <mailfs/store/detail/message_copier.hpp>
#include <mailfs/store/detail/tree_rebuilder.hpp>
#include <mailfs/store/purge_marks.hpp>
#include <mailfs/store/rebuild_report.hpp>
#include <mailfs/store/store.hpp>
#include <mailfs/types/guid.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace mailfs {

namespace detail {

template <class Index, message_format Format>
class account_rebuilder {
public:
    using core_type = account_core<Index, Format>;

    account_rebuilder(std::shared_ptr<core_type> core, rebuild_options options)
        : core_(std::move(core)), options_(std::move(options)) {}

    /// `only`: of the mailboxes that one alone.
    asio::awaitable<rebuild_report> run(std::optional<std::string> only) {
        purge_marks<typename Index::fs_type> marks(core_->services->fs, core_->marks_directory());
        co_await marks.forget();  // what is out of use now may be referred to in a moment
        co_await census_.take(core_->mails, options_.progress);
        report_.mail_files = census_.files.size();
        report_.mail_faults = census_.faults;
        for (auto const& m : census_.mails) report_.mails += m.sound ? 1 : 0;
        tree_rebuilder<Index, Format> tree(core_, census_, options_, report_);
        co_await tree.run();
        if (only && core_->state().find(*only) == nullptr) core_->fail(errc::not_found, *only, "is no mailbox");
        co_await rebuild_boxes(only);
        if (!only) co_await house_the_homeless();
        co_return std::move(report_);
    }

private:
    asio::awaitable<void> rebuild_boxes(std::optional<std::string> const& only) {
        std::vector<std::pair<std::string, guid>> boxes;
        for (auto const& [name, entry] : core_->state().contents().mailboxes)
            if (!only || name == *only) boxes.emplace_back(name, entry.id);
        mailbox_rebuilder<Index, Format> rebuilder(core_, census_, options_);
        for (auto const& [name, id] : boxes) {
            auto one = co_await rebuilder.run(name, id, live_, known_);
            report_.mailboxes.push_back(std::move(one));
        }
    }

    // Messages that no mailbox has. Where one lost its past, what was copied or moved there, and what its own mailbox knows
    // to be gone, cannot be told from what was expunged.
    std::vector<found_mail const*> homeless() {
        std::vector<found_mail const*> out;
        guid before{};
        for (auto const& m : census_.mails) {
            bool const again = m.id == before;
            before = m.id;
            if (again || !m.sound || live_.contains(m.id) || m.size > std::numeric_limits<std::uint32_t>::max()) continue;
            bool const unknown = m.mailbox ? core_->state().name_of(m.mailbox) == nullptr : !known_.contains(m.id);
            ++(unknown ? report_.homeless : report_.expunged);
            if (unknown || options_.expunged_too) out.push_back(&m);
        }
        std::sort(out.begin(), out.end(), [](auto const* a, auto const* b) { return a->written_ms < b->written_ms; });
        return out;
    }
    asio::awaitable<void> house_the_homeless() {
        auto const mails = homeless();
        if (mails.empty() || options_.homeless_to.empty()) co_return;
        auto const name = core_->canonical(options_.homeless_to);
        co_await core_->refresh_tree();
        if (core_->state().find(name) == nullptr) {
            name_placer<Index, Format> placer(core_);
            co_await placer.create(name, special_use::none);
        }
        auto const id = core_->state().find(name)->id;
        auto const index = co_await core_->open_index(id);
        message_copier<Index, Format> copier(core_, index);
        constexpr std::size_t batch_max = 1024;
        for (std::size_t at = 0; at < mails.size(); at += batch_max) {
            format::mailbox_transaction t;
            auto const count = std::min(batch_max, mails.size() - at);
            for (std::size_t i = 0; i < count; ++i) {
                auto const& m = *mails[at + i];
                t.append({m.id, m.where, static_cast<std::uint32_t>(m.size), m.received_ms, flag::none, {}});
            }
            auto const operations = t.bytes();
            auto const begun_ms = core_->services->host.now_ms();
            co_await copier.commit(operations, count, durability::stored, begun_ms);
            report_.homeless_adopted += count;
        }
    }

    std::shared_ptr<core_type> core_;
    rebuild_options options_;
    mail_census census_;
    rebuild_report report_;
    std::set<guid> live_;
    std::set<guid> known_;  // bodies that do not tell whose they are, and some mailbox had
};

}  // namespace detail

/// Makes an account whole again, as far as its files tell: the mailbox tree first, then each mailbox. What can be opened is
/// left as it is, but for messages that its log lost, which come back by ordinary transactions; so a second time nothing
/// changes. What cannot be opened gets a new generation of log and snapshot beside what is there. UIDs and flags come from
/// whatever is left; messages without them get new ones; where nothing tells UIDs, UIDVALIDITY is a new one. The report says
/// what came back and what did not.
///
/// Cost: a read of all files. Memory: some 200 bytes for each message of the account, and the largest file. A crash leaves
/// things no worse; doing it again finishes. Handles and stores that have the account open should be closed first, though a
/// process that writes to a log that can't be opened any more is made to look for the new one. Throws bad_name, not_found
/// when there is no such account, newer_version (what is newer is left alone), busy, and what the filesystem throws.
template <class Index, message_format Format>
asio::awaitable<rebuild_report> rebuild(store<Index, Format>& in, std::string account_name, rebuild_options options,
                                        std::optional<std::string> only = std::nullopt) {
    auto directory = in.directory_of(account_name);
    auto fs = in.services()->fs;
    auto const there = co_await fs.list(directory);
    if (there.empty()) throw error(errc::not_found, directory, "no such account");
    in.forget(account_name);
    auto core = std::make_shared<detail::account_core<Index, Format>>(in.services(), std::move(directory));
    if (only) only = core->canonical(*only);
    detail::account_rebuilder<Index, Format> rebuilder(std::move(core), std::move(options));
    auto report = co_await rebuilder.run(std::move(only));
    in.forget(account_name);
    co_return report;
}
/// The same by default. An overload, since g++ 12 spoils a default argument that owns something in a co_await expression.
template <class Index, message_format Format>
asio::awaitable<rebuild_report> rebuild(store<Index, Format>& in, std::string account_name) {
    return rebuild(in, std::move(account_name), rebuild_options{});
}

}  // namespace mailfs
