// SPDX-License-Identifier: BSL-1.0
// Each bit of a mailbox's snapshots and logs flipped, each cut: the right messages, or an error that names file and offset.
#include <mailfs/index/index.hpp>

#include "unit/log/every_bit.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

using namespace mailfs;
using namespace mailfs::test;
using format::mailbox_transaction;

namespace {

struct mailbox_trial {
    using machine = mailbox_state;
    static constexpr std::uint64_t stride = 1;
    static inline guid const object = guid::from_words(1, 2);

    static message_entry message(std::uint64_t n) {
        message_entry m;
        m.id = guid::from_words(n, 1);
        m.where = {n % 2, 64 * n};
        m.size = static_cast<std::uint32_t>(10 * n);
        m.received_ms = 1'700'000'000'000 + n * 1000;
        return m;
    }
    template <class Journal>
    static asio::awaitable<void> make(Journal& box) {
        mailbox_transaction first, arrive, change, more, move, last;
        first.raise(77, 0);
        co_await box.create(object, first.bytes());
        co_await box.open();
        for (std::uint64_t n = 1; n <= 4; ++n) arrive.append(message(n));
        co_await box.propose(arrive.bytes(), durability::stored);
        co_await box.log().rotate();
        change.change_flags({{1, 2}}, {flag_mode::add, flag::seen, {"$one"}, {}}).expunge({{3, 3}}, false);
        co_await box.propose(change.bytes(), durability::stored);
        more.append(message(5)).cache(1, 8);
        co_await box.propose(more.bytes(), durability::stored);
        co_await box.log().rotate();
        move.relocate(2, guid::from_words(2, 1), {9, 640})
            .change_flags({{5, 5}}, {flag_mode::replace, flag::draft, {"$two"}, {}});
        co_await box.propose(move.bytes(), durability::stored);
        auto six = mailbox_transaction().append(message(6));
        co_await box.propose(six.bytes(), durability::stored);
        last.change_flags({{1, 1}}, {flag_mode::remove, flag::seen, {}, {}}).metadata("key", "value");
        co_await box.propose(last.bytes(), durability::stored);
        co_await box.log().sync();
    }
    static std::vector<std::byte> write(std::uint64_t n) {
        auto const m = message(100 + n);
        auto const t = mailbox_transaction().append(m);
        return {t.bytes().begin(), t.bytes().end()};
    }
    static bool is_own(std::string const& fact) { return fact.starts_with("own "); }

    template <class F>
    static facts facts_of(mailbox_state const& s, F&& unreadable) {
        facts out;
        auto const add = [&](auto&& make) {
            try {
                out.insert(make());
            } catch (error const& e) {
                unreadable(e);
            }
        };
        out.insert("uid_validity " + std::to_string(s.uid_validity()));
        for (auto const& [key, value] : s.metadata()) out.insert("metadata " + key + " " + value);
        for (std::size_t row = 0; row < s.rows().count(); ++row)
            if (!s.expunged().contains(row)) add([&] { return fact_of(s, row); });
        add([&]() -> std::string {
            s.verify();
            return "counters and digest agree";
        });
        return out;
    }
    static facts facts_of(mailbox_state const& s) {
        return facts_of(s, [](error const& e) { FAIL(e.what()); });
    }
    static std::string fact_of(mailbox_state const& s, std::size_t row) {
        auto const r = s.rows().get(row);
        std::string out = r.id >= guid::from_words(100, 0) ? "own uid " : "uid ";
        std::uint64_t const numbers[] = {r.uid,        r.flags,        r.modseq, r.size,     r.received_ms, r.saved_ms,
                                         r.where.file, r.where.offset, r.cache,  r.dot.part, r.dot.counter};
        for (auto const n : numbers) out += std::to_string(n) + " ";
        for (auto const k : s.keywords().members(r.keyword_set)) out += s.keywords().names()[k] + " ";
        return out + r.id.hex();
    }
};

}  // namespace

TEST_CASE("mailbox files: each bit of a snapshot flipped, each cut, with the generation before beside it: nothing is lost") {
    every_bit<mailbox_trial> trial;
    trial.damage("index.3", {"index.2", "log.2", "index.3", "log.3"});
    CHECK(trial.less() + trial.refused() + trial.parts() == 0);
    CHECK(trial.whole() > 0);
}
TEST_CASE(
    "mailbox files: the same with nothing beside it: what can be read is right, what cannot is told by file and offset") {
    every_bit<mailbox_trial> trial;
    trial.damage("index.3", {"index.3", "log.3"});
    CHECK(trial.less() == 0);
    CHECK(trial.refused() > 0);
    CHECK(trial.parts() > 0);
    CHECK(trial.whole() > 0);
}
TEST_CASE("mailbox files: each bit of the generation before flipped, each cut: nobody notices") {
    every_bit<mailbox_trial> trial;
    for (auto const* name : {"index.2", "log.2"}) trial.damage(name, {"index.2", "log.2", "index.3", "log.3"});
    CHECK(trial.less() + trial.refused() + trial.parts() == 0);
}
TEST_CASE(
    "mailbox files: each bit of the newest log flipped, each cut: the record there is lost and told, all others say what "
    "they said") {
    every_bit<mailbox_trial> trial;
    trial.damage("log.3", {"index.2", "log.2", "index.3", "log.3"});
    CHECK(trial.parts() == 0);
    CHECK(trial.less() > 0);
    CHECK(trial.refused() > 0);
}
TEST_CASE("mailbox files: the same for a log that is followed by another and has no snapshot behind it") {
    every_bit<mailbox_trial> trial;
    trial.damage("log.2", {"index.2", "log.2", "log.3"});
    CHECK(trial.parts() == 0);
    CHECK(trial.less() > 0);
    CHECK(trial.refused() > 0);
}
