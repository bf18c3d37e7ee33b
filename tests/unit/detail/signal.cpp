// SPDX-License-Identifier: BSL-1.0
#include <mailfs/detail/signal.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>

#include <doctest/doctest.h>

#include <exception>
#include <memory>
#include <optional>
#include <system_error>

using bell = mailfs::detail::signal;

namespace {

asio::awaitable<void> count_wakes(std::shared_ptr<bell> s, int times, int& wakes) {
    for (int i = 0; i < times; ++i) {
        co_await s->wait();
        ++wakes;
    }
}

}  // namespace

TEST_CASE("signal: raising wakes all who wait, and nobody who comes later") {
    asio::io_context io;
    auto const s = std::make_shared<bell>();
    int wakes = 0;
    s->raise();
    for (int i = 0; i < 3; ++i) asio::co_spawn(io, count_wakes(s, 2, wakes), asio::detached);
    io.poll();
    CHECK(wakes == 0);
    s->raise();
    s->raise();
    io.poll();
    CHECK(wakes == 3);
    s->raise();
    io.run();
    CHECK(wakes == 6);
}

TEST_CASE("signal: a wait can be cancelled, and is forgotten then") {
    asio::io_context io;
    auto const s = std::make_shared<bell>();
    asio::cancellation_signal stop;
    std::error_code why;
    int wakes = 0;
    auto ended = [&](std::exception_ptr thrown) {
        try {
            if (thrown) std::rethrow_exception(thrown);
        } catch (std::system_error const& e) {
            why = e.code();
        }
    };
    asio::co_spawn(io, count_wakes(s, 1, wakes), asio::bind_cancellation_slot(stop.slot(), ended));
    io.poll();
    stop.emit(asio::cancellation_type::terminal);
    s->raise();
    io.run();
    CHECK(why == asio::error::operation_aborted);
    CHECK(wakes == 0);
}

TEST_CASE("signal: who waits when the context ends is destroyed, though it keeps the signal itself") {
    std::weak_ptr<bell> alive;
    int wakes = 0;
    {
        asio::io_context io;
        auto const s = std::make_shared<bell>();
        alive = s;
        for (int i = 0; i < 2; ++i) asio::co_spawn(io, count_wakes(s, 1, wakes), asio::detached);
        io.poll();
    }
    CHECK(alive.expired());
    CHECK(wakes == 0);
}

TEST_CASE("signal: one that is gone leaves who waited where they are") {
    asio::io_context io;
    std::optional<bell> s(std::in_place);
    bool ended = false;
    auto wait = [](bell& on) -> asio::awaitable<void> { co_await on.wait(); };
    asio::co_spawn(io, wait(*s), [&](std::exception_ptr) { ended = true; });
    io.poll();
    s.reset();
    io.poll();
    CHECK_FALSE(ended);
}
