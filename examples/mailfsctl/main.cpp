// SPDX-License-Identifier: BSL-1.0
// mailfsctl: what an operator does to mail that mailfs keeps. mailfsctl --help tells.
#include "../compression.hpp"
#include "commands.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <functional>
#include <map>

namespace {

using namespace mailfsctl;

constexpr auto about =
    R"(Looks at, moves and mends mail that mailfs keeps, while servers use it. DATA is a store's root, as in `imapd --root DATA`.)";
constexpr auto footer =
    R"(Exit status: 0 fine; 1 something is wrong with the mail, or part of it was left out; 2 wrong usage, or it could not run.

`mailfsctl COMMAND --help` tells more of each, with examples.)";

/// The command that was chosen.
using action = std::function<int()>;

void add_data(CLI::App& command, data_options& o) {
    command.add_option("DATA", o.data, "Where the store has its files")->required()->option_text(" ");
    command.add_option("--format", o.format, "Of mail files, where they do not tell themselves [auto]")
        ->check(CLI::IsMember({"auto", "multi", "single"}))
        ->option_text("multi|single");
}
void add_quiet(CLI::App& command, bool& quiet) { command.add_flag("--quiet", quiet, "No progress bar, no summary"); }
void add_ends(CLI::App& command, line_ends& ends, std::map<std::string, line_ends> const& known, std::string const& words,
              std::string const& text) {
    command.add_option("--line-ends", ends, words)
        ->transform(CLI::CheckedTransformer(known, CLI::ignore_case))
        ->option_text(text);
}

CLI::App& add_command(CLI::App& app, char const* name, char const* words, char const* notes, action& chosen, action run) {
    auto& command = *app.add_subcommand(name, words);
    command.footer(notes);
    command.get_formatter()->column_width(32);
    command.callback([&chosen, run = std::move(run)] { chosen = run; });
    return command;
}

void add_info(CLI::App& app, info_options& o, action& chosen) {
    auto& c = add_command(app, "info", "What is in a store, and which files it lies in",
                          R"(Examples:
  mailfsctl info /srv/mail                     all accounts
  mailfsctl info /srv/mail alice               her mailboxes
  mailfsctl info /srv/mail alice INBOX         one of them, with its logs and snapshots
  mailfsctl info /srv/mail --json              an object for each account, one a line)",
                          chosen, [&o] { return info(o); });
    add_data(c, o.where);
    c.add_option("ACCOUNT", o.account, "One account")->option_text(" ");
    c.add_option("MAILBOX", o.mailbox, "One mailbox of it")->option_text(" ");
    c.add_flag("--json", o.json, "An object for each account, one a line");
}

