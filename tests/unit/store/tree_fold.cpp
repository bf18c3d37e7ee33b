// SPDX-License-Identifier: BSL-1.0
#include <mailfs/store/tree_fold.hpp>

#include <mailfs/format/replication_record.hpp>
#include <mailfs/store/tree_state.hpp>

#include "unit/store/tree_fixture.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace mailfs;
using test::numbered_guid;

namespace {

constexpr std::uint64_t ms = 1ULL << 16;

// A tree on a node.
class node {
public:
    explicit node(std::uint32_t slot = 1) : tree(std::make_unique<tree_state>()), slot_(slot) { tree->reset(numbered_guid(99)); }
    static node copy(tree_state const& of, std::uint32_t slot) {
        node n(slot);
        auto bytes = of.dump();
        n.tree->load(bytes, "snapshot");
        for (auto const& e : of.stream().seen)
            if (e.origin == mailfs::origin{slot, 7}) n.counter_ = e.counter;
        return n;
    }
    void step(format::record_kind kind, bytes_view payload, std::uint64_t stamp = 0, mailfs::dot const& d = {}, tree_outcome* out = nullptr) {
        format::record_view record;
        record.header.kind = static_cast<std::uint8_t>(kind);
        record.header.node = d.origin.node;
        record.header.incarnation = d.origin.incarnation;
        record.header.counter = d.counter;
        record.header.stamp = stamp;
        record.payload = payload;
        tree->apply_step(record, out);
    }
    void reign(std::uint32_t counter) { step(format::record_kind::epoch, format::encode_epoch_start({counter << 4 | slot_, {slot_, 7}, 0, 0, 0})); }
    void fold(tree_state const& branch) {
        auto const payload = tree->fold(branch);
        REQUIRE(!payload.empty());
        step(format::record_kind::fold, payload);
    }
    tree_verdict apply(format::tree_transaction const& t, std::uint64_t stamp) {
        tree_outcome out;
        step(format::record_kind::transaction, t.bytes(), stamp, {{slot_, 7}, ++counter_}, &out);
        return out.verdict;
    }

    tree_verdict create(std::string_view name, std::uint64_t id, std::uint64_t stamp) {
        return apply(format::tree_transaction().create({numbered_guid(id), next_uid_validity(0, tree->contents().uid_validity_last, slot_), 0, false, name}), stamp);
    }
    tree_verdict remove(std::uint64_t id, std::uint64_t stamp) { return apply(format::tree_transaction().remove({numbered_guid(id)}), stamp); }
    tree_verdict rename(std::uint64_t id, std::string_view from, std::string_view to, std::uint64_t stamp) {
        return apply(format::tree_transaction().rename({numbered_guid(id), from, to}), stamp);
    }
    tree_verdict subscribe(std::string_view name, bool on, std::uint64_t stamp) { return apply(format::tree_transaction().subscribe({on, name}), stamp); }
    tree_verdict metadata(std::uint64_t id, std::string_view key, std::string_view value, std::uint64_t stamp, bool present = true) {
        return apply(format::tree_transaction().metadata({numbered_guid(id), present, key, value}), stamp);
    }

    std::unique_ptr<tree_state> tree;

private:
    std::uint32_t slot_;
    std::uint64_t counter_ = 0;
};

std::map<std::string, std::uint64_t> names(tree_state const& t) {
    std::map<std::string, std::uint64_t> out;
    for (auto const& [name, e] : t.contents().mailboxes) out.emplace(name, e.id.octets[15]);
    return out;
}
using listing = std::map<std::string, std::uint64_t>;

// INBOX (1), Work (2), Work/old (3), on both; then both go on.
std::pair<node, node> pair_of_nodes() {
    node a(1);
    a.reign(1);
    a.create("INBOX", 1, 1 * ms);
    a.create("Work", 2, 2 * ms);
    a.create("Work/old", 3, 3 * ms);
    auto b = node::copy(*a.tree, 2);
    b.reign(2);
    return {std::move(a), std::move(b)};
}
// Both ways: with A and with B as the trunk the content is the same.
template <class Check>
void fold_both_ways(node& a, node& b, Check check) {
    auto x = node::copy(*a.tree, 1), y = node::copy(*b.tree, 2);
    x.reign(9);
    y.reign(9);
    x.fold(*b.tree);
    y.fold(*a.tree);
    check(*x.tree);
    check(*y.tree);
    auto const again = node::copy(*x.tree, 3);
    CHECK(again.tree->dump() == x.tree->dump());
}

}  // namespace

