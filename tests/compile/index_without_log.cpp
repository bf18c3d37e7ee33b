// SPDX-License-Identifier: BSL-1.0
// Policies in the wrong order: a log is asked for where a filesystem was given.
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/index/index.hpp>

#ifdef MUST_FAIL
using log_policy = mailfs::memory_fs;
#else
using log_policy = mailfs::lockless_log;
#endif

using box = mailfs::index<log_policy, mailfs::memory_fs>;
box open_a_box() { return box(mailfs::memory_fs(), "INBOX", mailfs::standalone()); }
