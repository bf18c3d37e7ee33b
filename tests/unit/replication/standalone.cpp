// SPDX-License-Identifier: BSL-1.0
#include <mailfs/replication/standalone.hpp>

#include <mailfs/fs/faulty_fs.hpp>
#include <mailfs/log/lockless_log.hpp>

#include "support/run.hpp"
#include "unit/log/log_fixture.hpp"

#include <doctest/doctest.h>

#include <optional>

using namespace mailfs;
using namespace mailfs::test;

namespace {

using policy = basic_standalone<test_host>;
using journal = policy::on<lockless_log, faulty_fs<>, tiny_state>;

guid const object = guid::from_words(1, 2);

/// The n-th message, and the id it got.
asio::awaitable<std::uint32_t> deliver(journal& j, std::uint64_t value, durability d = durability::none) {
    tiny_transaction const t(value);
    auto const outcome = co_await j.propose(t.bytes(), d);
    co_return outcome.first_id;
}
asio::awaitable<void> make(journal& j) {
    bool const made = co_await j.create(object, {});
    bool const there = co_await j.open();
    CHECK(made);
    CHECK(there);
}
asio::awaitable<std::optional<error>> failure_of(asio::awaitable<std::uint32_t> work) {
    try {
        co_await std::move(work);
    } catch (error const& e) {
        co_return e;
    }
    co_return std::nullopt;
}

}  // namespace

TEST_CASE("standalone: the epoch is 0 at first, and 16 more with each boot that finds the log") {
    test::run([]() -> asio::awaitable<void> {
        test_host host;
        faulty_fs<> fs;
        journal j(fs, "box", policy(host));
        co_await make(j);
        co_await deliver(j, 1);
        CHECK(j.state().stream().at == position{0, 1});
        for (std::uint32_t boot = 1; boot < 4; ++boot) {
            ++host.in().boot;
            journal later(fs, "box", policy(host));
            co_await later.open();
            co_await deliver(later, boot + 1);
            CHECK(later.state().stream().at == position{boot * 16, 1});
        }
    });
}

TEST_CASE("standalone: stored is one sync, none is none") {
    test::run([]() -> asio::awaitable<void> {
        faulty_fs<> fs;
        journal j(fs, "box", policy());
        co_await make(j);
        auto const before = fs.faults().calls(fs_verb::sync);
        co_await deliver(j, 1, durability::none);
        CHECK(fs.faults().calls(fs_verb::sync) == before);
        co_await deliver(j, 2, durability::stored);
        CHECK(fs.faults().calls(fs_verb::sync) == before + 1);
    });
}

TEST_CASE("standalone: a transaction whose sync failed may have happened, and did") {
    test::run([]() -> asio::awaitable<void> {
        faulty_fs<> fs;
        journal j(fs, "box", policy());
        co_await make(j);
        fs.faults().fail(fs_verb::sync, 1);
        auto const failed = co_await failure_of(deliver(j, 1, durability::stored));
        CHECK(failed->code() == errc::may_have_happened);
        CHECK(j.state().messages.size() == 1);
    });
}

TEST_CASE("standalone: two writers that came by one identity lose nothing and deliver nothing twice") {
    test::run([]() -> asio::awaitable<void> {
        test_host host;
        faulty_fs<> fs;
        auto const seed = host.in().seed;
        journal a(fs, "box", policy(host));
        host.in().seed = seed;  // the same randomness at the same time
        journal b(fs, "box", policy(host));
        co_await make(a);
        co_await b.open();
        for (std::uint64_t i = 1; i <= 10; i += 2) {
            co_await deliver(a, i);
            co_await deliver(b, i + 1);
        }
        co_await a.catch_up();
        CHECK(a.state().dump() == b.state().dump());
        CHECK(a.state().messages.size() == 10);
        CHECK(a.state().stream().seen.size() >= 2);
    });
}

TEST_CASE("standalone: a writer that was forgotten takes a new identity, whichever way the clock went") {
    test::run([]() -> asio::awaitable<void> {
        test_host host;
        faulty_fs<> fs;
        journal idle(fs, "box", policy(host));
        co_await make(idle);
        co_await deliver(idle, 1);
        for (std::uint64_t i = 0; i < stream_state::origins_max + 20; ++i) {
            ++host.in().now_ms;
            journal other(fs, "box", policy(host));
            co_await other.open();
            co_await deliver(other, 100 + i);
        }
        CHECK(idle.state().stream().seen.size() <= stream_state::origins_max);
        host.in().now_ms -= 1'000'000'000;
        auto const id = co_await deliver(idle, 2);
        CHECK(id == stream_state::origins_max + 22);
        journal fresh(fs, "box", policy(host));
        co_await fresh.open();
        auto const next = co_await deliver(fresh, 3);
        CHECK(next == id + 1);
        CHECK(fresh.state().stream().seen.size() == stream_state::origins_max);
        CHECK(fresh.state().stream().retired.size() == 1);
    });
}
