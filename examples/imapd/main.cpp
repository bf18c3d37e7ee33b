// SPDX-License-Identifier: BSL-1.0
// imapd: a demo server on mailfs. Mail goes in by LMTP and comes out by IMAP:
//     imapd --root DIR --any-user PASSWORD          imapd --help tells the rest
#include "../compression.hpp"
#include "../second_disk.hpp"
#include "compositions.hpp"
#include "users.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <map>
#include <string>
#include <vector>

namespace {

constexpr auto about =
    R"(A demo mail server on mailfs: mail goes in by LMTP (RFC 2033) and comes out by IMAP4rev1 (RFC 3501).

What comes in goes out byte for byte: no Return-Path, Received or other header is added. LMTP delivers to the INBOX of
the user named before "@" (and before "+"), and answers 250 once the message is kept as --durability says. The recipient's
domain is not looked at. There is no TLS: listen on loopback, or where you trust the network.

When it listens it prints one line, "ready imap=HOST:PORT lmtp=HOST:PORT". SIGTERM and SIGINT end it in order; kill -9 loses
nothing that was acknowledged.)";

constexpr auto footer =
    R"(The users file has a line NAME:PASSWORD or NAME:{PLAIN}PASSWORD for each user; empty lines and lines that begin with # do
not count. Passwords stand there as they are: keep it from others.

Example: imapd --root ./mail --any-user secret --imap 127.0.0.1:1143 --lmtp 127.0.0.1:1024)";

struct choices {
    imapd::options options;
    imapd::settings settings;
    std::string users_file, any_password, format = "multi", durability = "stored";
};

#ifdef MAILFS_EXAMPLES_URING
constexpr bool knows_uring = true;
#else
constexpr bool knows_uring = false;
#endif
std::vector<std::string> filesystems() {
    std::vector<std::string> all{"posix", "pooled", "memory"};
    if (knows_uring) all.push_back("uring");
    return all;
}