TEST_CASE("tree_fold: what each side made, renamed, subscribed and noted is there") {
    auto [a, b] = pair_of_nodes();
    a.create("From a", 11, 10 * ms);
    b.create("From b", 21, 11 * ms);
    b.rename(2, "Work", "Job", 12 * ms);  // and what is below it
    a.subscribe("From a", true, 13 * ms);
    b.metadata(1, "/comment", "x", 14 * ms);
    a.metadata(11, "/comment", "y", 15 * ms);
    fold_both_ways(a, b, [](tree_state const& t) {
        CHECK(names(t) == listing{{"From a", 11}, {"From b", 21}, {"INBOX", 1}, {"Job", 2}, {"Job/old", 3}});
        CHECK(t.subscribed("From a"));
        CHECK(*t.metadata(numbered_guid(1), "/comment") == "x");
        CHECK(*t.metadata(numbered_guid(11), "/comment") == "y");
        CHECK(t.contents().displaced.empty());
    });
}

TEST_CASE("tree_fold: a removed mailbox is gone, whatever the other side named it or noted of it") {
    auto [a, b] = pair_of_nodes();
    a.remove(2, 10 * ms);
    b.rename(2, "Work", "Job", 12 * ms);
    b.metadata(2, "/comment", "x", 14 * ms);
    fold_both_ways(a, b, [](tree_state const& t) {
        CHECK(names(t) == listing{{"INBOX", 1}, {"Job/old", 3}});
        CHECK(t.contents().metadata.empty());
        CHECK(t.name_of(numbered_guid(2)) == nullptr);
    });
}

TEST_CASE("tree_fold: one name made on both sides: one mailbox, into which the other's messages go") {
    auto [a, b] = pair_of_nodes();
    CHECK(a.create("New", 11, 20 * ms) == tree_verdict::applied);
    CHECK(b.create("New", 21, 10 * ms) == tree_verdict::applied);  // slot 2: the greater UIDVALIDITY
    fold_both_ways(a, b, [](tree_state const& t) {
        CHECK(names(t) == listing{{"INBOX", 1}, {"New", 21}, {"New (0000)", 11}, {"Work", 2}, {"Work/old", 3}});
        REQUIRE(t.contents().displaced.size() == 1);
        auto const& [id, d] = *t.contents().displaced.begin();
        CHECK(id == numbered_guid(11));
        CHECK(d.wanted == "New");
        CHECK(d.into == numbered_guid(21));
        CHECK(d.at.n == 1);
    });
    b.reign(9);
    b.fold(*a.tree);
    SUBCASE("its work done, the other goes") {
        CHECK(b.remove(11, 30 * ms) == tree_verdict::applied);
        CHECK(b.tree->contents().displaced.empty());
    }
    SUBCASE("when the first is removed, the other stays") {
        CHECK(b.remove(21, 30 * ms) == tree_verdict::applied);
        CHECK(!b.tree->contents().displaced.begin()->second.into);
        CHECK(b.tree->is_unsettled());
        b.step(format::record_kind::settle, format::encode_settle(b.tree->stream().at));
        CHECK(!b.tree->is_unsettled());
        CHECK(names(*b.tree).count("New (0000)") == 1);
    }
    SUBCASE("who renames it, means it") {
        CHECK(b.rename(11, "New (0000)", "Mine", 30 * ms) == tree_verdict::applied);
        CHECK(b.tree->contents().displaced.empty());
    }
}

TEST_CASE("tree_fold: INBOX made on both sides is one INBOX") {
    node a(1);
    a.reign(1);
    auto b = node::copy(*a.tree, 2);
    b.reign(2);
    a.create("INBOX", 11, 1 * ms);
    b.create("INBOX", 21, 1 * ms);
    fold_both_ways(a, b, [](tree_state const& t) { CHECK(names(t) == listing{{"INBOX", 21}, {"INBOX (0000)", 11}}); });
}