void add_dump(CLI::App& app, dump_options& o, action& chosen) {
    auto& c = add_command(
        app, "dump", "Any file of mailfs as readable lines",
        R"(Reads logs (log.N), snapshots (index.N), files of mail bodies (m.*, or one a message), caches and marks, told by how they begin. Each line
has the offset, what stands there, and what it says; operations of a transaction stand below it. Damage is a line too, and
what lies behind it is read on. Nothing is changed.

Examples:
  mailfsctl dump /srv/mail/alice/tree/log.1
  mailfsctl dump --json /srv/mail/alice/box/*/log.* | jq 'select(.type == "damage")')",
        chosen, [&o] { return dump(o); });
    c.add_option("FILE", o.files, "Files")->required()->option_text("...");
    c.add_option("--log-of", o.log_of, "What a log is of, where place and contents do not tell [auto]")
        ->check(CLI::IsMember({"auto", "mailbox", "tree"}))
        ->option_text("mailbox|tree");
    c.add_flag("--json", o.json, "An object for each line");
}

void add_import(CLI::App& app, import_options& o, action& chosen) {
    auto& c = add_command(
        app, "import", "Messages from a Maildir or from mbox files",
        R"(SOURCE is a Maildir (folders become mailboxes: ".A.B" and directories A/B alike), an mbox file, or a directory of mbox files
(A/B.mbox, or Thunderbird's A.sbd/B). Flags, keywords, subscriptions and dates come along: of a Maildir from file names,
dovecot-keywords and modification times; of an mbox from Status, X-Status, X-Keywords, X-Mozilla-* and the From_ line.

Repeating an import adds only what is new: a message with the same date and the same bytes in the same mailbox is there
already. Flags of what is there stay. Many messages go in at a time, each batch whole or not at all.

Line ends: where the first line of a message ends in LF alone, LF becomes CRLF, as mail has it; other messages stay as they
are. --line-ends crlf converts in all, keep in none.

Examples:
  mailfsctl import /srv/mail alice ~alice/Maildir
  mailfsctl import /srv/mail alice old.mbox --mailbox Archive/2019)",
        chosen, [&o] { return import_mail(o); });
    add_data(c, o.where);
    c.add_option("ACCOUNT", o.account, "Made when it is new")->required()->option_text(" ");
    c.add_option("SOURCE", o.source, "A Maildir, an mbox file, or a directory of those")->required()->option_text(" ");
    c.add_option("--compress", o.where.compress, mailfs_examples::knows_zstd ? "Mail is compressed by zstd; 0: it is not [0]" : "This program was built without zstd")
        ->check(CLI::Range(0, mailfs_examples::knows_zstd ? 19 : 0))
        ->option_text("LEVEL");
    c.add_option("--mailbox", o.mailbox, "Everything goes into this one; of a Maildir without its folders")
        ->option_text("NAME");
    c.add_option("--from", o.kind, "What SOURCE is [auto]")
        ->check(CLI::IsMember({"auto", "maildir", "mbox"}))
        ->option_text("maildir|mbox");
    c.add_option("--quoting", o.quoting, "Of \"From \" in the mbox files [mboxrd]")
        ->check(CLI::IsMember({"mboxrd", "mboxo", "none"}))
        ->option_text("mboxrd|mboxo|none");
    add_ends(c, o.ends, {{"auto", line_ends::automatic}, {"crlf", line_ends::crlf}, {"keep", line_ends::keep}},
             "See below [auto]", "auto|crlf|keep");
    add_quiet(c, o.quiet);
}

void add_export(CLI::App& app, export_options& o, action& chosen) {
    auto& c = add_command(
        app, "export", "An account, or one mailbox, to a Maildir or to mbox files",
        R"(To a Maildir: files go to tmp and then to cur; flags stand in their names, dates in their modification times, keywords in
dovecot-keywords (a letter for the first 26, the rest in mailfs-keywords), UIDs in dovecot-uidlist. Repeating it adds what
is new and sets flags anew; what was expunged since stays. To mbox: each file gets its name when it is whole; bodies are
quoted as in mboxrd, marks stand in the headers X-Mailfs, Status, X-Status and X-Keywords, which an import takes off again.

Messages come out byte for byte; --line-ends lf makes CRLF to LF, as Unix tools like it. An import of what was exported gives
the same messages, flags, keywords and dates.

Examples:
  mailfsctl export /srv/mail alice alice.maildir
  mailfsctl export /srv/mail alice alice --as mbox --line-ends lf
  mailfsctl export /srv/mail alice inbox.mbox --as mbox --mailbox INBOX)",
        chosen, [&o] { return export_mail(o); });
    add_data(c, o.where);
    c.add_option("ACCOUNT", o.account, "Whose mail")->required()->option_text(" ");
    c.add_option("TARGET", o.target, "A directory; with --mailbox the folder or the file itself")
        ->required()
        ->option_text(" ");
    c.add_option("--mailbox", o.mailbox, "This one alone")->option_text("NAME");
    c.add_option("--as", o.kind, "What to write [maildir]")
        ->check(CLI::IsMember({"maildir", "mbox"}))
        ->option_text("maildir|mbox");
    c.add_option("--layout", o.layout, "Of Maildir folders: .A.B, or A/B [maildir++]")
        ->check(CLI::IsMember({"maildir++", "fs"}))
        ->option_text("maildir++|fs");
    add_ends(c, o.ends, {{"keep", line_ends::keep}, {"lf", line_ends::lf}, {"crlf", line_ends::crlf}}, "Of messages [keep]",
             "keep|lf|crlf");
    c.add_flag("--no-sync", o.no_sync, "Do not wait until all is on stable storage");
    add_quiet(c, o.quiet);
}

void add_backup(CLI::App& app, backup_options& o, action& chosen) {
    auto& c = add_command(
        app, "backup", "A copy that is sound though writers go on meanwhile",
        R"(Copies each account: its tree, its mailboxes, its mail, and again what changed in between, until the copy is what a store
could have been at one moment that is not before the start. TARGET is a store of its own then: `mailfsctl verify TARGET`, or a
server with it as its root. Repeating it copies only what is new: files only ever grow. What is gone from DATA stays in
TARGET until --prune, but for logs that went before their ends were copied: newer ones replace them. A file that grew is compared with its copy first, whole.

rsync does nearly the same in three calls, in this order (docs/mailfsctl.md):
  rsync -a --delete-delay --exclude='/**/box/' --exclude='/**/mail/' DATA/ TARGET
  rsync -a --delete-delay --exclude='/**/tree/' --exclude='/**/mail/' DATA/ TARGET
  rsync -a --delete-delay --exclude='/**/tree/' --exclude='/**/box/' DATA/ TARGET

Example:
  mailfsctl backup /srv/mail /backup/mail)",
        chosen, [&o] { return backup(o); });
    c.add_option("DATA", o.data, "Where the store has its files")->required()->option_text(" ");
    c.add_option("TARGET", o.target, "Where the copy lies; made when missing")->required()->option_text(" ");
    c.add_flag("--prune", o.prune, "Remove from TARGET what is gone from DATA");
    add_quiet(c, o.quiet);
}

