// SPDX-License-Identifier: BSL-1.0
#include <mailfs/log/log_retention.hpp>

#include "log_fixture.hpp"
#include "support/run.hpp"

#include <mailfs/fs/counting_fs.hpp>
#include <mailfs/fs/memory_fs.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace mailfs;
using namespace mailfs::test;

namespace {

using fs_type = counting_fs<memory_fs>;
using log_type = lockless_log::on<fs_type, test_host, tiny_state>;

/// A log that is rotated once in a while.
struct rotating {
    memory_fs disk;
    fs_type fs{disk};
    test_host host;

    void rotate(log_options options, int times, std::uint64_t ms_apart) {
        run([&]() -> asio::awaitable<void> {
            log_type log(fs, host, "box", options);
            dot const id{{0, 1}, 1};
            co_await log.create(guid::from_words(1, 1), id, {}, {});
            co_await log.open();
            for (int i = 0; i < times; ++i) {
                host.in().now_ms += ms_apart;
                co_await log.rotate();
            }
        });
    }
    /// Numbers of the logs that are left; their snapshots go with them.
    std::vector<std::uint64_t> left() {
        return run([&]() -> asio::awaitable<std::vector<std::uint64_t>> {
            auto const names = co_await list_logs(fs, "box");
            auto snapshots = names.logs;
            std::erase(snapshots, 1U);
            CHECK(names.snapshots == snapshots);
            co_return names.logs;
        });
    }
};
using numbers = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("log_retention: the last generations are kept by number") {
    for (std::uint32_t kept : {0U, 1U, 3U}) {
        rotating r;
        r.rotate({.generations_kept = kept}, 9, 1000);
        numbers expected;
        for (auto n = 10 - std::uint64_t{kept}; n <= 10; ++n) expected.push_back(n);
        CHECK(r.left() == expected);
    }
}

TEST_CASE("log_retention: a generation stays as long as the one after it is young, and all behind it do") {
    rotating r;
    r.rotate({.history_ms = 5000}, 9, 1000);  // log.10 was begun now, log.5 5000 ms ago: till then log.4 was in use
    CHECK(r.left() == numbers{5, 6, 7, 8, 9, 10});
    r.rotate({.history_ms = 5000}, 1, 60'000);
    CHECK(r.left() == numbers{10, 11});  // log.10 was in use till now
    r.rotate({.history_ms = 5000}, 1, 4999);
    CHECK(r.left() == numbers{10, 11, 12});
    r.rotate({.history_ms = 5000}, 1, 1);
    CHECK(r.left() == numbers{11, 12, 13});
}

TEST_CASE("log_retention: of number and time the one that keeps more counts, within the bound") {
    rotating by_number;
    by_number.rotate({.generations_kept = 4, .history_ms = 2000}, 9, 1000);
    CHECK(by_number.left() == numbers{6, 7, 8, 9, 10});
    rotating bounded;
    bounded.rotate({.history_ms = 1'000'000, .generations_max = 3}, 9, 1000);
    CHECK(bounded.left() == numbers{7, 8, 9, 10});
    rotating contradictory;
    contradictory.rotate({.generations_kept = 5, .history_ms = 1'000'000, .generations_max = 3}, 9, 1000);
    CHECK(contradictory.left() == numbers{5, 6, 7, 8, 9, 10});
}

TEST_CASE("log_retention: a clock that went back keeps more, a damaged or missing log no longer than those around it") {
    rotating r;
    r.rotate({.history_ms = 5000}, 4, 1000);
    CHECK(r.left() == numbers{1, 2, 3, 4, 5});
    r.host.in().now_ms -= 1'000'000;
    r.rotate({.history_ms = 5000}, 1, 1);
    CHECK(r.left() == numbers{1, 2, 3, 4, 5, 6});
    r.host.in().now_ms += 1'000'000;
    r.disk.put("box/log.3", as_bytes("damage"));
    r.rotate({.history_ms = 2'000}, 1, 1000);
    CHECK(r.left() == numbers{4, 5, 6, 7});  // log.4 is old: what ended before it is older, whatever log.3 says
    run([&]() -> asio::awaitable<void> {
        co_await r.disk.remove("box/log.5");
        co_await r.disk.remove("box/index.5");
    });
    r.rotate({.history_ms = 2'000}, 1, 1'000'000);
    CHECK(r.left() == numbers{7, 8});
}

TEST_CASE("log_retention: an append reads no header, and a rotation that of one generation more than goes") {
    rotating plain, kept;
    auto const calls = [](rotating& r, log_options options) {
        r.rotate(options, 20, 1000);
        r.fs.counts().reset();
        r.rotate(options, 1, 1000);
        return r.fs.counts().open.load();
    };
    auto const bare = calls(plain, {});
    auto const with_history = calls(kept, {.history_ms = 8000});
    CHECK(with_history <= bare + 2);
}
