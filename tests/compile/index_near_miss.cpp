// SPDX-License-Identifier: BSL-1.0
// A filesystem that lacks one verb is refused by an index with the verb's name.
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/index/index.hpp>

struct hoarding_fs : mailfs::memory_fs {
    using memory_fs::memory_fs;
#ifdef MUST_FAIL
    void remove(std::string_view path) = delete;
#endif
};

using box = mailfs::index<mailfs::lockless_log, hoarding_fs>;
box open_a_box() { return box(hoarding_fs(), "INBOX", mailfs::standalone()); }
