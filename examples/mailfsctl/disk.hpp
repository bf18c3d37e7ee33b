// SPDX-License-Identifier: BSL-1.0
// The disk that a store lies on, and the second one that it may have.
#pragma once

#include "../second_disk.hpp"

#include <mailfs/fs/posix_fs.hpp>
#include <mailfs/fs/tiered.hpp>

#include <string>

namespace mailfsctl {

using disk = mailfs::tiered<mailfs::posix_fs, mailfs::posix_fs>;

/// Throws std::runtime_error when the second one is not there.
inline disk disk_at(std::string const& root) {
    auto const second = mailfs_examples::second_disk(root);
    return second.empty() ? disk(mailfs::posix_fs(root)) : disk(mailfs::posix_fs(root), mailfs::posix_fs(second));
}

}  // namespace mailfsctl
