// SPDX-License-Identifier: BSL-1.0
// The filesystem as one process of a machine under test sees it: each call may wait for its turn, or be the last.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/fs/filesystem.hpp>

#include "machine.hpp"

#include <asio/awaitable.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs::crash {

class process_fs {
    using disk_file = faulty_fs<>::file;

public:
    static constexpr fs_traits traits = memory_fs::traits;

    explicit process_fs(std::shared_ptr<process> p) : process_(std::move(p)) {}

    class file {
    public:
        using mapping = disk_file::mapping;

        asio::awaitable<std::uint64_t> append(bytes_view bytes) {
            if (process_->must_wait()) co_await process_->wait();
            process_->arrive();
            co_return co_await inner_.append(bytes);
        }
        asio::awaitable<std::size_t> read(std::uint64_t offset, std::span<std::byte> buffer) {
            if (process_->must_wait()) co_await process_->wait();
            process_->arrive();
            co_return co_await inner_.read(offset, buffer);
        }
        asio::awaitable<std::uint64_t> size() {
            if (process_->must_wait()) co_await process_->wait();
            process_->arrive();
            co_return co_await inner_.size();
        }
        asio::awaitable<void> sync() {
            if (process_->must_wait()) co_await process_->wait();
            process_->arrive();
            co_await inner_.sync();
        }
        asio::awaitable<mapping> map() {
            if (process_->must_wait()) co_await process_->wait();
            process_->arrive();
            co_return co_await inner_.map();
        }

    private:
        friend class process_fs;
        file(std::shared_ptr<process> p, disk_file inner) : process_(std::move(p)), inner_(std::move(inner)) {}

        std::shared_ptr<process> process_;
        disk_file inner_;
    };

    asio::awaitable<std::optional<file>> open(std::string_view path) {
        if (process_->must_wait()) co_await process_->wait();
        process_->arrive();
        auto inner = co_await process_->fs.open(path);
        if (!inner) co_return std::nullopt;
        co_return file(process_, std::move(*inner));
    }
    asio::awaitable<bool> create(std::string_view path, bytes_view bytes, durability d) {
        if (process_->must_wait()) co_await process_->wait();
        process_->arrive();
        co_return co_await process_->fs.create(path, bytes, d);
    }
    asio::awaitable<std::vector<std::string>> list(std::string_view path) {
        if (process_->must_wait()) co_await process_->wait();
        process_->arrive();
        co_return co_await process_->fs.list(path);
    }
    asio::awaitable<bool> remove(std::string_view path) {
        if (process_->must_wait()) co_await process_->wait();
        process_->arrive();
        co_return co_await process_->fs.remove(path);
    }

private:
    std::shared_ptr<process> process_;
};
static_assert(filesystem<process_fs>);

}  // namespace mailfs::crash
