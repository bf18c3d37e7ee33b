// SPDX-License-Identifier: BSL-1.0
#include <mailfs/dbox/multi_dbox.hpp>

#include "dbox_fixture.hpp"
#include "support/run.hpp"

#include <mailfs/format/dbox_scanner.hpp>
#include <mailfs/fs/counting_fs.hpp>
#include <mailfs/fs/latency_fs.hpp>
#include <mailfs/fs/memory_fs.hpp>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/this_coro.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

using namespace mailfs;
using namespace mailfs::test;

namespace {

using counted = counting_fs<memory_fs>;
using slow = counting_fs<latency_fs<memory_fs>>;

std::vector<mail_to_write> mails_of(std::vector<bytes> const& bodies, std::uint64_t first = 1) {
    std::vector<mail_to_write> mails;
    for (auto const& body : bodies) mails.push_back({numbered(first++), 0, body});
    return mails;
}

/// Starts a write beside the others; counts it in `ended` when it is over.
template <class M>
asio::awaitable<void> write_beside(M& format, std::uint64_t n, bytes body, std::vector<mail_location>& places, int& ended) {
    places[n] = co_await write_one(format, numbered(n), body, durability::stored);
    ++ended;
}

asio::awaitable<void> pause(int ms) { co_await mailfs::detail::delay(std::chrono::milliseconds(ms)); }

}  // namespace

TEST_CASE("multi_dbox: the first write makes a file, a later one is one append and one sync for all its mails") {
    run([]() -> asio::awaitable<void> {
        counted const fs;
        auto format = make_format<multi_dbox<counted, fixed_host>>(fs);
        co_await write_one(format, numbered(100), noise(10), durability::stored);
        CHECK(fs.counts().create == 1);
        CHECK(fs.counts().append == 1);
        fs.counts().reset();
        std::vector<bytes> const bodies(20, noise(3000));
        auto const mails = mails_of(bodies);
        co_await format.write(mails, durability::stored);
        CHECK(fs.counts().append == 1);
        CHECK(fs.counts().sync == 1);
        CHECK(fs.counts().calls() == 2);
        fs.counts().reset();
        co_await format.write(mails, durability::none);
        CHECK(fs.counts().append == 1);
        CHECK(fs.counts().calls() == 1);
    });
}

TEST_CASE("multi_dbox: a read is one read call once the file is open, with a right hint or a small message") {
    run([]() -> asio::awaitable<void> {
        counted const fs;
        auto format = make_format<multi_dbox<counted, fixed_host>>(fs);
        auto const small = noise(5000), large = noise(200'000), huge = noise(300'000);
        auto const a = co_await write_one(format, numbered(1), small);
        auto const b = co_await write_one(format, numbered(2), large);
        auto const c = co_await write_one(format, numbered(3), huge);
        co_await format.read(numbered(1), a);
        fs.counts().reset();
        co_await format.read(numbered(1), a);
        co_await format.read(numbered(2), b, large.size());
        CHECK(fs.counts().read == 2);
        CHECK(fs.counts().calls() == 2);
        fs.counts().reset();
        co_await format.read(numbered(3), c, huge.size());  // beyond the read ahead: asks for the size before it allocates
        CHECK(fs.counts().read == 2);
        CHECK(fs.counts().size == 1);
        CHECK(fs.counts().calls() == 3);
        fs.counts().reset();
        co_await format.read_part(numbered(3), c, 0, 1000);
        CHECK(fs.counts().calls() == 1);
        CHECK(fs.counts().bytes_read == 1096);
    });
}

namespace {
// One file of these messages, one behind the other.
template <class M>
asio::awaitable<std::vector<mail_to_read>> write_row(M& format, std::vector<bytes> const& bodies) {
    auto const mails = mails_of(bodies);
    auto const places = co_await format.write(mails, durability::none);
    std::vector<mail_to_read> run;
    for (std::size_t i = 0; i < mails.size(); ++i) run.push_back({mails[i].id, places[i], bodies[i].size()});
    co_return run;
}
bytes copy_of(shared_bytes const& b) { return {b.begin(), b.end()}; }
}  // namespace

