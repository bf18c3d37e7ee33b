// SPDX-License-Identifier: BSL-1.0
#include <mailfs/replication/detail/shared_log.hpp>

#include <mailfs/fs/faulty_fs.hpp>
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/replication/detail/node_log.hpp>

#include "support/run.hpp"
#include "unit/log/log_fixture.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using namespace mailfs;
using namespace mailfs::test;

namespace {

using log_type = mailfs::detail::shared_log<faulty_fs<>, test_host, mailbox_state>;
using made = log_type::made;
using mailfs::detail::shared_file;

guid const object = guid::from_words(3, 3);

format::stream_step epoch(std::uint32_t number, std::uint32_t node) {
    format::stream_step s;
    s.kind = format::record_kind::epoch;
    s.at = {number, 0};
    s.payload = format::encode_epoch_start({number, {node, 1}, 1, 1024, 1});
    return s;
}
format::stream_step message(position at, std::uint64_t counter) {
    message_entry m;
    m.id = guid::from_words(9, counter);
    format::mailbox_transaction t;
    t.append(m);
    format::stream_step s;
    s.at = at;
    s.dot = {{1, 1}, counter};
    s.payload.assign(t.bytes().begin(), t.bytes().end());
    return s;
}

/// Lists that are older than all there is.
struct blind_fs {
    using file = memory_fs::file;
    static constexpr fs_traits traits = memory_fs::traits;
    asio::awaitable<std::optional<file>> open(std::string_view path) { return tree.open(path); }
    asio::awaitable<bool> create(std::string_view path, bytes_view bytes, durability d) { return tree.create(path, bytes, d); }
    asio::awaitable<std::vector<std::string>> list(std::string_view) { co_return std::vector<std::string>{}; }
    asio::awaitable<bool> remove(std::string_view path) { return tree.remove(path); }
    memory_fs tree;
};

/// A store, and two processes that reach it, each with a log of its own.
struct fixture {
    faulty_fs<> disk, other_way{disk.another_process()};
    test_host host;
    shared_store rules;
    std::uint64_t now_ms = 0;
    mailfs::detail::steady_clock clock = [this] { return now_ms; };
    log_type one{disk, host, "box", {}, rules, clock}, two{other_way, host, "box", {}, rules, clock};
    mailbox_state state;
    log_type::tail tail;

    fixture() {
        mailbox_state empty;
        REQUIRE(test::run([&] { return one.create(object, empty); }));
    }
    bool read(log_type& log) {
        return test::run([&] { return log.read(state, tail); });
    }
    made put(log_type& log, shared_file& f) {
        return test::run([&] { return log.put(f); });
    }
    shared_file claim(log_type& log, std::uint32_t number, std::uint32_t node) {
        REQUIRE(read(log));
        auto const& s = std::as_const(state).stream();
        return log.compose(tail.number, object, s.at, s.chain, {epoch(number, node)});
    }
    void reign(log_type& log, std::uint32_t number, std::uint32_t node) {
        auto f = claim(log, number, node);
        REQUIRE(put(log, f) == made::mine);
        log.own(f, tail);
    }
    made flush(log_type& log, std::uint64_t counter) {
        log.add(message({log.last().epoch, log.last().n + 1}, counter));
        auto f = log.next_file(object);
        auto const came = put(log, f);
        if (came == made::mine) log.landed(f);
        return came;
    }
    bool has_log(std::uint64_t n) const {
        auto const all = disk.inner().paths();
        return std::find(all.begin(), all.end(), "box/log." + std::to_string(n)) != all.end();
    }
};

}  // namespace

TEST_CASE_FIXTURE(fixture, "shared_log: who makes the first file makes the object") {
    mailbox_state empty;
    CHECK(!test::run([&] { return two.create(object, empty); }));
    CHECK(read(two));
    CHECK(state.object() == object);
    CHECK(tail.number == 1);
}

TEST_CASE_FIXTURE(fixture, "shared_log: what was flushed is read, in order, by anyone") {
    reign(one, 16, 1);
    CHECK(flush(one, 1) == made::mine);
    CHECK(flush(one, 2) == made::mine);
    CHECK(read(two));
    CHECK(std::as_const(state).stream().at == position{16, 2});
    CHECK(state.counters().messages == 2);
    CHECK(tail.number == 4);
}

