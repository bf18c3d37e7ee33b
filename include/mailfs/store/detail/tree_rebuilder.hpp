// SPDX-License-Identifier: BSL-1.0
// Rebuilds an account's mailbox tree: from what its files still tell, and from the mailboxes that are there.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/tree_operations.hpp>
#include <mailfs/store/detail/account_core.hpp>
#include <mailfs/store/detail/journal_survey.hpp>
#include <mailfs/store/detail/mail_census.hpp>
#include <mailfs/store/detail/new_generation.hpp>
#include <mailfs/store/detail/watched_state.hpp>
#include <mailfs/store/mailbox_name.hpp>
#include <mailfs/store/rebuild_report.hpp>
#include <mailfs/store/tree_state.hpp>
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
#include <tuple>
#include <utility>
#include <vector>

namespace mailfs::detail {

template <class Index, message_format Format>
class tree_rebuilder {
public:
    using core_type = account_core<Index, Format>;
    using fs_type = typename Index::fs_type;
    using survey_type = surveyed_journal<fs_type, watched_tree>;

    static constexpr int tries_max = 4;  ///< while others make files

    tree_rebuilder(std::shared_ptr<core_type> core, mail_census const& census, rebuild_options const& options,
                   rebuild_report& report)
        : core_(std::move(core)),
          census_(census),
          options_(options),
          report_(report),
          directory_(core_->directory + "/tree") {}

    /// core->tree can be opened then, and has an INBOX.
    asio::awaitable<void> run() {
        auto& services = *core_->services;
        for (int i = 0; i < tries_max; ++i) {
            report_.names_given.clear();
            journal_survey<fs_type, watched_tree> survey(services.fs, directory_, services.host.boot());
            auto found = co_await survey.run({});
            if (!found->openable && i == 0) {
                co_await seal_newest(services.fs, directory_, found->names.newest_log());
                found = co_await survey.run({});
            }
            report_.tree_faults = found->faults;
            if (found->machine.needs_newer())
                throw error(errc::newer_version, directory_, "the mailbox tree has changes that this version does not know");
            bool const done = co_await rebuild(*found);
            if (done) co_return;
        }
        throw error(errc::busy, directory_, "others made files at every try");
    }

private:
    /// A mailbox without a name.
    struct nameless {
        guid id;
        std::uint32_t uid_validity = 0;
        std::string name;  // as far as something tells it
    };

    asio::awaitable<bool> rebuild(survey_type& s) {
        auto boxes = co_await nameless_boxes(s);
        if (s.openable) {
            bool const there = co_await core_->tree.open();
            if (!there) co_return false;
            co_await name_all(core_->state(), boxes, *this);
            if (!report_.names_given.empty()) report_.tree = rebuild_outcome::completed;
            co_return true;
        }
        auto& services = *core_->services;
        auto& m = s.machine;
        if (!s.any) m.reset(services.new_guid());
        m.stream().restart(services.host.boot());
        m.facts = nullptr;
        offline_writer<watched_tree, typename Index::host_type> writer(m, services.host);
        offline use{writer};
        co_await name_all(m, boxes, use);
        bool const made = co_await write_generation(services.fs, services.host, directory_, m, s.names);
        if (!made) co_return false;
        report_.tree = rebuild_outcome::rebuilt;
        if (options_.remove_old) co_await remove_old(s.names);
        co_return co_await core_->tree.open();
    }

    // Two ways to bring a transaction about.
    struct offline {
        offline_writer<watched_tree, typename Index::host_type>& writer;
        asio::awaitable<tree_outcome> propose(bytes_view operations) { co_return writer.apply(operations); }
    };
    asio::awaitable<tree_outcome> propose(bytes_view operations) {
        co_return co_await core_->tree.propose(operations, durability::stored);
    }

    // --- which mailboxes there are beside those that are named ------------------------------------------------

    asio::awaitable<std::vector<nameless>> nameless_boxes(survey_type const& s) {
        auto const names = co_await core_->services->fs.list(core_->directory + "/box");
        std::set<guid> ids;
        for (auto const& name : names)
            if (auto const id = guid::parse(name); id && *id) ids.insert(*id);
        if (!s.any)  // not a word is left: then each that a message was delivered to
            for (auto const& m : census_.mails)
                if (m.mailbox && m.sound) ids.insert(m.mailbox);
        std::vector<nameless> out;
        for (auto const& id : ids) {
            if (s.machine.name_of(id) != nullptr) continue;
            if (s.any && s.facts.known.contains(id)) continue;  // it was removed
            auto box = co_await look_at(id, s);
            if (box) out.push_back(std::move(*box));
        }
        std::sort(out.begin(), out.end(), [](nameless const& a, nameless const& b) {
            return std::tie(a.uid_validity, a.id) < std::tie(b.uid_validity, b.id);
        });
        co_return out;
    }

