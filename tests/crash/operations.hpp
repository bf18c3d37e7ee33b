// SPDX-License-Identifier: BSL-1.0
// The operations of the store, each noted in the journal before it begins and acknowledged when it has returned.
#pragma once

#include "actor.hpp"
#include "journal.hpp"
#include "machine.hpp"

#include <asio/awaitable.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs::crash {

enum class operation : std::uint8_t {
    deliver, deliver_many, flags, keywords, expunge, copy, copy_across, move, move_across, create, rename, rename_inbox, remove, subscribe, rotate, purge, rebuild, open,
};
inline constexpr std::array<std::string_view, 18> operation_names{
    "deliver", "deliver_many", "flags", "keywords", "expunge", "copy", "copy_across", "move", "move_across", "create", "rename", "rename_inbox", "remove",
    "subscribe", "rotate", "purge", "rebuild", "open"};
inline constexpr std::size_t operation_count = operation_names.size();

/// One operation by one actor, with what is left to chance coming from a seed of its own.
class performance {
public:
    /// `stretch` is not 0 when another is at work at the same time: each then touches its half, 0 or 1, of the messages.
    performance(actor& who, journal& j, std::uint64_t& names, std::uint64_t seed, stretch_number stretch, std::uint64_t half)
        : who_(who), journal_(j), names_(names), chance_(seed), stretch_(stretch), half_(half) {}

    /// Returns when it is done, or when the process was stopped. Throws violation for any other failure.
    asio::awaitable<void> run(operation o) {
        std::string why;
        trace(o, "begins", {});
        try {
            co_await choose(o);
        } catch (error const& e) {
            bool const lost_race = stretch_ != 0 && (e.code() == errc::exists || e.code() == errc::not_found || e.code() == errc::busy);
            if (!who_.self->dead() && !lost_race) why = e.what();
            trace(o, "fails", e.what());
        }
        trace(o, "ends", {});
        if (!why.empty()) throw violation(fmt::format("{} failed: {}", operation_names[static_cast<std::size_t>(o)], why));
    }

private:
    void trace(operation o, std::string_view what, std::string_view more) const {
        if (!tracing) return;
        auto const left = who_.self->dead() ? " (stopped)" : "";
        fmt::print("{} {} {}{} {}\n", who_.number, operation_names[static_cast<std::size_t>(o)], what, left, more);
        if (what == "begins") return;
        for (std::string const account : account_names) {
            auto const now = journal_.tree(account).now();
            for (auto const& [name, box] : now.names) {
                fmt::print("    {}/{}:{}\n", account, name, text_of(box->now()));
                for (auto const& c : box->changes)
                    fmt::print("        {}{}{}\n", c->kind == change::append ? "append" + text_of(c->added) : c->kind == change::flags ? " flags" : " expunge",
                               c->acknowledged ? " acknowledged" : "", c->stored ? " stored" : "");
            }
        }
    }

    struct place {
        std::string account, name;
        mailbox_ptr model;
    };

    asio::awaitable<void> choose(operation o) {
        switch (o) {
            case operation::deliver: return deliver(1);
            case operation::deliver_many: return deliver(3);
            case operation::flags:
            case operation::rotate: return change_flags(false);
            case operation::keywords: return change_flags(true);
            case operation::expunge: return expunge();
            case operation::copy: return copy(false, false);
            case operation::copy_across: return copy(true, false);
            case operation::move: return copy(false, true);
            case operation::move_across: return copy(true, true);
            case operation::create: return create();
            case operation::rename: return rename();
            case operation::rename_inbox: return rename_inbox();
            case operation::remove: return remove();
            case operation::subscribe: return subscribe();
            case operation::purge: return purge();
            case operation::rebuild: return who_.rebuild_all();
            case operation::open: break;
        }
        return who_.glance();
    }

    // --- what to do it to ------------------------------------------------------------------------------------