TEST_CASE_FIXTURE(fixture, "shared_log: a list that is older than the log hides nothing, and no log is none") {
    reign(one, 16, 1);
    CHECK(flush(one, 1) == made::mine);
    using blind_log = mailfs::detail::shared_log<blind_fs, test_host, mailbox_state>;
    blind_log blind(blind_fs{disk.inner()}, host, "box", {}, rules, clock);
    blind_log elsewhere(blind_fs{disk.inner()}, host, "other", {}, rules, clock);
    blind_log::tail t;
    CHECK(test::run([&] { return blind.read(state, t); }));
    CHECK(t.number == 3);
    CHECK(!test::run([&] { return elsewhere.read(state, t); }));
}

TEST_CASE_FIXTURE(fixture, "shared_log: of two claims the first wins, and shuts the master before out") {
    reign(one, 16, 1);
    auto const late = claim(one, 32, 1);
    reign(two, 32, 2);
    auto f = late;
    CHECK(put(one, f) == made::theirs);
    CHECK(flush(one, 1) == made::theirs);
    CHECK(*test::run([&] { return one.opened_by(3); }) == 32);
}

TEST_CASE_FIXTURE(fixture, "shared_log: data that got in before a claim has no epoch") {
    reign(one, 16, 1);
    auto f = claim(two, 32, 2);
    CHECK(flush(one, 1) == made::mine);
    CHECK(put(two, f) == made::theirs);
    CHECK(*test::run([&] { return two.opened_by(3); }) == 0);
}

TEST_CASE_FIXTURE(fixture, "shared_log: the nonce tells that a create whose answer was lost had happened") {
    auto f = claim(one, 16, 1);
    disk.faults().lose_answer(fs_verb::create, 1);
    CHECK(put(one, f) == made::mine);  // it looked
    CHECK(has_log(2));
}

TEST_CASE_FIXTURE(fixture, "shared_log: a create that did nothing may be tried again with the same bytes, or another's is there") {
    auto f = claim(one, 16, 1);
    disk.faults().fail(fs_verb::create, 1);
    CHECK(put(one, f) == made::unknown);
    CHECK(put(one, f) == made::mine);
    CHECK(put(one, f) == made::mine);  // it landed twice, or seconds later: the same
    auto g = claim(one, 32, 1);
    disk.faults().fail(fs_verb::create, 1);
    CHECK(put(one, g) == made::unknown);
    reign(two, 32, 2);
    CHECK(put(one, g) == made::theirs);
}

TEST_CASE_FIXTURE(fixture, "shared_log: where the store does not even answer who made it, the outcome stays unknown") {
    auto f = claim(one, 16, 1);
    disk.faults().lose_answer(fs_verb::create, 1);
    disk.faults().fail(fs_verb::open, 1);
    CHECK(put(one, f) == made::unknown);
    CHECK(put(one, f) == made::mine);
}

TEST_CASE_FIXTURE(fixture, "shared_log: a flush whose outcome is unknown is the same file until it is known") {
    reign(one, 16, 1);
    disk.faults().fail(fs_verb::create, 1);
    CHECK(flush(one, 1) == made::unknown);
    one.add(message({16, 2}, 2));
    auto f = one.next_file(object);
    CHECK(f.end == position{16, 1});
    CHECK(put(one, f) == made::mine);
    one.landed(f);
    CHECK(one.has_unflushed());
    CHECK(one.next_file(object).end == position{16, 2});
}

TEST_CASE_FIXTURE(fixture, "shared_log: covered files go when creates can be late no more, those that open an epoch stay") {
    reign(one, 16, 1);
    for (std::uint64_t n = 1; n <= 3; ++n) CHECK(flush(one, n) == made::mine);
    CHECK(read(one));
    auto const dump = state.dump();
    now_ms = 1000;
    test::run([&] { return one.put_snapshot(5, dump); });
    test::run([&] { return one.purge(); });
    CHECK(has_log(3));
    now_ms = 1000 + rules.late_ms;
    test::run([&] { return one.purge(); });
    CHECK(has_log(2));
    CHECK(!has_log(1));
    CHECK(!has_log(3));
    CHECK(!has_log(5));
    CHECK(flush(one, 4) == made::mine);
    CHECK(read(two));
    CHECK(state.counters().messages == 4);
    CHECK(tail.number == 6);
}

