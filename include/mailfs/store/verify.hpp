// SPDX-License-Identifier: BSL-1.0
// verify: every checksum and every invariant of an account, across mailbox tree, indexes and mail files.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fwd.hpp>
#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/log/log_directory.hpp>
#include <mailfs/log/log_history.hpp>
#include <mailfs/store/detail/account_core.hpp>
#include <mailfs/store/detail/journal_verifier.hpp>
#include <mailfs/store/detail/mail_verifier.hpp>
#include <mailfs/store/detail/verify_report.hpp>
#include <mailfs/store/finding.hpp>
#include <mailfs/store/store.hpp>
#include <mailfs/store/tree_state.hpp>
#include <mailfs/types/guid.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace mailfs {

namespace detail {

template <class Index, message_format Format>
class account_verifier {
public:
    using fs_type = typename Index::fs_type;
    using core_type = account_core<Index, Format>;

    account_verifier(std::shared_ptr<store_services<Index, Format>> services, std::string directory,
                     verify_observer observer)
        : core_(std::make_shared<core_type>(std::move(services), std::move(directory))),
          fs_(core_->services->fs),
          boot_(core_->services->host.boot()) {
        report_.observer = std::move(observer);
    }

    asio::awaitable<verify_summary> run() {
        auto files = co_await core_->mails.files();
        auto const boxes = co_await boxes_there();
        co_await count(files, boxes);
        auto const tree = co_await check_tree();
        mail_verifier<Format> mails(core_->mails, report_);
        for (auto const& id : boxes) co_await check_box(id, tree.get(), mails);
        if (tree) co_await check_names(*tree, boxes);
        auto const missing = co_await mails.run(std::move(files));
        co_await recheck(missing);
        auto const& s = report_.sum;
        if (s.orphaned_mails > 0)
            report_.tell(severity::note, core_->directory + "/mail", finding::no_offset,
                         std::to_string(s.orphaned_mails) + " messages of " + std::to_string(s.orphaned_bytes) +
                             " bytes in no mailbox");
        co_return s;
    }

private:
    using tree_past = past_state<fs_type, tree_state>;

    std::string tree_directory() const { return core_->directory + "/tree"; }

    // Mailboxes as the filesystem has them; other names in their place are told.
    asio::awaitable<std::vector<guid>> boxes_there() {
        auto const above = core_->directory + "/box";
        auto const names = co_await fs_.list(above);
        std::vector<guid> ids;
        for (auto const& name : names) {
            if (auto const id = guid::parse(name))
                ids.push_back(*id);
            else
                report_.tell(severity::note, above + '/' + name, finding::no_offset, "is none of a store's");
        }
        std::sort(ids.begin(), ids.end());
        co_return ids;
    }

    // For the progress alone: what fails here is told where it is read.
    asio::awaitable<void> count(std::vector<mail_file> const& files, std::vector<guid> const& boxes) {
        for (auto const& file : files) co_await count(file.path);
        co_await count_journal(tree_directory());
        for (auto const& id : boxes) co_await count_journal(core_->box_directory(id));
        report_.read(0);
    }
    asio::awaitable<void> count_journal(std::string directory) {
        try {
            auto const names = co_await list_logs(fs_, directory);
            for (auto n : names.logs) co_await count(directory + '/' + log_name(n));
            for (auto n : names.snapshots) co_await count(directory + '/' + snapshot_name(n));
        } catch (error const&) {
        }
    }
    asio::awaitable<void> count(std::string path) {
        try {
            auto file = co_await fs_.open(path);
            if (file) report_.at.bytes_total += co_await file->size();
        } catch (error const&) {
        }
    }

    asio::awaitable<std::unique_ptr<tree_past>> check_tree() {
        try {
            journal_verifier<fs_type, tree_state> journal(fs_, tree_directory(), boot_, report_);
            auto tree = co_await journal.run({});
            if (tree && tree->machine.needs_newer())
                report_.tell(severity::damage, tree_directory(), finding::no_offset,
                             "has changes that this version does not know");
            co_return tree;
        } catch (error const& e) {
            report_.tell(severity::loss, e);
        }
        co_return nullptr;
    }

    asio::awaitable<void> check_box(guid id, tree_past const* tree, mail_verifier<Format>& mails) {
        auto const directory = core_->box_directory(id);
        std::string const* const name = tree == nullptr ? nullptr : tree->machine.name_of(id);
        bool empty = false;
        try {
            journal_verifier<fs_type, mailbox_state> journal(fs_, directory, boot_, report_);
            auto const box = co_await journal.run(id);
            if (box) check_state(box->machine, name == nullptr ? nullptr : tree->machine.find(*name), directory);
            if (box) mails.expect(box->machine, static_cast<std::uint32_t>(boxes_.size()));
        } catch (error const& e) {
            empty = e.code() == errc::not_found;
            if (!empty) report_.tell(severity::loss, e);
        }
        if (empty && name != nullptr) co_await tell_lost(id, *name);
        boxes_.push_back(id);
        if (tree != nullptr && name == nullptr) co_await tell_orphan(id);
    }

