// SPDX-License-Identifier: BSL-1.0
#include <mailfs/fs/posix_fs.hpp>

#include "conformance/filesystem.hpp"
#include "support/run.hpp"

#include <asio/thread_pool.hpp>

#include <doctest/doctest.h>

namespace {

struct posix_model {
    test::temporary_directory root;
    posix_fs fs{root.path()};
};
struct posix_named_model {
    test::temporary_directory root;
    posix_fs fs{root.path(), {.named_temporaries = true}};
};
struct posix_pool_model {
    test::temporary_directory root;
    asio::thread_pool pool{2};
    posix_fs fs{root.path(), {.sync_executor = pool.get_executor()}};
};

}  // namespace

MAILFS_FILESYSTEM_CONFORMANCE(posix_model, posix_named_model, posix_pool_model);
MAILFS_WATCH_CONFORMANCE(posix_model, posix_named_model);