TEST_CASE_FIXTURE(fixture, "shared_log: two that cover at once, one of which dies half-way, and a third with an old view disturb nobody") {
    reign(one, 16, 1);
    for (std::uint64_t n = 1; n <= 3; ++n) CHECK(flush(one, n) == made::mine);
    log_type third{disk, host, "box", {}, rules, clock};
    CHECK(read(third));
    auto const old = state.dump();
    auto const old_number = tail.number;
    for (std::uint64_t n = 4; n <= 6; ++n) CHECK(flush(one, n) == made::mine);
    CHECK(read(one));
    auto const dump = state.dump();
    test::run([&] { return one.put_snapshot(8, dump); });
    test::run([&] { return two.put_snapshot(8, dump); });
    now_ms = rules.late_ms;
    disk.faults().fail(fs_verb::remove, 3);
    CHECK_THROWS_AS(test::run([&] { return one.purge(); }), error);
    test::run([&] { return two.purge(); });
    CHECK(!has_log(8));
    test::run([&] { return third.put_snapshot(old_number, old); });
    CHECK(read(two));
    CHECK(state.counters().messages == 6);
    CHECK(tail.number == 8);
    now_ms = 3 * rules.late_ms;
    test::run([&] { return two.purge(); });
    CHECK(disk.inner().paths() == std::vector<std::string>{"box/index.9", "box/log.2"});
    CHECK(flush(one, 7) == made::mine);
}

TEST_CASE_FIXTURE(fixture, "shared_log: one that is stopped removes nothing, and does not ask for the time when its calls end") {
    reign(one, 16, 1);
    for (std::uint64_t n = 1; n <= 2; ++n) CHECK(flush(one, n) == made::mine);
    CHECK(read(one));
    auto const dump = state.dump();
    test::run([&] { return one.put_snapshot(4, dump); });
    now_ms = rules.late_ms;
    int asked = 0;
    log_type counting(disk, host, "box", {}, rules, [&] { return ++asked, now_ms; });
    CHECK(read(counting));
    counting.stop(true);
    auto const before = asked;
    now_ms *= 2;
    test::run([&] { return counting.purge(); });
    CHECK(asked == before + 1);  // as it began
    CHECK(has_log(1));
    counting.stop(false);
    test::run([&] { return counting.purge(); });
    CHECK(!has_log(1));
}

TEST_CASE_FIXTURE(fixture, "shared_log: it is known when something may be removed, by who made the snapshot and who found it") {
    CHECK(one.purge_due_ms() == ~std::uint64_t{0});
    reign(one, 16, 1);
    CHECK(flush(one, 1) == made::mine);
    CHECK(read(one));
    auto const dump = state.dump();
    now_ms = 1000;
    test::run([&] { return one.put_snapshot(3, dump); });
    CHECK(one.purge_due_ms() == 1000 + rules.late_ms);
    now_ms = 5000;
    CHECK(read(two));
    CHECK(two.purge_due_ms() == 5000 + rules.late_ms);
    now_ms = 5000 + rules.late_ms;
    test::run([&] { return two.purge(); });
    CHECK(two.purge_due_ms() > rules.keep_epochs_ms);  // log.2
    CHECK(two.purge_due_ms() != ~std::uint64_t{0});
}

TEST_CASE_FIXTURE(fixture, "shared_log: a covered file that cannot be read stays as long as one that opens an epoch, and no other does") {
    reign(one, 16, 1);
    for (std::uint64_t n = 1; n <= 2; ++n) CHECK(flush(one, n) == made::mine);
    CHECK(read(one));
    auto const dump = state.dump();
    auto files = disk.inner();
    auto bytes = files.bytes_of("box/log.3");
    bytes[30] ^= std::byte{1};
    files.put("box/log.3", bytes);
    test::run([&] { return one.put_snapshot(4, dump); });
    now_ms = rules.late_ms;
    test::run([&] { return one.purge(); });
    CHECK(has_log(3));
    CHECK(!has_log(4));
}

TEST_CASE_FIXTURE(fixture, "shared_log: an epoch's file goes when it is older than any master sleeps") {
    rules.keep_epochs_ms = 0;
    log_type impatient(disk, host, "box", {}, rules, clock);
    reign(impatient, 16, 1);
    CHECK(flush(impatient, 1) == made::mine);
    CHECK(read(one));
    auto const dump = state.dump();
    test::run([&] { return impatient.put_snapshot(3, dump); });
    now_ms = rules.late_ms;
    test::run([&] { return impatient.purge(); });
    CHECK(!has_log(2));
    CHECK(!has_log(3));
}