    // Nothing when it is what a creation or a removal left that did not come to its end.
    asio::awaitable<std::optional<nameless>> look_at(guid id, survey_type const& tree) {
        auto& services = *core_->services;
        auto const directory = core_->box_directory(id);
        auto const made_ms = co_await made_at(directory);
        if (!tree.is_untold(made_ms)) co_return std::nullopt;
        journal_survey<fs_type, watched_mailbox> survey(services.fs, directory, services.host.boot());
        auto const found = co_await survey.run(id);
        auto const& state = found->machine;
        bool const empty = state.counters().messages == 0 && !has_mail(id);
        bool const young = made_ms != unknown && made_ms + options_.settle_ms > services.host.now_ms();
        if (tree.openable && (empty || young)) co_return std::nullopt;
        nameless box{id, state.uid_validity(), {}};
        auto const told = tree.facts.names.find(id);
        auto const& metadata = state.metadata();
        auto const hint = metadata.find(mailbox_name_hint);
        if (told != tree.facts.names.end())
            box.name = told->second;
        else if (hint != metadata.end())
            box.name = hint->second;
        co_return box;
    }
    bool has_mail(guid const& id) const {
        return std::any_of(census_.mails.begin(), census_.mails.end(),
                           [&](found_mail const& m) { return m.mailbox == id && m.sound; });
    }
    // By the oldest log that is left.
    asio::awaitable<std::uint64_t> made_at(std::string directory) {
        log_history<fs_type, mailbox_state> history(core_->services->fs, std::move(directory), core_->services->host.boot());
        auto const all = co_await history.generations();
        for (auto const& g : all)
            if (g.header) co_return g.created_ms();
        co_return unknown;
    }
    static constexpr std::uint64_t unknown = std::numeric_limits<std::uint64_t>::max();

    // --- their names ------------------------------------------------------------------------------------------

    template <class Use>
    asio::awaitable<void> name_all(tree_state const& tree, std::vector<nameless> const& boxes, Use& use) {
        for (auto const& box : boxes) {
            auto const short_name = recovered_below + box.id.hex().substr(0, 8);
            auto const long_name = recovered_below + box.id.hex();
            for (auto const& name : {box.name, short_name, long_name}) {
                if (!is_canonical_mailbox_name(name)) continue;
                bool const named = co_await put(tree, box, name, use);
                if (!named) continue;
                report_.names_given.push_back(name);
                break;
            }
        }
        if (tree.find(inbox_name) != nullptr) co_return;
        nameless inbox{core_->services->new_guid(),
                       next_uid_validity(core_->services->host.now_ms(), tree.contents().uid_validity_last),
                       {}};
        std::string const name(inbox_name);
        co_await core_->make_mailbox(inbox.id, inbox.uid_validity, name);
        bool const named = co_await put(tree, inbox, name, use);
        if (named) report_.names_given.push_back(name);
    }
    // The tree's UIDVALIDITY must ascend; what the mailbox has of its own stays in its log.
    template <class Use>
    asio::awaitable<bool> put(tree_state const& tree, nameless const& box, std::string const& name, Use& use) {
        for (int i = 0; i < 64; ++i) {
            auto const last = tree.contents().uid_validity_last;
            auto const validity =
                box.uid_validity > last ? box.uid_validity : next_uid_validity(core_->services->host.now_ms(), last);
            format::tree_transaction t;
            t.create({box.id, validity, 0, false, name});
            auto const operations = t.bytes();
            auto const outcome = co_await use.propose(operations);
            if (outcome.verdict != tree_verdict::stale) co_return outcome.verdict == tree_verdict::applied;
        }
        co_return false;
    }
    inline static std::string const recovered_below = "Recovered/";

    asio::awaitable<void> remove_old(log_names names) {
        for (auto n : names.logs) {
            auto const path = directory_ + '/' + log_name(n);
            co_await core_->services->fs.remove(path);
        }
        for (auto n : names.snapshots) {
            auto const path = directory_ + '/' + snapshot_name(n);
            co_await core_->services->fs.remove(path);
        }
    }

    std::shared_ptr<core_type> core_;
    mail_census const& census_;
    rebuild_options const& options_;
    rebuild_report& report_;
    std::string directory_;
};

}  // namespace mailfs::detail
