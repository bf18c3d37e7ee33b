// SPDX-License-Identifier: BSL-1.0
// The servers that there are: one for each composition of policies, each compiled in a file of its own.
#pragma once

#include "settings.hpp"

namespace imapd {

// Serve until SIGTERM or SIGINT and return the exit code. Throw std::exception when they cannot begin.
int serve_posix_multi(options const& o, settings const& s);
int serve_posix_single(options const& o, settings const& s);
int serve_uring_multi(options const& o, settings const& s);  // where the server was built with liburing
int serve_uring_single(options const& o, settings const& s);
int serve_memory_multi(options const& o, settings const& s);
int serve_memory_single(options const& o, settings const& s);

}  // namespace imapd