TEST_CASE_FIXTURE(fixture, "shared_log: who wins a number that had been used and removed finds that it counts for nothing") {
    reign(one, 16, 1);
    auto f = claim(two, 32, 2);
    for (std::uint64_t n = 1; n <= 3; ++n) CHECK(flush(one, n) == made::mine);
    CHECK(read(one));
    auto const dump = state.dump();
    test::run([&] { return one.put_snapshot(5, dump); });
    now_ms = rules.late_ms;
    test::run([&] { return one.purge(); });
    CHECK(put(two, f) == made::mine);
    CHECK(test::run([&] { return two.is_passed(f.number); }));
    CHECK(read(two));
    CHECK(std::as_const(state).stream().at == position{16, 3});
    CHECK(flush(one, 4) == made::mine);
}

TEST_CASE_FIXTURE(fixture, "shared_log: a broken snapshot is passed over while the files before it are there") {
    reign(one, 16, 1);
    CHECK(flush(one, 1) == made::mine);
    std::vector<std::byte> const garbage(500, std::byte{7});
    test::run([&] { return one.put_snapshot(3, garbage); });
    CHECK(read(two));
    CHECK(state.counters().messages == 1);
}

TEST_CASE_FIXTURE(fixture, "shared_log: a file that is missing, or does not go on, is an error that names it") {
    reign(one, 16, 1);
    for (std::uint64_t n = 1; n <= 3; ++n) CHECK(flush(one, n) == made::mine);
    auto const bytes = disk.inner().bytes_of("box/log.4");
    auto files = disk.inner();
    CHECK(test::run([&] { return files.remove("box/log.3"); }));
    CHECK_THROWS_WITH_AS(read(two), doctest::Contains("box/log.3: is missing, or does not go on"), error);
    auto broken = bytes;
    broken.back() ^= std::byte{1};
    auto copy = disk.inner().bytes_of("box/log.5");
    files.put("box/log.5", broken);
    CHECK_THROWS_AS(read(two), error);
}

TEST_CASE_FIXTURE(fixture, "shared_log: what one node keeps for itself is refused, and the other way round") {
    mailfs::detail::node_log<faulty_fs<>, test_host, mailbox_state> own(disk, host, "box", {}), other(disk, host, "own", {});
    try {
        test::run([&] { return own.open(state); });
        FAIL("it was opened");
    } catch (error const& e) {
        CHECK(e.code() == errc::newer_version);
    }
    mailbox_state empty;
    test::run([&] { return other.create(object, empty); });
    log_type shared(disk, host, "own", {}, rules, clock);
    CHECK_THROWS_AS(test::run([&] { return shared.read(state, tail); }), error);
}

TEST_CASE_FIXTURE(fixture, "shared_log: steps behind what is stored are told from their place and chain hash alone") {
    reign(one, 16, 1);
    auto const begin = one.last();
    CHECK(read(two));
    auto const& s = std::as_const(state).stream();
    auto const chain = s.chain;
    auto c = chain;
    for (std::uint32_t n = 1; n <= 3; ++n) {
        auto const step = message({16, n}, n);
        one.add(step);
        c = stream_state::chain_after(c, mailfs::detail::record_of(step));
    }
    CHECK(one.steps_behind(begin, chain, {16, 3}, c)->size() == 3);
    CHECK(!one.steps_behind(begin, chain + 1, {16, 3}, c));
    CHECK(!one.steps_behind(begin, chain, {16, 3}, c + 1));
    CHECK(!one.steps_behind({16, 7}, chain, {16, 3}, c));
    one.note_stored({16, 2});
    CHECK(!one.steps_behind(begin, chain, {16, 3}, c));
    one.withdraw({16, 2});
    CHECK(!one.has_unflushed());
    CHECK(one.last() == position{16, 2});
}

TEST_CASE_FIXTURE(fixture, "shared_log: a process that has not touched the log for a day knows it") {
    CHECK(read(one));
    now_ms = rules.sleep_ms - 1;
    CHECK(!one.has_slept());
    now_ms = rules.sleep_ms;
    CHECK(one.has_slept());
    CHECK(read(one));
    CHECK(!one.has_slept());
}