TEST_CASE("tree_fold: a removed mailbox that had got mail is made again, with its UIDVALIDITY, and no branch removes it") {
    auto [a, b] = pair_of_nodes();
    auto const entry = *a.tree->find("Work");
    a.remove(2, 10 * ms);
    auto const other = node::copy(*a.tree, 3);
    b.reign(9);
    b.fold(*a.tree);
    auto const again = [&](std::uint32_t uid_validity, bool restored) {
        return b.apply(format::tree_transaction().create({numbered_guid(2), uid_validity, 0, false, "Work", restored}), 20 * ms);
    };
    CHECK(again(entry.uid_validity, false) == tree_verdict::stale);
    CHECK(again(entry.uid_validity + 1000, true) == tree_verdict::stale);  // there never was one
    CHECK(again(entry.uid_validity, true) == tree_verdict::applied);
    CHECK(b.tree->find("Work")->uid_validity == entry.uid_validity);
    b.reign(10);
    b.fold(*other.tree);
    CHECK(names(*b.tree) == listing{{"INBOX", 1}, {"Work", 2}, {"Work/old", 3}});
}

TEST_CASE("tree_fold: renames of one mailbox: the later stamp, and below it each name for itself") {
    auto [a, b] = pair_of_nodes();
    a.rename(2, "Work", "Job", 21 * ms);
    b.rename(2, "Work", "Play", 20 * ms);
    b.rename(3, "Play/old", "Play/new", 30 * ms);
    fold_both_ways(a, b, [](tree_state const& t) { CHECK(names(t) == listing{{"INBOX", 1}, {"Job", 2}, {"Play/new", 3}}); });
}

TEST_CASE("tree_fold: what replaced a change that both sides ordered stands, whatever stamp it has on the other side") {
    mailfs::dot const first{{3, 7}, 1}, both{{4, 7}, 1}, later{{4, 7}, 2};
    auto [a, b] = pair_of_nodes();
    auto const change = [](node& n, std::string_view from, std::string_view to, bool on, std::uint64_t stamp, mailfs::dot const& d) {
        auto const value = on ? std::string_view("x") : std::string_view();
        auto t = format::tree_transaction().rename({numbered_guid(2), from, to});
        t.subscribe({on, "INBOX"}).metadata({numbered_guid(1), on, "/comment", value});
        n.step(format::record_kind::transaction, t.bytes(), stamp, d);
    };
    change(a, "Work", "First", true, 90 * ms, first);
    change(a, "First", "Both", false, 20 * ms, both);  // whose stamp rises above the first one's
    change(b, "Work", "Both", false, 20 * ms, both);
    change(b, "Both", "Later", true, 21 * ms, later);
    fold_both_ways(a, b, [](tree_state const& t) {
        CHECK(t.find("Later") != nullptr);
        CHECK(t.subscribed("INBOX"));
        CHECK(t.metadata(numbered_guid(1), "/comment") != nullptr);
    });
}

TEST_CASE("tree_fold: two mailboxes that were given one name: the later has it, the other is told apart by its id") {
    auto [a, b] = pair_of_nodes();
    a.rename(2, "Work", "Same", 21 * ms);
    b.create("Same", 21, 20 * ms);
    b.create("Same (0000)", 22, 20 * ms);  // which is taken, too
    fold_both_ways(a, b, [](tree_state const& t) {
        CHECK(names(t) == listing{{"INBOX", 1}, {"Same", 2}, {"Same (0000)", 22}, {"Same (00000000)", 21}, {"Same/old", 3}});
        CHECK(!t.contents().displaced.at(numbered_guid(21)).into);
    });
}

TEST_CASE("tree_fold: a mailbox that lost its name has it back in a later fold, when nobody has it") {
    auto [a, b] = pair_of_nodes();
    auto c = node::copy(*b.tree, 3);
    c.reign(3);
    a.rename(2, "Work", "Same", 20 * ms);
    b.rename(3, "Work/old", "Same", 21 * ms);
    c.remove(3, 22 * ms);
    b.reign(4);
    b.fold(*a.tree);
    CHECK(names(*b.tree) == listing{{"INBOX", 1}, {"Same", 3}, {"Same (0000)", 2}});
    b.reign(5);
    b.fold(*c.tree);
    CHECK(names(*b.tree) == listing{{"INBOX", 1}, {"Same", 2}});
    CHECK(b.tree->contents().displaced.empty());
}

