// SPDX-License-Identifier: BSL-1.0
// A bounded number of dbox files kept open for reading.
#pragma once

#include <mailfs/dbox/detail/read_message.hpp>
#include <mailfs/dbox/detail/turn_queue.hpp>
#include <mailfs/detail/beside.hpp>
#include <mailfs/format/dbox_message.hpp>
#include <mailfs/fs/filesystem.hpp>

#include <asio/awaitable.hpp>
#include <asio/this_coro.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// The least recently used file goes first; whoever reads from it still holds it. Belongs to one executor.
template <filesystem Fs>
class open_files {
public:
    struct opened {
        explicit opened(std::uint64_t i) : id(i) {}
        std::uint64_t id;
        std::optional<typename Fs::file> file;
        bool header_read = false;
        std::optional<std::uint64_t> nonce;  ///< as the header tells it; nothing where that is damaged
        turn_queue opening, reading_header;
    };

    explicit open_files(std::size_t limit) : limit_(limit) {}

    /// Null where there is no such file. One open call the first time, whoever else wants the file meanwhile.
    asio::awaitable<std::shared_ptr<opened>> get(Fs& fs, std::uint64_t id, std::string const& path) {
        auto const entry = find_or_make(id);
        if (entry->file) co_return entry;
        auto const turn = co_await entry->opening.take();
        if (!entry->file) entry->file = co_await fs.open(path);
        if (entry->file) co_return entry;
        forget(id);
        co_return nullptr;
    }

    /// Reads of the file; whoever is first reads the file's header at the same time. Throws newer_version.
    static asio::awaitable<std::size_t> read(std::shared_ptr<opened> from, std::string const& path, std::uint64_t offset,
                                             std::span<std::byte> room) {
        if (from->header_read) co_return co_await from->file->read(offset, room);
        auto const executor = co_await asio::this_coro::executor;
        beside header(executor, read_header(from, path));
        auto const got = co_await from->file->read(offset, room);
        co_await header.ended();
        co_return got;
    }

    void forget(std::uint64_t id) {
        std::erase_if(files_, [&](auto const& each) { return each->id == id; });
    }

private:
    static asio::awaitable<void> read_header(std::shared_ptr<opened> from, std::string path) {
        auto const turn = co_await from->reading_header.take();
        if (from->header_read) co_return;
        auto const header = co_await read_up_to(*from->file, 0, sizeof(dbox_file_header));
        from->nonce = nonce_told_by(header, path);
        from->header_read = true;
    }

    std::shared_ptr<opened> find_or_make(std::uint64_t id) {
        auto const found = std::find_if(files_.begin(), files_.end(), [&](auto const& each) { return each->id == id; });
        if (found != files_.end()) {
            std::rotate(files_.begin(), found, found + 1);
            return files_.front();
        }
        auto fresh = std::make_shared<opened>(id);
        if (limit_ > 0 && files_.size() >= limit_) files_.pop_back();
        if (limit_ > 0) files_.insert(files_.begin(), fresh);
        return fresh;
    }

    std::size_t limit_;
    std::vector<std::shared_ptr<opened>> files_;  ///< most recently used first
};

}  // namespace mailfs::detail
