// SPDX-License-Identifier: BSL-1.0
// The whole file or nothing, exclusively: an unnamed temporary file and link(2), or a hidden name where that is refused. And
// further names for a file.
#pragma once

#include <mailfs/error.hpp>
#include <mailfs/fs/detail/path.hpp>
#include <mailfs/fs/detail/posix_calls.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/durability.hpp>

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

namespace mailfs::detail {

/// How often create() starts anew because its directory was removed meanwhile, or its hidden name was.
inline constexpr int create_tries_max = 16;

/// Directories whose names, up to the root, this process has synced: the next file in one of them asks for less. From
/// any thread. A directory that another process removes and makes again is not noticed; mailfs does not reuse their names.
class durable_directories {
public:
    static constexpr std::size_t count_max = 4096;  // then it forgets all, and learns them anew

    bool knows(std::string_view directory) {
        std::scoped_lock const lock(mutex_);
        return known_.contains(directory);
    }
    void add(std::string_view directory) {
        std::scoped_lock const lock(mutex_);
        if (known_.size() >= count_max) known_.clear();
        known_.emplace(directory);
    }

private:
    std::mutex mutex_;
    std::set<std::string, std::less<>> known_;
};

/// One call of create() or link(): blocking, and used once.
class posix_create {
public:
    struct where {
        int root;                    ///< descriptor that `path` is relative to
        std::string_view root_name;  ///< for errors
        mode_t file_mode, directory_mode;
        bool named_temporaries;      ///< do not try unnamed ones
        durable_directories& durable;
    };

    posix_create(where const& at, std::string_view path)
        : at_(at), path_(path), directory_(parent_of(path).empty() ? "." : parent_of(path)) {}

    /// True: made by this call. With `stored` the name is durable on return, whoever made it.
    bool run(bytes_view bytes, durability d) {
        bool const stored = d == durability::stored;
        bool const made = !exists() && link(bytes, stored);
        if (stored) sync_directories();
        return made;
    }

    /// True: it is a name of that file now. False: it was there, the file was not, or it gets no more names. With `stored` the name,
    /// where it is there, is durable on return, whoever made it.
    bool run_link(std::string const& from, durability d) {
        bool const made = !exists() && link_to(from);
        if (d == durability::stored && (made || exists())) sync_directories();
        return made;
    }

private:
    enum class outcome { made, there, no_directory, refused };

    bool link_to(std::string const& from) {
        for (int n = 0; n < create_tries_max; ++n) {
            if (::linkat(at_.root, from.c_str(), at_.root, path_.c_str(), 0) == 0) return true;
            int const why = errno;
            if (why == ENOENT && ::faccessat(at_.root, from.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0) make_directories();
            else if (why == EIO || why == ENOSPC || why == EDQUOT || why == EROFS || why == ENOMEM) throw_errno(why, full(path_), "link");
            else return false;
        }
        return false;
    }

    bool exists() const noexcept { return ::faccessat(at_.root, path_.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0; }

    bool link(bytes_view bytes, bool stored) {
        for (int n = 0; n < create_tries_max; ++n) {
            auto result = at_.named_temporaries ? outcome::refused : link_unnamed(bytes, stored);
            if (result == outcome::refused) result = link_named(bytes, stored);
            if (result == outcome::made) return true;
            if (result == outcome::there) return false;
            make_directories();
        }
        throw error(errc::busy, full(path_), "its directory was removed again and again while the file was made");
    }

    outcome link_unnamed(bytes_view bytes, bool stored) {
        auto const file = open_at(at_.root, directory_.c_str(), O_TMPFILE | O_WRONLY, at_.file_mode);
        if (!file) {
            if (errno == ENOENT) return outcome::no_directory;
            // ext4 says EPERM for a directory that is just being removed; a named file then tells what is the matter
            if (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL || errno == EPERM) return outcome::refused;
            throw_errno(errno, full(directory_), "open");
        }
        fill(file.get(), bytes, stored);
        auto const self = "/proc/self/fd/" + std::to_string(file.get());
        if (::linkat(AT_FDCWD, self.c_str(), at_.root, path_.c_str(), AT_SYMLINK_FOLLOW) == 0) return outcome::made;
        return errno == EEXIST ? outcome::there : outcome::refused;  // no /proc here, or a filesystem that says no
    }

    outcome link_named(bytes_view bytes, bool stored) {
        auto const hidden = directory_ + "/" + std::string(hidden_prefix) + random_name();
        auto const file = open_at(at_.root, hidden.c_str(), O_CREAT | O_EXCL | O_WRONLY, at_.file_mode);
        if (!file) {
            if (errno == ENOENT || errno == EEXIST) return outcome::no_directory;
            throw_errno(errno, full(hidden), "open");
        }
        struct unlink_at_end {
            int root;
            std::string const& name;
            ~unlink_at_end() { ::unlinkat(root, name.c_str(), 0); }  // a failure leaves a hidden file that remove() collects
        } const guard{at_.root, hidden};
        fill(file.get(), bytes, stored);
        if (::linkat(at_.root, hidden.c_str(), at_.root, path_.c_str(), 0) == 0) return outcome::made;
        if (errno == EEXIST) return outcome::there;
        if (errno == ENOENT) return outcome::no_directory;
        throw_errno(errno, full(path_), "link");
    }

    void fill(int fd, bytes_view bytes, bool stored) const {
        write_all(fd, bytes, full(path_));
        if (!stored) return;
        if (int const why = sync_data(fd)) throw_errno(why, full(path_), "fdatasync");
    }

    void make_directories() {
        made_directories_ = true;
        for (auto slash = path_.find('/'); slash != path_.npos; slash = path_.find('/', slash + 1)) {
            auto const directory = path_.substr(0, slash);
            if (::mkdirat(at_.root, directory.c_str(), at_.directory_mode) != 0 && errno != EEXIST && errno != ENOENT)
                throw_errno(errno, full(directory), "mkdir");
        }
    }

    // The directory that holds the name; all above it too, unless this process did that before and found it still there.
    void sync_directories() const {
        auto const holder = parent_of(path_);
        bool const known = !made_directories_ && at_.durable.knows(holder);
        bool all_there = true;  // a directory that is gone has no name left to keep
        for (auto directory = holder;; directory = parent_of(directory)) {
            std::string const name(directory.empty() ? "." : directory);
            auto const opened = open_at(at_.root, name.c_str(), O_RDONLY | O_DIRECTORY);
            if (!opened && errno != ENOENT) throw_errno(errno, full(name), "open");
            all_there = all_there && opened;
            if (int const why = opened ? sync_all(opened.get()) : 0) throw_errno(why, full(name), "fsync");
            if (directory.empty() || known) break;
        }
        if (all_there) at_.durable.add(holder);
    }

    std::string full(std::string_view path) const { return std::string(at_.root_name).append("/").append(path); }

    static std::string random_name() {
        std::uint64_t word = 0;
        if (::getrandom(&word, sizeof word, 0) != static_cast<ssize_t>(sizeof word)) throw_errno(errno, "getrandom", "getrandom");
        char digits[17];
        std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(word));
        return digits;
    }

    where at_;
    std::string path_, directory_;
    bool made_directories_ = false;
};

}  // namespace mailfs::detail