    std::uint64_t roll(std::uint64_t n) { return crash::roll(chance_, n); }
    std::string any_account() { return account_names[roll(3) == 0 ? 1 : 0]; }
    std::string other_account(std::string const& a) const { return account_names[a == account_names[0] ? 1 : 0]; }

    std::vector<std::string> names_of(std::string const& account) const {
        std::vector<std::string> out;
        auto const now = journal_.tree(account).now();
        for (auto const& [name, box] : now.names) out.push_back(name);
        return out;
    }
    place any_mailbox(std::string const& account) {
        auto const names = names_of(account);
        auto name = roll(2) == 0 ? std::string("INBOX") : names[roll(names.size())];
        for (auto const& c : journal_.tree(account).changes)  // one that nobody has promised to keep is worth a look
            if (c->visible && !c->acknowledged && c->kind == tree_change::create && roll(2) == 0 && journal_.find(account, c->name)) name = c->name;
        return {account, name, journal_.find(account, name)};
    }
    // Messages that are this actor's business, some of them; may be none.
    contents some_of(mailbox_model const& box) {
        contents mine;
        for (auto const& m : box.now())
            if (m.uid != 0 && (stretch_ == 0 || m.name % 2 == half_) && roll(3) != 0) mine.push_back(m);
        return mine;
    }
    // The first mailbox from a chance one on that has some.
    std::pair<place, contents> any_messages() {
        for (auto const account = any_account(); auto const& a : {account, other_account(account)}) {
            auto const names = names_of(a);
            auto const first = roll(names.size());
            for (std::size_t i = 0; i < names.size(); ++i) {
                auto const& name = names[(first + i) % names.size()];
                auto const box = journal_.find(a, name);
                auto some = some_of(*box);
                if (!some.empty()) return {place{a, name, box}, std::move(some)};
            }
        }
        return {};
    }
    std::string fresh_name() {
        static constexpr std::array<char const*, 6> names{"p", "q/r", "a/s", "b/c/t", "INBOX/u", "v/w/x"};
        auto const n = ++names_;
        return fmt::format("{}{}", names[roll(names.size())], n);
    }
    // A mailbox of alice that is not INBOX; empty when there is none.
    std::string victim() {
        auto names = names_of(account_names[0]);
        std::erase(names, "INBOX");
        return names.empty() ? std::string() : names[roll(names.size())];
    }

    change blank(change::kind_type kind) const {
        change c;
        c.kind = kind;
        c.by = who_.number;
        c.stretch = stretch_;
        return c;
    }
    static std::set<uid_t> uids_of(contents const& some) {
        std::set<uid_t> out;
        for (auto const& m : some) out.insert(m.uid);
        return out;
    }
    static uid_set set_of(contents const& some) {
        uid_set out;
        for (auto const& m : some) out.add(m.uid);
        return out;
    }
    bool may_acknowledge() const { return !who_.self->dead(); }  // the dead tell nothing, though the library might return
    void acknowledge(change& c, bool stored) const {
        c.acknowledged = true;
        c.stored = stored;
    }

    // --- messages --------------------------------------------------------------------------------------------

    asio::awaitable<void> deliver(std::size_t count) {
        auto const account = any_account();
        auto const where = any_mailbox(account);
        auto c = blank(change::append);
        std::vector<std::string> texts;
        for (std::size_t i = 0; i < count; ++i) {
            do ++names_;
            while (names_ % 2 != half_);
            message m{names_, 0, static_cast<std::uint32_t>(roll(32)), {}};
            if (roll(4) == 0) m.keywords.insert(fmt::format("k{}", roll(3)));
            if (!who_.stores()) journal_.loose_bodies.emplace(account, m.name);
            texts.push_back(text_of(m.name));
            c.added.push_back(std::move(m));
        }
        auto const noted = journal_.note(where.model, std::move(c));
        std::vector<new_message> mails;
        for (std::size_t i = 0; i < count; ++i) {
            auto const& m = noted->added[i];
            mails.push_back({as_bytes(texts[i]), static_cast<flag>(m.flags), {m.keywords.begin(), m.keywords.end()}, name_epoch_ms + 1000 * m.name});
        }
        auto a = co_await who_.account(account);
        auto box = co_await a.open(where.name);
        auto const uids = co_await box.append(mails);
        if (!may_acknowledge()) co_return;
        for (std::size_t i = 0; i < count; ++i) noted->added[i].uid = uids[i];
        acknowledge(*noted, who_.stores());
    }