void describe(CLI::App& app, choices& c) {
    app.footer(footer);
    app.get_formatter()->column_width(32);
    auto* const root =
        app.add_option("--root", c.options.root, "Where the mail lies; made when missing. Not used with --fs memory");
    app.add_option("--imap", c.options.imap_endpoint, "Where IMAP listens; port 0 takes a free one [127.0.0.1:1143]")
        ->option_text("HOST:PORT");
    app.add_option("--lmtp", c.options.lmtp_endpoint, "Where LMTP listens; port 0 takes a free one [127.0.0.1:1024]")
        ->option_text("HOST:PORT");
    auto* const users =
        app.add_option("--users", c.users_file, "Who may log in and gets mail: a file, see below")->option_text("FILE");
    auto* const any =
        app.add_option("--any-user", c.any_password, "Instead: any user exists, with this password. For demos and tests");
    any->option_text("PASSWORD")->excludes(users);
    app.add_option("--shared", c.settings.shared_account, "Mailboxes of this account are everyone's, to read and to change, below Shared/")
        ->option_text("USER");
    app.add_option("--fs", c.options.fs, "A local disk, read in place, by threads or (Linux) by io_uring; or memory: all is lost at the end [posix]")
        ->check(CLI::IsMember(filesystems()))
        ->option_text(std::string("posix|pooled|") + (knows_uring ? "uring|" : "") + "memory");
    app.add_option("--alt", c.options.alt, "A directory on a second, cheaper disk: old mail moves there. It is remembered with the mail")
        ->option_text("DIR");
    app.add_option("--alt-after", c.options.alt_after, "How old mail is when it moves there; 0: it stays where it is [30]")
        ->check(CLI::Range(0.0, 36500.0))
        ->option_text("DAYS");
    app.add_option("--read-latency", c.options.read_latency,
                   "With --fs memory: each read takes so long, as if the mail were far away [0]")
        ->check(CLI::Range(0.0, 10'000.0))
        ->option_text("MILLISECONDS");
    app.add_option("--format", c.format, "A file for each message, or many messages in one [multi]")
        ->check(CLI::IsMember({"single", "multi"}))
        ->option_text("single|multi");
    app.add_option("--compress", c.options.compress, mailfs_examples::knows_zstd ? "New mail is compressed by zstd; 0: it is not [0]" : "This server was built without zstd")
        ->check(CLI::Range(0, mailfs_examples::knows_zstd ? 19 : 0))
        ->option_text("LEVEL");
    app.add_option("--durability", c.durability,
                   "What an answer promises: none survives kill -9, stored a power cut [stored]")
        ->check(CLI::IsMember({"none", "stored"}))
        ->option_text("none|stored");
    app.add_option("--threads", c.options.threads, "Threads that serve, each with its own store over the same files [2]")
        ->check(CLI::Range(1U, 256U))
        ->option_text("N");
    app.add_option("--message-size-max", c.settings.message_size_max,
                   "The largest message taken, by LMTP and by APPEND [67108864]")
        ->check(CLI::Range(std::size_t{1024}, std::size_t{256} << 20))
        ->option_text("BYTES");
    app.add_option("--rotate-size", c.options.rotate_size,
                   "Length of a mailbox's log from which on a new one is begun [2097152]")
        ->check(CLI::Range(std::uint64_t{256}, std::uint64_t{1} << 40))
        ->option_text("BYTES");
    app.add_option("--purge-interval", c.options.purge_interval,
                   "How often each thread takes a small step of giving back the space of expunged mail; 0: never [5]")
        ->check(CLI::Range(0.0, 86400.0))
        ->option_text("SECONDS");
    app.add_option("--grace", c.options.grace,
                   "How long expunged mail stays on disk at least; the same for all programs that have the store open, and more "
                   "than twice what a delivery may take [3600]")
        ->check(CLI::Range(1.0, 1e8))
        ->option_text("SECONDS");
    app.add_option("--history", c.options.history,
                   "How long logs and snapshots of the past stay, so that a mailbox can be seen as it was [0]")
        ->check(CLI::Range(0.0, 1e9))
        ->option_text("SECONDS");
    root->option_text("DIR");
    app.final_callback([&c, root, users, any] {
        if (c.options.fs != "memory" && root->count() == 0) throw CLI::RequiredError("--root");
        if (c.options.fs == "memory" && !c.options.alt.empty()) throw CLI::ValidationError("--alt", "mail in memory has no second disk");
        if (any->count() > 0 && c.any_password.empty()) throw CLI::ValidationError("--any-user", "the password is empty");
        if (users->count() + any->count() == 0) throw CLI::RequiredError("--users or --any-user");
    });
}

int serve(choices& c) {
    c.settings.users = c.any_password.empty() ? imapd::users::from_file(c.users_file) : imapd::users::any(c.any_password);
    c.options.stored = c.durability == "stored";
    using entry = int (*)(imapd::options const&, imapd::settings const&);
    static std::map<std::string, entry> const compositions = {{"posix multi", imapd::serve_posix_multi},
                                                              {"posix single", imapd::serve_posix_single},
                                                              {"pooled multi", imapd::serve_posix_multi},
                                                              {"pooled single", imapd::serve_posix_single},
#ifdef MAILFS_EXAMPLES_URING
                                                              {"uring multi", imapd::serve_uring_multi},
                                                              {"uring single", imapd::serve_uring_single},
#endif
                                                              {"memory multi", imapd::serve_memory_multi},
                                                              {"memory single", imapd::serve_memory_single}};
    if (c.options.fs != "memory") c.options.alt = mailfs_examples::second_disk(c.options.root, c.options.alt);
    return compositions.at(c.options.fs + ' ' + c.format)(c.options, c.settings);
}

}  // namespace

int main(int argc, char** argv) {
    choices c;
    CLI::App app(about, "imapd");
    describe(app, c);
    CLI11_PARSE(app, argc, argv);
    try {
        return serve(c);
    } catch (std::exception const& error) {
        fmt::print(stderr, "imapd: {}\n", error.what());
        return 1;
    }
}
