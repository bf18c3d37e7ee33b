// SPDX-License-Identifier: BSL-1.0
// Checking, mending and looking back: what commands do with a store whose files may be damaged.
#pragma once

#include "storage.hpp"

#include <mailfs/log/log_cut.hpp>
#include <mailfs/store/finding.hpp>
#include <mailfs/store/rebuild_report.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/uid.hpp>
#include <mailfs/types/uid_set.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace mailfsctl {

/// What is left of a mailbox's past.
struct generation_info {
    std::uint64_t number = 0, log_size = 0, snapshot_size = 0;  ///< sizes 0: not there
    std::uint64_t created_ms = 0;                               ///< 0: not told
    mailfs::modseq_t modseq = 0;                                ///< at its start
    std::string fault;
};

struct brought_back {
    std::vector<std::pair<mailfs::uid_t, mailfs::uid_t>> uids;  ///< what they were, and are now
    std::vector<std::string> lost;                              ///< why, naming UID and file
};

/// A mailbox as it was.
class past_access : public mailbox_reader {
public:
    virtual mailfs::modseq_t modseq() const = 0;
    virtual std::uint64_t time_ms() const = 0;  ///< of the last change until then
    virtual bool is_newest() const = 0;
    virtual mailfs::uid_set now() = 0;  ///< UIDs in the mailbox at present
    virtual brought_back undo(mailfs::uid_set const& uids) = 0;
};

struct purge_step {
    bool complete = false;
    std::uint64_t done = 0, total = 0, wait_ms = 0;  ///< of the phase that comes next
    std::string phase;
    std::uint64_t files_removed = 0, bytes_removed = 0, mails_moved = 0, bytes_moved = 0, mails_unreadable = 0, mailboxes_removed = 0,
                  bytes_waiting = 0;
    std::string failure;  ///< of a file that cannot be removed
};

/// Calls block, and throw mailfs::error.
class workshop {
public:
    virtual ~workshop() = default;

    virtual std::vector<std::string> accounts() = 0;
    virtual mailfs::verify_summary verify(std::string const& account, mailfs::verify_observer observer) = 0;
    /// `only`: this mailbox alone; empty: all.
    virtual mailfs::rebuild_report rebuild(std::string const& account, mailfs::rebuild_options options, std::string const& only) = 0;
    /// Steps until `each` returns false.
    virtual void purge(std::string const& account, unsigned dead_percent, std::function<bool(purge_step const&)> const& each) = 0;
    virtual std::vector<generation_info> generations(std::string const& account, std::string const& mailbox) = 0;
    virtual std::unique_ptr<past_access> past(std::string const& account, std::string const& mailbox, mailfs::log_cut when) = 0;
};

/// As open_storage(), never making anything. `grace_ms`: see mailfs::store_options.
std::unique_ptr<workshop> open_workshop(data_options const& where, std::uint64_t grace_ms = 3'600'000);

// One for each format of mail files, each compiled in a file of its own.
std::unique_ptr<workshop> open_workshop_multi(std::string const& root, std::uint64_t grace_ms);
std::unique_ptr<workshop> open_workshop_single(std::string const& root, std::uint64_t grace_ms);

}  // namespace mailfsctl