    asio::awaitable<void> change_flags(bool keywords) {
        auto const [where, some] = any_messages();
        if (some.empty()) {
            co_await deliver(1);
            co_return;
        }
        auto c = blank(change::flags);
        c.uids = uids_of(some);
        c.mode = static_cast<std::uint32_t>(roll(3));
        c.flag_bits = static_cast<std::uint32_t>(1 + roll(31));
        if (keywords) c.keywords = {fmt::format("k{}", roll(5)), "$Label"};
        auto const noted = journal_.note(where.model, std::move(c));
        auto a = co_await who_.account(where.account);
        auto box = co_await a.open(where.name);
        flag_change const wanted{static_cast<flag_mode>(noted->mode), static_cast<flag>(noted->flag_bits), {noted->keywords.begin(), noted->keywords.end()}, {}};
        auto uids = set_of(some);
        co_await box.set_flags(std::move(uids), wanted);
        if (may_acknowledge()) acknowledge(*noted, who_.stores());
    }

    asio::awaitable<void> expunge() {
        auto const [where, some] = any_messages();
        if (some.empty()) {
            co_await deliver(1);
            co_return;
        }
        auto c = blank(change::expunge);
        c.uids = uids_of(some);
        auto const noted = journal_.note(where.model, std::move(c));
        auto a = co_await who_.account(where.account);
        auto box = co_await a.open(where.name);
        auto uids = set_of(some);
        co_await box.expunge(std::move(uids), false);
        if (may_acknowledge()) acknowledge(*noted, who_.stores());
    }

    asio::awaitable<void> copy(bool across, bool move) {
        auto const [from, some] = any_messages();
        if (some.empty()) {
            co_await deliver(1);
            co_return;
        }
        auto const account = across ? other_account(from.account) : from.account;
        auto const to = any_mailbox(account);
        bool const stored = move || who_.stores();
        auto c = blank(change::append);
        c.added = some;
        for (auto& m : c.added) {
            m.uid = 0;
            bool const loose = across ? !stored : journal_.loose_bodies.contains({account, m.name});
            if (loose) journal_.loose_bodies.emplace(account, m.name);
        }
        auto const appended = journal_.note(to.model, std::move(c));
        std::shared_ptr<change> expunged;
        if (move) {
            auto gone = blank(change::expunge);
            gone.uids = uids_of(some);
            expunged = journal_.note(from.model, std::move(gone));
            journal_.note_move(appended, expunged);
        }
        auto source_account = co_await who_.account(from.account);
        auto target_account = co_await who_.account(account);
        auto source = co_await source_account.open(from.name);
        auto target = co_await target_account.open(to.name);
        auto uids = set_of(some);
        copy_result result;
        if (move) result = co_await source.move_to(std::move(uids), target);
        else result = co_await source.copy_to(std::move(uids), target);
        if (!may_acknowledge()) co_return;
        if (result.uids.size() != some.size()) throw violation("a copy left messages out");
        for (std::size_t i = 0; i < some.size(); ++i) appended->added[i].uid = result.uids[i].second;
        acknowledge(*appended, stored);
        if (move) acknowledge(*expunged, who_.stores());
    }

    // --- mailboxes -------------------------------------------------------------------------------------------

