// SPDX-License-Identifier: BSL-1.0
// Stores to test on: which filesystem, which mail format; and small words for what tests do with them.
#pragma once

#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/dbox/single_dbox.hpp>
#include <mailfs/fs/latency_fs.hpp>
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/fs/posix_fs.hpp>
#include <mailfs/index/index.hpp>
#include <mailfs/store/store.hpp>

#include "support/run.hpp"
#include "support/temporary_directory.hpp"

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace mailfs::test {

template <class Fs, template <class, class> class Format>
struct store_on {
    using fs = Fs;
    using index = mailfs::index<lockless_log, Fs>;
    using store = mailfs::store<index, Format<Fs, system_host>>;
    using account = typename store::account_type;
    using mailbox = typename store::mailbox_type;
};
using on_memory = store_on<memory_fs, single_dbox>;
using on_posix = store_on<posix_fs, multi_dbox>;
using on_network = store_on<latency_fs<memory_fs>, multi_dbox>;  // calls take turns, so that sessions meet in the middle

template <class On>
struct store_fixture {
    using store_type = typename On::store;

    temporary_directory root;
    typename On::fs fs = make_fs();

    store_type open(durability d = durability::none) {
        store_options options;
        options.durability = d;
        return store_type(fs, options);
    }

private:
    typename On::fs make_fs() {
        if constexpr (std::is_same_v<typename On::fs, posix_fs>)
            return posix_fs(root.path());
        else if constexpr (std::is_same_v<typename On::fs, memory_fs>)
            return memory_fs();
        else
            return typename On::fs(memory_fs(), fs_delays::all(std::chrono::milliseconds(1)));
    }
};

/// The error that an awaitable ends with; none when it succeeds.
template <class T>
asio::awaitable<std::error_code> failure_of(asio::awaitable<T> work) {
    try {
        co_await std::move(work);
    } catch (std::system_error const& e) {
        co_return e.code();
    }
    co_return std::error_code();
}

inline std::string text_of(std::vector<std::byte> const& bytes) { return std::string(as_text(bytes)); }

/// As "INBOX a a/b", what cannot be selected in brackets.
template <class Account>
asio::awaitable<std::string> names_of(Account account) {
    auto const all = co_await account.list();
    std::string text;
    for (auto const& info : all) {
        if (!text.empty()) text += ' ';
        text += info.selectable ? info.name : '[' + info.name + ']';
    }
    co_return text;
}

template <class Account>
asio::awaitable<guid> id_of(Account account, std::string name) {
    auto const status = co_await account.status(std::move(name));
    co_return status.id;
}

template <class Mailbox>
asio::awaitable<uid_t> deliver(Mailbox& box, std::string_view body, append_options options = {}) {
    auto const bytes = as_bytes(body);
    co_return co_await box.append(bytes, std::move(options));
}

}  // namespace mailfs::test
