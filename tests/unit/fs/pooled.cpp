// SPDX-License-Identifier: BSL-1.0
#include <mailfs/fs/pooled.hpp>

#include <mailfs/fs/posix_fs.hpp>

#include "conformance/filesystem.hpp"
#include "support/run.hpp"

#include <asio/detached.hpp>
#include <asio/thread_pool.hpp>
#include <asio/use_future.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <vector>

using namespace mailfs;
using namespace mailfs::conformance;

namespace {

struct pooled_model {
    test::temporary_directory root;
    asio::thread_pool pool{1};
    pooled<posix_fs> fs{posix_fs(root.path()), pool.get_executor()};

    /// Returns when the pool's one thread has let go of what it did before.
    void settle() { asio::post(pool, asio::use_future).wait(); }
};

struct poolless_model {
    test::temporary_directory root;
    pooled<posix_fs> fs{posix_fs(root.path())};
};

asio::awaitable<void> count(asio::awaitable<void> work, int& ended, int& aborted) {
    try {
        co_await std::move(work);
    } catch (std::system_error const& e) {
        if (e.code() == asio::error::operation_aborted) ++aborted;
    }
    ++ended;
}

}  // namespace

MAILFS_FILESYSTEM_CONFORMANCE(pooled_model, poolless_model);
MAILFS_WATCH_CONFORMANCE(pooled_model);

TEST_CASE("pooled: who waits for the disk holds up nobody, and as many wait as there are threads") {
    asio::thread_pool pool(3);
    std::atomic<int> at_once{0}, most{0};
    std::vector<std::thread::id> ids(9);
    asio::io_context context(1);
    int ended = 0, aborted = 0;
    for (auto& id : ids) {
        auto work = [&]() {
            most = std::max<int>(most, ++at_once);
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            id = std::this_thread::get_id();
            --at_once;
        };
        asio::co_spawn(context, count(mailfs::detail::on_pool(pool.get_executor(), work), ended, aborted), asio::detached);
    }
    context.run();  // and it does not end before they have
    CHECK(ended == 9);
    CHECK(aborted == 0);
    CHECK(most == 3);
    for (auto const& id : ids) CHECK(id != std::this_thread::get_id());
    pool.join();
}

TEST_CASE("pooled: what has not begun is given up by cancellation, what has is waited for") {
    asio::thread_pool pool(1);
    asio::io_context context(1);
    std::vector<asio::cancellation_signal> cancels(3);
    std::promise<void> go;
    auto const may_go = go.get_future().share();
    int ended = 0, aborted = 0;
    std::atomic<int> ran{0};
    for (auto& cancel : cancels) {
        auto work = [&ran, may_go] {
            ++ran;
            may_go.wait();
        };
        asio::co_spawn(context, count(mailfs::detail::on_pool(pool.get_executor(), work), ended, aborted),
                       asio::bind_cancellation_slot(cancel.slot(), asio::detached));
    }
    context.poll();
    while (ran == 0) std::this_thread::yield();
    for (auto& cancel : cancels) cancel.emit(asio::cancellation_type::all);
    context.poll();
    CHECK(ended == 0);
    go.set_value();
    context.run();
    CHECK(ended == 3);
    CHECK(aborted == 2);
    CHECK(ran == 1);
    pool.join();
}

TEST_CASE("pooled: what the page cache has is read without the pool") {
    pooled_model m;
    std::string const text(10'000, 'x');
    test::run([&]() -> asio::awaitable<void> {
        co_await m.fs.create("a", as_bytes(text), durability::none);
        auto file = co_await m.fs.open("a");
        m.settle();
        m.pool.join();  // who needs it from now on never returns
        std::vector<std::byte> bytes(10'000);
        auto const got = co_await file->read(0, bytes);
        CHECK(got == 10'000);
        CHECK(as_text(bytes) == text);
        auto const tail = co_await file->read(9'990, bytes);  // as who looks whether a log grew
        CHECK(tail == 10);
        auto const nothing = co_await file->read(10'000, bytes);
        CHECK(nothing == 0);
        auto const at = co_await file->append(as_bytes("more"));
        CHECK(at == 10'000);
    });
}
