// SPDX-License-Identifier: BSL-1.0
#include <mailfs/store/tree_state.hpp>

#include "tree_fixture.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

using namespace mailfs;
using namespace mailfs::test;
using names = std::vector<std::string>;

TEST_CASE("tree: a name is created once, by whoever comes first in the stream") {
    tree_fixture f;
    CHECK(f.create("Work", 1) == tree_verdict::applied);
    CHECK(f.create("Work", 2) == tree_verdict::name_taken);
    CHECK(f.create("Work", 2, true) == tree_verdict::applied);
    CHECK(f.tree.find("Work")->id == numbered_guid(1));
    CHECK(f.create("Play", 1) == tree_verdict::name_taken);  // the guid is in use
    CHECK(*f.tree.name_of(numbered_guid(1)) == "Work");
}

TEST_CASE("tree: names that are not canonical never come in") {
    tree_fixture f;
    for (std::string_view bad : {"", "inbox", "a//b", "a\n", "\xff"}) CHECK(f.create(bad, 1) == tree_verdict::bad_name);
    CHECK(f.create("../x", 1) == tree_verdict::applied);
    CHECK(f.rename(1, "../x", "Inbox/x") == tree_verdict::bad_name);
    CHECK(f.subscribe("a/") == tree_verdict::bad_name);
}

TEST_CASE("tree: UIDVALIDITY ascends strictly, and a writer that comes too late is told") {
    tree_fixture f;
    using format::tree_transaction;
    CHECK(f.apply(tree_transaction().create({numbered_guid(1), 32, 0, false, "a"})) == tree_verdict::applied);
    CHECK(f.apply(tree_transaction().create({numbered_guid(2), 32, 0, false, "b"})) == tree_verdict::stale);
    CHECK(f.apply(tree_transaction().create({numbered_guid(2), 33, 0, false, "b"})) == tree_verdict::applied);
    f.remove(2);
    CHECK(f.apply(tree_transaction().create({numbered_guid(3), 33, 0, false, "b"})) == tree_verdict::stale);
}

