// SPDX-License-Identifier: BSL-1.0
#include <mailfs/detail/at_once.hpp>

#include <mailfs/detail/wait.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <stdexcept>
#include <vector>

namespace {

struct bench {
    std::vector<std::size_t> begun, ended;
    std::size_t running = 0, most = 0;
    std::optional<std::size_t> fails;

    asio::awaitable<void> work(std::size_t n) {
        begun.push_back(n);
        most = std::max(most, ++running);
        for (auto turns = 1 + n % 3; turns > 0; --turns) co_await mailfs::detail::give_way();
        --running;
        ended.push_back(n);
        if (n == fails) throw std::runtime_error("work " + std::to_string(n));
    }
    auto worker() {
        return [this](std::size_t n) { return work(n); };
    }
};

/// What it threw; "" for nothing.
std::string run(asio::awaitable<void> work) {
    asio::io_context context(1);
    std::string failure = "it did not end";
    asio::co_spawn(context, std::move(work), [&](std::exception_ptr thrown) {
        failure.clear();
        try {
            if (thrown) std::rethrow_exception(thrown);
        } catch (std::exception const& e) {
            failure = e.what();
        }
    });
    context.run();
    return failure;
}

}  // namespace

TEST_CASE("at_once: all is done, so many at a time, begun in order") {
    for (std::size_t const count : {0U, 1U, 2U, 5U, 100U})
        for (std::size_t const most : {1U, 2U, 16U}) {
            bench b;
            CHECK(run(mailfs::detail::at_once(count, most, b.worker())) == "");
            CHECK(b.begun.size() == count);
            CHECK(std::is_sorted(b.begun.begin(), b.begun.end()));
            CHECK(b.ended.size() == count);
            CHECK(b.most == std::min(count, most));
        }
}

TEST_CASE("at_once: after a failure nothing more is begun, what was begun ends first, and the first failure is told") {
    for (std::size_t const most : {1U, 4U}) {
        bench b;
        b.fails = 3;
        CHECK(run(mailfs::detail::at_once(50, most, b.worker())) == "work 3");
        CHECK(b.running == 0);
        CHECK(b.begun.size() == b.ended.size());
        CHECK(b.begun.size() < 12);
    }
}

TEST_CASE("at_once: who is cancelled still waits for what was begun") {
    asio::io_context context(1);
    asio::cancellation_signal cancel;
    bench b;
    bool over = false, goes_on = true;
    auto outer = [&]() -> asio::awaitable<void> {
        co_await mailfs::detail::at_once(6, 3, b.worker());
        over = true;
        CHECK(b.running == 0);
        co_await mailfs::detail::give_way();  // and here its cancellation counts again
        goes_on = false;
    };
    std::exception_ptr failure;
    asio::co_spawn(context, outer(), asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr thrown) { failure = thrown; }));
    while (b.begun.size() < 3) context.run_one();
    cancel.emit(asio::cancellation_type::terminal);
    context.run();
    CHECK(over);
    CHECK(b.ended.size() == 6);
    CHECK(goes_on);
    CHECK(failure);
}
