// SPDX-License-Identifier: BSL-1.0
// Waits for changes in one directory, by inotify.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/wait.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fs/detail/posix_calls.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

namespace mailfs {

/// The watch of posix_fs. Costs one inotify instance (the kernel grants a user 128 of them unless told otherwise in
/// fs.inotify.max_user_instances) and belongs to the executor that made it. Sees what other processes on this host do.
class posix_watch {
public:
    /// `path` as the system has it. Throws not_found when there is no such directory, io when the user has no instance left.
    posix_watch(asio::any_io_executor executor, std::string path) : descriptor_(std::move(executor)), path_(std::move(path)) {
        mailfs::detail::unique_fd made(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
        if (!made) mailfs::detail::throw_errno(errno, path_, "inotify_init");
        constexpr std::uint32_t events = IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_ONLYDIR;
        if (::inotify_add_watch(made.get(), path_.c_str(), events) < 0) mailfs::detail::throw_errno(errno, path_, "inotify_add_watch");
        descriptor_.assign(made.release());
    }

    /// Completes at once when something happened since the last call. When the directory itself went it completes once
    /// more, and then throws not_found. One call at a time; Asio's cancellation ends it.
    template <class = void>
    asio::awaitable<void> changed() {
        if (gone_) throw error(errc::not_found, path_, "the watched directory was removed");
        while (!drain()) co_await mailfs::detail::wait_readable(descriptor_);
    }

private:
    // Takes what the kernel has queued, so that one wake stands for many events. What is left over wakes the next call.
    bool drain() {
        constexpr int reads_max = 16;
        alignas(::inotify_event) char buffer[4096];
        bool any = false;
        for (int n = 0; n < reads_max; ++n) {
            auto const got = mailfs::detail::uninterrupted([&] { return ::read(descriptor_.native_handle(), buffer, sizeof buffer); });
            if (got < 0 && errno == EAGAIN) break;
            if (got <= 0) mailfs::detail::throw_errno(got < 0 ? errno : EIO, path_, "read from inotify");
            any = true;
            note_end(buffer, static_cast<std::size_t>(got));
        }
        return any;
    }

    void note_end(char const* at, std::size_t size) {
        while (size >= sizeof(::inotify_event)) {
            ::inotify_event event;
            std::memcpy(&event, at, sizeof event);
            if ((event.mask & IN_IGNORED) != 0) gone_ = true;
            auto const step = sizeof event + event.len;
            if (step > size) return;
            at += step;
            size -= step;
        }
    }

    asio::posix::stream_descriptor descriptor_;
    std::string path_;
    bool gone_ = false;
};

}  // namespace mailfs
