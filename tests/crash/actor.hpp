// SPDX-License-Identifier: BSL-1.0
// A process that uses the store: what it is told of, and how it looks at everything there is.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/error.hpp>
#include <mailfs/index/index.hpp>
#include <mailfs/store/purge.hpp>
#include <mailfs/store/rebuild.hpp>
#include <mailfs/store/store.hpp>
#include <mailfs/store/verify.hpp>

#include "journal.hpp"
#include "machine.hpp"
#include "process_fs.hpp"

#include <asio/awaitable.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::crash {

using replication_type = basic_standalone<machine_host>;
using index_type = mailfs::index<lockless_log, process_fs, replication_type>;
using tree_type = index_type::journal<tree_state>;
using store_type = mailfs::store<index_type, multi_dbox<process_fs, machine_host>>;
using account_type = store_type::account_type;
using mailbox_type = store_type::mailbox_type;

inline constexpr std::array<char const*, 2> account_names{"alice", "bob"};
inline constexpr std::uint64_t name_epoch_ms = 1'700'000'000'000;  // INTERNALDATE of message 0

/// The bytes of a message follow from its name, and so do length and INTERNALDATE.
inline std::string text_of(std::uint64_t name) {
    auto const line = fmt::format("Subject: {}\r\n\r\n", name);
    return line + std::string(name * 37 % 151, static_cast<char>('a' + name % 26));
}

/// All that a process can say of what is there.
struct sight {
    std::map<std::string, seen_account> accounts;
    std::map<std::string, std::vector<std::byte>> snapshots;  ///< by account and mailbox, of the tree too
};

class actor {
public:
    actor(machine& m, journal& j, std::uint64_t n, store_options o)
        : number(n), options(o), self(m.start()), journal_(&j), host_{&m}, store_(process_fs(self), o, host_) {}
    actor(actor const&) = delete;
    actor& operator=(actor const&) = delete;

    std::uint64_t number;
    store_options options;
    std::shared_ptr<process> self;

    bool stores() const noexcept { return options.durability == durability::stored; }

    asio::awaitable<account_type> account(std::string name) {
        if (auto const at = accounts_.find(name); at != accounts_.end()) co_return at->second;
        auto opened = co_await store_.account(name);
        accounts_.emplace(name, opened);
        co_return opened;
    }

    /// Keeps a session in INBOX, as a client does that stays connected.
    asio::awaitable<void> stay() {
        auto a = co_await account(account_names[0]);
        auto box = co_await a.open("INBOX");
        staying_.emplace(std::move(box));
    }

    /// Opens and shows everything; with `bodies` reads every message too. Throws violation.
    asio::awaitable<void> look(sight& out, bool bodies) {
        missing = 0;
        for (std::string const name : account_names) {
            auto a = co_await account(name);
            auto const names = co_await a.list();
            auto const subscriptions = co_await a.subscriptions();
            auto& there = out.accounts[name];
            there.subscribed = {subscriptions.begin(), subscriptions.end()};
            for (auto const& info : names)
                if (info.selectable) co_await look_at(a, name, info.name, out, bodies);
        }
        co_await look_again(out);
    }
    /// The same for those who may be stopped meanwhile, or meet others at work.
    asio::awaitable<void> glance() {
        try {
            sight forgotten;
            co_await look(forgotten, false);
        } catch (error const& e) {
            if (!self->dead() && e.code() != errc::not_found) throw violation(fmt::format("a process that only looks was told: {}", e.what()));
        }
    }

    /// The snapshots of the mailbox trees, as this process would write them.
    asio::awaitable<void> dump_trees(sight& out) {
        for (std::string const name : account_names) {
            tree_type tree(process_fs(self), name + "/tree", replication_type(host_), options.log);
            bool const there = co_await tree.open();
            if (!there) throw violation("I2: the mailbox tree of " + name + " is gone");
            out.snapshots[name] = tree.state().dump();
        }
    }

    void pass_grace_period() const { host_.on->clock_ms += options.grace_ms + 1; }

    /// Of what nothing is missing from: it changes nothing.
    asio::awaitable<void> rebuild_all() {
        staying_.reset();
        accounts_.clear();
        for (std::string const name : account_names) {
            rebuild_options how;
            how.settle_ms = settle_ms;
            auto const report = co_await rebuild(store_, name, std::move(how));
            if (report.changed() && !self->dead()) throw violation("a rebuild changed an account that was sound");
        }
    }

