// SPDX-License-Identifier: BSL-1.0
// The commands, each in a file of its own: what they are told, and the exit status that they return.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace mailfsctl {

inline constexpr int status_fine = 0;
inline constexpr int status_found = 1;   ///< something is wrong with what was looked at, or part of it was left out
inline constexpr int status_cannot = 2;  ///< wrong usage, or it cannot run at all

/// Nothing can be done; the sentence tells the operator what to do.
struct cannot_run : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Where the mail lies, for the commands that open it as a store does.
struct data_options {
    std::string data;             ///< the root of the store
    std::string format = "auto";  ///< of mail files: auto, multi, single
    int compress = 0;             ///< level of zstd for what is written; 0: it stays as it is
};

struct info_options {
    data_options where;
    std::string account, mailbox;  ///< empty: all
    bool json = false;
};
int info(info_options const&);

struct dump_options {
    std::vector<std::string> files;
    std::string log_of = "auto";  ///< what a log is of: auto, mailbox, tree
    bool json = false;
};
int dump(dump_options const&);

enum class line_ends : std::uint8_t { automatic, crlf, lf, keep };

struct import_options {
    data_options where;
    std::string account, source;
    std::string mailbox;             ///< everything goes here; empty: folders become mailboxes
    std::string kind = "auto";       ///< auto, maildir, mbox
    std::string quoting = "mboxrd";  ///< mboxrd, mboxo, none
    line_ends ends = line_ends::automatic;
    bool quiet = false;
};
int import_mail(import_options const&);

struct export_options {
    data_options where;
    std::string account, target;
    std::string mailbox;               ///< this one alone, as the target itself; empty: all
    std::string kind = "maildir";      ///< maildir, mbox
    std::string layout = "maildir++";  ///< of Maildir folders: maildir++, fs
    line_ends ends = line_ends::keep;
    bool no_sync = false;
    bool quiet = false;
};
int export_mail(export_options const&);

struct backup_options {
    std::string data, target;
    bool prune = false;
    bool quiet = false;
};
int backup(backup_options const&);

struct verify_options {
    data_options where;
    std::string account;  ///< empty: all
    bool json = false;
    bool quiet = false;  ///< no notes, no bar, no summary
};
int verify(verify_options const&);

struct rebuild_command {
    data_options where;
    std::string account;
    std::string mailbox;      ///< empty: all
    std::string homeless_to;  ///< where messages go that no mailbox has
    bool expunged_too = false;
    bool remove_old = false;
    std::uint64_t settle_seconds = 60;
    bool quiet = false;
};
int rebuild(rebuild_command const&);

struct purge_command {
    data_options where;
    std::string account;  ///< empty: all
    std::uint64_t grace_seconds = 3600;
    unsigned dead_percent = 50;
    bool quiet = false;
};
int purge(purge_command const&);

struct as_of_options {
    data_options where;
    std::string account, mailbox;
    std::string when;  ///< empty: tells how far back the past is kept
    std::string uids;  ///< among these; empty: all
    bool gone = false; ///< those alone that are gone now
    bool undo = false;
    std::string target, kind = "maildir";  ///< empty: list
    bool json = false;
    bool quiet = false;
};
int as_of(as_of_options const&);

}  // namespace mailfsctl