void add_verify(CLI::App& app, verify_options& o, action& chosen) {
    auto& c = add_command(
        app, "verify", "Every checksum and every reference, across indexes, mail files and the tree",
        R"(Reads everything and changes nothing; servers may go on. Each finding is a line: how bad it is, file, offset, what.
  note    worth knowing, and nothing is wrong
  damage  bytes that are not as they should be, but what they told is known from elsewhere
  loss    something that was acknowledged is not to be had
The exit status is 1 when there is damage or loss.

Examples:
  mailfsctl verify /srv/mail
  mailfsctl verify /srv/mail alice --json)",
        chosen, [&o] { return verify(o); });
    add_data(c, o.where);
    c.add_option("ACCOUNT", o.account, "One account; else all")->option_text(" ");
    c.add_flag("--json", o.json, "An object for each finding and each account, one a line");
    c.add_flag("--quiet", o.quiet, "Damage and loss alone, no bar, no summary");
}

void add_rebuild(CLI::App& app, rebuild_command& o, action& chosen) {
    auto& c = add_command(
        app, "rebuild", "Brings back what logs, snapshots and mail files still tell",
        R"(Makes an account whole again, as far as its files tell: the tree, then each mailbox. What can be opened is left as it is, but for
messages that its log lost. UIDs and flags come from any log or snapshot that is left; messages that only mail files know
come back as new ones. What came back and what was lost is told; the exit status is 1 when messages were lost.

Stop the account's sessions first, and take a backup: the report is all that tells what was.

Examples:
  mailfsctl rebuild /srv/mail alice
  mailfsctl rebuild /srv/mail alice --homeless-to "Lost and found")",
        chosen, [&o] { return rebuild(o); });
    add_data(c, o.where);
    c.add_option("ACCOUNT", o.account, "Which account")->required()->option_text(" ");
    c.add_option("--mailbox", o.mailbox, "Of the mailboxes this one alone")->option_text("NAME");
    c.add_option("--homeless-to", o.homeless_to, "Where messages go that no mailbox has")->option_text("NAME");
    c.add_flag("--expunged-too", o.expunged_too, "With them those that are known to be expunged");
    c.add_flag("--remove-old", o.remove_old, "Remove the damaged logs and snapshots that a new one replaced");
    c.add_option("--settle", o.settle_seconds, "Younger bodies are left to who may be delivering them [60]")
        ->option_text("SECONDS");
    c.add_flag("--quiet", o.quiet, "No progress bar");
}

