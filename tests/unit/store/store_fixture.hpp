// SPDX-License-Identifier: BSL-1.0
// Stores to test on: which filesystem, which mail format; and small words for what tests do with them.
#pragma once

#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/dbox/single_dbox.hpp>
#include <mailfs/fs/counting_fs.hpp>
#include <mailfs/fs/faulty_fs.hpp>
#include <mailfs/fs/latency_fs.hpp>
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/fs/posix_fs.hpp>
#include <mailfs/index/index.hpp>
#include <mailfs/store/store.hpp>

#include "support/run.hpp"
#include "support/temporary_directory.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace mailfs::test {

/// A machine whose clock a test moves on, and which can be booted anew; chance follows from a seed. Copies are the same
/// machine.
struct clocked_host {
    std::shared_ptr<std::mt19937_64> chance = std::make_shared<std::mt19937_64>(1);
    std::shared_ptr<std::uint64_t> clock = std::make_shared<std::uint64_t>(1'750'000'000'000);
    std::uint64_t boots = 1;
    std::uint64_t tick_ms = 0;  ///< How far the clock goes on by itself with each look.

    std::uint64_t now_ms() const { return *clock += tick_ms; }
    std::uint64_t random() const { return (*chance)(); }
    guid boot() const { return guid::from_words(0, boots); }
    std::uint32_t node() const { return 0; }

    void pass(std::uint64_t ms) const { *clock += ms; }
    clocked_host rebooted() const {
        auto next = *this;
        ++next.boots;
        return next;
    }
};
static_assert(host<clocked_host>);
inline clocked_host ticking_host(std::uint64_t tick_ms = 1000) {
    clocked_host h;
    h.tick_ms = tick_ms;
    return h;
}

using network_fs = counting_fs<latency_fs<memory_fs>>;

/// All tests of stores are of few types, since each type is a store for the compiler to make.
template <class Fs, template <class, class> class Format>
struct store_on {
    using fs = Fs;
    using format = Format<Fs, clocked_host>;
    using index = mailfs::index<lockless_log, Fs, basic_standalone<clocked_host>>;
    using store = mailfs::store<index, format>;
    using account = typename store::account_type;
    using mailbox = typename store::mailbox_type;

    static Fs make_fs(temporary_directory const& root) {
        if constexpr (std::is_same_v<Fs, posix_fs>)
            return posix_fs(root.path());
        else if constexpr (std::is_same_v<Fs, network_fs>)
            return Fs(latency_fs<memory_fs>(memory_fs(), fs_delays::all(std::chrono::microseconds(50))));
        else
            return Fs();
    }
};
using memory_single = store_on<memory_fs, single_dbox>;
using memory_multi = store_on<memory_fs, multi_dbox>;
using posix_single = store_on<posix_fs, single_dbox>;
using posix_multi = store_on<posix_fs, multi_dbox>;
using faulty_multi = store_on<faulty_fs<>, multi_dbox>;
using network_multi = store_on<network_fs, multi_dbox>;  // calls take turns, so that sessions meet in the middle

template <class On>
struct store_fixture {
    using store_type = typename On::store;

    temporary_directory root;
    typename On::fs fs = On::make_fs(root);
    clocked_host host = ticking_host(1);

    store_type open(durability d = durability::none) {
        store_options options;
        options.durability = d;
        return store_type(fs, options, host);
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

inline std::string text_of(bytes_view bytes) { return std::string(as_text(bytes)); }

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
