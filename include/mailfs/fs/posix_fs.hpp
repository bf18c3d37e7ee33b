// SPDX-License-Identifier: BSL-1.0
// A directory on a local disk. No file is locked, renamed or overwritten: O_APPEND orders appends, link(2) makes names.
//
// Threads: a posix_fs may be used from any; a file or a watch belongs to one executor at a time. Concurrent appends
// from other file objects, threads and processes of this host never interleave: the kernel holds the inode while it writes.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fs/detail/path.hpp>
#include <mailfs/fs/detail/posix_calls.hpp>
#include <mailfs/fs/detail/posix_create.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/fs/network_filesystem.hpp>
#include <mailfs/fs/posix_watch.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs {

struct posix_options {
    /// Where sync() and create(stored) block, such as an asio::thread_pool's executor, so that other coroutines go on
    /// meanwhile; none: in place. The pool must be joined before the callers' io_context is destroyed.
    std::optional<asio::any_io_executor> sync_executor = std::nullopt;
    /// FUSE does not say whether a disk or a network stands behind it: it is refused until told that it is a disk.
    bool fuse_is_local = false;
    /// create() does without unnamed temporary files, as it also does by itself where they are refused.
    bool named_temporaries = false;
    mode_t file_mode = 0600;
    mode_t directory_mode = 0700;
    /// For tests: the filesystem type to believe instead of statfs(2).
    std::optional<std::uint32_t> filesystem_type = std::nullopt;
};

