// SPDX-License-Identifier: BSL-1.0
// Prints the changes of a mailbox as they come, whichever process makes them, until Ctrl-C:
//     watch DIRECTORY USER [MAILBOX]
#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/fs/posix_fs.hpp>
#include <mailfs/index/index.hpp>
#include <mailfs/log/lockless_log.hpp>
#include <mailfs/store/store.hpp>

#include <fmt/format.h>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>

#include <csignal>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

using disk = mailfs::posix_fs;
using store = mailfs::store<mailfs::index<mailfs::lockless_log, disk>, mailfs::multi_dbox<disk>>;

static std::string flag_names(mailfs::flag flags) {
    using enum mailfs::flag;
    std::string out;
    for (auto const& [one, name] : {std::pair{answered, " answered"},
                                    {flagged, " flagged"},
                                    {deleted, " deleted"},
                                    {seen, " seen"},
                                    {draft, " draft"}})
        if (has(flags, one)) out += name;
    return out;
}

static void show(char what, std::optional<mailfs::message_row> const& row) {
    if (row) fmt::print("{} uid {}: {} bytes, flags:{}\n", what, row->uid, row->size, flag_names(row->flags));
}

static asio::awaitable<void> watch(store& mail, std::string user, std::string name) {
    auto account = co_await mail.account(user);
    auto mailbox = co_await account.open(name);
    fmt::print("{}: {} messages\n", name, mailbox.view().messages());
    while (true) {
        std::fflush(stdout);
        co_await mailbox.wait_for_change();
        auto const changes = co_await mailbox.refresh();
        changes.expunged_uids.for_each([](mailfs::uid_t uid) { fmt::print("- uid {}\n", uid); });
        changes.changed.for_each([&](mailfs::uid_t uid) { show('*', mailbox.view().row(uid)); });
        changes.arrived.for_each([&](mailfs::uid_t uid) { show('+', mailbox.view().row(uid)); });
    }
}

int main(int argc, char** argv) {
    if (argc < 3 || argc > 4) {
        fmt::print(stderr, "usage: watch DIRECTORY USER [MAILBOX]\n");
        return 2;
    }
    try {
        asio::io_context context(1);
        asio::signal_set signals(context, SIGINT, SIGTERM);
        signals.async_wait([&](auto, int) { context.stop(); });
        store mail(disk(argv[1]), {});
        asio::co_spawn(context, watch(mail, argv[2], argc == 4 ? argv[3] : "INBOX"), [](std::exception_ptr error) {
            if (error) std::rethrow_exception(error);
        });
        context.run();
    } catch (std::exception const& error) {
        fmt::print(stderr, "watch: {}\n", error.what());
        return 1;
    }
}
