// SPDX-License-Identifier: BSL-1.0
// What a mailbox tree holds: mailboxes by name, subscriptions, metadata, and who changed each last.
#pragma once

#include <mailfs/log/stream_state.hpp>
#include <mailfs/store/special_use.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/stamp.hpp>
#include <mailfs/types/uid.hpp>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace mailfs {

inline constexpr std::size_t mailboxes_max = 65'536;          ///< in one tree
inline constexpr std::size_t subscriptions_max = 65'536;      ///< names, of mailboxes or not
inline constexpr std::size_t metadata_entries_max = 16'384;   ///< in one tree
inline constexpr std::size_t metadata_key_size_max = 1024;    ///< bytes
inline constexpr std::size_t metadata_value_size_max = 4096;  ///< bytes
inline constexpr std::size_t tree_tombstones_max = 1024;      ///< of each kind; the oldest go first

/// When and by whom something was last changed: what a merge of two histories decides by.
struct change_mark {
    mailfs::stamp stamp;
    mailfs::dot dot;
    friend constexpr auto operator<=>(change_mark const&, change_mark const&) = default;
};

struct mailbox_entry {
    guid id;
    std::uint32_t uid_validity = 0;
    special_use use = special_use::none;
    change_mark created;
    change_mark named;  ///< by its creation or its last rename
    friend bool operator==(mailbox_entry const&, mailbox_entry const&) = default;
};

struct subscription_entry {
    bool on = false;  ///< false: a tombstone
    change_mark changed;
    friend bool operator==(subscription_entry const&, subscription_entry const&) = default;
};

struct metadata_key {
    guid mailbox;  ///< zero: of the whole tree
    std::string key;
    friend auto operator<=>(metadata_key const&, metadata_key const&) = default;
};
struct metadata_entry {
    bool present = false;  ///< false: a tombstone, its value empty
    std::string value;
    change_mark changed;
    friend bool operator==(metadata_entry const&, metadata_entry const&) = default;
};

/// A mailbox whose name another one has got, in a fold of two histories.
struct displaced_mailbox {
    std::string wanted;  ///< the name it was given
    guid into;           ///< not zero: both were made with that name, so its messages go to this one, and then it goes
    position at;         ///< of the fold
    friend bool operator==(displaced_mailbox const&, displaced_mailbox const&) = default;
};

/// A name without a mailbox that has names below it is not kept: it follows from them.
struct tree_contents {
    guid object;
    stream_state stream;
    bool needs_newer = false;  ///< an operation in the log was beyond this version: the rest is not to be trusted
    std::uint32_t uid_validity_last = 0;
    std::map<std::string, mailbox_entry, std::less<>> mailboxes;
    std::map<std::string, subscription_entry, std::less<>> subscriptions;
    std::map<metadata_key, metadata_entry> metadata;
    std::map<guid, displaced_mailbox> displaced;  ///< of a replicated stream alone
    friend bool operator==(tree_contents const&, tree_contents const&) = default;
};

}  // namespace mailfs
