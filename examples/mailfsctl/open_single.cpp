// SPDX-License-Identifier: BSL-1.0
// The store with single_dbox.
#include "compose.hpp"

#include <mailfs/dbox/single_dbox.hpp>

std::unique_ptr<mailfsctl::storage> mailfsctl::open_single(std::string const& root, int compress) {
    return std::make_unique<composed_storage<mailfs::single_dbox<disk>>>(root, compress);
}
