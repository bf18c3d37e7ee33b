// SPDX-License-Identifier: BSL-1.0
// All pairs of short histories, and triples in every order, through the fold: against a model that knows no fold, only
// what was done; and against clients that follow what they are told.
//
// MAILFS_FOLD_PAIRS: how many pairs (0: all, 5.6 million, each with either side as the trunk); MAILFS_FOLD_TRIPLES: how many triples.
#include <mailfs/index/mailbox_folder.hpp>

#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/index/view.hpp>

#include "unit/index/fold_fixture.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace mailfs;
using test::client;
using test::content;
using test::list;
using test::replica;

namespace {

// --- what is done ----------------------------------------------------------------------------------------------------------

enum class act : std::uint8_t { append, set, clear, expunge, conditional };
struct deed {
    act what;
    int message;  // 1, 2: those that all began with
    int bit;      // of two flags
};
constexpr flag flag_bit[] = {flag::flagged, flag::seen};
constexpr int length_max = 3;

std::vector<deed> alphabet() {
    std::vector<deed> all{{act::append, 0, 0}};
    for (int m : {1, 2}) {
        for (int b : {0, 1}) {
            all.push_back({act::set, m, b});
            all.push_back({act::clear, m, b});
        }
        all.push_back({act::expunge, m, 0});
        all.push_back({act::conditional, m, 0});
    }
    return all;
}
using history = std::vector<deed>;
std::vector<history> histories(int longest) {
    std::vector<history> all{{}};
    for (std::size_t from = 0, length = 1; static_cast<int>(length) <= longest; ++length) {
        auto const end = all.size();
        for (; from < end; ++from)
            for (auto const& d : alphabet()) {
                all.push_back(all[from]);
                all.back().push_back(d);
            }
    }
    return all;
}

// When side `side` does its k-th deed: the sides take turns, or one is ahead of the others throughout.
std::uint64_t when(int side, std::size_t k, int skew) {
    auto const s = static_cast<std::uint64_t>(side);
    if (skew == 1) return 1000 + 100 * s + k;
    if (skew == 2) return 1000 - 100 * s + k;
    return 1000 + 10 * k + s;
}

// --- the library does it ---------------------------------------------------------------------------------------------------

struct side_state {
    replica node;
    std::vector<client> clients;  // one from before each deed and one from behind the last
};

constexpr uid_t base_uid = 256;

replica base_node() {
    replica a(1);
    a.reign(1);
    a.append(1, 1 << 16);
    a.append(2, 2 << 16, flag::seen);
    return a;
}
void perform(replica& r, int side, history const& h, int skew, std::size_t k, modseq_t since) {
    auto const& d = h[k];
    auto const t = when(side, k, skew) << 16;
    auto const uid = static_cast<uid_t>(base_uid + static_cast<uid_t>(d.message) - 1);
    switch (d.what) {
        case act::append: r.append(static_cast<std::uint64_t>(10 * side) + 10 + k, t); break;
        case act::set: r.set(uid, flag_bit[d.bit], t); break;
        case act::clear: r.clear(uid, flag_bit[d.bit], t); break;
        case act::expunge: r.expunge(uid, t); break;
        case act::conditional: r.store(uid_set::one(uid), flag_mode::add, flag_bit[0], t, {}, since); break;
    }
}
side_state make_side(mailbox_state const& base, int side, history const& h, int skew) {
    side_state s{replica::copy(base, static_cast<std::uint32_t>(side + 1)), {}};
    if (side > 0) s.node.reign(static_cast<std::uint32_t>(2 + side));
    for (std::size_t k = 0; k <= h.size(); ++k) {
        s.clients.emplace_back(*s.node.state);
        if (k < h.size()) perform(s.node, side, h, skew, k, base.highest_modseq());
    }
    return s;
}

// --- and the model: only what was done, by whom and when -------------------------------------------------------------------

struct model {
    struct change {
        std::uint64_t when;
        int side;
        bool on;
    };
    std::map<std::pair<std::uint64_t, int>, change> last;       // of a message and a flag
    std::set<std::uint64_t> born{1, 2}, dead;
    std::map<int, std::vector<std::uint64_t>> appended_by;      // in order

