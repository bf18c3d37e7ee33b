// SPDX-License-Identifier: BSL-1.0
// What a rebuild is told to do, and what it says it did.
#pragma once

#include <mailfs/store/finding.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/uid.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace mailfs {

struct rebuild_options {
    /// Messages that no mailbox has, and of whose own mailbox nobody knows, go to this one, made when there is need; empty:
    /// they stay where they are, and are counted.
    std::string homeless_to{};
    /// With them those that their own mailbox knows to be gone: expunged; or moved to a mailbox that lost its past since.
    bool expunged_too = false;
    /// In a mailbox that can be opened a body without a row that is younger than this is left to who is delivering it.
    std::uint64_t settle_ms = 60'000;
    /// Files of older generations go when a new one was made; else they stay for a second look, until rotation prunes them.
    bool remove_old = false;
    std::function<void(verify_progress const&)> progress{};  ///< of the scan of mail files, which is most of the work
};

enum class rebuild_outcome : std::uint8_t {
    unchanged,  ///< it can be opened, and nothing was missing
    completed,  ///< it can be opened, and messages were put back by ordinary transactions
    rebuilt,    ///< it could not be opened: it has a new generation
};

struct rebuilt_mailbox {
    struct lost_message {
        uid_t uid = 0;  ///< 0: it had none that is known
        guid id;
        std::string reason;
    };

    std::string name;
    guid id;
    rebuild_outcome outcome = rebuild_outcome::unchanged;
    bool uids_kept = true;  ///< false: nothing told them, and UIDVALIDITY is a new one
    std::uint32_t uid_validity = 0;
    std::uint64_t kept = 0;             ///< messages with UID and flags from what was left of logs and snapshots
    std::uint64_t adopted = 0;          ///< from mail files, with new UIDs and no flags
    std::uint64_t moved = 0;            ///< of those kept, whose body was found in another place
    std::uint64_t left_out = 0;         ///< bodies that were expunged, moved away, or never acknowledged, as far as is told
    std::uint64_t changes_dropped = 0;  ///< flag changes and expunges of messages whose UIDs nothing tells any more
    std::vector<lost_message> lost;     ///< bodies that are damaged or gone
    std::vector<std::string> faults;    ///< what was wrong with which file
};

struct rebuild_report {
    rebuild_outcome tree = rebuild_outcome::unchanged;
    std::vector<std::string> tree_faults;
    std::vector<rebuilt_mailbox> mailboxes;  ///< by name
    std::vector<std::string> names_given;    ///< of mailboxes that the tree did not name
    std::uint64_t mail_files = 0;
    std::uint64_t mails = 0;  ///< whole messages in them
    std::vector<std::string> mail_faults;
    std::uint64_t homeless = 0;          ///< messages that no mailbox has, and of whose own nobody knows
    std::uint64_t expunged = 0;          ///< messages that no mailbox has, and that were expunged or moved away
    std::uint64_t homeless_adopted = 0;  ///< went to homeless_to

    bool changed() const noexcept {
        bool any = tree != rebuild_outcome::unchanged || homeless_adopted > 0;
        for (auto const& m : mailboxes) any = any || m.outcome != rebuild_outcome::unchanged;
        return any;
    }
};

}  // namespace mailfs
