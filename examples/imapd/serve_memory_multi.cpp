// SPDX-License-Identifier: BSL-1.0
// The server in memory with multi_dbox.
#include "compose.hpp"
#include "compositions.hpp"

#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/fs/latency_fs.hpp>
#include <mailfs/fs/memory_fs.hpp>

#include <chrono>

int imapd::serve_memory_multi(options const& o, settings const& s) {
    using fs = mailfs::latency_fs<mailfs::memory_fs>;
    mailfs::fs_delays delays;
    delays.read = std::chrono::duration_cast<mailfs::fs_delays::duration>(std::chrono::duration<double, std::milli>(o.read_latency));
    return serve_on<mailfs::multi_dbox<fs>>(fs(mailfs::memory_fs(), delays), o, s, [] {});
}
