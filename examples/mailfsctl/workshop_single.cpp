// SPDX-License-Identifier: BSL-1.0
// Checking and mending with single_dbox.
#include "compose_workshop.hpp"

#include <mailfs/dbox/single_dbox.hpp>

std::unique_ptr<mailfsctl::workshop> mailfsctl::open_workshop_single(std::string const& root, std::uint64_t grace_ms) {
    return std::make_unique<composed_workshop<mailfs::single_dbox<disk>>>(root, grace_ms);
}