    std::shared_ptr<tree_change> note(tree_change::kind_type kind, std::string name, std::string to = {}, bool on = false) {
        tree_change c;
        c.kind = kind;
        c.name = std::move(name);
        c.to = std::move(to);
        c.on = on;
        c.by = who_.number;
        c.stretch = stretch_;
        return journal_.note(account_names[0], std::move(c));
    }
    asio::awaitable<void> create() {
        auto const noted = note(tree_change::create, fresh_name());
        auto a = co_await who_.account(account_names[0]);
        co_await a.create(noted->name);
        noted->acknowledged = may_acknowledge();
    }
    asio::awaitable<void> rename() {
        auto const name = victim();
        if (name.empty()) {
            co_await create();
            co_return;
        }
        auto to = fresh_name();
        if (to.starts_with(name + '/')) to = "z/" + to;
        auto const noted = note(tree_change::rename, name, std::move(to));
        auto a = co_await who_.account(account_names[0]);
        co_await a.rename(noted->name, noted->to);
        noted->acknowledged = may_acknowledge();
    }
    asio::awaitable<void> remove() {
        auto const name = victim();
        if (name.empty()) {
            co_await create();
            co_return;
        }
        auto const noted = note(tree_change::remove, name);
        auto a = co_await who_.account(account_names[0]);
        co_await a.remove(noted->name);
        noted->acknowledged = may_acknowledge();
    }
    asio::awaitable<void> subscribe() {
        auto const names = names_of(account_names[0]);
        auto const& name = names[roll(names.size())];
        bool const on = !journal_.tree(account_names[0]).now().subscribed.contains(name);
        auto const noted = note(tree_change::subscribe, name, {}, on);
        auto a = co_await who_.account(account_names[0]);
        co_await a.subscribe(noted->name, on);
        noted->acknowledged = may_acknowledge();
    }
    // All messages move to a new mailbox.
    asio::awaitable<void> rename_inbox() {
        std::string const account = account_names[0];
        auto const inbox = journal_.find(account, "INBOX");
        auto const all = inbox->now();
        if (all.empty()) {
            co_await create();
            co_return;
        }
        auto const noted = note(tree_change::create, fresh_name());
        auto appended = blank(change::append);
        appended.added = all;
        for (auto& m : appended.added) m.uid = 0;
        auto expunged = blank(change::expunge);
        expunged.uids = uids_of(all);
        auto const arrives = journal_.note(journal_.find(account, noted->name), std::move(appended));
        auto const leaves = journal_.note(inbox, std::move(expunged));
        journal_.note_move(arrives, leaves);
        auto a = co_await who_.account(account);
        co_await a.rename("INBOX", noted->name);
        if (!may_acknowledge()) co_return;
        noted->acknowledged = true;
        acknowledge(*arrives, true);
        acknowledge(*leaves, who_.stores());
        auto box = co_await a.open(noted->name);  // nobody is told the UIDs
        std::size_t i = 0;
        box.view().for_each(1, uid_max, [&](uid_t uid) {
            if (i < arrives->added.size()) arrives->added[i++].uid = uid;
        });
    }

    // Two rounds, a grace period apart: what is out of use goes in the second. While others are in the middle of something
    // no grace period may pass, or they would have to take it back.
    asio::awaitable<void> purge() {
        for (int rounds = stretch_ == 0 ? 2 : 1; rounds > 0; --rounds) {
            for (std::string const account : account_names) {
                auto a = co_await who_.account(account);
                co_await purge_round(std::move(a));
            }
            if (stretch_ == 0) who_.pass_grace_period();
        }
    }
    asio::awaitable<void> purge_round(account_type a) {
        purger purging(std::move(a), purge_options{.dead_percent_min = 20});
        purge_budget const little{.mailboxes = 2, .files = 3, .bytes = 300};
        purge_report report;
        do report = co_await purging.step(little);
        while (!report.complete());
    }

    actor& who_;
    journal& journal_;
    std::uint64_t& names_;
    seeded_random chance_;
    stretch_number stretch_;
    std::uint64_t half_;
};

}  // namespace mailfs::crash
