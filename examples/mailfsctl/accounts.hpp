// SPDX-License-Identifier: BSL-1.0
// Which accounts lie under a root, and in which format their mail files are.
#pragma once

#include <string>
#include <vector>

namespace mailfsctl {

/// Paths of account directories below `root`, relative to it, ascending.
std::vector<std::string> account_directories(std::string const& root);
/// "multi", "single", or "" when there is no mail file yet. Throws cannot_run when both are there.
std::string format_found(std::string const& root);

}  // namespace mailfsctl