    void add(int side, history const& h, int skew) {
        std::set<std::uint64_t> gone;
        std::map<std::uint64_t, std::uint32_t> flags{{1, 0}, {2, std::uint32_t(flag::seen)}};
        std::set<std::uint64_t> changed;
        for (std::size_t k = 0; k < h.size(); ++k) {
            auto const t = when(side, k, skew);
            auto const m = static_cast<std::uint64_t>(h[k].message);
            if (h[k].what == act::append) {
                auto const number = static_cast<std::uint64_t>(10 * side) + 10 + k;
                born.insert(number);
                appended_by[side].push_back(number);
            } else if (gone.count(m) != 0) {
                continue;
            } else if (h[k].what == act::expunge) {
                gone.insert(m);
                dead.insert(m);
            } else {
                if (h[k].what == act::conditional && changed.count(m) != 0) continue;
                bool const on = h[k].what != act::clear;
                auto const bit = std::uint32_t(flag_bit[h[k].bit]);
                auto const now = on ? flags[m] | bit : flags[m] & ~bit;
                if (now != flags[m]) changed.insert(m);
                flags[m] = now;
                auto const [it, is_new] = last.try_emplace({m, h[k].bit}, change{t, side, on});
                if (!is_new && std::pair(t, side) > std::pair(it->second.when, it->second.side)) it->second = {t, side, on};
            }
        }
    }
    std::set<test::shown_message> content() const {
        std::set<test::shown_message> out;
        for (auto number : born) {
            if (dead.count(number) != 0) continue;
            std::uint32_t flags = number == 2 ? std::uint32_t(flag::seen) : 0;
            for (int bit : {0, 1})
                if (auto const it = last.find({number, bit}); it != last.end())
                    flags = it->second.on ? flags | std::uint32_t(flag_bit[bit]) : flags & ~std::uint32_t(flag_bit[bit]);
            out.insert({number, flags, {}});
        }
        return out;
    }
};

// --- what must hold --------------------------------------------------------------------------------------------------------

// Which message each UID was shown for, by any side at any time (R3).
struct shown_uids {
    std::map<uid_t, std::uint64_t> number_of;
    bool one_message_each = true;

