// SPDX-License-Identifier: BSL-1.0
// The policies put together, behind the interface that the commands use.
#pragma once

#include "../compression.hpp"
#include "disk.hpp"
#include "runner.hpp"
#include "storage.hpp"

#include <mailfs/index/index.hpp>
#include <mailfs/log/lockless_log.hpp>
#include <mailfs/store/store.hpp>

#include <memory>
#include <utility>

namespace mailfsctl {

template <class Store>
class composed_mailbox final : public mailbox_access {
public:
    using mailbox_type = typename Store::mailbox_type;
    composed_mailbox(std::shared_ptr<runner> r, mailbox_type m) : runner_(std::move(r)), mailbox_(std::move(m)) {}

    mailfs::guid id() const override { return mailbox_.id(); }
    std::uint32_t uid_validity() const override { return mailbox_.uid_validity(); }
    mailfs::uid_t uid_next() const override { return mailbox_.view().uid_next(); }
    mailfs::uid_set uids() const override { return mailbox_.view().uids(); }
    std::optional<mailfs::message_row> row(mailfs::uid_t uid) const override { return mailbox_.view().row(uid); }
    std::vector<mailfs::uid_t> append(std::span<mailfs::new_message const> messages) override {
        auto uids = runner_->wait(mailbox_.append(messages));
        runner_->wait(mailbox_.refresh());
        return uids;
    }
    std::vector<std::byte> read(mailfs::uid_t uid) override { return runner_->wait(mailbox_.read(uid)); }
    void fetch(mailfs::uid_set const& uids, std::function<bool(body&&)> const& take) override {
        auto pipeline = mailbox_.fetch(uids, {.window = 16, .bytes_max = std::uint64_t{16} << 20});
        while (auto mail = runner_->wait(pipeline.next()))
            if (!take({mail->uid, std::move(mail->bytes), mail->error ? mail->reason : std::string{}})) return;
    }

private:
    std::shared_ptr<runner> runner_;
    mailbox_type mailbox_;
};

template <class Store>
class composed_account final : public account_access {
public:
    using account_type = typename Store::account_type;
    composed_account(std::shared_ptr<runner> r, account_type a) : runner_(std::move(r)), account_(std::move(a)) {}

    std::vector<box_info> list() override {
        std::vector<box_info> out;
        for (auto& i : runner_->wait(account_.list()))
            out.push_back({std::move(i.name), i.id, i.selectable, i.subscribed, i.use});
        return out;
    }
    std::vector<std::string> subscriptions() override { return runner_->wait(account_.subscriptions()); }
    box_status status(std::string const& name) override {
        auto const s = runner_->wait(account_.status(name));
        return {s.messages, s.unseen, s.deleted, s.bytes, s.uid_next, s.uid_validity, s.highest_modseq, s.id};
    }
    void create(std::string const& name) override { runner_->wait(account_.create(name)); }
    void subscribe(std::string const& name) override { runner_->wait(account_.subscribe(name, true)); }
    std::unique_ptr<mailbox_access> open(std::string const& name) override {
        return std::make_unique<composed_mailbox<Store>>(runner_, runner_->wait(account_.open(name)));
    }

private:
    std::shared_ptr<runner> runner_;
    account_type account_;
};

template <class Format>
class composed_storage final : public storage {
public:
    using store_type = mailfs::store<mailfs::index<mailfs::lockless_log, disk>, Format>;
    composed_storage(std::string const& root, int compress) : store_(disk_at(root), options_of(compress)) {}

    std::vector<std::string> accounts() override { return runner_->wait(store_.accounts()); }
    std::unique_ptr<account_access> find_account(std::string const& name) override {
        auto found = runner_->wait(store_.find_account(name));
        if (!found) return nullptr;
        return std::make_unique<composed_account<store_type>>(runner_, std::move(*found));
    }
    std::unique_ptr<account_access> account(std::string const& name) override {
        return std::make_unique<composed_account<store_type>>(runner_, runner_->wait(store_.account(name)));
    }

private:
    static mailfs::store_options options_of(int compress) {
        mailfs::store_options o;
        o.dbox.compression = mailfs_examples::compression(compress);
        return o;
    }
    std::shared_ptr<runner> runner_ = std::make_shared<runner>();
    store_type store_;
};

}  // namespace mailfsctl
