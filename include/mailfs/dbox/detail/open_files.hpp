// SPDX-License-Identifier: BSL-1.0
// A bounded number of dbox files kept open for reading.
#pragma once

#include <mailfs/dbox/detail/read_message.hpp>
#include <mailfs/format/dbox_message.hpp>
#include <mailfs/fs/filesystem.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// The least recently used file goes first; whoever reads from it still holds it. Belongs to one executor.
template <filesystem Fs>
class open_files {
public:
    struct opened {
        std::uint64_t id;
        typename Fs::file file;
        std::optional<std::uint64_t> nonce;
    };

    explicit open_files(std::size_t limit) : limit_(limit) {}

    /// Null where there is no such file. An open and a read call the first time, nothing then. Throws newer_version.
    asio::awaitable<std::shared_ptr<opened>> get(Fs& fs, std::uint64_t id, std::string const& path) {
        if (auto known = find(id)) co_return known;
        auto file = co_await fs.open(path);
        if (!file) co_return nullptr;
        auto const fresh = std::make_shared<opened>(opened{id, std::move(*file), std::nullopt});
        auto const header = co_await read_up_to(fresh->file, 0, sizeof(dbox_file_header));
        fresh->nonce = nonce_told_by(header, path);
        if (auto known = find(id)) co_return known;  // someone else was faster
        if (limit_ > 0 && files_.size() >= limit_) files_.pop_back();
        if (limit_ > 0) files_.insert(files_.begin(), fresh);
        co_return fresh;
    }

    void forget(std::uint64_t id) {
        std::erase_if(files_, [&](auto const& each) { return each->id == id; });
    }

private:
    std::shared_ptr<opened> find(std::uint64_t id) {
        auto const found = std::find_if(files_.begin(), files_.end(), [&](auto const& each) { return each->id == id; });
        if (found == files_.end()) return nullptr;
        std::rotate(files_.begin(), found, found + 1);
        return files_.front();
    }

    std::size_t limit_;
    std::vector<std::shared_ptr<opened>> files_;  ///< most recently used first
};

}  // namespace mailfs::detail