/// The bytes of a file, mapped copy on write: unchanged pages are the page cache's own and shared by all processes.
/// Appends leave it as it is. Someone who cuts the file short, which mailfs never does, makes its lost pages fault.
class posix_mapping {
public:
    posix_mapping() = default;
    posix_mapping(posix_mapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
    posix_mapping& operator=(posix_mapping&& other) noexcept {
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~posix_mapping() {
        if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
    }

    std::span<std::byte> bytes() const noexcept { return bytes_; }

private:
    friend class posix_fs;
    explicit posix_mapping(std::span<std::byte> bytes) noexcept : bytes_(bytes) {}

    std::span<std::byte> bytes_;
};

/// Its coroutines are templates so that who includes this compiles those that are used.
class posix_fs {
public:
    static constexpr fs_traits traits{.reach = scope::host,
                                      .appends_ordered = scope::host,
                                      .map_is_zero_copy = true,
                                      .reads_coherent = true,
                                      .read_latency = latency::disk,
                                      .append_size_max = detail::io_size_max};

    class file;
    using watch = posix_watch;

    /// Makes the directory, and those above it, when missing. Blocks. Throws network_filesystem when the root lies on
    /// one, or what the system says. Copies share the root's descriptor.
    explicit posix_fs(std::string root, posix_options options = {}) {
        while (root.size() > 1 && root.back() == '/') root.pop_back();
        shared_ = std::make_shared<state const>(state{open_root(root, options), root, std::move(options), std::make_unique<detail::durable_directories>()});
        refuse_network();
    }

    std::string const& root() const noexcept { return shared_->root; }

    /// One system call.
    template <class = void>
    asio::awaitable<std::optional<file>> open(std::string_view path);
    std::optional<file> open_now(std::string_view path) const;  ///< The same, and below: a plain call, which blocks. From any thread.

    /// A file's bytes and, with `stored`, its name are durable on return; false under `stored` means that the name which
    /// was there is durable too. Three system calls when the file is there, six to make it (and two more for `stored`).
    template <class = void>
    asio::awaitable<bool> create(std::string_view path, bytes_view bytes, durability d) {
        auto const make = [&] { return create_now(path, bytes, d); };
        if (d == durability::none) co_return make();
        co_return co_await aside(*shared_, make);
    }
    bool create_now(std::string_view path, bytes_view bytes, durability d) const {
        assert(detail::is_file_path(path));
        return detail::posix_create(maker(), path).run(bytes, d);
    }

    /// See linking_filesystem. Two system calls (and for `stored` two more, as create).
    template <class = void>
    asio::awaitable<bool> link(std::string_view from, std::string_view to, durability d) {
        auto const make = [&] { return link_now(from, to, d); };
        if (d == durability::none) co_return make();
        co_return co_await aside(*shared_, make);
    }
    bool link_now(std::string_view from, std::string_view to, durability d) const {
        assert(detail::is_file_path(from) && detail::is_file_path(to));
        return detail::posix_create(maker(), to).run_link(std::string(from), d);
    }

    template <class = void>
    asio::awaitable<std::vector<std::string>> list(std::string_view path) { co_return list_now(path); }
    std::vector<std::string> list_now(std::string_view path) const {
        assert(detail::is_directory_path(path));
        auto names = entries(path);
        std::erase_if(names, [](std::string const& name) { return detail::is_hidden(name); });
        return names;
    }

    /// False also for a directory that is not empty. Hidden files that killed processes left in it do not count.
    template <class = void>
    asio::awaitable<bool> remove(std::string_view path) { co_return remove_now(path); }
    bool remove_now(std::string_view path) const {
        assert(detail::is_file_path(path));
        std::string const name(path);
        if (unlink(name, 0)) return true;
        if (errno == ENOENT || errno == ENOTDIR) return false;
        if (errno != EISDIR && errno != EPERM) detail::throw_errno(errno, shared_->full(path), "unlink");
        return remove_directory(name);
    }

    /// Throws not_found when there is no such directory.
    template <class = void>
    asio::awaitable<watch> watch_directory(std::string_view path) {
        assert(detail::is_directory_path(path));
        auto const executor = co_await asio::this_coro::executor;
        co_return watch(executor, shared_->full(path));
    }

private:
    struct state {
        detail::unique_fd directory;
        std::string root;
        posix_options options;
        std::unique_ptr<detail::durable_directories> durable;

        std::string full(std::string_view path) const { return path.empty() ? root : std::string(root).append("/").append(path); }
    };

    detail::posix_create::where maker() const noexcept {
        auto const& s = *shared_;
        return {s.directory.get(), s.root, s.options.file_mode, s.options.directory_mode, s.options.named_temporaries, *s.durable};
    }

    // Runs blocking work where the options want it, and comes back with its result.
    template <class Work>
    static asio::awaitable<decltype(std::declval<Work&>()())> aside(state const& s, Work work) {
        if (!s.options.sync_executor) co_return work();
        co_return co_await asio::co_spawn(*s.options.sync_executor, call(std::move(work)), asio::use_awaitable);
    }
    template <class Work>
    static asio::awaitable<decltype(std::declval<Work&>()())> call(Work work) {
        co_return work();
    }

    static detail::unique_fd open_root(std::string const& root, posix_options const& options) {
        for (std::size_t end = root.find('/', 1);; end = root.find('/', end + 1)) {
            make_root(root.substr(0, end), options.directory_mode);
            if (end == root.npos) break;
        }
        auto directory = detail::open_at(AT_FDCWD, root.c_str(), O_RDONLY | O_DIRECTORY);
        if (!directory) detail::throw_errno(errno, root, "open");
        return directory;
    }

    // A directory that is made here is durable at once: all that is ever stored hangs on it.
    static void make_root(std::string const& directory, mode_t mode) {
        if (::mkdir(directory.c_str(), mode) != 0) {
            int const why = errno;
            struct stat about {};
            if (why == EEXIST || ::stat(directory.c_str(), &about) == 0) return;  // EACCES, EROFS above what is there
            detail::throw_errno(why, directory, "mkdir");
        }
        auto const slash = directory.rfind('/');
        auto const above = slash == directory.npos ? "." : slash == 0 ? "/" : directory.substr(0, slash);
        auto const opened = detail::open_at(AT_FDCWD, above.c_str(), O_RDONLY | O_DIRECTORY);
        if (!opened || ::fsync(opened.get()) != 0) detail::throw_errno(errno, above, "fsync");
    }

    void refuse_network() const {
        auto const& s = *shared_;
        struct statfs about {};
        if (::fstatfs(s.directory.get(), &about) != 0) detail::throw_errno(errno, s.root, "fstatfs");
        auto const type = s.options.filesystem_type.value_or(static_cast<std::uint32_t>(about.f_type));
        if (auto const name = network_filesystem_name(type); !name.empty())
            throw error(errc::network_filesystem, s.root,
                        "lies on " + std::string(name) +
                            ", where appends of several hosts are not ordered and mail would be lost: keep it on a local disk "
                            "and let servers share it by replication (multimaster), or use a cluster backend");
        if (type == fuse_filesystem_type && !s.options.fuse_is_local)
            throw error(errc::network_filesystem, s.root,
                        "lies on FUSE, which does not tell whether a network stands behind it; if it is a local disk, set "
                        "posix_options::fuse_is_local, else keep the mail on a local disk");
    }

    bool unlink(std::string const& path, int flags) const noexcept {
        return ::unlinkat(shared_->directory.get(), path.c_str(), flags) == 0;
    }

    bool remove_directory(std::string const& path) const {
        if (unlink(path, AT_REMOVEDIR)) return true;
        if (errno == ENOTEMPTY || errno == EEXIST) {
            auto const left = entries(path);
            if (!std::all_of(left.begin(), left.end(), detail::is_hidden)) return false;
            for (auto const& name : left) unlink(path + "/" + name, 0);  // one still in use is made again by its maker
            if (unlink(path, AT_REMOVEDIR)) return true;
        }
        if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOENT) return false;
        detail::throw_errno(errno, shared_->full(path), "rmdir");
    }

    // All names in a directory, hidden ones too; none when it is missing.
    std::vector<std::string> entries(std::string_view path) const {
        std::vector<std::string> names;
        std::string const relative(path.empty() ? "." : path);
        auto opened = detail::open_at(shared_->directory.get(), relative.c_str(), O_RDONLY | O_DIRECTORY);
        if (!opened && errno == ENOENT) return names;
        std::unique_ptr<DIR, decltype([](DIR* d) { ::closedir(d); })> const stream(opened ? ::fdopendir(opened.get()) : nullptr);
        if (!stream) detail::throw_errno(errno, shared_->full(path), "opendir");
        opened.release();
        for (errno = 0; auto const* entry = ::readdir(stream.get()); errno = 0) {
            std::string_view const name = entry->d_name;
            if (name != "." && name != "..") names.emplace_back(name);
        }
        if (errno != 0) detail::throw_errno(errno, shared_->full(path), "readdir");
        return names;
    }

    std::shared_ptr<state const> shared_;
};

/// Must stay where it is, and alive, while a call is under way.
class posix_fs::file {
public:
    using mapping = posix_mapping;

