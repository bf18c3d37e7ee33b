// SPDX-License-Identifier: BSL-1.0
// Checking and mending with multi_dbox.
#include "compose_workshop.hpp"

#include <mailfs/dbox/multi_dbox.hpp>

std::unique_ptr<mailfsctl::workshop> mailfsctl::open_workshop_multi(std::string const& root, std::uint64_t grace_ms) {
    return std::make_unique<composed_workshop<mailfs::multi_dbox<disk>>>(root, grace_ms);
}
