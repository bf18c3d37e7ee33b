// SPDX-License-Identifier: BSL-1.0
// Rebuilds one mailbox: what its files still tell, and the messages of the mail files that it lacks.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/format/tree_operations.hpp>
#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/store/detail/account_core.hpp>
#include <mailfs/store/detail/journal_survey.hpp>
#include <mailfs/store/detail/mail_census.hpp>
#include <mailfs/store/detail/message_copier.hpp>
#include <mailfs/store/detail/new_generation.hpp>
#include <mailfs/store/detail/watched_state.hpp>
#include <mailfs/store/new_message.hpp>
#include <mailfs/store/rebuild_report.hpp>
#include <mailfs/store/tree_state.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/uid.hpp>
#include <mailfs/types/uid_set.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// The tree can be opened: it is core->tree.
template <class Index, message_format Format>
class mailbox_rebuilder {
public:
    using core_type = account_core<Index, Format>;
    using fs_type = typename Index::fs_type;
    using survey_type = surveyed_journal<fs_type, watched_mailbox>;

    static constexpr int tries_max = 4;  ///< while others make files

    mailbox_rebuilder(std::shared_ptr<core_type> core, mail_census const& census, rebuild_options const& options)
        : core_(std::move(core)), census_(census), options_(options) {}

    /// `live` gets the bodies that the mailbox has in the end; `known` those without a hint that it has or once had.
    asio::awaitable<rebuilt_mailbox> run(std::string name, guid id, std::set<guid>& live, std::set<guid>& known) {
        sealed_ = false;
        for (int i = 0; i < tries_max; ++i) {
            out_ = {};
            out_.name = name;
            out_.id = id;
            journal_survey<fs_type, watched_mailbox> survey(core_->services->fs, core_->box_directory(id),
                                                            core_->services->host.boot());
            auto found = co_await survey.run(id);
            if (!found->openable && !sealed_) {  // what a process that still has it open appends from now on is void
                co_await seal_newest(core_->services->fs, core_->box_directory(id), found->names.newest_log());
                sealed_ = true;
                found = co_await survey.run(id);
            }
            bool const done = co_await rebuild(*found);
            if (!done) continue;
            auto const& state = found->machine;
            state.for_each(1, uid_max, [&](std::size_t row) { live.insert(state.rows().id[row]); });
            for (auto const& g : adopted_) live.insert(g);
            for (auto const& m : census_.mails)
                if (!m.mailbox && found->facts.known.contains(m.id)) known.insert(m.id);
            co_return std::move(out_);
        }
        throw error(errc::busy, core_->box_directory(id), "others made files at every try");
    }

private:
    struct relocation {
        uid_t uid;
        guid id;
        mail_location where;
    };

    asio::awaitable<bool> rebuild(survey_type& s) {
        out_.faults = s.faults;
        out_.changes_dropped = s.facts.changes_dropped;
        out_.kept = s.machine.counters().messages;
        adopted_.clear();
        live_of_ = nullptr;
        auto const moved = co_await check_rows(s.machine);
        auto const mails = adoptable(s);
        if (s.openable) {
            out_.uid_validity = s.machine.uid_validity();
            if (moved.empty() && mails.empty()) co_return true;
            co_await complete(s, moved, mails);
            co_return true;
        }
        co_return co_await renew(s, moved, mails);
    }

    // Rows whose bodies are not where they should be. Some came after the census, or were moved since.
    asio::awaitable<std::vector<relocation>> check_rows(mailbox_state const& state) {
        std::vector<std::size_t> doubtful;
        auto const& rows = state.rows();
        state.for_each(1, uid_max, [&](std::size_t row) {
            if (!census_.is_at(rows.id[row], rows.where[row])) doubtful.push_back(row);
        });
        std::vector<relocation> moved;
        for (auto row : doubtful) {
            auto const id = rows.id[row];
            auto const why = co_await fault_at(id, rows.where[row], rows.size[row]);
            if (why.empty()) continue;
            auto const* const other = census_.find(id);
            if (other != nullptr && other->sound && other->size == rows.size[row])
                moved.push_back({rows.uid[row], id, other->where});
            else
                out_.lost.push_back({rows.uid[row], id, why});
        }
        co_return moved;
    }
    asio::awaitable<std::string> fault_at(guid id, mail_location where, std::uint64_t size) {
        try {
            co_await core_->mails.read(id, where, size);
        } catch (error const& e) {
            if (e.code() != errc::body_missing && e.code() != errc::corrupt) throw;
            co_return e.what();
        }
        co_return std::string();
    }
    std::string fault_of(found_mail const& m) const {
        return census_.files[m.file].path + ", offset " + std::to_string(m.where.offset) + ": the body is damaged";
    }