TEST_CASE("multi_dbox: messages that lie side by side are one read call") {
    run([]() -> asio::awaitable<void> {
        counted const fs;
        auto format = make_format<multi_dbox<counted, fixed_host>>(fs);
        std::vector<bytes> bodies;
        for (std::size_t i = 0; i < 20; ++i) bodies.push_back(noise(i * 311, i + 1));  // one is empty
        auto const row = co_await write_row(format, bodies);
        fs.counts().reset();
        auto found = co_await format.read_run(row);
        CHECK(fs.counts().open == 1);
        CHECK(fs.counts().read == 2);  // the file's header is read at the same time
        fs.counts().reset();
        found = co_await format.read_run(row);
        CHECK(fs.counts().calls() == 1);
        REQUIRE(found.size() == bodies.size());
        for (std::size_t i = 0; i < bodies.size(); ++i) CHECK(copy_of(found[i].bytes) == bodies[i]);
    });
}

TEST_CASE("multi_dbox: what is wrong with one message of a run, its row or its bytes, costs no other") {
    run([]() -> asio::awaitable<void> {
        memory_fs fs;
        auto format = make_format<multi_dbox<memory_fs, fixed_host>>(fs);
        std::vector<bytes> bodies(5, noise(1000));
        auto row = co_await write_row(format, bodies);
        auto const path = mailfs::detail::multi_dbox_path("mail", row[0].where.file);
        row[0].size = 10;        // shorter than it is,
        row[4].size = 100'000;   // longer than the file,
        row[3].id = numbered(7); // another message
        auto damaged = fs.bytes_of(path);
        damaged[row[1].where.offset + 200] ^= std::byte{1};
        co_await fs.remove(path);
        co_await fs.create(path, damaged, durability::none);
        auto fresh = make_format<multi_dbox<memory_fs, fixed_host>>(fs);
        auto const found = co_await fresh.read_run(row);
        for (std::size_t i : {0U, 2U, 4U}) CHECK(copy_of(found[i].bytes) == bodies[i]);
        for (std::size_t i : {1U, 3U}) {
            errc why{};
            try {
                if (found[i].failure) std::rethrow_exception(found[i].failure);
            } catch (error const& e) {
                why = static_cast<errc>(e.code().value());
                CHECK(e.file() == path);
                CHECK(e.offset() == row[i].where.offset);
            }
            CHECK(why == errc::corrupt);
        }
        co_await fs.remove(path);
        auto none = make_format<multi_dbox<memory_fs, fixed_host>>(fs);
        auto const gone = co_await none.read_run(row);
        for (auto const& each : gone) CHECK(each.failure);
    });
}

TEST_CASE("multi_dbox: a run is of one file, ascends, and neither leaps far nor grows long") {
    using format = multi_dbox<memory_fs, fixed_host>;
    auto const at = [](std::uint64_t offset, std::uint64_t size, std::uint64_t file = 1) { return mail_to_read{numbered(1), {file, offset}, size}; };
    auto const a = at(64, 1000);
    CHECK(format::reads_on(a, a, at(64 + dbox_extent(1000), 5000)));
    CHECK(format::reads_on(a, a, at(64 + dbox_extent(1000) + 4096, 5000)));
    CHECK_FALSE(format::reads_on(a, a, at(64 + dbox_extent(1000) + 4104, 5000)));
    CHECK_FALSE(format::reads_on(a, a, at(64 + dbox_extent(1000), 5000, 2)));
    CHECK_FALSE(format::reads_on(a, a, a));
    CHECK_FALSE(format::reads_on(at(6400, 1000), at(6400, 1000), a));
    CHECK_FALSE(format::reads_on(a, a, at(64 + dbox_extent(1000) + 1, 5000)));  // nothing lies there
    CHECK_FALSE(format::reads_on(a, a, at(64 + dbox_extent(1000), 256U << 10)));
    CHECK_FALSE(format::reads_on(a, a, at(64 + dbox_extent(1000), ~std::uint64_t{0})));
    CHECK_FALSE(format::reads_on(at(64, ~std::uint64_t{0}), at(64, ~std::uint64_t{0}), at(128, 1)));
    CHECK_FALSE(format::reads_on(a, at(64 + (255U << 10), 10), at(64 + (256U << 10), 5000)));
}

