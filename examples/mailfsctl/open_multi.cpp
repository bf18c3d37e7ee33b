// SPDX-License-Identifier: BSL-1.0
// The store with multi_dbox.
#include "compose.hpp"

#include <mailfs/dbox/multi_dbox.hpp>

std::unique_ptr<mailfsctl::storage> mailfsctl::open_multi(std::string const& root, int compress) {
    return std::make_unique<composed_storage<mailfs::multi_dbox<disk>>>(root, compress);
}
