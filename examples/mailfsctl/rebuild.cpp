// SPDX-License-Identifier: BSL-1.0
// mailfsctl rebuild: brings back what logs, snapshots and mail files still tell.
#include "commands.hpp"
#include "progress.hpp"
#include "text.hpp"
#include "workshop.hpp"

#include <mailfs/error.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace mailfsctl {
namespace {

std::string outcome(mailfs::rebuilt_mailbox const& m) {
    switch (m.outcome) {
        case mailfs::rebuild_outcome::unchanged: return "opens, left as it is";
        case mailfs::rebuild_outcome::completed: return "opened; missing messages were put back";
        case mailfs::rebuild_outcome::rebuilt: break;
    }
    return m.uids_kept ? "rebuilt" : fmt::format("rebuilt with new UIDs (UIDVALIDITY {})", m.uid_validity);
}

/// Whether something is not to be had.
bool print_mailbox(mailfs::rebuilt_mailbox const& m) {
    fmt::print("{}: {}", printable(m.name), outcome(m));
    if (m.kept > 0) fmt::print("; {} with UID and flags", counted(m.kept, "message"));
    if (m.adopted > 0) fmt::print("; {} from mail files alone, as new ones", grouped(m.adopted));
    if (m.moved > 0) fmt::print("; {} found in another place", grouped(m.moved));
    if (m.left_out > 0) fmt::print("; {} expunged or moved before, left out", grouped(m.left_out));
    if (m.changes_dropped > 0)
        fmt::print("; {} that nobody can place any more dropped", counted(m.changes_dropped, "change"));
    if (!m.lost.empty()) fmt::print("; {} LOST", grouped(m.lost.size()));
    fmt::print("\n");
    for (auto const& fault : m.faults) fmt::print("  {}\n", printable(fault));
    for (auto const& lost : m.lost)
        fmt::print("  lost: {}{}\n", lost.uid == 0 ? "" : fmt::format("UID {}: ", lost.uid), printable(lost.reason));
    return !m.lost.empty();
}

int report(mailfs::rebuild_report const& r, rebuild_command const& o) {
    bool lost = false;
    if (r.tree != mailfs::rebuild_outcome::unchanged) fmt::print("mailbox tree: rebuilt\n");
    for (auto const& fault : r.tree_faults) fmt::print("  {}\n", printable(fault));
    if (!r.names_given.empty())
        fmt::print("names given to mailboxes that had lost theirs: {}\n", printable(joined(r.names_given, ", ")));
    for (auto const& fault : r.mail_faults) fmt::print("mail files: {}\n", printable(fault));
    std::uint64_t fine = 0;
    for (auto const& m : r.mailboxes) {
        bool const nothing = m.outcome == mailfs::rebuild_outcome::unchanged && m.lost.empty() && m.faults.empty();
        fine += nothing;
        lost = (!nothing && print_mailbox(m)) || lost;
    }
    if (fine > 0) fmt::print("{} fine, left as {}\n", counted(fine, "mailbox"), fine == 1 ? "it is" : "they are");
    fmt::print("{} with {} looked at", counted(r.mail_files, "mail file"), counted(r.mails, "whole message"));
    if (r.homeless_adopted > 0)
        fmt::print("; {} that no mailbox had went to {}", counted(r.homeless_adopted, "message"), printable(o.homeless_to));
    auto const left = r.homeless + r.expunged - std::min(r.homeless + r.expunged, r.homeless_adopted);
    if (left > 0) fmt::print("; {} that no mailbox has ({} expunged)", counted(left, "message"), grouped(r.expunged));
    fmt::print("\n");
    if (r.homeless > 0 && o.homeless_to.empty()) fmt::print("  --homeless-to NAME files those whose mailbox nobody knows\n");
    if (!o.remove_old && r.changed())
        fmt::print(
            "  damaged logs and snapshots stay for a second look, and verify tells of them; --remove-old removes them\n");
    return lost ? status_found : status_fine;
}

}  // namespace

int rebuild(rebuild_command const& o) {
    auto const work = open_workshop(o.where);
    mailfs::rebuild_options options;
    options.homeless_to = o.homeless_to;
    options.expunged_too = o.expunged_too;
    options.remove_old = o.remove_old;
    options.settle_ms = o.settle_seconds * 1000;
    mailfs::rebuild_report done;
    {
        progress bar("rebuild " + o.account, 0, "B", o.quiet);
        options.progress = [&](mailfs::verify_progress const& p) {
            bar.total(p.bytes_total);
            bar.at(p.bytes_done);
        };
        try {
            done = work->rebuild(o.account, std::move(options), o.mailbox);
        } catch (mailfs::error const& e) {
            if (e.code() == mailfs::errc::not_found) throw no_such_account(o.account);
            throw;
        }
    }
    return report(done, o);
}

}  // namespace mailfsctl
