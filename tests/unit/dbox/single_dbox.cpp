// SPDX-License-Identifier: BSL-1.0
#include <mailfs/dbox/single_dbox.hpp>

#include "dbox_fixture.hpp"
#include "support/run.hpp"

#include <mailfs/fs/counting_fs.hpp>
#include <mailfs/fs/latency_fs.hpp>
#include <mailfs/fs/memory_fs.hpp>

#include <doctest/doctest.h>

#include <chrono>

using namespace mailfs;
using namespace mailfs::test;

using counted = counting_fs<memory_fs>;

TEST_CASE("single_dbox: a write is one create, a read one open and one read call") {
    run([]() -> asio::awaitable<void> {
        counted const fs;
        auto format = make_format<single_dbox<counted, fixed_host>>(fs);
        auto const body = noise(20'000);
        auto const at = co_await write_one(format, numbered(1), body, durability::stored);
        CHECK(fs.counts().create == 1);
        CHECK(fs.counts().calls() == 1);
        fs.counts().reset();
        auto const read = co_await format.read(numbered(1), at, body.size());
        CHECK(read == body);
        CHECK(fs.counts().open == 1);
        CHECK(fs.counts().read == 1);
        CHECK(fs.counts().calls() == 2);
    });
}

TEST_CASE("single_dbox: the files of one write are made several at a time, of long messages fewer") {
    using slow = counting_fs<latency_fs<memory_fs>>;
    run([]() -> asio::awaitable<void> {
        slow const fs(latency_fs<memory_fs>(memory_fs(), {.create = std::chrono::milliseconds(5)}));
        auto format = make_format<single_dbox<slow, fixed_host>>(fs);
        auto const timed = [&](std::uint64_t first, std::uint64_t count, std::size_t size) -> asio::awaitable<double> {
            auto const body = noise(size);
            std::vector<mail_to_write> mails;
            for (auto n = first; n < first + count; ++n) mails.push_back({numbered(n), 1, body});
            auto const begun = std::chrono::steady_clock::now();
            auto const places = co_await format.write(mails, durability::stored);
            auto const took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
            CHECK(places.size() == count);
            for (auto const& m : mails) {
                auto const there = co_await format.read(m.id, places.front());
                CHECK(there == body);
            }
            co_return took;
        };
        auto const small = co_await timed(1, 32, 100);
        CHECK(small >= 0.010);
        CHECK(small < 0.150);  // 0.160 at least, one after the other
        auto const one_by_one = co_await timed(100, 3, 9U << 20);
        CHECK(one_by_one >= 0.015);
    });
}

TEST_CASE("single_dbox: a guid that is taken is refused, and its message stays") {
    run([]() -> asio::awaitable<void> {
        auto format = make_format<single_dbox<memory_fs, fixed_host>>(memory_fs());
        auto const first = noise(10, 1), second = noise(10, 2);
        auto const at = co_await write_one(format, numbered(1), first);
        std::vector<mail_to_write> const mails{{numbered(2), 0, second}, {numbered(1), 0, second}};
        std::optional<error> failure;
        try {
            co_await format.write(mails, durability::none);
        } catch (error const& e) {
            failure = e;
        }
        REQUIRE(failure);
        CHECK(failure->code() == errc::exists);
        auto const body = co_await format.read(numbered(1), at);
        CHECK(body == first);
        auto const other = co_await try_read(format, numbered(2), at);
        CHECK(other.is(errc::body_missing));  // the failed write took back what it had made
        auto const retried = co_await write_one(format, numbered(2), second);
        auto const now = co_await format.read(numbered(2), retried);
        CHECK(now == second);
    });
}

TEST_CASE("single_dbox: repeating a write is no error, and a failed write takes back only what it made itself") {
    run([]() -> asio::awaitable<void> {
        auto format = make_format<single_dbox<memory_fs, fixed_host>>(memory_fs());
        auto const mine = noise(300'000, 1), other = noise(10, 2);
        auto const at = co_await write_one(format, numbered(1), mine);
        auto const again = co_await write_one(format, numbered(1), mine, durability::stored);
        CHECK(again == at);
        co_await write_one(format, numbered(3), other);
        std::vector<mail_to_write> const mails{{numbered(1), 0, mine}, {numbered(2), 0, mine}, {numbered(3), 0, mine}};
        std::optional<error> failure;
        try {
            co_await format.write(mails, durability::none);
        } catch (error const& e) {
            failure = e;
        }
        REQUIRE(failure);
        CHECK(failure->code() == errc::exists);
        auto const body = co_await format.read(numbered(1), at);
        CHECK(body == mine);
        auto const undone = co_await try_read(format, numbered(2), at);
        CHECK(undone.is(errc::body_missing));
    });
}

TEST_CASE("single_dbox: remove takes one message and tells whether it was there") {
    run([]() -> asio::awaitable<void> {
        auto format = make_format<single_dbox<memory_fs, fixed_host>>(memory_fs());
        auto const at = co_await write_one(format, numbered(1), noise(10));
        auto const other = co_await write_one(format, numbered(2), noise(20));
        auto const files = co_await format.files();
        REQUIRE(files.size() == 2);
        auto const mine = files[0].number == format.file_number(numbered(1), at) ? files[0] : files[1];
        bool const was_there = co_await format.remove(mine);
        bool const again = co_await format.remove(mine);
        CHECK(was_there);
        CHECK(!again);
        auto const gone = co_await try_read(format, numbered(1), at);
        CHECK(gone.is(errc::body_missing));
        auto const body = co_await format.read(numbered(2), other);
        CHECK(body == noise(20));
    });
}