void add_purge(CLI::App& app, purge_command& o, action& chosen) {
    auto& c = add_command(
        app, "purge", "Gives back the space of mail that no mailbox refers to",
        R"(Looks at an account twice, the grace period apart: what was out of use both times is removed, and files that are mostly out
of use are written anew. So the first run only looks, and a later one removes; run it by a timer. Servers may go on. The
grace period has to be the same as the servers' (3600); 0 is for who has the store alone, and does all at once.

Examples:
  mailfsctl purge /srv/mail
  mailfsctl purge /srv/mail alice --grace 0       no server runs)",
        chosen, [&o] { return purge(o); });
    add_data(c, o.where);
    c.add_option("ACCOUNT", o.account, "One account; else all")->option_text(" ");
    c.add_option("--grace", o.grace_seconds, "Between two looks [3600]")
        ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{1} << 32))
        ->option_text("SECONDS");
    c.add_option("--dead-percent", o.dead_percent, "A file is written anew when more of it is out of use; 100: none is [50]")
        ->check(CLI::Range(0U, 100U))
        ->option_text("N");
    add_quiet(c, o.quiet);
}

void add_as_of(CLI::App& app, as_of_options& o, action& chosen) {
    auto& c = add_command(
        app, "as-of", "A mailbox as it was: listed, exported, or what was expunged since brought back",
        R"(WHEN is a time (2026-11-23, "2026-11-23 22:15", 2026-11-23T22:15:00Z, "2h ago", @1700000000; local time where no zone is named) or
a MODSEQ as a bare number. Without it: how far back the past is kept. Bodies are there until a purge removes them.

Examples:
  mailfsctl as-of /srv/mail alice INBOX                            how far back
  mailfsctl as-of /srv/mail alice INBOX "1h ago" --gone            what was expunged since
  mailfsctl as-of /srv/mail alice INBOX "1h ago" --gone --undo     brings it back, under new UIDs
  mailfsctl as-of /srv/mail alice INBOX 2026-11-01 --export old)",
        chosen, [&o] { return as_of(o); });
    add_data(c, o.where);
    c.add_option("ACCOUNT", o.account, "Whose mail")->required()->option_text(" ");
    c.add_option("MAILBOX", o.mailbox, "Which mailbox")->required()->option_text(" ");
    c.add_option("WHEN", o.when, "A time or a MODSEQ")->option_text(" ");
    c.add_option("--uids", o.uids, "Of these alone, like 3:7,9")->option_text("SET");
    c.add_flag("--gone", o.gone, "Of those alone that are gone now");
    auto* const undo = c.add_flag("--undo", o.undo, "Bring those back that are gone now");
    c.add_option("--export", o.target, "Write them to a Maildir or an mbox file")->option_text("TARGET")->excludes(undo);
    c.add_option("--as", o.kind, "What to write [maildir]")
        ->check(CLI::IsMember({"maildir", "mbox"}))
        ->option_text("maildir|mbox");
    c.add_flag("--json", o.json, "An object for each line");
    add_quiet(c, o.quiet);
}

struct all_options {
    verify_options verify;
    rebuild_command rebuild;
    purge_command purge;
    as_of_options as_of;
    backup_options backup;
    info_options info;
    dump_options dump;
    import_options import;
    export_options export_;
};

}  // namespace

int main(int argc, char** argv) {
    all_options o;
    action chosen;
    CLI::App app(about, "mailfsctl");
    app.footer(footer);
    app.require_subcommand(1);
    add_info(app, o.info, chosen);
    add_dump(app, o.dump, chosen);
    add_import(app, o.import, chosen);
    add_export(app, o.export_, chosen);
    add_backup(app, o.backup, chosen);
    add_verify(app, o.verify, chosen);
    add_rebuild(app, o.rebuild, chosen);
    add_purge(app, o.purge, chosen);
    add_as_of(app, o.as_of, chosen);
    try {
        app.parse(argc, argv);
    } catch (CLI::ParseError const& e) {
        return app.exit(e) == 0 ? status_fine : status_cannot;
    }
    try {
        return chosen();
    } catch (std::exception const& error) {
        std::fflush(stdout);
        fmt::print(stderr, "mailfsctl: {}\n", error.what());
        return status_cannot;
    }
}
