// SPDX-License-Identifier: BSL-1.0
#include <mailfs/fs/uring_fs.hpp>

#include "conformance/filesystem.hpp"
#include "support/run.hpp"

#include <asio/detached.hpp>
#include <asio/steady_timer.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>

#include <cstdint>
#include <string>
#include <vector>

using namespace mailfs;
using namespace mailfs::conformance;

namespace {

// Where the kernel gives no ring this shows that the fallback keeps the contract.
struct uring_model {
    test::temporary_directory root;
    uring_fs fs{root.path(), {}, uring_fallback::in_place};
};

/// Drops the file from the page cache, so that reads go through the ring.
void make_cold(std::string const& path) {
    mailfs::detail::unique_fd const fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    REQUIRE(::fsync(fd.get()) == 0);
    REQUIRE(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED) == 0);
}

std::vector<std::byte> numbers(std::size_t count) {
    std::vector<std::byte> all(count * 4);
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::byte>(i / 4 * 2654435761U >> 8 * (i % 4));
    return all;
}

}  // namespace

MAILFS_FILESYSTEM_CONFORMANCE(uring_model);
MAILFS_WATCH_CONFORMANCE(uring_model);

TEST_CASE("uring_fs: many reads of a cold file at once, more than the ring has entries, bring the right bytes") {
    uring_model m;
    if (!m.fs.has_ring()) MESSAGE("the kernel gives no io_uring: reads block here");
    auto const all = numbers(1U << 18);
    test::run([&]() -> asio::awaitable<void> {
        co_await m.fs.create("a", all, durability::stored);
        make_cold(m.root.path() + "/a");
        auto file = co_await m.fs.open("a");
        std::size_t const each = all.size() / 1024;
        std::vector<std::vector<std::byte>> parts(1024, std::vector<std::byte>(each));
        std::size_t ended = 0;
        asio::steady_timer wake(co_await asio::this_coro::executor, asio::steady_timer::time_point::max());
        auto read = [&](std::size_t i) -> asio::awaitable<void> {
            auto const got = co_await file->read(i * each, parts[i]);
            CHECK(got == each);
            if (++ended == parts.size()) wake.cancel();
        };
        for (std::size_t i = 0; i < parts.size(); ++i) asio::co_spawn(co_await asio::this_coro::executor, read(i), asio::detached);
        std::error_code ec;
        co_await wake.async_wait(asio::redirect_error(asio::use_awaitable, ec));
        bool right = true;
        for (std::size_t i = 0; i < parts.size(); ++i)
            right = right && std::equal(parts[i].begin(), parts[i].end(), all.begin() + static_cast<std::ptrdiff_t>(i * each));
        CHECK(right);
        std::vector<std::byte> beyond(100);
        make_cold(m.root.path() + "/a");
        auto const tail = co_await file->read(all.size() - 60, beyond);
        CHECK(tail == 60);
        auto const nothing = co_await file->read(all.size() + 5, beyond);
        CHECK(nothing == 0);
    });
}

TEST_CASE("uring_fs: a context that ends while calls are under way waits for them") {
    uring_model m;
    auto const all = numbers(1U << 20);
    test::run([&]() -> asio::awaitable<void> { co_await m.fs.create("a", all, durability::stored); });
    for (int tries = 0; tries < 20; ++tries) {
        make_cold(m.root.path() + "/a");
        asio::io_context context(1);
        auto read = [](uring_fs fs, std::uint64_t at) -> asio::awaitable<void> {
            auto file = co_await fs.open("a");
            std::vector<std::byte> bytes(64 << 10);
            co_await file->read(at, bytes);
        };
        for (std::uint64_t i = 0; i < 64; ++i) asio::co_spawn(context, read(m.fs, i << 16), asio::detached);
        for (int turns = 0; turns < tries * 10; ++turns) context.poll_one();
    }
}

TEST_CASE("uring_fs: cancelled reads end, and the next are well") {
    uring_model m;
    auto const all = numbers(1U << 20);
    test::run([&]() -> asio::awaitable<void> {
        co_await m.fs.create("a", all, durability::stored);
        auto file = co_await m.fs.open("a");
        make_cold(m.root.path() + "/a");
        auto const executor = co_await asio::this_coro::executor;
        std::vector<asio::cancellation_signal> cancels(32);
        int ended = 0;
        auto read = [&](std::uint64_t at) -> asio::awaitable<void> {
            std::vector<std::byte> bytes(100'000);
            try {
                co_await file->read(at, bytes);
            } catch (std::system_error const& e) {
                CHECK(e.code() == asio::error::operation_aborted);
            }
            ++ended;
        };
        for (std::size_t i = 0; i < cancels.size(); ++i)
            asio::co_spawn(executor, read(i * 100'000), asio::bind_cancellation_slot(cancels[i].slot(), asio::detached));
        asio::steady_timer timer(executor);
        for (int turn = 0; turn < 3; ++turn) co_await asio::post(executor, asio::use_awaitable);
        for (auto& cancel : cancels) cancel.emit(asio::cancellation_type::all);
        for (int waits = 0; ended < 32 && waits < 1000; ++waits) {
            timer.expires_after(std::chrono::milliseconds(5));
            co_await timer.async_wait(asio::use_awaitable);
        }
        CHECK(ended == 32);
        std::vector<std::byte> bytes(1000);
        auto const got = co_await file->read(4000, bytes);
        CHECK(got == 1000);
        CHECK(std::equal(bytes.begin(), bytes.end(), all.begin() + 4000));
    });
}