    /// Two system calls and no allocation; completes at once. On an error the head of `bytes` may be in the file.
    template <class = void>
    asio::awaitable<std::uint64_t> append(bytes_view bytes) { co_return append_now(bytes); }
    /// The same without a coroutine.
    std::uint64_t append_now(bytes_view bytes) const {
        if (bytes.size() > traits.append_size_max) throw error(errc::too_big, name(), "one append takes less than 2 GiB");
        if (bytes.empty()) return size_now();  // write() of nothing would not move to the end
        auto const n = detail::uninterrupted([&] { return ::write(fd_.get(), bytes.data(), bytes.size()); });
        if (n < 0) fail_append(errno);
        auto const end = ::lseek(fd_.get(), 0, SEEK_CUR);
        if (end < n) detail::throw_errno(end < 0 ? errno : EIO, name(), "lseek");
        auto const offset = static_cast<std::uint64_t>(end - n);
        if (static_cast<std::size_t>(n) < bytes.size())
            throw error(errc::no_space, name(), offset,
                        "write: disk full or file size limit reached after " + std::to_string(n) + " of " +
                            std::to_string(bytes.size()) + " bytes");
        return offset;
    }

    /// One system call when the buffer is filled or nothing is there, two when the file ends in between (a device error
    /// behind a short read must not pass for the end). Completes at once.
    template <class = void>
    asio::awaitable<std::size_t> read(std::uint64_t offset, std::span<std::byte> buffer) { co_return read_now(offset, buffer); }
    /// The same without a coroutine; may run on any thread, beside others.
    std::size_t read_now(std::uint64_t offset, std::span<std::byte> buffer) const {
        std::size_t done = 0;
        while (done < buffer.size()) {
            auto const rest = buffer.subspan(done);
            auto const at = offset + done;
            auto const want = std::min(rest.size(), detail::io_size_max);
            if (is_beyond_all_files(at, want)) break;
            auto const n = detail::uninterrupted([&] { return ::pread(fd_.get(), rest.data(), want, static_cast<off_t>(at)); });
            if (n < 0) fail_read(errno, at);
            if (n == 0) break;
            done += static_cast<std::size_t>(n);
        }
        return done;
    }
    /// The same if it need not wait for the disk; nothing: it would have to, or failed. One system call more where the file ends in
    /// between (preadv2, RWF_NOWAIT).
    std::optional<std::size_t> read_if_cached(std::uint64_t offset, std::span<std::byte> buffer) const noexcept {
        std::size_t done = 0;
        while (done < buffer.size()) {
            auto const rest = buffer.subspan(done);
            if (is_beyond_all_files(offset + done, rest.size())) return std::nullopt;
            ::iovec const where{rest.data(), rest.size()};
            auto const n = ::preadv2(fd_.get(), &where, 1, static_cast<off_t>(offset + done), RWF_NOWAIT);
            if (n < 0) return std::nullopt;
            if (n == 0) break;
            done += static_cast<std::size_t>(n);
        }
        return done;
    }