TEST_CASE("tree_fold: subscriptions and metadata: the later stamp, entry by entry, removals too") {
    auto [a, b] = pair_of_nodes();
    node common = node::copy(*a.tree, 1);
    common.subscribe("Work", true, 5 * ms);
    common.metadata(0, "/color", "red", 6 * ms);
    a = node::copy(*common.tree, 1);
    b = node::copy(*common.tree, 2);
    b.reign(2);
    a.subscribe("Work", false, 20 * ms);
    b.subscribe("Work", true, 21 * ms);
    a.subscribe("INBOX", true, 31 * ms);
    b.subscribe("INBOX", true, 29 * ms);
    b.subscribe("INBOX", false, 30 * ms);
    a.metadata(0, "/color", "", 41 * ms, false);
    b.metadata(0, "/color", "blue", 40 * ms);
    fold_both_ways(a, b, [](tree_state const& t) {
        CHECK(t.subscribed("Work"));
        CHECK(t.subscribed("INBOX"));
        CHECK(t.metadata(guid{}, "/color") == nullptr);
    });
}

TEST_CASE("tree_fold: what follows a change in one history wins over it, whatever the clocks said") {
    auto [a, b] = pair_of_nodes();
    a.subscribe("Work", true, 90 * ms);
    a.rename(2, "Work", "Far ahead", 90 * ms);
    b = node::copy(*a.tree, 2);
    b.reign(2);
    b.subscribe("Work", false, 20 * ms);
    b.rename(2, "Far ahead", "Behind", 21 * ms);
    fold_both_ways(a, b, [](tree_state const& t) {
        CHECK(!t.subscribed("Work"));
        CHECK(t.find("Behind") != nullptr);
    });
}

TEST_CASE("tree_fold: a branch folded twice changes nothing, and what was seen is the union") {
    auto [a, b] = pair_of_nodes();
    a.create("New", 11, 10 * ms);
    b.create("New", 21, 11 * ms);
    a.remove(3, 12 * ms);
    b.reign(3);
    b.fold(*a.tree);
    auto const before = names(*b.tree);
    auto const displaced = b.tree->contents().displaced;
    CHECK(covers(b.tree->stream().history(), a.tree->stream().history()));
    b.reign(4);
    b.fold(*a.tree);
    CHECK(names(*b.tree) == before);
    CHECK(b.tree->contents().displaced == displaced);
}

TEST_CASE("tree_state: steps that make no sense, cut or damaged folds among them, move the position alone or leave a tree") {
    auto [a, b] = pair_of_nodes();
    a.create("New", 11, 10 * ms);
    b.create("New", 21, 11 * ms);
    b.metadata(21, "/x", "y", 12 * ms);
    b.reign(3);
    auto const payload = b.tree->fold(*a.tree);
    for (std::size_t size = 0; size < payload.size(); ++size) {
        auto c = node::copy(*b.tree, 4);
        auto const before = names(*c.tree);
        c.step(format::record_kind::fold, bytes_view(payload).first(size));
        CHECK(c.tree->stream().at == position{3 << 4 | 2, 1});
        if (size + 8 <= payload.size()) CHECK(names(*c.tree) == before);
    }
    for (std::size_t bit = 32; bit < 8 * payload.size(); ++bit) {  // not the version
        auto c = node::copy(*b.tree, 4);
        auto bytes = payload;
        bytes[bit / 8] ^= std::byte(1U << bit % 8);
        c.step(format::record_kind::fold, bytes);
        auto const good = node::copy(*c.tree, 5);  // throws when it is no tree
        CHECK(good.tree->dump() == c.tree->dump());
    }
    auto newer = payload;
    newer[0] = std::byte{2};
    CHECK_THROWS_AS(b.step(format::record_kind::fold, newer), error);
}

// --- all short histories -------------------------------------------------------------------------------------------------