TEST_CASE("multi_dbox: what is asked for too large an append goes in pieces, in order") {
    run([]() -> asio::awaitable<void> {
        memory_fs const fs;
        auto format = make_format<multi_dbox<memory_fs, fixed_host>>(fs, {.append_size_max = 1000});
        std::vector<bytes> bodies;
        for (std::size_t n = 0; n < 40; ++n) bodies.push_back(noise(n * 60, n));
        auto const mails = mails_of(bodies);
        auto const places = co_await format.write(mails, durability::none);
        for (std::size_t n = 0; n < bodies.size(); ++n) {
            auto const body = co_await format.read(mails[n].id, places[n]);
            CHECK(body == bodies[n]);
        }
    });
}

TEST_CASE("multi_dbox: a full file is followed by a new one, and all messages stay readable with few files open") {
    run([]() -> asio::awaitable<void> {
        counted fs;
        auto format = make_format<multi_dbox<counted, fixed_host>>(fs, {.file_size_max = 2000, .open_files_max = 3});
        std::vector<mail_location> places;
        for (std::uint64_t n = 0; n < 60; ++n) places.push_back(co_await write_one(format, numbered(n), noise(500, n)));
        auto const names = co_await fs.list("mail");
        CHECK(names.size() == 15);
        for (std::uint64_t n = 0; n < 60; ++n) {
            auto const body = co_await format.read(numbered(n), places[n]);
            CHECK(body == noise(500, n));
        }
        fs.counts().reset();
        for (int again = 0; again < 10; ++again) co_await format.read(numbered(0), places[0]);
        CHECK(fs.counts().open == 1);  // the least recently used gave way, once
    });
}

TEST_CASE("multi_dbox: the scanner finds in a file all that was written to it") {
    run([]() -> asio::awaitable<void> {
        memory_fs const fs;
        auto format = make_format<multi_dbox<memory_fs, fixed_host>>(fs);
        std::vector<mail_location> places;
        for (std::uint64_t n = 0; n < 30; ++n) places.push_back(co_await write_one(format, numbered(n), noise(n * n, n)));
        auto const file = co_await contents(fs, file_of(format, {}, places[0]));
        std::uint64_t nonce = 0;
        REQUIRE(!find_dbox_nonce(file, nonce));
        dbox_scanner scanner(file, nonce);
        for (std::uint64_t n = 0; n < 30; ++n) {
            auto const found = scanner.next();
            REQUIRE(found);
            CHECK(found->what == dbox_find::record);
            CHECK(found->offset == places[n].offset);
            CHECK(found->header.id == numbered(n).octets);
        }
        CHECK(!scanner.next());
    });
}

TEST_CASE("multi_dbox: objects that draw the same file name still write to files of their own") {
    run([]() -> asio::awaitable<void> {
        memory_fs fs;
        auto first = make_format<multi_dbox<memory_fs, fixed_host>>(fs);
        auto second = make_format<multi_dbox<memory_fs, fixed_host>>(fs);  // the same seed, the same moment
        auto const a = co_await write_one(first, numbered(1), noise(10, 1));
        auto const b = co_await write_one(second, numbered(2), noise(10, 2));
        CHECK(a.file != b.file);
        auto const body = co_await second.read(numbered(1), a);
        CHECK(body == noise(10, 1));
    });
}

TEST_CASE("multi_dbox: where no name is free the tries are bounded") {
    struct stuck_host : fixed_host {
        stuck_host() = default;
        std::uint64_t random() { return 7; }
    };
    run([]() -> asio::awaitable<void> {
        counted const fs;
        multi_dbox<counted, stuck_host> first(fs, "mail", stuck_host{}), second(fs, "mail", stuck_host{});
        auto const wrote = co_await try_write(first, numbered(1), noise(10));
        CHECK(!wrote);
        fs.counts().reset();
        auto const failed = co_await try_write(second, numbered(2), noise(10));
        REQUIRE(failed);
        CHECK(failed->code() == errc::busy);
        CHECK(fs.counts().calls() == 8);
    });
}

