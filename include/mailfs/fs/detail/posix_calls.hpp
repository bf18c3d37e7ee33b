// SPDX-License-Identifier: BSL-1.0
// System calls with mailfs' errors: an owner for descriptors, errno as errc, and the few loops that every caller needs.
#pragma once

#include <mailfs/error.hpp>
#include <mailfs/types/bytes.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace mailfs::detail {

static_assert(sizeof(off_t) == 8, "mailfs needs 64-bit file offsets: compile with -D_FILE_OFFSET_BITS=64");

/// The kernel takes no more than this in one read or write.
inline constexpr std::size_t io_size_max = 0x7fff'f000;
/// A call that signals interrupt more often than this in a row fails with EINTR.
inline constexpr int interruptions_max = 1000;

/// Owns a descriptor; -1 is none.
class unique_fd {
public:
    explicit unique_fd(int fd = -1) noexcept : fd_(fd) {}
    unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    unique_fd& operator=(unique_fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    // What close() could still report was reported by sync(), or was never asked for.
    ~unique_fd() {
        if (fd_ >= 0) ::close(fd_);
    }

    int get() const noexcept { return fd_; }
    int release() noexcept { return std::exchange(fd_, -1); }
    explicit operator bool() const noexcept { return fd_ >= 0; }

private:
    int fd_;
};

inline errc errc_of(int number) noexcept {
    switch (number) {
        case ENOENT:
        case ENOTDIR: return errc::not_found;
        case EACCES:
        case EPERM:
        case EROFS: return errc::denied;
        case ENOSPC:
        case EDQUOT:
        case EFBIG: return errc::no_space;
        case ENAMETOOLONG:
        case ELOOP: return errc::bad_name;
        case EOPNOTSUPP:
        case ENOSYS: return errc::not_supported;
        default: return errc::io;
    }
}

[[noreturn]] inline void throw_errno(int number, std::string_view file, std::string_view call,
                                     std::uint64_t offset = error::no_offset) {
    throw error(errc_of(number), file, offset, std::string(call) + ": " + std::generic_category().message(number));
}

template <class Call>
auto uninterrupted(Call call) noexcept {
    auto result = call();
    for (int n = 0; result < 0 && errno == EINTR && n < interruptions_max; ++n) result = call();
    return result;
}

inline unique_fd open_at(int directory, char const* path, int flags, mode_t mode = 0) noexcept {
    return unique_fd(uninterrupted([&] { return ::openat(directory, path, flags | O_CLOEXEC, mode); }));
}

/// Bytes and what it takes to read them. 0, or the errno of the failure.
inline int sync_data(int fd) noexcept {
    return uninterrupted([&] { return ::fdatasync(fd); }) == 0 ? 0 : errno;
}
/// All about a file or a directory. 0, or the errno of the failure.
inline int sync_all(int fd) noexcept {
    return uninterrupted([&] { return ::fsync(fd); }) == 0 ? 0 : errno;
}

/// Bytes in the file, or -1 and errno.
inline off_t size_of(int fd) noexcept {
    struct stat about {};
    return ::fstat(fd, &about) == 0 ? about.st_size : -1;
}

/// The page cache keeps what one call wrote in as few pieces as it can, of up to 2 MiB, and a process that maps the file is
/// charged a whole piece for a look at one byte.
inline constexpr std::size_t write_piece_size = 256U << 10;

/// Writes all to a file that nobody else can see yet, in calls of write_piece_size at most.
inline void write_all(int fd, bytes_view bytes, std::string_view file) {
    for (std::uint64_t done = 0; done < bytes.size();) {
        auto const rest = bytes.subspan(static_cast<std::size_t>(done));
        auto const n = uninterrupted([&] { return ::write(fd, rest.data(), std::min(rest.size(), write_piece_size)); });
        if (n <= 0) throw_errno(n < 0 ? errno : ENOSPC, file, "write", done);
        done += static_cast<std::uint64_t>(n);
    }
}

}  // namespace mailfs::detail
