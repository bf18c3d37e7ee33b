// SPDX-License-Identifier: BSL-1.0
// What benches of the log and the index share: a coroutine run to its end, a mailbox to measure, a flag change.
#pragma once

#include "bench.hpp"

#include <mailfs/fs/posix_fs.hpp>
#include <mailfs/index/index.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <cstdint>
#include <exception>
#include <string>
#include <utility>

namespace bench {

using mailbox_index = mailfs::index<mailfs::lockless_log, mailfs::posix_fs>;

/// Runs `work` to its end on this thread, and rethrows what it threw.
inline void run_to_end(asio::awaitable<void> work) {
    asio::io_context context(1);
    std::exception_ptr failure;
    asio::co_spawn(context, std::move(work), [&](std::exception_ptr thrown) { failure = std::move(thrown); });
    context.run();
    if (failure) std::rethrow_exception(failure);
}

/// The n-th message of every bench: 100 bytes, every second one read.
inline mailfs::message_entry message(std::uint64_t n) {
    mailfs::message_entry m;
    m.id = mailfs::guid::from_words(n * 0x9e37'79b9'7f4a'7c15U, n);
    m.where = {1 + n / 1000, n % 1000 * 4096};
    m.size = 100;
    m.received_ms = 1'700'000'000'000 + n;
    m.flags = n % 2 == 0 ? mailfs::flag::seen : mailfs::flag::none;
    return m;
}

}  // namespace bench
