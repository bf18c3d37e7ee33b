// SPDX-License-Identifier: BSL-1.0
// Waiting for what Asio waits for, from headers.
//
// Asio's own functions have a return type that is deduced: a header that calls them, be it in a template, makes each program
// that includes it compile Asio's machinery. These say their type, and cost only those who use them.
#pragma once

#include <mailfs/config.hpp>

#include <asio/awaitable.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <system_error>

namespace mailfs::detail {

/// Until the timer expires. Throws operation_aborted when it was cancelled.
template <class Timer>
asio::awaitable<void> wait(Timer& timer) {
    return timer.async_wait(asio::use_awaitable);
}
/// Until the timer expires or was cancelled, which `ec` tells.
template <class Timer>
asio::awaitable<void> wait(Timer& timer, std::error_code& ec) {
    return timer.async_wait(asio::redirect_error(asio::use_awaitable, ec));
}
/// Lets others of this executor have their turn.
template <class Timer = asio::steady_timer>
asio::awaitable<void> give_way() {
    auto const executor = co_await asio::this_coro::executor;
    Timer now(executor, typename Timer::duration{});
    co_await wait(now);
}
/// Until there is something to read.
template <class Descriptor>
asio::awaitable<void> wait_readable(Descriptor& descriptor) {
    return descriptor.async_wait(Descriptor::wait_read, asio::use_awaitable);
}

}  // namespace mailfs::detail