    template <class = void>
    asio::awaitable<std::uint64_t> size() { co_return size_now(); }
    std::uint64_t size_now() const {
        auto const size = detail::size_of(fd_.get());
        if (size < 0) detail::throw_errno(errno, name(), "fstat");
        return static_cast<std::uint64_t>(size);
    }

    /// One system call. fsync, with which ext4, XFS, btrfs and F2FS keep the file's name too; fdatasync would not be
    /// cheaper, since an append changes the size. After one failure each later call fails too: the kernel has dropped the
    /// dirty pages, and a second fsync that succeeds proves nothing.
    template <class = void>
    asio::awaitable<void> sync() {
        if (sync_failure_ == 0) sync_failure_ = co_await aside(*shared_, [fd = fd_.get()] { return detail::sync_all(fd); });
        synced_with(sync_failure_);
    }
    /// The same without a coroutine; one at a time.
    void sync_now() { synced_with(sync_failure_ == 0 ? detail::sync_all(fd_.get()) : sync_failure_); }
    /// What the kernel said to an fsync that another made on native_handle(): 0, or the errno, which later calls fail with, too.
    void synced_with(int failure) {
        sync_failure_ = failure;
        if (failure != 0) detail::throw_errno(failure, name(), "fsync");
    }
    bool may_sync() const noexcept { return sync_failure_ == 0; }

    /// Two system calls; page faults come later.
    template <class = void>
    asio::awaitable<mapping> map() { co_return map_now(); }
    mapping map_now() const {
        auto const size = static_cast<std::size_t>(size_now());
        if (size == 0) return mapping{};
        auto* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd_.get(), 0);
        if (at == MAP_FAILED) detail::throw_errno(errno, name(), "mmap");
        return mapping(std::span(static_cast<std::byte*>(at), size));
    }

    int native_handle() const noexcept { return fd_.get(); }
    std::string name() const { return shared_->full(path_); }  ///< the path, for errors
    [[noreturn]] void fail_read(int why, std::uint64_t offset) const { detail::throw_errno(why, name(), "pread", offset); }
    static bool is_beyond_all_files(std::uint64_t offset, std::size_t size) noexcept {
        return size > detail::io_size_max || offset > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max()) - size;
    }

private:
    friend class posix_fs;
    file(std::shared_ptr<state const> shared, detail::unique_fd fd, std::string path)
        : shared_(std::move(shared)), fd_(std::move(fd)), path_(std::move(path)) {}

    [[noreturn]] void fail_append(int why) const { detail::throw_errno(why, name(), "write", size_now()); }

    std::shared_ptr<state const> shared_;
    detail::unique_fd fd_;
    std::string path_;
    int sync_failure_ = 0;
};

inline std::optional<posix_fs::file> posix_fs::open_now(std::string_view path) const {
    assert(detail::is_file_path(path));
    std::string name(path);
    auto fd = detail::open_at(shared_->directory.get(), name.c_str(), O_RDWR | O_APPEND | O_NOCTTY);
    if (!fd && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
    if (!fd) detail::throw_errno(errno, shared_->full(path), "open");
    return file(shared_, std::move(fd), std::move(name));
}
template <class>
asio::awaitable<std::optional<posix_fs::file>> posix_fs::open(std::string_view path) { co_return open_now(path); }

static_assert(watchable_filesystem<posix_fs> && linking_filesystem<posix_fs>);

}  // namespace mailfs