TEST_CASE("tree: the next UIDVALIDITY is time and slot, above the last one, whatever the clock says") {
    constexpr std::uint64_t start = 1'704'067'200'000;
    CHECK(next_uid_validity(start + 8000, 0, 0) == 16);
    CHECK(next_uid_validity(start + 80'000, 0, 3) == (10U << 4 | 3));
    CHECK(next_uid_validity(start + 80'000, 1000, 0) == 1016);
    CHECK(next_uid_validity(0, 0) == 16);
    CHECK(next_uid_validity(~std::uint64_t{0}, 0) == 0xffff'fff0U);
    CHECK(next_uid_validity(start, 0xffff'fff8U) == 0xffff'ffffU);
}

TEST_CASE("tree: children go along with a renamed mailbox, and no one else") {
    tree_fixture f;
    f.create("a", 1), f.create("a/b", 2), f.create("a/b/c", 3), f.create("ab", 4), f.create("a!", 5);
    CHECK(f.rename(1, "a", "z/y") == tree_verdict::applied);
    CHECK(f.names() == names{"a!", "ab", "z/y", "z/y/b", "z/y/b/c"});
    CHECK(*f.tree.name_of(numbered_guid(3)) == "z/y/b/c");
    CHECK(f.tree.find("z/y/b")->named.dot.counter == 6);
    CHECK(f.tree.find("z/y/b")->created.dot.counter == 2);
    CHECK(f.tree.find("ab")->named.dot.counter == 4);
}

TEST_CASE("tree: a rename needs its source as it was, and a free target outside of it") {
    tree_fixture f;
    f.create("INBOX", 9), f.create("a", 1), f.create("a/b", 2), f.create("c/d", 3);
    CHECK(f.rename(2, "a", "x") == tree_verdict::not_found);
    CHECK(f.rename(1, "b", "x") == tree_verdict::not_found);
    CHECK(f.rename(1, "a", "a/x") == tree_verdict::denied);
    CHECK(f.rename(9, "INBOX", "x") == tree_verdict::denied);
    CHECK(f.rename(1, "a", "a/b") == tree_verdict::denied);
    CHECK(f.rename(2, "a/b", "a") == tree_verdict::name_taken);
    CHECK(f.rename(1, "a", "c") == tree_verdict::name_taken);  // "c" has no mailbox, but names below it
    CHECK(f.rename(1, "a", "INBOX") == tree_verdict::name_taken);
    CHECK(f.names() == names{"INBOX", "a", "a/b", "c/d"});
}

TEST_CASE("tree: a name that only has children is renamed with them") {
    tree_fixture f;
    f.create("a/b", 1), f.create("a/c", 2);
    CHECK(f.rename(0, "a", "z") == tree_verdict::applied);
    CHECK(f.names() == names{"z/b", "z/c"});
    CHECK(f.rename(0, "a", "y") == tree_verdict::not_found);
}

TEST_CASE("tree: a rename that would make a name below too long changes nothing") {
    tree_fixture f;
    std::string const deep = "a/" + std::string(1000, 'x');
    f.create("a", 1), f.create(deep, 2);
    CHECK(f.rename(1, "a", std::string(24, 'y')) == tree_verdict::bad_name);
    CHECK(f.names() == names{"a", deep});
    CHECK(f.rename(1, "a", std::string(23, 'y')) == tree_verdict::applied);
}

TEST_CASE("tree: removal leaves what is below, spares INBOX and takes the metadata along") {
    tree_fixture f;
    f.create("INBOX", 1), f.create("a", 2), f.create("a/b", 3), f.metadata(2, "k", "v"), f.metadata(0, "k", "w"),
        f.metadata(3, "k", "x");
    CHECK(f.remove(1) == tree_verdict::denied);
    CHECK(f.remove(2) == tree_verdict::applied);
    CHECK(f.remove(2) == tree_verdict::not_found);
    CHECK(f.names() == names{"INBOX", "a/b"});
    CHECK(f.tree.has_children("a"));
    CHECK(f.tree.contents().metadata.size() == 2);
    CHECK(*f.tree.metadata(guid{}, "k") == "w");
    CHECK(f.metadata(2, "k", "v") == tree_verdict::not_found);
}

TEST_CASE("tree: the first operation refused ends its transaction") {
    tree_fixture f;
    f.create("taken", 1);
    format::tree_transaction t;
    t.create({numbered_guid(2), 1000, 0, false, "taken"}).create({numbered_guid(3), 1001, 0, true, "other"});
    CHECK(f.apply(t) == tree_verdict::name_taken);
    CHECK(f.names() == names{"taken"});
}

TEST_CASE("tree: subscriptions are registers of any name, and what was unsubscribed is remembered up to a bound") {
    tree_fixture f;
    CHECK(f.subscribe("not/there") == tree_verdict::applied);
    CHECK(f.tree.subscribed("not/there"));
    CHECK(f.subscribe("not/there", false) == tree_verdict::applied);
    CHECK(!f.tree.subscribed("not/there"));
    CHECK(f.tree.contents().subscriptions.at("not/there").changed.dot.counter == 2);
    for (std::size_t i = 0; i <= tree_tombstones_max; ++i) {
        f.subscribe(std::to_string(i));
        f.subscribe(std::to_string(i), false);
    }
    CHECK(f.tree.contents().subscriptions.size() == tree_tombstones_max);
    CHECK(f.tree.contents().subscriptions.count("not/there") == 0);
    CHECK(f.tree.contents().subscriptions.count("0") == 0);
    CHECK(f.tree.contents().subscriptions.count("1") == 1);
}

TEST_CASE("tree: metadata is bounded in key, value and number") {
    tree_fixture f;
    CHECK(f.metadata(0, "/private/comment", "hello") == tree_verdict::applied);
    CHECK(*f.tree.metadata(guid{}, "/private/comment") == "hello");
    CHECK(f.metadata(0, "/private/comment", "", false) == tree_verdict::applied);
    CHECK(f.tree.metadata(guid{}, "/private/comment") == nullptr);
    CHECK(f.metadata(0, "", "v") == tree_verdict::full);
    CHECK(f.metadata(0, std::string(1025, 'k'), "v") == tree_verdict::full);
    CHECK(f.metadata(0, "k", std::string(4097, 'v')) == tree_verdict::full);
    for (std::size_t i = 1; i < metadata_entries_max; ++i) f.metadata(0, std::to_string(i), "");
    CHECK(f.tree.contents().metadata.size() == metadata_entries_max);
    CHECK(f.metadata(0, "one more", "") == tree_verdict::full);
}

TEST_CASE("tree: the number of mailboxes is bounded") {
    tree_fixture f;
    for (std::size_t i = 1; i <= mailboxes_max;) {
        format::tree_transaction t;
        for (auto end = std::min(i + tree_operations_max, mailboxes_max + 1); i < end; ++i)
            t.create({numbered_guid(i), static_cast<std::uint32_t>(i), 0, false, std::to_string(i)});
        REQUIRE(f.apply(t) == tree_verdict::applied);
    }
    CHECK(f.create("one more", mailboxes_max + 1) == tree_verdict::full);
}

TEST_CASE("tree: transactions that no writer of ours makes are cut off by rule") {
    tree_fixture f;
    f.create("a", 1);
    format::tree_transaction renames;
    renames.rename({numbered_guid(1), "a", "b"}).rename({numbered_guid(1), "b", "c"});
    CHECK(f.apply(renames) == tree_verdict::malformed);
    CHECK(f.names() == names{"b"});
    format::tree_transaction many;
    for (std::size_t i = 0; i <= tree_operations_max; ++i) many.subscribe({true, "s"});
    CHECK(f.apply(many) == tree_verdict::malformed);
    CHECK(f.apply(bytes_view{}) == tree_verdict::applied);
    std::vector<std::byte> const zeros(16);
    CHECK(f.apply(zeros) == tree_verdict::malformed);
}

TEST_CASE("tree: an operation from the future is skipped where it may be, else the state stops and says so") {
    tree_fixture f;
    f.create("a", 1);
    auto const future = [](std::byte flags) {
        format::tree_transaction t;
        t.remove({numbered_guid(1)});
        std::vector<std::byte> bytes(t.bytes().begin(), t.bytes().end());
        bytes[0] = std::byte{200};
        bytes[2] = flags;
        return bytes;
    };
    CHECK(f.apply(future(std::byte{1})) == tree_verdict::applied);
    CHECK(!f.tree.needs_newer());
    CHECK(f.apply(future(std::byte{0})) == tree_verdict::newer);
    CHECK(f.tree.needs_newer());
    CHECK(f.create("b", 2) == tree_verdict::newer);
    CHECK(f.names() == names{"a"});
    CHECK_THROWS_WITH_AS(f.tree.dump(), doctest::Contains("newer version"), error);  // no snapshot stands in for that log
}

TEST_CASE("tree: a transaction that is repeated takes effect once") {
    tree_fixture f;
    format::tree_transaction t;
    t.create({numbered_guid(1), 16, 0, false, "a"});
    CHECK(tree_fixture::apply_to(f.tree, t.bytes(), 1) == tree_verdict::applied);
    auto const before = f.tree;
    CHECK(tree_fixture::apply_to(f.tree, t.bytes(), 1) == tree_verdict::none);
    CHECK(f.tree == before);
}

namespace {

// The rules once more, in the plainest way: a list of mailboxes, looked through from end to end.
struct naive_tree {
    struct box {
        std::uint64_t id;
        std::string name;
    };
    std::vector<box> boxes;
    std::set<std::string> subscribed;

    box* by_name(std::string const& name) {
        for (auto& b : boxes)
            if (b.name == name) return &b;
        return nullptr;
    }
    bool taken_below(std::string const& name) const {
        return std::any_of(boxes.begin(), boxes.end(), [&](box const& b) { return b.name.rfind(name + "/", 0) == 0; });
    }
    bool create(std::string const& name, std::uint64_t id) {
        if (by_name(name)) return false;
        boxes.push_back({id, name});
        return true;
    }
    bool remove(std::uint64_t id) {
        auto const gone =
            std::find_if(boxes.begin(), boxes.end(), [&](box const& b) { return b.id == id && b.name != "INBOX"; });
        if (gone == boxes.end()) return false;
        boxes.erase(gone);
        return true;
    }
    bool rename(std::string const& from, std::string const& to) {
        if (from == "INBOX" || (!by_name(from) && !taken_below(from)) || to.rfind(from + "/", 0) == 0) return false;
        if (by_name(to) || taken_below(to)) return false;
        for (auto& b : boxes)
            if (b.name == from || b.name.rfind(from + "/", 0) == 0) b.name = to + b.name.substr(from.size());
        return true;
    }
    std::map<std::string, std::uint64_t> all() const {
        std::map<std::string, std::uint64_t> m;
        for (auto const& b : boxes) m[b.name] = b.id;
        return m;
    }
};

std::string random_name(std::mt19937& random) {
    static constexpr std::string_view levels[] = {"INBOX", "a", "b", "a!", "ab"};
    std::string name(levels[random() % 5]);
    for (auto depth = random() % 3; depth > 0; --depth) name += '/' + std::string(levels[random() % 5]);
    return name;
}

}  // namespace

TEST_CASE("tree: random transactions agree with a naive model, and a snapshot goes on as the state itself") {
    for (unsigned seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        tree_fixture f;
        naive_tree model;
        f.create("INBOX", 1);
        model.create("INBOX", 1);
        std::uint64_t next = 2;
        for (int round = 0; round < 500; ++round) {
            auto const name = random_name(random);
            auto const other = random_name(random);
            bool real = true, expected = true;
            switch (random() % 5) {
                case 0:
                case 1:
                    real = f.create(name, next) == tree_verdict::applied;
                    expected = model.create(name, next++);
                    break;
                case 2: {
                    auto const id = random() % next;
                    real = f.remove(id) == tree_verdict::applied;
                    expected = model.remove(id);
                    break;
                }
                case 3: {
                    auto const* source = model.by_name(name);
                    real = f.rename(source ? source->id : 0, name, other) == tree_verdict::applied;
                    expected = model.rename(name, other);
                    break;
                }
                default:
                    bool const on = random() % 2 == 0;
                    real = f.subscribe(name, on) == tree_verdict::applied;
                    on ? void(model.subscribed.insert(name)) : void(model.subscribed.erase(name));
            }
            REQUIRE(real == expected);
            std::map<std::string, std::uint64_t> mine;
            for (auto const& [key, entry] : f.tree.contents().mailboxes)
                mine[key] = entry.id.octets[15] | std::uint64_t{entry.id.octets[14]} << 8;
            REQUIRE(mine == model.all());
            for (auto const& [key, entry] : f.tree.contents().subscriptions)
                REQUIRE(entry.on == (model.subscribed.count(key) == 1));
            for (auto const& [key, id] : mine) REQUIRE(*f.tree.name_of(numbered_guid(id)) == key);
            if (round % 50 == 0) {
                auto bytes = f.tree.dump();
                tree_state copy;
                copy.load(bytes, "tree");
                REQUIRE(copy == f.tree);
                REQUIRE(copy.dump() == bytes);
                f.tree = std::move(copy);
            }
        }
    }
}