namespace {

using deed = std::pair<int, int>;
std::vector<deed> alphabet() {
    std::vector<deed> all;
    for (int what = 0; what < 8; ++what) all.push_back({what, 0});
    return all;
}
void perform(node& n, deed d, std::uint64_t side, std::uint64_t k, std::uint64_t stamp) {
    auto const of = [&](std::uint64_t id) { return std::string(n.tree->name_of(numbered_guid(id)) == nullptr ? "" : *n.tree->name_of(numbered_guid(id))); };
    switch (d.first) {
        case 0: n.create("X", 10 * side + k, stamp); break;
        case 1: n.create("Y", 10 * side + k, stamp); break;
        case 2: n.rename(2, of(2), "X", stamp); break;
        case 3: n.rename(2, of(2), "Y", stamp); break;
        case 4: n.rename(3, of(3), "X", stamp); break;
        case 5: n.remove(2, stamp); break;
        case 6: n.remove(3, stamp); break;
        default: n.subscribe("X", k % 2 == 0, stamp); break;
    }
}
// Which mailboxes under which names, and who waits for what; whatever the epochs are.
std::string content(tree_state const& t) {
    std::string out;
    for (auto const& [name, e] : t.contents().mailboxes) {
        out += fmt::format("{}={} ", name, e.id.octets[15]);
        if (auto const it = t.contents().displaced.find(e.id); it != t.contents().displaced.end())
            out += fmt::format("({} into {}) ", it->second.wanted, it->second.into.octets[15]);
    }
    for (auto const& [name, e] : t.contents().subscriptions) out += fmt::format("{}:{} ", name, e.on);
    return out;
}
node make_side(tree_state const& base, int side, std::vector<deed> const& h) {
    auto n = node::copy(base, static_cast<std::uint32_t>(side));
    if (side > 1) n.reign(static_cast<std::uint32_t>(side));
    for (std::size_t k = 0; k < h.size(); ++k) perform(n, h[k], static_cast<std::uint64_t>(side), k + 1, (100 + 10 * k + static_cast<std::uint64_t>(side)) * ms);
    return n;
}
node folded(node const& trunk, std::uint32_t slot, std::uint32_t epoch, node const& branch) {
    auto n = node::copy(*trunk.tree, slot);
    n.reign(epoch);
    n.fold(*branch.tree);
    return n;
}

}  // namespace

TEST_CASE("tree_fold: three sides that fold in any order come to one tree") {
    std::vector<std::vector<deed>> all{{}};
    for (std::size_t from = 0; all.size() < 1 + 8 + 64;) {
        auto const h = all[from++];
        for (auto const& d : alphabet()) {
            all.push_back(h);
            all.back().push_back(d);
        }
    }
    auto const* const text = std::getenv("MAILFS_FOLD_TREES");
    auto const triples = text == nullptr ? 300 : std::strtoull(text, nullptr, 10);
    node base(1);
    base.reign(1);
    base.create("INBOX", 1, 1 * ms);
    base.create("Work", 2, 2 * ms);
    base.create("Old", 3, 3 * ms);
    std::uint64_t seed = 0x2545'f491'4f6c'dd1dU, folds = 0;
    auto const draw = [&] {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        return seed % all.size();
    };
    for (std::uint64_t i = 0; i < triples; ++i) {
        std::vector<node> sides;
        for (int s : {1, 2, 3}) sides.push_back(make_side(*base.tree, s, all[draw()]));
        std::set<std::string> outcomes;
        for (std::size_t x = 0; x < 3; ++x)
            for (std::size_t y = 0; y < 3; ++y) {
                if (x == y) continue;
                auto const& third = sides[3 - x - y];
                auto const first = folded(sides[x], static_cast<std::uint32_t>(x + 1), 9, sides[y]);
                outcomes.insert(content(*folded(first, static_cast<std::uint32_t>(x + 1), 10, third).tree));
                outcomes.insert(content(*folded(third, static_cast<std::uint32_t>(4 - x - y), 10, first).tree));
                folds += 3;
            }
        if (outcomes.size() != 1) {
            for (auto const& o : outcomes) MESSAGE(o);
            FAIL("the tree depends on the order, triple " << i);
        }
    }
    MESSAGE("fold inputs: " << folds << " of trees");
    CHECK(folds > 0);
}
