// SPDX-License-Identifier: BSL-1.0
// A backend that cannot sync is refused where it is named, by the very expression that it lacks.
#include <mailfs/fs/counting_fs.hpp>

struct careless_fs {
    struct mapping {
        std::span<std::byte> bytes();
    };
    struct file {
        using mapping = careless_fs::mapping;
        asio::awaitable<std::uint64_t> append(mailfs::bytes_view);
        asio::awaitable<std::size_t> read(std::uint64_t, std::span<std::byte>);
        asio::awaitable<std::uint64_t> size();
        asio::awaitable<mapping> map();
#ifndef MUST_FAIL
        asio::awaitable<void> sync();
#endif
    };
    static constexpr mailfs::fs_traits traits{mailfs::scope::host, mailfs::scope::host, false, true, mailfs::latency::disk, 1};
    asio::awaitable<std::optional<file>> open(std::string_view);
    asio::awaitable<bool> create(std::string_view, mailfs::bytes_view, mailfs::durability);
    asio::awaitable<std::vector<std::string>> list(std::string_view);
    asio::awaitable<bool> remove(std::string_view);
};

using counted = mailfs::counting_fs<careless_fs>;
