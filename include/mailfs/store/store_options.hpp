// SPDX-License-Identifier: BSL-1.0
// What a program may choose about its store.
#pragma once

#include <mailfs/dbox/message_format.hpp>
#include <mailfs/log/log_options.hpp>
#include <mailfs/types/durability.hpp>

#include <cstddef>

namespace mailfs {

struct store_options {
    mailfs::durability durability = durability::stored;  ///< of appends, flags, expunges; the mailbox tree is always stored
    log_options log{};
    dbox_options dbox{};
    std::size_t accounts_kept = 32;    ///< kept open though nobody uses them; each may hold a few files open
    std::size_t mailboxes_kept = 128;  ///< the same; each holds one file open
};

}  // namespace mailfs
