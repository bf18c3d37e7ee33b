// SPDX-License-Identifier: BSL-1.0
// Coroutines as blocking calls.
#pragma once

#include <mailfs/config.hpp>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <exception>
#include <optional>
#include <stdexcept>
#include <utility>

namespace mailfsctl {

/// Runs coroutines one after the other, each to its end.
class runner {
public:
    template <class T>
    T wait(asio::awaitable<T> work) {
        std::optional<T> value;
        run(keep(value, std::move(work)));
        return std::move(*value);
    }
    void wait(asio::awaitable<void> work) { run(std::move(work)); }

private:
    template <class T>
    static asio::awaitable<void> keep(std::optional<T>& value, asio::awaitable<T> work) {
        value.emplace(co_await std::move(work));
    }
    void run(asio::awaitable<void> work) {
        std::exception_ptr failure;
        bool done = false;
        asio::co_spawn(context_, std::move(work), [&](std::exception_ptr thrown) {
            failure = std::move(thrown);
            done = true;
        });
        context_.restart();
        while (!done && context_.run_one() > 0) {
        }
        if (failure) std::rethrow_exception(failure);
        if (!done) throw std::logic_error("a coroutine waits for nothing");
    }

    asio::io_context context_{1};
};

}  // namespace mailfsctl
