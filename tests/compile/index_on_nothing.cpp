// SPDX-License-Identifier: BSL-1.0
// A thing that is no filesystem at all, here a path, is no policy for an index.
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/index/index.hpp>

#include <string>

#ifdef MUST_FAIL
using storage = std::string;
#else
using storage = mailfs::memory_fs;
#endif

using box = mailfs::index<mailfs::lockless_log, storage>;
box open_a_box() { return box(storage(), "INBOX", mailfs::standalone()); }
