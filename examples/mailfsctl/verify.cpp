// SPDX-License-Identifier: BSL-1.0
// mailfsctl verify: every checksum and every reference, across indexes, mail files and the tree.
#include "commands.hpp"
#include "json.hpp"
#include "progress.hpp"
#include "text.hpp"
#include "workshop.hpp"

#include <mailfs/error.hpp>

#include <fmt/format.h>

#include <cstdio>

namespace mailfsctl {
namespace {

class verify_run {
public:
    explicit verify_run(verify_options const& o) : options_(o), workshop_(open_workshop(o.where)), bar_("verify", 0, "B", o.quiet || o.json) {}

    int run() {
        auto const names = options_.account.empty() ? workshop_->accounts() : std::vector<std::string>{options_.account};
        for (auto const& name : names) one(name);
        bar_.clear();
        return sound_ ? status_fine : status_found;
    }

private:
    void one(std::string const& name) {
        bar_.begin("verify " + name, 0, "B");
        mailfs::verify_observer observer;
        observer.found = [&](mailfs::finding const& f) { tell(name, f); };
        observer.progress = [&](mailfs::verify_progress const& p) {
            bar_.total(p.bytes_total);
            bar_.at(p.bytes_done);
        };
        try {
            auto const summary = workshop_->verify(name, std::move(observer));
            sound_ = sound_ && summary.sound();
            bar_.clear();
            if (!options_.quiet || options_.json) report(name, summary);
        } catch (mailfs::error const& e) {
            if (e.code() == mailfs::errc::not_found && !options_.account.empty()) throw no_such_account(name);
            sound_ = false;
            bar_.clear();
            std::fflush(stdout);
            fmt::print(stderr, "mailfsctl: {}: {}\n", printable(name), e.what());
        }
    }

    void tell(std::string const& account, mailfs::finding const& f) {
        auto const how = to_text(f.how);
        bool const told = f.offset != mailfs::finding::no_offset;
        if (options_.quiet && f.how == mailfs::severity::note) return;
        bar_.clear();
        if (!options_.json) {
            fmt::print("{:<6}  {}{}: {}\n", how, printable(f.file), told ? fmt::format(", offset {}", f.offset) : "", f.what);
            return;
        }
        json_object line;
        line.add("type", "finding").add("account", account).add("severity", how).add("file", f.file);
        if (told) line.add("offset", f.offset);
        fmt::print("{}\n", line.add("what", f.what).str());
    }

    void report(std::string const& name, mailfs::verify_summary const& s) const {
        if (options_.json) {
            json_object line;
            line.add("type", "account").add("account", name).add("sound", s.sound()).add("mailboxes", s.mailboxes).add("messages", s.messages);
            line.add("logs", s.logs).add("snapshots", s.snapshots).add("mail_files", s.mail_files);
            line.add("orphaned_mails", s.orphaned_mails).add("orphaned_bytes", s.orphaned_bytes);
            fmt::print("{}\n", line.add("notes", s.notes).add("damages", s.damages).add("losses", s.losses).str());
            return;
        }
        fmt::print("{}: {} in {}; {}, {}, {} read: ", printable(name), counted(s.messages, "message"), counted(s.mailboxes, "mailbox"),
                   counted(s.logs, "log"), counted(s.snapshots, "snapshot"), counted(s.mail_files, "mail file"));
        if (s.sound()) fmt::print("all sound");
        else fmt::print("NOT SOUND: {} damaged, {} lost", grouped(s.damages), grouped(s.losses));
        if (s.orphaned_mails > 0) fmt::print("; {} for a purge to collect ({})", counted(s.orphaned_mails, "message"), readable_size(s.orphaned_bytes));
        fmt::print("\n");
        if (!s.sound()) fmt::print("  `mailfsctl rebuild {} {}` brings back what can be had; take a backup first\n", options_.where.data, name);
    }

    verify_options const& options_;
    std::unique_ptr<workshop> workshop_;
    progress bar_;
    bool sound_ = true;
};

}  // namespace

int verify(verify_options const& o) { return verify_run(o).run(); }

}  // namespace mailfsctl
