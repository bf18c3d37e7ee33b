// SPDX-License-Identifier: BSL-1.0
// A filesystem that more hosts reach than it orders the appends of, such as NFS, is refused under standalone.
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/index/index.hpp>

struct shared_disk_fs : mailfs::memory_fs {
    using memory_fs::memory_fs;
    static constexpr mailfs::fs_traits traits = [] {
        auto t = memory_fs::traits;
#ifdef MUST_FAIL
        t.reach = mailfs::scope::cluster;
        t.appends_ordered = mailfs::scope::host;
#endif
        return t;
    }();
};

using box = mailfs::index<mailfs::lockless_log, shared_disk_fs>;
box open_a_box() { return box(shared_disk_fs(), "INBOX", mailfs::standalone()); }
