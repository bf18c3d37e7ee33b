// SPDX-License-Identifier: BSL-1.0
// The server in memory with multi_dbox.
#include "compose.hpp"
#include "compositions.hpp"

#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/fs/memory_fs.hpp>

int imapd::serve_memory_multi(options const& o, settings const& s) {
    return serve_on<mailfs::multi_dbox<mailfs::memory_fs>>(mailfs::memory_fs(), o, s, [] {});
}
