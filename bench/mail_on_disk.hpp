// SPDX-License-Identifier: BSL-1.0
// What the benches of mail bodies share: messages as they are in mailboxes, a Maildir, and a page cache that forgets.
#pragma once

#include "bench.hpp"

#include <mailfs/fs/detail/posix_calls.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bench {

using mailfs::detail::unique_fd;

/// Messages with sizes as in mailboxes: half of them below 5 kB, some of hundreds (log-normal). The same on every machine.
inline std::vector<std::string> mails(std::uint64_t count) {
    std::vector<std::string> all;
    std::uint64_t seed = 1;
    auto const uniform = [&] {
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        return (static_cast<double>(seed >> 11) + 0.5) / 9007199254740992.0;
    };
    for (std::uint64_t n = 0; n < count; ++n) {
        auto const normal = std::sqrt(-2 * std::log(uniform())) * std::cos(6.283185307179586 * uniform());
        auto const size = static_cast<std::size_t>(std::min(5000 * std::exp(1.1 * normal), 1e6));
        std::string text = "From: a@example.org\r\nTo: b@example.org\r\nSubject: message " + std::to_string(n) + "\r\n\r\n";
        while (text.size() < size) text += "A line of text, such as mail has many of, number " + std::to_string(text.size()) + ".\r\n";
        all.push_back(std::move(text));
    }
    return all;
}

[[noreturn]] inline void fail(std::string const& what) { throw std::runtime_error(what); }

/// A file by open, read in pieces and close; what `take` gets of it.
template <class Take>
std::uint64_t read_file(std::string const& path, std::span<std::byte> buffer, Take take) {
    unique_fd const fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) fail("open " + path);
    std::uint64_t all = 0;
    for (ssize_t n; (n = ::read(fd.get(), buffer.data(), buffer.size())) != 0; all += static_cast<std::uint64_t>(n)) {
        if (n < 0) fail("read " + path);
        take(buffer.first(static_cast<std::size_t>(n)));
    }
    return all;
}

/// A delivery into a Maildir as qmail's description asks for it: tmp, fsync, rename, fsync of the directory.
inline void deliver_to_maildir(std::string const& root, std::uint64_t n, std::string_view text, bool synced) {
    auto const name = "1700000000.M" + std::to_string(n) + ".host";
    auto const tmp = root + "/tmp/" + name, cur = root + "/new/" + name;
    unique_fd const fd(::open(tmp.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) fail("write " + tmp);
    if (synced && ::fsync(fd.get()) != 0) fail("fsync " + tmp);
    if (::rename(tmp.c_str(), cur.c_str()) != 0) fail("rename " + tmp);
    if (!synced) return;
    unique_fd const directory(::open((root + "/new").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory || ::fsync(directory.get()) != 0) fail("fsync " + root);
}
inline void make_maildir(std::string const& root) {
    for (auto const* part : {"/tmp", "/new", "/cur"}) std::filesystem::create_directories(root + part);
}

/// Files below, by path.
inline std::vector<std::string> files_below(std::string const& root) {
    std::vector<std::string> all;
    for (auto const& each : std::filesystem::recursive_directory_iterator(root))
        if (each.is_regular_file()) all.push_back(each.path());
    std::sort(all.begin(), all.end());
    return all;
}
/// What was written is on the disk: the kernel does nothing of its own while others are measured.
inline void settle(std::string const& directory) {
    unique_fd const fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || ::syncfs(fd.get()) != 0) fail("syncfs " + directory);
}
/// The page cache forgets them: what is read next comes from the disk.
inline void make_cold(std::vector<std::string> const& files) {
    bool synced = false;
    for (auto const& path : files) {
        unique_fd const fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        if (!fd || (!std::exchange(synced, true) && ::syncfs(fd.get()) != 0) || ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED) != 0) fail("fadvise " + path);
    }
}

}  // namespace bench
