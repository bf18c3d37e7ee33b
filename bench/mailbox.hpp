// SPDX-License-Identifier: BSL-1.0
// What the benches of log and index share: a coroutine run to its end, messages, a mailbox of many of them on disk.
#pragma once

#include "bench.hpp"

#include <mailfs/fs/posix_fs.hpp>
#include <mailfs/index/index.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

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

inline mailfs::guid const mailbox_object = mailfs::guid::from_words(1, 2);

/// Makes an empty mailbox and opens it.
inline asio::awaitable<void> make(mailbox_index& box) {
    mailfs::format::mailbox_transaction first;
    first.raise(77, 0);
    bool const made = co_await box.create(mailbox_object, first.bytes());
    bool const there = made && co_await box.open();
    if (!there) throw std::runtime_error("cannot make a mailbox");
}

/// Appends messages first..last-1, as many in one transaction as may be.
inline void fill(mailfs::mailbox_state& state, std::uint64_t first, std::uint64_t last) {
    std::vector<std::byte> record;
    for (std::uint64_t n = first, counter = 1; n < last; ++counter) {
        mailfs::format::mailbox_transaction t;
        for (auto const end = std::min(last, n + 1000); n < end; ++n) t.append(message(n));
        mailfs::format::record_header h;
        h.kind = static_cast<std::uint8_t>(mailfs::format::record_kind::transaction);
        h.counter = counter;
        record.clear();
        mailfs::format::encode_record(record, h, t.bytes(), 0);
        state.apply(mailfs::format::decode_record(record, 0).value(), nullptr);
    }
}

/// Makes a mailbox of `messages` in `box` of the filesystem: an empty log, and the snapshot it begins with.
inline asio::awaitable<void> make_snapshot(mailfs::posix_fs fs, std::uint64_t messages) {
    mailfs::mailbox_state state;
    state.reset(mailbox_object);
    fill(state, 0, messages);
    mailbox_index box(fs, "box", mailfs::standalone{});
    bool const made = co_await box.create(mailbox_object, {});
    auto const bytes = state.dump();
    bool const written = made && co_await fs.create("box/index.1", bytes, mailfs::durability::none);
    if (!written) throw std::runtime_error("cannot make a mailbox");
}

/// The sizes that a bench of mailboxes goes through, with the names they have in figures.
inline std::vector<std::pair<std::uint64_t, std::string>> mailbox_sizes(run const& r) {
    if (auto const only = r.size(0); only != 0) return {{only, std::to_string(only)}};
    return {{1000, "1k"}, {100'000, "100k"}, {1'000'000, "1M"}};
}

}  // namespace bench