    /// What verify() says of all mailboxes that have a name; `known` bodies are missing. What damage cost nothing may lie
    /// anywhere, and a mailbox that was being removed when the power went is nobody's loss.
    asio::awaitable<void> verify_all(sight const& there, std::uint64_t known) {
        std::uint64_t losses = 0;
        for (std::string const name : account_names) {
            std::string first;
            verify_observer observer;
            observer.found = [&](finding const& f) {
                bool const counts = f.how == severity::loss && is_of_named(f.file + ' ' + f.what, name, there);
                if (counts && ++losses > known) first = fmt::format("{}: {}", f.file, f.what);
            };
            co_await verify(store_, name, observer);
            if (!first.empty()) throw violation("verify: " + first);
        }
    }
    std::uint64_t missing = 0;  ///< bodies that were allowed to be missing, at the last look

private:
    static constexpr std::uint64_t settle_ms = 60'000;

    static bool is_of_named(std::string const& told, std::string const& account, sight const& there) {
        if (told.find(account + "/box/") == told.npos) return true;
        auto const& boxes = there.accounts.at(account).mailboxes;
        return std::any_of(boxes.begin(), boxes.end(), [&](auto const& entry) { return told.find(entry.second.id.hex()) != told.npos; });
    }
    asio::awaitable<void> look_at(account_type a, std::string account, std::string name, sight& out, bool bodies) {
        auto box = co_await a.open(name);
        auto const& v = box.view();
        auto& seen = out.accounts[account].mailboxes[name];
        seen.id = box.id();
        seen.uid_validity = box.uid_validity();
        seen.uid_next = v.uid_next();
        seen.highest_modseq = v.highest_modseq();
        seen.rows.clear();
        v.for_each(1, uid_max, [&](uid_t uid) { seen.rows.push_back(row_of(*v.row(uid))); });
        journal_->shown(account, seen);
        out.snapshots[account + '/' + name] = v.state().dump();
        check_counters(v, name);
        if (!bodies) co_return;
        for (auto const& r : seen.rows) co_await read(box, account, name, r);
    }

    static seen_row row_of(message_row const& r) {
        seen_row row;
        row.what = {(r.received_ms - name_epoch_ms) / 1000, r.uid, static_cast<std::uint32_t>(r.flags), {r.keywords.begin(), r.keywords.end()}};
        row.modseq = r.modseq;
        row.size = r.size;
        row.id = r.id;
        return row;
    }
    static void check_counters(view const& v, std::string const& name) {
        mailbox_counters count;
        v.for_each(1, uid_max, [&](uid_t uid) {
            auto const r = *v.row(uid);
            ++count.messages;
            count.unseen += has(r.flags, flag::seen) ? 0U : 1U;
            count.deleted += has(r.flags, flag::deleted) ? 1U : 0U;
            count.bytes += r.size;
        });
        if (count != v.state().counters()) throw violation("the counters of " + name + " are not those of its messages");
    }

    asio::awaitable<void> read(mailbox_type& box, std::string const& account, std::string const& name, seen_row const& r) {
        std::string body, why;
        bool gone = false;
        try {
            auto const bytes = co_await box.read(r.what.uid);
            body = std::string(as_text(bytes));
        } catch (error const& e) {
            why = e.what();
            gone = e.code() == errc::body_missing || e.code() == errc::corrupt;
        }
        auto const where = fmt::format("UID {} of {} of {}", r.what.uid, name, account);
        bool const may_be_missing = machine_boots() > 1 && journal_->loose_bodies.contains({account, r.what.name});
        if (why.empty() && (body != text_of(r.what.name) || r.size != body.size()))
            throw violation("I6: the body of " + where + " is not its own");
        if (gone && may_be_missing) ++missing;
        else if (!why.empty()) throw violation("I6: " + where + " cannot be read: " + why);
    }
    std::uint64_t machine_boots() const { return host_.on->boots; }

    // Who stayed connected sees the same after a refresh as who comes now.
    asio::awaitable<void> look_again(sight& out) {
        if (!staying_) co_return;
        co_await staying_->refresh();
        auto const& rows = out.accounts.at(account_names[0]).mailboxes.at("INBOX").rows;
        uid_set expected;
        for (auto const& r : rows) expected.add(r.what.uid);
        if (staying_->view().uids() != expected && !self->dead())
            throw violation("a session that stayed shows " + staying_->view().uids().text() + " where " + expected.text() + " is there");
    }

    journal* journal_;
    machine_host host_;
    store_type store_;
    std::map<std::string, account_type> accounts_;
    std::optional<mailbox_type> staying_;
};

}  // namespace mailfs::crash
