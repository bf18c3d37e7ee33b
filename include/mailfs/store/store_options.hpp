// SPDX-License-Identifier: BSL-1.0
// What a program may choose about its store.
#pragma once

#include <mailfs/dbox/message_format.hpp>
#include <mailfs/log/log_options.hpp>
#include <mailfs/types/durability.hpp>

#include <cstddef>
#include <cstdint>

namespace mailfs {

struct store_options {
    mailfs::durability durability = durability::stored;  ///< of appends, flags, expunges; the mailbox tree is always stored
    log_options log{};
    dbox_options dbox{};
    std::uint64_t grace_ms = 3'600'000;  ///< mail goes for good no sooner than this after it was found to be referred to by
                                         ///< nothing; what takes half as long between writing a body and referring to it
                                         ///< fails with busy. The same for all who open the store. 0: for one who has it alone
    std::size_t accounts_kept = 32;    ///< kept open though nobody uses them; each may hold a few files open
    std::size_t mailboxes_kept = 128;  ///< the same; each holds one file open
};

}  // namespace mailfs
