// SPDX-License-Identifier: BSL-1.0
// A filesystem that may answer a read from a stale cache is refused under standalone.
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/index/index.hpp>

struct caching_fs : mailfs::memory_fs {
    using memory_fs::memory_fs;
    static constexpr mailfs::fs_traits traits = [] {
        auto t = memory_fs::traits;
#ifdef MUST_FAIL
        t.reads_coherent = false;
#endif
        return t;
    }();
};

using box = mailfs::index<mailfs::lockless_log, caching_fs>;
box open_a_box() { return box(caching_fs(), "INBOX", mailfs::standalone()); }
