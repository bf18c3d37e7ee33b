// SPDX-License-Identifier: BSL-1.0
// An account with a past, for tests of what checks and mends accounts: a clock that a test moves, mailboxes of several
// generations.
#pragma once

#include "store_fixture.hpp"
#include "support/run.hpp"
#include "support/temporary_directory.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::test {

/// Files of any filesystem, as a test wants them.
template <class Fs>
asio::awaitable<std::vector<std::byte>> read_file(Fs fs, std::string path) {
    auto file = co_await fs.open(path);
    if (!file) throw error(errc::not_found, path, "");
    auto const size = co_await file->size();
    std::vector<std::byte> bytes(static_cast<std::size_t>(size));
    co_await file->read(0, bytes);
    co_return bytes;
}
template <class Fs>
asio::awaitable<void> write_file(Fs fs, std::string path, std::vector<std::byte> bytes) {
    co_await fs.remove(path);
    co_await fs.create(path, bytes, durability::none);
}
template <class Fs>
asio::awaitable<std::vector<std::string>> files_below(Fs fs, std::string directory) {
    std::vector<std::string> found;
    std::vector<std::string> left{std::move(directory)};
    while (!left.empty()) {
        auto const path = std::move(left.back());
        left.pop_back();
        bool is_file = false;
        std::vector<std::string> names;
        try {
            names = co_await fs.list(path);
        } catch (error const&) {
            is_file = true;
        }
        if (is_file) found.push_back(path);
        for (auto const& name : names) left.push_back(path + '/' + name);
    }
    std::sort(found.begin(), found.end());
    co_return found;
}

template <class On>
struct recovery_fixture {
    using store_type = typename On::store;

    temporary_directory root;
    typename On::fs fs = On::make_fs(root);
    clocked_host host = ticking_host();

    store_type open() {
        store_options options;
        options.durability = durability::none;
        options.log.generations_kept = 100;
        return store_type(fs, options, host);
    }

    /// The log of a mailbox goes to its next generation.
    asio::awaitable<void> rotate(typename On::account account, std::string name) {
        auto const id = co_await id_of(account, std::move(name));
        auto const index = co_await account.core()->open_index(id);
        co_await index->log().rotate();
    }
    asio::awaitable<std::string> box_of(typename On::account account, std::string name) {
        auto const id = co_await id_of(account, std::move(name));
        co_return account.core()->box_directory(id);
    }
};

}  // namespace mailfs::test
