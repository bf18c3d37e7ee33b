// SPDX-License-Identifier: BSL-1.0
// The server on a local disk.
#pragma once

#include "compose.hpp"

#include <mailfs/fs/posix_fs.hpp>

#include <asio/thread_pool.hpp>

namespace imapd {

/// Syncs block on a small pool of their own, so that no session waits for another's disk.
template <class Format>
int serve_posix(options const& o, settings const& s) {
    asio::thread_pool pool(limits::sync_threads);
    mailfs::posix_options how;
    how.sync_executor = pool.get_executor();
    mailfs::posix_fs const fs(o.root, how);
    return serve_on<Format>(fs, o, s, [&] { pool.join(); });
}

}  // namespace imapd