    // Messages that were delivered here, that nothing left of the past says to have been expunged, in the order of their
    // coming.
    std::vector<found_mail const*> adoptable(survey_type const& s) {
        auto const now = core_->services->host.now_ms();
        std::vector<found_mail const*> out;
        guid before{};
        for (auto const& m : census_.mails) {
            bool const again = m.id == before;  // sound ones come first
            before = m.id;
            if (again || m.mailbox != out_.id) continue;
            if (s.facts.known.contains(m.id)) {
                if (!is_live(s.machine, m.id)) ++out_.left_out;
                continue;
            }
            if (!s.is_untold(m.written_ms))
                ++out_.left_out;
            else if (!m.sound || m.size > std::numeric_limits<std::uint32_t>::max())
                out_.lost.push_back({0, m.id, fault_of(m)});
            else if (!s.openable || m.written_ms + options_.settle_ms <= now)
                out.push_back(&m);
        }
        std::sort(out.begin(), out.end(), [](found_mail const* a, found_mail const* b) {
            return std::tie(a->written_ms, a->received_ms, a->where, a->id) <
                   std::tie(b->written_ms, b->received_ms, b->where, b->id);
        });
        return out;
    }
    bool is_live(mailbox_state const& state, guid const& id) {
        if (live_of_ != &state) {
            live_.clear();
            state.for_each(1, uid_max, [&](std::size_t row) { live_.insert(state.rows().id[row]); });
            live_of_ = &state;
        }
        return live_.contains(id);
    }

    static message_entry entry_of(found_mail const& m) {
        return {m.id, m.where, static_cast<std::uint32_t>(m.size), m.received_ms, flag::none, {}};
    }
    static constexpr std::size_t batch_max = 1024;  // messages or relocations in one transaction

    // Calls use(operations, mails in it) for transactions of bounded length.
    template <class Use>
    asio::awaitable<void> in_batches(std::span<relocation const> moved, std::span<found_mail const* const> mails, Use& use) {
        while (!moved.empty()) {
            format::mailbox_transaction t;
            auto const some = moved.first(std::min(moved.size(), batch_max));
            for (auto const& r : some) t.relocate(r.uid, r.id, r.where);
            auto const operations = t.bytes();
            std::span<found_mail const* const> const none;
            co_await use(operations, none);
            out_.moved += some.size();
            moved = moved.subspan(some.size());
        }
        while (!mails.empty()) {
            format::mailbox_transaction t;
            auto const some = mails.first(std::min(mails.size(), batch_max));
            for (auto const* m : some) t.append(entry_of(*m));
            auto const operations = t.bytes();
            co_await use(operations, some);
            mails = mails.subspan(some.size());
        }
    }

    // Writers may be at work: what is put back takes the way of any message.
    asio::awaitable<void> complete(survey_type const&, std::vector<relocation> const& moved,
                                   std::vector<found_mail const*> const& mails) {
        auto const index = co_await core_->open_index(out_.id);
        co_await index->catch_up();
        if (!mails.empty()) co_await index->log().leave_behind();  // UIDs of those that were lost may have been seen
        struct propose {
            mailbox_rebuilder& self;
            std::shared_ptr<Index> index;

            asio::awaitable<void> operator()(bytes_view operations, std::span<found_mail const* const> some) {
                if (some.empty()) {
                    co_await index->propose(operations, durability::stored);
                    co_return;
                }
                message_copier<Index, Format> copier(self.core_, index);
                auto const begun_ms = self.core_->services->host.now_ms();
                auto const outcome = co_await copier.commit(operations, some.size(), durability::stored, begun_ms);
                co_await self.check_still_there(*index, some, outcome.first_uid);
            }
        };
        propose use{*this, index};
        co_await in_batches(moved, mails, use);
        out_.outcome = rebuild_outcome::completed;
    }
    // Purge saw no reference until the commit.
    asio::awaitable<void> check_still_there(Index& index, std::span<found_mail const* const> some, uid_t first_uid) {
        uid_set dead;
        for (std::size_t i = 0; i < some.size(); ++i) {
            auto const uid = first_uid + static_cast<uid_t>(i);
            try {
                co_await core_->mails.read_part(some[i]->id, some[i]->where, 0, 1);
                ++out_.adopted;
                adopted_.push_back(some[i]->id);
            } catch (error const& e) {
                if (e.code() != errc::body_missing && e.code() != errc::corrupt) throw;
                dead.add(uid);
                out_.lost.push_back({0, some[i]->id, e.what()});
            }
        }
        if (dead.empty()) co_return;
        format::mailbox_transaction t;
        t.expunge(dead, false);
        auto const operations = t.bytes();
        co_await index.propose(operations, durability::stored);
    }

