// SPDX-License-Identifier: BSL-1.0
// Each bit of a mailbox tree's snapshots and logs flipped, each cut: the right tree, or an error that names file and offset.
#include <mailfs/store/tree_state.hpp>

#include "unit/log/every_bit.hpp"
#include "unit/store/tree_fixture.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace mailfs;
using namespace mailfs::test;
using format::tree_transaction;

namespace {

struct tree_trial {
    using machine = tree_state;
    static constexpr std::uint64_t stride = 1;
    static inline guid const object = numbered_guid(99);

    template <class Journal>
    static asio::awaitable<void> create(Journal& box, std::string name, std::uint64_t id) {
        tree_transaction t;
        t.create({numbered_guid(id), next_uid_validity(0, box.state().contents().uid_validity_last), 0, false, name});
        co_await box.propose(t.bytes(), durability::stored);
    }
    template <class Journal>
    static asio::awaitable<void> make(Journal& box) {
        tree_transaction first, subscribe, rename, remove;
        first.metadata({guid{}, true, "tree", "one"});
        co_await box.create(object, first.bytes());
        co_await box.open();
        co_await create(box, "INBOX", 1);
        co_await create(box, "a/b", 2);
        co_await box.log().rotate();
        subscribe.subscribe({true, "a/b"}).metadata({numbered_guid(2), true, "key", "value"});
        co_await box.propose(subscribe.bytes(), durability::stored);
        co_await create(box, "c", 3);
        co_await box.log().rotate();
        rename.rename({numbered_guid(2), "a/b", "d"});
        co_await box.propose(rename.bytes(), durability::stored);
        co_await create(box, "e", 4);
        remove.remove({numbered_guid(3)}).subscribe({true, "x"});
        co_await box.propose(remove.bytes(), durability::stored);
        co_await box.log().sync();
    }
    static std::vector<std::byte> write(std::uint64_t n) {
        auto const name = "own" + std::to_string(n);
        auto const t = tree_transaction().subscribe({true, name});
        return {t.bytes().begin(), t.bytes().end()};
    }
    static bool is_own(std::string const& fact) { return fact.starts_with("subscribed own"); }

    template <class F>
    static facts facts_of(tree_state const& s, F&&) {
        return facts_of(s);
    }
    static facts facts_of(tree_state const& s) {
        facts out;
        auto const& c = s.contents();
        for (auto const& [name, m] : c.mailboxes) {
            out.insert("mailbox " + name + " " + m.id.hex() + " " + std::to_string(m.uid_validity) + mark(m.created) +
                       mark(m.named));
            CHECK(s.name_of(m.id) != nullptr);
        }
        for (auto const& [name, e] : c.subscriptions)
            out.insert((e.on ? "subscribed " : "not subscribed ") + name + mark(e.changed));
        for (auto const& [key, e] : c.metadata)
            out.insert("metadata " + key.mailbox.hex() + " " + key.key + (e.present ? " is " + e.value : " gone") +
                       mark(e.changed));
        return out;
    }
    static std::string mark(change_mark const& m) {
        return " " + std::to_string(m.stamp.value) + " " + std::to_string(m.dot.counter);
    }
};

}  // namespace

TEST_CASE("tree files: each bit of a snapshot flipped, each cut, with the generation before beside it: nothing is lost") {
    every_bit<tree_trial> trial;
    trial.damage("index.3", {"index.2", "log.2", "index.3", "log.3"});
    CHECK(trial.less() + trial.refused() + trial.parts() == 0);
    CHECK(trial.whole() > 0);
}
TEST_CASE("tree files: the same with nothing beside it: it is refused with file and offset") {
    every_bit<tree_trial> trial;
    trial.damage("index.3", {"index.3", "log.3"});
    CHECK(trial.whole() + trial.less() + trial.parts() == 0);
    CHECK(trial.refused() > 0);
}
TEST_CASE("tree files: each bit of the generation before flipped, each cut: nobody notices") {
    every_bit<tree_trial> trial;
    for (auto const* name : {"index.2", "log.2"}) trial.damage(name, {"index.2", "log.2", "index.3", "log.3"});
    CHECK(trial.less() + trial.refused() + trial.parts() == 0);
}
TEST_CASE(
    "tree files: each bit of the newest log flipped, each cut: the record there is lost and told, all others say what they "
    "said") {
    every_bit<tree_trial> trial;
    trial.damage("log.3", {"index.2", "log.2", "index.3", "log.3"});
    CHECK(trial.parts() == 0);
    CHECK(trial.less() > 0);
    CHECK(trial.refused() > 0);
}
TEST_CASE("tree files: the same for a log that is followed by another and has no snapshot behind it") {
    every_bit<tree_trial> trial;
    trial.damage("log.2", {"index.2", "log.2", "log.3"});
    CHECK(trial.parts() == 0);
    CHECK(trial.less() > 0);
    CHECK(trial.refused() > 0);
}