TEST_CASE("multi_dbox: a file whose name may not outlive a power cut takes no stored mail") {
    run([]() -> asio::awaitable<void> {
        memory_fs const fs;
        auto format = make_format<multi_dbox<memory_fs, fixed_host>>(fs);
        auto const a = co_await write_one(format, numbered(1), noise(10), durability::none);
        auto const b = co_await write_one(format, numbered(2), noise(10), durability::stored);
        auto const c = co_await write_one(format, numbered(3), noise(10), durability::none);
        CHECK(a.file != b.file);
        CHECK(b.file == c.file);
    });
}

TEST_CASE("multi_dbox: a stranger's bytes in our file fail the write, and the next goes to a new file") {
    run([]() -> asio::awaitable<void> {
        memory_fs fs;
        auto format = make_format<multi_dbox<memory_fs, fixed_host>>(fs);
        auto const a = co_await write_one(format, numbered(1), noise(10));
        auto const path = file_of(format, {}, a);
        auto file = co_await fs.open(path);
        auto const strange = bytes_of("strange!");
        co_await file->append(strange);
        auto const failed = co_await try_write(format, numbered(2), noise(10));
        REQUIRE(failed);
        CHECK(failed->code() == errc::corrupt);
        CHECK(failed->file() == path);
        auto const c = co_await write_one(format, numbered(2), noise(10));
        CHECK(c.file != a.file);
        auto const body = co_await format.read(numbered(1), a);
        CHECK(body == noise(10));
    });
}

TEST_CASE("multi_dbox: writes under way at once share appends and syncs") {
    run([]() -> asio::awaitable<void> {
        slow const fs(latency_fs<memory_fs>(memory_fs(),
                                            {.append = std::chrono::milliseconds(2), .sync = std::chrono::milliseconds(2)}));
        auto format = make_format<multi_dbox<slow, fixed_host>>(fs);
        co_await write_one(format, numbered(1000), noise(10), durability::stored);
        fs.counts().reset();
        constexpr int writers = 50;
        std::vector<mail_location> places(writers);
        int ended = 0;
        auto const executor = co_await asio::this_coro::executor;
        for (std::uint64_t n = 0; n < writers; ++n)
            asio::co_spawn(executor, write_beside(format, n, noise(100 + n, n), places, ended), asio::detached);
        for (int tries = 0; ended < writers && tries < 1000; ++tries) co_await pause(1);
        REQUIRE(ended == writers);
        CHECK(fs.counts().append == 2);  // the first alone, then all who came meanwhile
        CHECK(fs.counts().sync == 2);
        std::set<mail_location> const distinct(places.begin(), places.end());
        CHECK(distinct.size() == writers);
        for (std::uint64_t n = 0; n < writers; ++n) {
            auto const body = co_await format.read(numbered(n), places[n]);
            CHECK(body == noise(100 + n, n));
        }
    });
}

TEST_CASE("multi_dbox: writes given up with their executor, after the object is gone, touch nothing that is gone") {
    std::vector<mail_location> places(8);
    int ended = 0;
    run([&]() -> asio::awaitable<void> {
        slow const fs(latency_fs<memory_fs>(memory_fs(),
                                            {.append = std::chrono::milliseconds(5), .sync = std::chrono::milliseconds(5)}));
        auto format = make_format<multi_dbox<slow, fixed_host>>(fs);
        auto const executor = co_await asio::this_coro::executor;
        for (std::uint64_t n = 0; n < places.size(); ++n)
            asio::co_spawn(executor, write_beside(format, n, noise(100), places, ended), asio::detached);
        co_await pause(7);  // one syncs, one appends for the others
    });
    CHECK(ended == 0);
}
