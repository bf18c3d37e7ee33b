// SPDX-License-Identifier: BSL-1.0
// An account with a past, for tests of what checks and mends accounts: a clock that a test moves, mailboxes of several
// generations.
#pragma once

#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/dbox/single_dbox.hpp>
#include <mailfs/fs/latency_fs.hpp>
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/fs/posix_fs.hpp>
#include <mailfs/index/index.hpp>
#include <mailfs/store/store.hpp>

#include "store_fixture.hpp"
#include "support/run.hpp"
#include "support/temporary_directory.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::test {

/// The clock goes on by itself, a second with each look; chance follows from a seed. Copies share both.
class ticking_host {
public:
    struct world {
        std::uint64_t now_ms = 1'750'000'000'000;
        std::uint64_t boot = 1;
        std::uint64_t seed = 1;
    };
    world& in() const noexcept { return *world_; }

    std::uint64_t now_ms() const noexcept { return world_->now_ms += 1000; }
    std::uint64_t random() const noexcept {  // splitmix64
        auto z = world_->seed += 0x9e37'79b9'7f4a'7c15U;
        z = (z ^ z >> 30) * 0xbf58'476d'1ce4'e5b9U;
        z = (z ^ z >> 27) * 0x94d0'49bb'1331'11ebU;
        return z ^ z >> 31;
    }
    guid boot() const noexcept { return guid::from_words(0xb007, world_->boot); }
    std::uint32_t node() const noexcept { return 0; }

private:
    std::shared_ptr<world> world_ = std::make_shared<world>();
};

template <class Fs, template <class, class> class Format>
struct ticking_on {
    using fs = Fs;
    using format = Format<Fs, ticking_host>;
    using index = mailfs::index<lockless_log, Fs, basic_standalone<ticking_host>>;
    using store = mailfs::store<index, format>;
    using account = typename store::account_type;
    using mailbox = typename store::mailbox_type;

    static Fs make_fs(temporary_directory const& root) {
        if constexpr (std::is_same_v<Fs, posix_fs>)
            return posix_fs(root.path());
        else if constexpr (std::is_same_v<Fs, latency_fs<memory_fs>>)
            return Fs(memory_fs(), fs_delays::all(std::chrono::microseconds(50)));
        else
            return Fs();
    }
};

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
    ticking_host host;

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