    void check_state(mailbox_state const& box, mailbox_entry const* entry, std::string const& directory) {
        ++report_.sum.mailboxes;
        report_.sum.messages += box.counters().messages;
        auto const bad = [&](std::string what) {
            report_.tell(severity::damage, directory, finding::no_offset, std::move(what));
        };
        if (box.uid_validity() == 0) bad("has no UIDVALIDITY");
        if (entry != nullptr && box.uid_validity() < entry->uid_validity) bad("has a lower UIDVALIDITY than the tree says");
        try {
            box.verify();
        } catch (error const& e) {
            report_.tell(severity::damage, e);
        }
        modseq_t before = 0;
        for (auto const& v : box.vanished().entries()) {
            bool alive = false;
            box.for_each(v.first, v.last, [&](std::size_t) { alive = true; });
            if (alive) bad("UID " + std::to_string(v.first) + ":" + std::to_string(v.last) + " is there and was expunged");
            if (v.last >= box.uid_next() || v.modseq > box.highest_modseq() || v.modseq < before)
                bad("an expunge from beyond the stream");
            before = v.modseq;
        }
    }

    // A mailbox is made before the tree names it, and its files go after the tree has forgotten it.
    asio::awaitable<void> tell_orphan(guid id) {
        auto const names = co_await fs_.list(core_->box_directory(id));
        bool const named = names.empty() || co_await is_named(id);
        if (!named)
            report_.tell(severity::note, core_->box_directory(id), finding::no_offset,
                         "a mailbox that the tree does not name");
    }
    asio::awaitable<void> tell_lost(guid id, std::string name) {
        bool const named = co_await is_named(id);
        if (named)
            report_.tell(severity::loss, core_->box_directory(id), finding::no_offset,
                         "the mailbox \"" + name + "\" has no log");
    }
    asio::awaitable<bool> is_named(guid id) {
        log_history<fs_type, tree_state> history(fs_, tree_directory(), boot_);
        try {
            auto const now = co_await history.load();
            co_return now->machine.name_of(id) != nullptr;
        } catch (error const&) {  // it could be read before; nothing is certain now
        }
        co_return false;
    }
    asio::awaitable<void> check_names(tree_past const& tree, std::vector<guid> const& boxes) {
        if (tree.machine.find(inbox_name) == nullptr)
            report_.tell(severity::loss, tree_directory(), finding::no_offset, "has no INBOX");
        for (auto const& [name, entry] : tree.machine.contents().mailboxes)
            if (!std::binary_search(boxes.begin(), boxes.end(), entry.id)) co_await tell_unlisted(entry.id, name);
    }
    // It may have come since the directories were listed.
    asio::awaitable<void> tell_unlisted(guid id, std::string name) {
        auto const files = co_await fs_.list(core_->box_directory(id));
        if (files.empty()) co_await tell_lost(id, std::move(name));
    }

    // A body that is not where a row said may have been moved, and its row changed; or the message was expunged.
    asio::awaitable<void> recheck(std::vector<body_reference> const& missing) {
        std::unique_ptr<past_state<fs_type, mailbox_state>> box;
        std::uint32_t loaded = ~0U;
        for (auto const& m : missing) {
            auto const directory = core_->box_directory(boxes_[m.mailbox]);
            if (loaded != m.mailbox) {
                loaded = m.mailbox;
                box = co_await load_again(directory);
            }
            if (!box) continue;
            auto const row = box->machine.find(m.uid);
            if (!row) continue;
            auto const& rows = box->machine.rows();
            auto const id = rows.id[*row];
            auto const where = rows.where[*row];
            auto const size = rows.size[*row];
            co_await recheck_body(id, where, size, directory + ": UID " + std::to_string(m.uid));
        }
    }
    asio::awaitable<std::unique_ptr<past_state<fs_type, mailbox_state>>> load_again(std::string directory) {
        log_history<fs_type, mailbox_state> history(fs_, std::move(directory), boot_);
        try {
            co_return co_await history.load();
        } catch (error const&) {  // it was removed; or it has been told
        }
        co_return nullptr;
    }
    asio::awaitable<void> recheck_body(guid id, mail_location where, std::uint32_t size, std::string who) {
        try {
            auto const body = co_await core_->mails.read(id, where, size);
            if (body.size() != size)
                report_.tell(
                    severity::damage, core_->directory + "/mail", where.offset,
                    who + " has " + std::to_string(body.size()) + " bytes, and its row says " + std::to_string(size));
        } catch (error const& e) {
            report_.tell(severity::loss, e.file(), e.offset(), who + ": " + e.code().message());
        }
    }

    std::shared_ptr<core_type> core_;
    fs_type fs_;
    guid boot_;
    verify_report report_;
    std::vector<guid> boxes_;  // in the order in which they were checked
};

}  // namespace detail

/// Checks one account; nothing in it is changed, and writers may go on: what rotation, purge or a delivery under way causes
/// is not told. The observer hears of each finding as it is met, with the file and the offset, and of the bytes read so far.
/// Cost: a read of all files; memory for the largest file, and some 70 bytes for each message of the account. Throws
/// bad_name, not_found when there is no such account, and what the filesystem throws that is no damage.
template <class Index, message_format Format>
asio::awaitable<verify_summary> verify(store<Index, Format>& from, std::string account_name, verify_observer observer) {
    auto directory = from.directory_of(account_name);
    auto fs = from.services()->fs;
    auto const there = co_await fs.list(directory);
    if (there.empty()) throw error(errc::not_found, directory, "no such account");
    detail::account_verifier<Index, Format> verifier(from.services(), std::move(directory), std::move(observer));
    co_return co_await verifier.run();
}

}  // namespace mailfs
