// SPDX-License-Identifier: BSL-1.0
// The naive model, and the search for a state among those that it allows.
#include "journal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

namespace mailfs::crash {

namespace {

// All names above a name, the nearest last.
std::vector<std::string> above(std::string const& name) {
    std::vector<std::string> out;
    for (auto at = name.find('/'); at != name.npos; at = name.find('/', at + 1)) out.push_back(name.substr(0, at));
    return out;
}

bool is_below(std::string const& name, std::string const& parent) { return name.starts_with(parent + "/"); }

bool equal(message const& a, message const& b) { return a.name == b.name && a.flags == b.flags && a.keywords == b.keywords; }

// Whether rows are these messages; those without a UID may have any that is free.
bool fits(contents const& expected, std::vector<seen_row> const& rows) {
    if (expected.size() != rows.size()) return false;
    std::vector<message const*> open;
    std::set<uid_t> known;
    for (auto const& m : expected) {
        if (m.uid == 0) {
            open.push_back(&m);
            continue;
        }
        auto const row = std::find_if(rows.begin(), rows.end(), [&](seen_row const& r) { return r.what.uid == m.uid; });
        if (row == rows.end() || !equal(row->what, m)) return false;
        known.insert(m.uid);
    }
    for (auto const& r : rows) {
        if (known.contains(r.what.uid)) continue;
        auto const at = std::find_if(open.begin(), open.end(), [&](message const* m) { return equal(*m, r.what); });
        if (at == open.end()) return false;
        open.erase(at);
    }
    return open.empty();
}

contents contents_of(std::vector<seen_row> const& rows) {
    contents c;
    for (auto const& r : rows) c.push_back(r.what);
    return c;
}

// Calls f(which) for each choice of changes that may be found, larger ones first.
// `boot`: the present one, when there was a power cut.
template <class F>
void for_each_choice(std::vector<std::shared_ptr<change>> const& all, std::optional<std::uint64_t> boot, std::vector<bool>& chosen, F const& f) {
    auto const i = chosen.size();
    if (i == all.size()) {
        f(chosen);
        return;
    }
    auto const& c = *all[i];
    bool const required = boot && c.boot < *boot ? c.stored : c.acknowledged;
    bool possible = true;  // what one log holds in order is lost in order
    for (std::size_t j = 0; j < i; ++j)
        if (!chosen[j] && all[j]->acknowledged && all[j]->boot == c.boot && !c.beside(*all[j])) possible = false;
    for (bool const take : {true, false}) {
        if ((take && !possible) || (!take && required)) continue;
        chosen.push_back(take);
        for_each_choice(all, boot, chosen, f);
        chosen.pop_back();
    }
}

}  // namespace

std::string text_of(contents const& c) {
    std::string text;
    for (auto const& m : c) {
        text += fmt::format(" {}=#{}", m.uid, m.name);
        if (m.flags != 0) text += fmt::format("/{}", m.flags);
        for (auto const& k : m.keywords) text += '+' + k;
    }
    return text.empty() ? " nothing" : text;
}

void apply(contents& c, change const& what) {
    switch (what.kind) {
        case change::append:
            for (auto const& m : what.added) {
                auto const at = m.uid == 0 ? c.end() : std::find_if(c.begin(), c.end(), [&](message const& o) { return o.uid > m.uid; });
                c.insert(at, m);
            }
            break;
        case change::expunge: std::erase_if(c, [&](message const& m) { return what.uids.contains(m.uid); }); break;
        case change::flags:
            for (auto& m : c) {
                if (!what.uids.contains(m.uid)) continue;
                if (what.mode == 2) m.keywords.clear();
                m.flags = what.mode == 0 ? m.flags | what.flag_bits : what.mode == 1 ? m.flags & ~what.flag_bits : what.flag_bits;
                for (auto const& k : what.keywords) {
                    if (what.mode == 1) m.keywords.erase(k);
                    else m.keywords.insert(k);
                }
            }
    }
}

contents mailbox_model::now() const {
    auto c = base;
    for (auto const& one : changes) crash::apply(c, *one);
    return c;
}

bool mailbox_model::must_be_there() const {
    return std::any_of(changes.begin(), changes.end(), [](auto const& c) { return c->stored && c->kind == change::append; });
}

void tree_model::apply(tree_change& c) {
    auto const fresh = [&](std::string const& name) {
        auto& made = c.made[name];
        if (!made) made = std::make_shared<mailbox_model>(mailbox_model{account});
        names.emplace(name, made);
    };
    auto const with_ancestors = [&](std::string const& name) {
        for (auto const& a : above(name))
            if (!names.contains(a)) fresh(a);
    };
    switch (c.kind) {
        case tree_change::create:
            if (names.contains(c.name)) return;
            fresh(c.name);
            with_ancestors(c.name);
            break;
        case tree_change::remove:
            if (!names.contains(c.name)) return;
            c.removed = names.at(c.name);
            names.erase(c.name);
            break;
        case tree_change::rename: {
            auto const taken = [&](auto const& entry) { return entry.first == c.to || is_below(entry.first, c.to); };
            auto const moved = [&](std::string const& name) { return name == c.name || is_below(name, c.name); };
            if (std::any_of(names.begin(), names.end(), taken)) return;
            name_map after;
            for (auto const& [name, box] : names) after.emplace(moved(name) ? c.to + name.substr(c.name.size()) : name, box);
            names = std::move(after);
            with_ancestors(c.to);
            break;
        }
        case tree_change::subscribe:
            if (c.on) subscribed.insert(c.name);
            else subscribed.erase(c.name);
    }
}

tree_model tree_model::now() const {
    auto t = *this;
    for (auto const& c : changes) t.apply(*c);
    return t;
}

tree_model& journal::tree(std::string const& account) {
    auto const [at, is_new] = trees.try_emplace(account);
    if (is_new) {
        at->second.account = account;
        at->second.names.emplace("INBOX", std::make_shared<mailbox_model>(mailbox_model{account}));
    }
    return at->second;
}

mailbox_ptr journal::find(std::string const& account, std::string const& name) const {
    auto const t = trees.find(account);
    if (t == trees.end()) return nullptr;
    auto const now = t->second.now();
    auto const at = now.names.find(name);
    return at == now.names.end() ? nullptr : at->second;
}

std::shared_ptr<change> journal::note(mailbox_ptr const& in, change what) {
    auto const noted = std::make_shared<change>(std::move(what));
    noted->boot = boot;
    in->changes.push_back(noted);
    return noted;
}
std::shared_ptr<tree_change> journal::note(std::string const& account, tree_change what) {
    return tree(account).changes.emplace_back(std::make_shared<tree_change>(std::move(what)));
}

void journal::shown(std::string const& account, seen_mailbox const& box) {
    auto& high = highest_[{account, box.uid_validity}];
    if (high.id && high.id != box.id) throw violation(fmt::format("I3: two mailboxes have UIDVALIDITY {}", box.uid_validity));
    if (box.uid_next < high.uid_next)
        throw violation(fmt::format("I4: UIDNEXT went back from {} to {}", high.uid_next, box.uid_next));
    if (box.highest_modseq < high.highest_modseq)
        throw violation(fmt::format("I4: HIGHESTMODSEQ went back from {:x} to {:x}", high.highest_modseq, box.highest_modseq));
    auto const known = high.uid_next;
    high = {box.uid_next, box.highest_modseq, box.id};
    uid_t before = 0;
    for (auto const& r : box.rows) {
        auto const uid = r.what.uid;
        if (uid <= before || uid >= box.uid_next) throw violation(fmt::format("I4: UID {} does not stand where one can", uid));
        before = uid;
        if (r.modseq > box.highest_modseq) throw violation(fmt::format("I4: UID {} has a MODSEQ above the mailbox's", uid));
        auto const [m, is_new] = messages_.try_emplace({account, box.uid_validity, uid}, r.what.name, r.id);
        if (is_new && uid < known) throw violation(fmt::format("I4: UID {} appeared below UIDNEXT, which had been {}", uid, known));
        if (!is_new && m->second != std::pair(r.what.name, r.id))
            throw violation(fmt::format("I3: UID {} was shown as message {} and now is {}", uid, m->second.first, r.what.name));
        auto const [f, is_first] = flags_.try_emplace({account, box.uid_validity, uid, r.modseq}, r.what.flags, r.what.keywords);
        if (!is_first && f->second != std::pair(r.what.flags, r.what.keywords))
            throw violation(fmt::format("I4: UID {} was shown with other flags at the same MODSEQ", uid));
    }
}

void journal::settle(std::map<std::string, seen_account> const& found) {
    for (auto const& [account, there] : found) {
        auto& t = tree(account);
        settle_tree(t, there);
        for (auto const& [name, box] : t.now().names) settle_mailbox(*box, name, there.mailboxes.at(name));
    }
    check_moves();
    power_was_cut = false;
}

void journal::settle_tree(tree_model& tree, seen_account const& found) {
    using choice = std::vector<std::shared_ptr<tree_change>>;
    auto const matches = [&](tree_model const& t) {
        auto const same = [&](auto const& ours) {
            auto const at = found.mailboxes.find(ours.first);
            return at != found.mailboxes.end() && (!ours.second->id || ours.second->id == at->second.id);
        };
        return t.subscribed == found.subscribed && t.names.size() == found.mailboxes.size() &&
               std::all_of(t.names.begin(), t.names.end(), same);
    };
    auto const& all = tree.changes;
    std::optional<std::pair<tree_model, choice>> match;
    auto const search = [&](auto const& self, std::size_t i, tree_model const& t, choice const& chosen) -> void {
        if (match) return;
        if (i == all.size()) {
            if (matches(t)) match.emplace(t, chosen);
            return;
        }
        auto const with = [&](choice const& more) {
            auto after = t;
            auto now = chosen;
            for (auto const& c : more) {
                after.apply(*c);
                now.push_back(c);
            }
            self(self, i + more.size(), after, now);
        };
        bool const pair = i + 1 < all.size() && all[i]->stretch != 0 && all[i]->stretch == all[i + 1]->stretch;
        bool const required = all[i]->acknowledged || (all[i]->visible && !power_was_cut);
        with({all[i]});
        if (pair) with({all[i + 1], all[i]});
        if (!required) self(self, i + 1, t, chosen);
    };
    auto base = tree;
    base.changes.clear();
    search(search, 0, base, {});
    if (!match) {
        std::string expected, there;
        auto const now = tree.now();
        for (auto const& [name, box] : now.names) expected += ' ' + name;
        for (auto const& [name, box] : found.mailboxes) there += ' ' + name;
        throw violation(fmt::format("I2: {} has{} and {} subscriptions where{} and {} were expected", tree.account, there,
                                    found.subscribed.size(), expected, now.subscribed.size()));
    }
    for (auto const& [name, box] : match->first.names) {
        box->id = found.mailboxes.at(name).id;
        box->uid_validity = found.mailboxes.at(name).uid_validity;
    }
    check_stored_mailboxes(tree, match->first);
    if (power_was_cut) {
        tree = std::move(match->first);
    } else {
        tree.changes = std::move(match->second);
        for (auto const& c : tree.changes) c->visible = true;
    }
}

// A mailbox that took stored messages must not go with a name that was not stored yet.
void journal::check_stored_mailboxes(tree_model const& tree, tree_model const& match) const {
    for (auto const& c : tree.changes)
        for (auto const& [name, box] : c->made) {
            auto const is_it = [&, b = box](auto const& entry) { return entry.second == b; };
            auto const removes_it = [&, b = box](auto const& other) { return other->removed == b; };
            bool const named = std::any_of(match.names.begin(), match.names.end(), is_it);
            bool const removed = std::any_of(tree.changes.begin(), tree.changes.end(), removes_it);
            if (!named && !removed && box->must_be_there())
                throw violation(fmt::format("I2: mailbox {} of {} went, and stored messages with it", name, tree.account));
        }
}

void journal::settle_mailbox(mailbox_model& box, std::string const& name, seen_mailbox const& found) {
    std::vector<bool> chosen, match;
    bool any = false;
    for (auto const& c : box.changes) c->certainly_there = c->certainly_gone = true;
    auto const try_one = [&](std::vector<bool> const& which) {
        auto c = box.base;
        for (std::size_t i = 0; i < which.size(); ++i)
            if (which[i]) crash::apply(c, *box.changes[i]);
        if (!fits(c, found.rows)) return;
        if (!std::exchange(any, true)) match = which;
        for (std::size_t i = 0; i < which.size(); ++i) (which[i] ? box.changes[i]->certainly_gone : box.changes[i]->certainly_there) = false;
    };
    auto const last_boot = power_was_cut ? std::optional(boot) : std::nullopt;
    for_each_choice(box.changes, last_boot, chosen, try_one);
    if (!any)
        throw violation(fmt::format("I2: {} of {} has{} where{} was expected", name, box.account, text_of(contents_of(found.rows)),
                                    text_of(box.now())));
    std::vector<std::shared_ptr<change>> kept;
    for (std::size_t i = 0; i < match.size(); ++i)
        if (match[i]) kept.push_back(box.changes[i]);
    if (power_was_cut) {
        box.base = contents_of(found.rows);
        box.changes.clear();
        return;
    }
    std::set<uid_t> known;
    for (auto const& m : box.base) known.insert(m.uid);
    for (auto const& c : kept)
        for (auto const& m : c->added) known.insert(m.uid);
    for (auto const& c : kept) {
        c->acknowledged = true;  // whoever saw it may count on it as on any other
        for (auto& m : c->added)
            for (auto const& r : found.rows)
                if (m.uid == 0 && r.what.name == m.name && known.insert(r.what.uid).second) m.uid = r.what.uid;
    }
    box.changes = std::move(kept);
}

void journal::check_moves() {
    for (auto const& [kept, gone] : moves_)
        if (gone->certainly_there && kept->certainly_gone) throw violation("I2: a message left one mailbox and never reached the other");
    if (power_was_cut) moves_.clear();
}

}  // namespace mailfs::crash
