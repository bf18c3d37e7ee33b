// SPDX-License-Identifier: BSL-1.0
// Tells what is left of a dbox file, for who does not believe an index.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/detail/read_message.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/dbox_scanner.hpp>
#include <mailfs/fs/filesystem.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mailfs::detail {

/// The value of exactly `digits.size()` lower-case hex digits, at most 16; nothing for any other text.
inline std::optional<std::uint64_t> hex_value(std::string_view digits) noexcept {
    std::uint64_t value = 0;
    if (digits.empty() || digits.size() > 16) return std::nullopt;
    for (char const c : digits) {
        int const digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0) return std::nullopt;
        value = value << 4 | static_cast<std::uint64_t>(digit);
    }
    return value;
}

/// Longest file that writers with these options leave, with room for options that were different once.
inline std::uint64_t scan_size_max(dbox_options const& options) noexcept {
    auto const half = ~std::uint64_t{0} / 2;
    auto const longest = std::min(options.file_size_max, half) + std::min(options.message_size_max, half);
    return std::max(std::uint64_t{1} << 30, longest);
}

/// All bytes of a file. They are read, not mapped: a disk that fails is then an error and not a signal. Throws not_found,
/// too_big.
template <filesystem Fs>
asio::awaitable<std::vector<std::byte>> read_whole(Fs& fs, std::string const& path, std::uint64_t size_max) {
    auto file = co_await fs.open(path);
    if (!file) throw error(errc::not_found, path, "no such mail file");
    auto const size = co_await file->size();
    if (size > size_max) throw error(errc::too_big, path, size_max, "longer than a mail file can be");
    co_return co_await read_up_to(*file, 0, size);
}

/// Finds are given to `take`, which may know more of what makes a message sound in this format. Throws newer_version, and not_supported where
/// there is a message that `how` cannot unpack: it may not be taken for lost.
template <class Take>
mail_file_contents contents_of(bytes_view file, std::string const& path, body_compression const* how, Take take) {
    mail_file_contents found;
    found.size = file.size();
    std::uint64_t nonce = 0;
    auto const fault = find_dbox_nonce(file, nonce);
    if (fault && fault->code == errc::newer_version) throw error(fault->code, path, 0, fault->why);
    if (fault) {
        if (!file.empty()) found.damage.push_back({0, file.size()});
        return found;
    }
    dbox_file_header header;
    if (decode(file, header)) found.damage.push_back({0, sizeof header});
    else found.created_ms = header.created_ms;
    dbox_scanner scanner(file, nonce);
    while (auto const next = scanner.next()) {
        if (next->what == dbox_find::damage) {
            found.damage.push_back({next->offset, next->size});
        } else if (next->header.kind == static_cast<unsigned char>(dbox_kind::message)) {
            auto const& h = next->header;
            guid const id{h.id};
            bool const known = !check_is_message(h, id);
            if (known) check_unpackable(h, file.subspan(next->offset + sizeof h), message_place{path, next->offset, id}, how);
            bool const sound = next->what == dbox_find::record && known;
            take(found.mails, stored_mail{id, {0, next->offset}, next->size, h.size, h.received_ms, h.written_ms, guid{h.mailbox}, sound, is_packed(h)});
        }
    }
    return found;
}

}  // namespace mailfs::detail
