// SPDX-License-Identifier: BSL-1.0
// What the tests of purge share: a clock that a test moves, stores of several sessions on it, and words for space.
#pragma once

#include <mailfs/store/purge.hpp>

#include "store_fixture.hpp"
#include "support/run.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::test {

inline constexpr std::uint64_t grace = 10'000;

template <class On>
using purger_on = purger<typename On::index, typename On::format>;

inline store_options purge_store_options(std::uint64_t file_size_max = 2000) {
    store_options options;
    options.durability = durability::none;
    options.grace_ms = grace;
    options.dbox.file_size_max = file_size_max;
    options.log.rotate_size_min = 4000;
    return options;
}

template <class On>
typename On::store open_store(typename On::fs fs, clocked_host host, std::uint64_t file_size_max = 2000) {
    return typename On::store(fs, purge_store_options(file_size_max), host);
}

/// Steps until the round is complete, or has to wait. Sums up what the steps did.
template <class Purger>
asio::awaitable<purge_report> round_of(Purger& purger, purge_budget budget = {}) {
    purge_report sum;
    for (int steps = 0; steps < 100'000; ++steps) {
        auto const one = co_await purger.step(budget);
        sum.phase = one.phase;
        sum.wait_ms = one.wait_ms;
        sum.mailboxes_read += one.mailboxes_read;
        sum.files_seen += one.files_seen;
        sum.files_removed += one.files_removed;
        sum.bytes_removed += one.bytes_removed;
        sum.mails_moved += one.mails_moved;
        sum.bytes_moved += one.bytes_moved;
        sum.files_lowered += one.files_lowered;
        sum.bytes_lowered += one.bytes_lowered;
        sum.mails_unreadable += one.mails_unreadable;
        sum.mailboxes_removed += one.mailboxes_removed;
        sum.files_stuck += one.files_stuck;
        sum.bytes_waiting = one.bytes_waiting;
        if (one.complete()) co_return sum;
    }
    throw std::runtime_error("the round does not end");
}

/// Rounds a grace period apart until nothing is left to give back.
template <class On>
asio::awaitable<purge_report> purge_all(typename On::account account, clocked_host host) {
    purger_on<On> purger(account);
    purge_report sum;
    for (int rounds = 0; rounds < 12; ++rounds) {
        auto const one = co_await round_of(purger);
        sum.files_removed += one.files_removed;
        sum.bytes_removed += one.bytes_removed;
        sum.mails_moved += one.mails_moved;
        sum.mailboxes_removed += one.mailboxes_removed;
        sum.bytes_waiting = one.bytes_waiting;
        if (rounds > 0 && one.bytes_waiting == 0 && one.mailboxes_removed == 0 && one.files_removed == 0) break;
        host.pass(grace);
    }
    co_return sum;
}

template <class On>
asio::awaitable<std::size_t> mail_files(typename On::account account) {
    auto const files = co_await account.core()->mails.files();
    co_return files.size();
}

/// Every message of every mailbox, by mailbox; one that cannot be read stands as the reason in brackets.
template <class Account>
asio::awaitable<std::map<std::string, std::vector<std::string>>> everything(Account account) {
    std::map<std::string, std::vector<std::string>> all;
    auto const boxes = co_await account.list();
    for (auto const& info : boxes) {
        if (!info.selectable) continue;
        auto box = co_await account.open(info.name);
        auto mails = box.fetch(box.view().uids());
        auto& texts = all[info.name];
        while (true) {
            auto const one = co_await mails.next();
            if (!one) break;
            texts.push_back(one->error ? '<' + one->reason + '>' : text_of(one->bytes));
        }
    }
    co_return all;
}

/// A body of this size that can be told from others.
inline std::string body_of(std::uint64_t n, std::size_t size = 100) {
    auto text = "message " + std::to_string(n) + ' ';
    text.resize(std::max(size, text.size()), static_cast<char>('a' + n % 26));
    return text;
}

}  // namespace mailfs::test
