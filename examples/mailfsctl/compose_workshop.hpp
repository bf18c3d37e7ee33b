// SPDX-License-Identifier: BSL-1.0
// The policies put together, behind the interface that mends and looks back.
#pragma once

#include "../compression.hpp"
#include "disk.hpp"
#include "runner.hpp"
#include "workshop.hpp"

#include <mailfs/error.hpp>
#include <mailfs/index/index.hpp>
#include <mailfs/log/lockless_log.hpp>
#include <mailfs/store/history.hpp>
#include <mailfs/store/purge.hpp>
#include <mailfs/store/rebuild.hpp>
#include <mailfs/store/store.hpp>
#include <mailfs/store/verify.hpp>

#include <memory>
#include <utility>

namespace mailfsctl {

template <class Store>
class composed_past final : public past_access {
public:
    using past_type = mailfs::past_mailbox<typename Store::index_type, typename Store::format_type>;
    using account_type = typename Store::account_type;
    composed_past(std::shared_ptr<runner> r, account_type a, std::string name, past_type p)
        : runner_(std::move(r)), account_(std::move(a)), name_(std::move(name)), past_(std::move(p)) {}

    mailfs::guid id() const override { return past_.id(); }
    std::uint32_t uid_validity() const override { return past_.state().uid_validity(); }
    mailfs::uid_t uid_next() const override { return past_.state().uid_next(); }
    mailfs::modseq_t modseq() const override { return past_.at().modseq(); }
    std::uint64_t time_ms() const override { return past_.time_ms(); }
    bool is_newest() const override { return past_.is_newest(); }
    mailfs::uid_set uids() const override { return past_.uids(); }
    std::optional<mailfs::message_row> row(mailfs::uid_t uid) const override {
        auto m = past_.find(uid);
        if (!m) return std::nullopt;
        auto& e = m->entry;
        return mailfs::message_row{m->uid, e.flags, m->modseq, e.size, e.received_ms, m->saved_ms, e.id, e.where, std::move(e.keywords)};
    }
    void fetch(mailfs::uid_set const& uids, std::function<bool(body&&)> const& take) override {
        bool more = true;
        uids.for_each([&](mailfs::uid_t uid) {
            if (!more) return;
            body b{uid, {}, {}};
            try {
                b.bytes = mailfs::shared_bytes(runner_->wait(past_.read(uid)));
            } catch (mailfs::error const& e) {
                b.failure = e.what();
            }
            more = take(std::move(b));
        });
    }
    mailfs::uid_set now() override { return runner_->wait(account_.open(name_)).view().uids(); }
    brought_back undo(mailfs::uid_set const& uids) override {
        auto result = runner_->wait(mailfs::undo_expunge(past_, uids));
        brought_back out;
        out.uids = std::move(result.back.uids);
        for (auto const& lost : result.lost) out.lost.push_back("UID " + std::to_string(lost.uid) + ": " + lost.reason);
        return out;
    }

private:
    std::shared_ptr<runner> runner_;
    account_type account_;
    std::string name_;
    past_type past_;
};

template <class Format>
class composed_workshop final : public workshop {
public:
    using index_type = mailfs::index<mailfs::lockless_log, disk>;
    using store_type = mailfs::store<index_type, Format>;
    composed_workshop(std::string const& root, std::uint64_t grace_ms) : store_(disk_at(root), options_of(grace_ms)) {}

    std::vector<std::string> accounts() override { return runner_->wait(store_.accounts()); }
    mailfs::verify_summary verify(std::string const& account, mailfs::verify_observer observer) override {
        return runner_->wait(mailfs::verify(store_, account, std::move(observer)));
    }
    mailfs::rebuild_report rebuild(std::string const& account, mailfs::rebuild_options options, std::string const& only) override {
        auto one = only.empty() ? std::nullopt : std::optional(only);
        return runner_->wait(mailfs::rebuild(store_, account, std::move(options), std::move(one)));
    }
    void purge(std::string const& account, unsigned dead_percent, std::function<bool(purge_step const&)> const& each) override {
        mailfs::purger<index_type, Format> purger(find(account), {dead_percent});
        while (each(told(runner_->wait(purger.step())))) {
        }
    }
    std::vector<generation_info> generations(std::string const& account, std::string const& mailbox) override {
        auto handle = find(account);
        auto const status = runner_->wait(handle.status(mailbox));
        auto const& core = *handle.core();
        mailfs::log_history<disk, mailfs::mailbox_state> history(core.services->fs, core.box_directory(status.id),
                                                                             core.services->host.boot());
        std::vector<generation_info> out;
        for (auto const& g : runner_->wait(history.generations()))
            out.push_back({g.number, g.log_size.value_or(0), g.snapshot_size.value_or(0), g.created_ms(), g.start().modseq(), g.header_fault});
        return out;
    }
    std::unique_ptr<past_access> past(std::string const& account, std::string const& mailbox, mailfs::log_cut when) override {
        auto handle = find(account);
        auto past = runner_->wait(mailfs::open_past(handle, mailbox, when));
        return std::make_unique<composed_past<store_type>>(runner_, handle, mailbox, std::move(past));
    }

private:
    static mailfs::store_options options_of(std::uint64_t grace_ms) {
        mailfs::store_options o;
        o.grace_ms = grace_ms;
        o.dbox.compression = mailfs_examples::compression(0);
        return o;
    }
    typename store_type::account_type find(std::string const& name) {
        auto found = runner_->wait(store_.find_account(name));
        if (!found) throw no_such_account(name);
        return std::move(*found);
    }
    static purge_step told(mailfs::purge_report const& r) {
        constexpr char const* phases[] = {"rest", "read mailboxes", "look at files", "remove files", "write anew", "note"};
        purge_step s{r.complete(), r.done, r.total, r.wait_ms, phases[static_cast<std::size_t>(r.phase)], r.files_removed, r.bytes_removed,
                     r.mails_moved, r.bytes_moved, r.mails_unreadable, r.mailboxes_removed, r.bytes_waiting, {}};
        try {
            if (r.failure) std::rethrow_exception(r.failure);
        } catch (std::exception const& e) {
            s.failure = e.what();
        }
        return s;
    }

    std::shared_ptr<runner> runner_ = std::make_shared<runner>();
    store_type store_;
};

}  // namespace mailfsctl