    void add(test::listing const& l) {
        for (auto const& [uid, m] : l)
            if (number_of.emplace(uid, m.number).first->second != m.number) one_message_each = false;
    }
};

struct found_error {
    std::string what;
};
void demand(bool holds, char const* what) {
    if (!holds) throw found_error{what};
}

std::string text(history const& h) {
    std::string out;
    for (auto const& d : h) out += fmt::format("{}{}{} ", "ascxi"[static_cast<int>(d.what)], d.message, d.bit);
    return out;
}

// UIDs that clients must not be shown a message at: each side's live messages below the other's UIDNEXT, that the other has
// not under this very UID. The rule demands that these are renumbered, and no others.
std::size_t renumbered_at_least(std::vector<client> const& finals, std::set<test::shown_message> const& live) {
    std::size_t n = 0;
    for (auto const& m : live) {
        std::set<uid_t> has;
        for (auto const& c : finals)
            for (auto const& [uid, shown] : c.known)
                if (shown.number == m.number) has.insert(uid);
        bool keeps = false;
        for (auto uid : has) {
            bool fine = true;
            for (auto const& c : finals) fine = fine && (c.known.count(uid) != 0 || uid >= c.uid_next);
            keeps = keeps || fine;
        }
        if (!keeps) ++n;
    }
    return n;
}
std::size_t renumbered(std::vector<client> const& finals, test::listing const& now) {
    std::size_t n = 0;
    for (auto const& [uid, m] : now) {
        bool known = false;
        for (auto const& c : finals)
            if (auto const it = c.known.find(uid); it != c.known.end() && it->second.number == m.number) known = true;
        if (!known) ++n;
    }
    return n;
}

void check_clients(std::vector<client> const& clients, mailbox_state const& s, test::listing const& all) {
    for (auto const& c : clients) {
        demand(c.uid_next <= s.uid_next(), "R4: UIDNEXT fell");
        demand(c.at.modseq() < s.highest_modseq(), "R4: HIGHESTMODSEQ fell");
        demand(contains(s.stream().history(), c.at), "a side's history is lost");
        demand(c.follow_qresync(s) == all, "R9: a QRESYNC client differs");
        demand(c.follow_condstore(s) == all, "R9: a CONDSTORE client differs");
        demand(c.follow_plain(s) == all, "R9: a client that trusts UIDNEXT differs");
    }
}

struct result {
    std::unique_ptr<replica> node;
    std::vector<std::byte> payload;
};
result folded(replica const& trunk, int side, std::uint32_t epoch, mailbox_state const& branch) {
    result r{std::make_unique<replica>(replica::copy(*trunk.state, static_cast<std::uint32_t>(side + 1))), {}};
    r.node->reign(epoch);
    r.payload = r.node->state->fold(branch);
    demand(!r.payload.empty(), "there is no fold");
    r.node->step(format::record_kind::fold, r.payload);
    return r;
}

void check_pair(side_state& a, side_state& b, history const& ha, history const& hb, int skew) {
    model m;
    m.add(0, ha, skew);
    m.add(1, hb, skew);
    auto const expected = m.content();
    std::vector<client> const finals{a.clients.back(), b.clients.back()};
    for (int trunk : {0, 1}) {
        auto const r = folded(trunk == 0 ? a.node : b.node, trunk, 9, trunk == 0 ? *b.node.state : *a.node.state);
        auto const& s = *r.node->state;
        auto const all = list(s);
        demand(content(s) == expected, "R6, R8: the content is not what was done");
        shown_uids shown;
        for (auto const* side : {&a, &b})
            for (auto const& c : side->clients) shown.add(c.known);
        shown.add(all);
        demand(shown.one_message_each, "R3: one UID for two messages");
        check_clients(a.clients, s, all);
        check_clients(b.clients, s, all);
        demand(renumbered(finals, all) == renumbered_at_least(finals, expected), "not as many UIDs are new as must be");
        s.verify();
    }
}

// What costs more, for some of the pairs: live views, snapshots, and that numbers depend on nothing but the states.
void check_closely(replica const& trunk, int side, replica const& branch) {
    auto live = replica::copy(*trunk.state, static_cast<std::uint32_t>(side + 1));
    auto other = replica::copy(*branch.state, 9);
    view on_trunk(*live.state), on_branch(*other.state);
    auto before_trunk = on_trunk.uids(), before_branch = on_branch.uids();
    live.reign(9);
    auto const again = replica::copy(*live.state, 8);
    auto const payload = live.state->fold(*branch.state);
    demand(again.state->fold(*other.state) == payload, "R8: the fold depends on more than the two states");
    live.step(format::record_kind::fold, payload);
    auto replay = replica::copy(*again.state, 8);
    replay.step(format::record_kind::fold, payload);
    demand(replay.state->dump() == live.state->dump(), "I5: two replicas differ");
    other.take(*live.state);
    for (auto* v : {&on_trunk, &on_branch}) {
        auto now = v == &on_trunk ? before_trunk : before_branch;
        auto const told = v->refresh();
        uid_set left;
        now.for_each([&](uid_t u) {
            if (!told.expunged_uids.contains(u)) left.add(u);
        });
        told.arrived.for_each([&](uid_t u) { left.add(u); });
        demand(left == v->uids(), "a session is told other than what it sees");
    }
    auto const once = content(*live.state);
    auto const twice = folded(live, side, 10, *branch.state);
    demand(content(*twice.node->state) == once, "R8: the same branch twice is not the same");
    demand(renumbered({client(*live.state)}, list(*twice.node->state)) == 0, "R8: the same branch twice gives new UIDs");
}

std::uint64_t budget(char const* name, std::uint64_t normal) {
    auto const* const text = std::getenv(name);
    return text == nullptr ? normal : std::strtoull(text, nullptr, 10);
}

}  // namespace

