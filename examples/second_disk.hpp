// SPDX-License-Identifier: BSL-1.0
// Where old mail lies, if not with the rest. The file ROOT/.second-disk names the directory, so that all programs that open the store look there,
// and bears a word by chance that stands there, too: a disk that is not mounted is not taken for one that has no mail.
#pragma once

#include <mailfs/fs/posix_fs.hpp>
#include <mailfs/host/system_host.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/durability.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>

namespace mailfs_examples {

inline constexpr char const* second_disk_file = ".second-disk";  // no account's directory is called so

inline std::optional<std::string> contents_of(mailfs::posix_fs const& fs, char const* name) {
    auto const file = fs.open_now(name);
    if (!file) return std::nullopt;
    std::string text(static_cast<std::size_t>(std::min<std::uint64_t>(file->size_now(), 8192)), '\0');
    text.resize(file->read_now(0, std::as_writable_bytes(std::span(text))));
    return text;
}

/// The directory with old mail of the store at `root`; "": there is none. `wanted`: it is to be that one from now on. Throws
/// std::runtime_error where that cannot be, or the disk is not there.
inline std::string second_disk(std::string const& root, std::string const& wanted = {}) {
    mailfs::posix_fs const first(root);
    auto told = contents_of(first, second_disk_file);
    if (!told && wanted.empty()) return {};
    if (!told) {
        auto const there = std::filesystem::absolute(wanted).lexically_normal().string();
        mailfs::system_host host;
        auto word = fmt::format("{:016x}{:016x}\n", host.random(), host.random());
        mailfs::posix_fs const second(there);
        if (!second.create_now(second_disk_file, mailfs::as_bytes(word), mailfs::durability::stored)) word = contents_of(second, second_disk_file).value_or("");
        first.create_now(second_disk_file, mailfs::as_bytes(word + there), mailfs::durability::stored);
        told = contents_of(first, second_disk_file);  // perhaps another was faster
    }
    auto const line = told->find('\n');
    if (line == told->npos) throw std::runtime_error(root + "/" + second_disk_file + " is damaged: it has a word, and in the next line the directory with old mail");
    auto const directory = told->substr(line + 1);
    if (!wanted.empty() && std::filesystem::absolute(wanted).lexically_normal() != directory)
        throw std::runtime_error("old mail of " + root + " lies in " + directory + " already. To have it elsewhere, stop the server, move that directory, and put its name into " +
                                 root + "/" + second_disk_file);
    std::error_code ec;
    bool const there = std::filesystem::is_directory(directory, ec) && contents_of(mailfs::posix_fs(directory), second_disk_file) == told->substr(0, line + 1);
    if (!there) throw std::runtime_error("old mail of " + root + " lies in " + directory + ", which is not there, or is another's: is the disk mounted?");
    return directory;
}

}  // namespace mailfs_examples
