// SPDX-License-Identifier: BSL-1.0
// One log file on its way into memory: opened with its header checked, entered by a state machine, walked record by record.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/log/log_directory.hpp>
#include <mailfs/log/state_machine.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::detail {

template <filesystem Fs>
struct opened_log {
    typename Fs::file file;
    format::log_header header;
};

/// Nothing when there is no such file. Throws corrupt, newer_version. `features`: which of the format the caller knows.
template <filesystem Fs>
asio::awaitable<std::optional<opened_log<Fs>>> open_log(Fs& fs, std::string const& directory, std::uint64_t number,
                                                        std::uint64_t features = format::log_features_known) {
    auto const name = directory + '/' + log_name(number);
    auto file = co_await fs.open(name);
    if (!file) co_return std::nullopt;
    format::log_header h;
    auto const buffer = std::as_writable_bytes(std::span(&h, 1));
    auto const size = co_await file->read(0, buffer);
    check_log_header(h, size, number, name, features);
    co_return opened_log<Fs>{std::move(*file), h};
}

/// All of it: read, not mapped, so that a disk that fails is an error. Throws too_big.
template <append_file File>
asio::awaitable<std::vector<std::byte>> read_log(File& file, std::string const& name) {
    auto const size = co_await file.size();
    if (size > format::log_size_max) throw error(errc::too_big, name, format::log_size_max, "longer than a log can be");
    std::vector<std::byte> bytes(static_cast<std::size_t>(size));
    auto const got = co_await file.read(0, bytes);
    bytes.resize(got);
    co_return bytes;
}

/// What the header tells holds at the start of its file, whatever the machine made of the files before.
template <state_machine M>
void enter_log(M& machine, format::log_header const& h) {
    auto& stream = machine.stream();
    if (h.next_id > machine.next_id()) machine.skip_ids(h.next_id - machine.next_id());
    stream.at = std::max(stream.at, position{h.epoch, h.n});
    stream.chain = h.chain;
    stream.boot = format::get_guid(h.boot);
}

}  // namespace mailfs::detail
