// SPDX-License-Identifier: BSL-1.0
// The server on a local disk, and perhaps a second one for old mail.
#pragma once

#include "compose.hpp"

#include <mailfs/fs/pooled.hpp>
#include <mailfs/fs/posix_fs.hpp>
#include <mailfs/fs/tiered.hpp>

#include <asio/thread_pool.hpp>

namespace imapd {

using disk = mailfs::tiered<mailfs::pooled<mailfs::posix_fs>, mailfs::pooled<mailfs::posix_fs>>;

/// Syncs block on a small pool of their own, so that no session waits for another's disk; with --fs pooled all does that may wait.
template <class Format>
int serve_posix(options const& o, settings const& s) {
    asio::thread_pool pool(o.fs == "pooled" ? limits::pool_threads : limits::sync_threads);
    auto const on = [&](std::string const& directory) {
        mailfs::posix_options how;
        how.sync_executor = pool.get_executor();
        mailfs::posix_fs fs(directory, how);
        if (o.fs == "pooled") return mailfs::pooled(std::move(fs), pool.get_executor());
        return mailfs::pooled(std::move(fs));
    };
    disk const fs = o.alt.empty() ? disk(on(o.root)) : disk(on(o.root), on(o.alt));
    return serve_on<Format>(fs, o, s, [&] { pool.join(); });
}

}  // namespace imapd
