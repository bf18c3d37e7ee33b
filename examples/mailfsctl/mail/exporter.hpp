// SPDX-License-Identifier: BSL-1.0
// Writes a mailbox, as it is or as it was, to a Maildir folder or an mbox file.
#pragma once

#include "commands.hpp"
#include "progress.hpp"
#include "storage.hpp"

#include <cstdint>
#include <functional>
#include <string>

namespace mailfsctl {

struct export_result {
    std::uint64_t exported = 0;
    std::uint64_t there_already = 0;
    std::uint64_t unreadable = 0;
};
/// Told what could not be read.
using complain_function = std::function<void(std::string const&)>;

/// To a new file, which has its name when it is whole, and on stable storage with `sync`. Throws cannot_run when the name is taken.
export_result export_mbox(mailbox_reader& from, std::string const& path, line_ends ends, bool sync, progress& bar,
                          complain_function const& complain);
/// To a folder that may be there: messages that an earlier run wrote stay, with the flags that they have now. `below`: a
/// folder of a Maildir, not the Maildir itself.
export_result export_folder(mailbox_reader& from, std::string const& path, bool below, line_ends ends, progress& bar,
                            complain_function const& complain);

}  // namespace mailfsctl