    // A new generation, whose stream leaves behind all that clients may have seen.
    asio::awaitable<bool> renew(survey_type& s, std::vector<relocation> const& moved,
                                std::vector<found_mail const*> const& mails) {
        auto& services = *core_->services;
        auto& m = s.machine;
        auto validity = m.uid_validity() != 0 || !s.any ? m.uid_validity() : validity_in_tree();
        out_.uids_kept = validity != 0;
        if (!s.any) m.reset(out_.id);
        if (!out_.uids_kept) validity = co_await claim_uid_validity(m.uid_validity());
        out_.uid_validity = validity;
        m.stream().restart(services.host.boot());
        if (out_.uids_kept) m.skip_ids(rebuilt_ids_margin);
        offline_writer<watched_mailbox, typename Index::host_type> writer(m, services.host);
        m.facts = nullptr;
        format::mailbox_transaction first;
        first.raise(validity, 0);
        writer.apply(first.bytes());
        struct apply_offline {
            mailbox_rebuilder& self;
            decltype(writer)& to;

            asio::awaitable<void> operator()(bytes_view operations, std::span<found_mail const* const> some) {
                auto const outcome = to.apply(operations);
                for (std::size_t i = 0; i < some.size(); ++i) {
                    if (i < outcome.appended) {
                        ++self.out_.adopted;
                        self.adopted_.push_back(some[i]->id);
                    } else {
                        self.out_.lost.push_back({0, some[i]->id, "the mailbox has no UIDs left"});
                    }
                }
                co_return;
            }
        };
        apply_offline use{*this, writer};
        co_await in_batches(moved, mails, use);
        auto const directory = core_->box_directory(out_.id);
        bool const made = co_await write_generation(services.fs, services.host, directory, m, s.names);
        services.indexes.drop(directory);
        if (!made) co_return false;
        out_.outcome = rebuild_outcome::rebuilt;
        if (options_.remove_old) co_await remove_old(directory, s.names);
        co_return true;
    }

    // What the mailbox was made with, or was given by a rebuild since.
    std::uint32_t validity_in_tree() const {
        auto const* const name = core_->state().name_of(out_.id);
        if (name == nullptr) return 0;
        auto validity = core_->state().find(*name)->uid_validity;
        std::uint32_t given = 0;
        if (auto const* text = core_->state().metadata(out_.id, std::string(validity_key)))
            std::from_chars(text->data(), text->data() + text->size(), given);
        return std::max(validity, given);
    }
    static constexpr std::string_view validity_key = "mailfs.uidvalidity";

    // Greater than any that a mailbox of this account has or had: the tree, which gives them out, is told.
    asio::awaitable<std::uint32_t> claim_uid_validity(std::uint32_t above) {
        auto& services = *core_->services;
        for (int i = 0; i < 64; ++i) {
            co_await core_->refresh_tree();
            auto const last = std::max(core_->state().contents().uid_validity_last, above);
            auto const validity = next_uid_validity(services.host.now_ms(), last);
            auto const id = services.new_guid();
            format::tree_transaction t;  // a mailbox that nobody ever sees
            t.create({id, validity, 0, false, id.hex()});
            t.remove({id});
            auto const text = std::to_string(validity);
            t.metadata({out_.id, true, validity_key, text});
            auto const operations = t.bytes();
            auto const outcome = co_await core_->tree.propose(operations, durability::stored);
            if (outcome.verdict == tree_verdict::applied) co_return validity;
            if (outcome.verdict != tree_verdict::stale)
                core_->fail(to_errc(outcome.verdict), out_.name, "gets no UIDVALIDITY");
        }
        core_->fail(errc::busy, out_.name, "gets no UIDVALIDITY: others made mailboxes at every try");
    }

    asio::awaitable<void> remove_old(std::string directory, log_names names) {
        for (auto n : names.logs) {
            auto const path = directory + '/' + log_name(n);
            co_await core_->services->fs.remove(path);
        }
        for (auto n : names.snapshots) {
            auto const path = directory + '/' + snapshot_name(n);
            co_await core_->services->fs.remove(path);
        }
    }

    std::shared_ptr<core_type> core_;
    mail_census const& census_;
    rebuild_options const& options_;
    rebuilt_mailbox out_;
    std::vector<guid> adopted_;
    std::set<guid> live_;
    mailbox_state const* live_of_ = nullptr;
    bool sealed_ = false;
};

}  // namespace mailfs::detail
