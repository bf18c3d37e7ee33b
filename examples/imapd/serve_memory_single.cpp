// SPDX-License-Identifier: BSL-1.0
// The server in memory with single_dbox.
#include "compose.hpp"
#include "compositions.hpp"

#include <mailfs/dbox/single_dbox.hpp>
#include <mailfs/fs/memory_fs.hpp>

int imapd::serve_memory_single(options const& o, settings const& s) {
    return serve_on<mailfs::single_dbox<mailfs::memory_fs>>(mailfs::memory_fs(), o, s, [] {});
}
