// SPDX-License-Identifier: BSL-1.0
// Runs a coroutine to its end on an io_context of its own, so that a test reads like straight code.
#pragma once

#include <mailfs/config.hpp>

#include "support/temporary_directory.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <chrono>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace mailfs::test {

/// How long a coroutine under test may take before the test is taken to hang.
inline constexpr std::chrono::seconds run_time_max{120};

namespace detail {

template <class A>
struct awaited {};
template <class T, class E>
struct awaited<asio::awaitable<T, E>> {
    using type = T;
};

inline void finish(asio::io_context& context, bool const& done, std::exception_ptr const& failure) {
    context.run_for(run_time_max);
    if (!done) throw std::runtime_error("a coroutine under test did not finish");
    if (failure) std::rethrow_exception(failure);
}

}  // namespace detail

/// Calls make(args...), which returns an asio::awaitable, runs that on a fresh one-threaded io_context, and returns its
/// value or rethrows what it threw. `make` may be a capturing lambda: it outlives the coroutine. Whatever else was
/// spawned there is destroyed when the coroutine ends. Throws std::runtime_error after run_time_max.
template <class F, class... Args>
auto run(F&& make, Args&&... args) {
    using result = typename detail::awaited<std::invoke_result_t<F&, Args...>>::type;
    asio::io_context context(1);
    bool done = false;
    std::exception_ptr failure;
    auto end = [&](std::exception_ptr thrown) {
        failure = std::move(thrown);
        done = true;
        context.stop();
    };
    auto body = std::invoke(make, std::forward<Args>(args)...);
    if constexpr (std::is_void_v<result>) {
        asio::co_spawn(context, std::move(body), end);
        detail::finish(context, done, failure);
    } else {
        std::optional<result> value;
        auto keep = [](std::optional<result>& slot, asio::awaitable<result> work) -> asio::awaitable<void> {
            slot.emplace(co_await std::move(work));
        };
        asio::co_spawn(context, keep(value, std::move(body)), end);
        detail::finish(context, done, failure);
        return std::move(*value);
    }
}

}  // namespace mailfs::test