TEST_CASE("mailbox_fold: all pairs of histories of up to three deeds fold as was done, and no client misses anything") {
    auto const all = histories(length_max);
    auto const base = base_node();
    auto const total = std::uint64_t{all.size()} * all.size();
    auto const wanted = budget("MAILFS_FOLD_PAIRS", 1500);
    auto const stride = wanted == 0 || wanted >= total ? 1 : (total / wanted) | 1;
    std::uint64_t pairs = 0;
    for (int skew : {0, 1, 2}) {
        std::map<std::size_t, side_state> b_sides;  // made when first met
        std::size_t last_a = ~std::size_t{0};
        side_state a;
        for (std::uint64_t i = static_cast<std::uint64_t>(skew) * 7919 % stride; i < total; i += stride) {
            auto const x = static_cast<std::size_t>(i / all.size()), y = static_cast<std::size_t>(i % all.size());
            if (x != last_a) a = make_side(*base.state, 0, all[last_a = x], skew);
            auto it = b_sides.find(y);
            if (it == b_sides.end()) it = b_sides.emplace(y, make_side(*base.state, 1, all[y], skew)).first;
            try {
                check_pair(a, it->second, all[x], all[y], skew);
                if (pairs++ % 16 == 0) {
                    check_closely(a.node, 0, it->second.node);
                    check_closely(it->second.node, 1, a.node);
                }
            } catch (found_error const& e) {
                FAIL(e.what << ": " << text(all[x]) << "| " << text(all[y]) << ", skew " << skew);
            }
        }
    }
    MESSAGE("fold inputs: " << 2 * pairs << " pairs");
    CHECK(pairs > 0);
}

TEST_CASE("mailbox_fold: three sides that fold in any order come to the same content") {
    auto const all = histories(length_max);
    auto const base = base_node();
    auto const triples = budget("MAILFS_FOLD_TRIPLES", 200);
    std::uint64_t seed = 0x9e37'79b9'7f4a'7c15U, folds = 0;
    auto const draw = [&](std::uint64_t below) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        return seed % below;
    };
    constexpr int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (std::uint64_t n = 0; n < triples; ++n) {
        int const skew = static_cast<int>(n % 3);
        history const h[3] = {all[draw(all.size())], all[draw(all.size())], all[draw(all.size())]};
        std::vector<side_state> sides;
        model m;
        for (int s = 0; s < 3; ++s) {
            sides.push_back(make_side(*base.state, s, h[s], skew));
            m.add(s, h[s], skew);
        }
        auto const expected = m.content();
        try {
            for (auto const& o : orders) {
                for (bool late_trunk : {false, true}) {  // who is the trunk of the second fold
                    auto const first = folded(sides[static_cast<std::size_t>(o[0])].node, o[0], 9, *sides[static_cast<std::size_t>(o[1])].node.state);
                    auto const& third = sides[static_cast<std::size_t>(o[2])].node;
                    auto const last = late_trunk ? folded(third, o[2], 10, *first.node->state) : folded(*first.node, o[0], 10, *third.state);
                    auto const& s = *last.node->state;
                    auto const now = list(s);
                    folds += 2;
                    demand(content(s) == expected, "R8: the content depends on the order");
                    shown_uids shown;
                    shown.add(list(*first.node->state));
                    for (auto const& side : sides)
                        for (auto const& c : side.clients) shown.add(c.known);
                    shown.add(now);
                    demand(shown.one_message_each, "R3: one UID for two messages");
                    for (auto const& side : sides) check_clients(side.clients, s, now);
                    check_clients({client(*first.node->state)}, s, now);
                    std::vector<client> const finals{client(*first.node->state), client(*third.state)};
                    demand(renumbered(finals, now) == renumbered_at_least(finals, expected), "not as many UIDs are new as must be");
                    s.verify();
                }
            }
            // Each of two folded the third, and they fold in turn: a message with two new UIDs.
            auto const x = folded(sides[1].node, 1, 9, *sides[0].node.state), y = folded(sides[2].node, 2, 10, *sides[0].node.state);
            auto const last = folded(*y.node, 2, 11, *x.node->state);
            auto const now = list(*last.node->state);
            folds += 3;
            demand(content(*last.node->state) == expected, "R8: the content of two folds differs");
            for (auto const& side : sides) check_clients(side.clients, *last.node->state, now);
            check_clients({client(*x.node->state), client(*y.node->state)}, *last.node->state, now);
            std::vector<client> const finals{client(*x.node->state), client(*y.node->state)};
            demand(renumbered(finals, now) == renumbered_at_least(finals, expected), "not as many UIDs are new as must be");
        } catch (found_error const& e) {
            FAIL(e.what << ": " << text(h[0]) << "| " << text(h[1]) << "| " << text(h[2]) << ", skew " << skew);
        }
    }
    MESSAGE("fold inputs: " << folds << " in triples");
    CHECK(folds > 0);
}
