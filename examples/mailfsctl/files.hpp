// SPDX-License-Identifier: BSL-1.0
// Files outside the store: read whole, listed, written so that nobody sees half of one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mailfsctl {

/// All throw std::system_error, which names the file.

enum class entry_kind : std::uint8_t { none, file, directory, other };
entry_kind kind_of(std::string const& path);

struct directory_entry {
    std::string name;
    bool is_directory = false;
};
/// Files and directories in it, by name, without "." and ".."; symbolic links count as what they lead to. None when it is
/// not there.
std::vector<directory_entry> list_directory(std::string const& path);

struct whole_file {
    std::string bytes;
    std::uint64_t modified_ms = 0;
    bool too_long = false;  ///< more than was asked for: no bytes
};
/// Nothing when it is not there.
std::optional<whole_file> read_whole(std::string const& path, std::size_t size_max);

/// With those above it; only the owner may look in.
void make_directories(std::string const& path);

/// A new file under a temporary name beside its own, which it gets when finished; removed when it is not.
class new_file {
public:
    /// `temporary`: the path to write to first.
    explicit new_file(std::string temporary);
    ~new_file();
    new_file(new_file const&) = delete;
    new_file& operator=(new_file const&) = delete;

    void write(std::string_view bytes);
    /// Sets the time of last modification.
    void finish(std::string const& path, std::optional<std::uint64_t> modified_ms, bool replace);
    /// The same, and on stable storage before it has its name.
    void finish_stored(std::string const& path);

private:
    struct closer {
        void operator()(std::FILE* file) const noexcept { std::fclose(file); }
    };
    void flush(std::optional<std::uint64_t> modified_ms);

    std::string temporary_;
    std::unique_ptr<std::FILE, closer> file_;
};

/// Replaces what is there, in one step.
void replace_file(std::string const& path, std::string_view bytes);
/// False: that name is taken or the old one is not there.
bool rename_file(std::string const& from, std::string const& to);
/// All that was written to the filesystem that holds the path outlives a power cut.
void sync_filesystem(std::string const& path);

}  // namespace mailfsctl
