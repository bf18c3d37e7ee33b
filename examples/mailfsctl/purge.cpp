// SPDX-License-Identifier: BSL-1.0
// mailfsctl purge: gives back the space of mail that no mailbox refers to.
#include "commands.hpp"
#include "progress.hpp"
#include "text.hpp"
#include "workshop.hpp"

#include <mailfs/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace mailfsctl {
namespace {

class purge_run {
public:
    explicit purge_run(purge_command const& o) : options_(o), workshop_(open_workshop(o.where, o.grace_seconds * 1000)), bar_("purge", 0, "files", o.quiet) {}

    int run() {
        auto const names = options_.account.empty() ? workshop_->accounts() : std::vector<std::string>{options_.account};
        for (auto const& name : names) one(name);
        bar_.clear();
        return fine_ ? status_fine : status_found;
    }

private:
    /// One round; without a grace period the next ones, too, until nothing waits.
    void one(std::string const& name) {
        purge_step sum;
        int rounds = 0;
        std::string phase;
        try {
            workshop_->purge(name, options_.dead_percent, [&](purge_step const& s) {
                add(sum, s);
                if (s.phase != phase) bar_.begin("purge " + name + ": " + s.phase, s.total, s.phase == "write anew" ? "messages" : "files");
                phase = s.phase;
                bar_.total(s.total);
                bar_.at(s.done);
                return !s.complete || (options_.grace_seconds == 0 && s.bytes_waiting > 0 && ++rounds < rounds_max);
            });
        } catch (mailfs::error const& e) {
            complain(name, e.what());
            return;
        }
        bar_.clear();
        if (!sum.failure.empty()) complain(name, sum.failure);
        if (sum.mails_unreadable > 0) complain(name, counted(sum.mails_unreadable, "message") + " cannot be read, so their files stay: `mailfsctl verify` tells which");
        if (!options_.quiet) report(name, sum);
    }
    static void add(purge_step& sum, purge_step const& s) {
        sum.files_removed += s.files_removed;
        sum.bytes_removed += s.bytes_removed;
        sum.mails_moved += s.mails_moved;
        sum.bytes_moved += s.bytes_moved;
        sum.mails_unreadable += s.mails_unreadable;
        sum.mailboxes_removed += s.mailboxes_removed;
        sum.bytes_waiting = s.bytes_waiting;
        sum.wait_ms = s.wait_ms;
        if (sum.failure.empty()) sum.failure = s.failure;
    }
    void complain(std::string const& name, std::string const& what) {
        fine_ = false;
        bar_.clear();
        std::fflush(stdout);
        fmt::print(stderr, "mailfsctl: {}: {}\n", printable(name), what);
    }
    static void report(std::string const& name, purge_step const& s) {
        fmt::print("{}: {} removed ({})", printable(name), counted(s.files_removed, "file"), readable_size(s.bytes_removed));
        if (s.mails_moved > 0) fmt::print(", {} written anew ({})", counted(s.mails_moved, "message"), readable_size(s.bytes_moved));
        if (s.mailboxes_removed > 0) fmt::print(", {} of no mailbox removed", counted(s.mailboxes_removed, "directory"));
        if (s.bytes_waiting > 0) fmt::print("; {} out of use: a purge in {} or later removes them", readable_size(s.bytes_waiting), readable_time(std::max<std::uint64_t>(s.wait_ms / 1000, 1)));
        fmt::print("\n");
    }

    static constexpr int rounds_max = 8;
    purge_command const& options_;
    std::unique_ptr<workshop> workshop_;
    progress bar_;
    bool fine_ = true;
};

}  // namespace

int purge(purge_command const& o) { return purge_run(o).run(); }

}  // namespace mailfsctl
