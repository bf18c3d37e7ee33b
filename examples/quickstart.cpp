// SPDX-License-Identifier: BSL-1.0
// The README's program: files a message into alice's INBOX and reads all that is there. quickstart [DIRECTORY]
#include <mailfs/mailfs.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <cstdio>

using disk = mailfs::posix_fs;
using store = mailfs::store<mailfs::index<mailfs::lockless_log, disk>, mailfs::multi_dbox<disk>>;

asio::awaitable<void> tour(store& mail) {
    auto alice = co_await mail.account("alice");
    auto inbox = co_await alice.open("INBOX");
    auto const uid = co_await inbox.append(mailfs::as_bytes("Subject: hello\r\n\r\nFiled without a lock.\r\n"));
    std::printf("filed as uid %u\n", uid);
    co_await inbox.refresh();
    auto mails = inbox.fetch(inbox.view().uids(), {.window = 64});  // read ahead, in order
    while (auto const one = co_await mails.next()) std::printf("uid %u: %zu bytes\n", one->uid, one->bytes.size());
}

int main(int argc, char** argv) {
    asio::io_context context;
    store mail(disk(argc > 1 ? argv[1] : "mail"), {});
    asio::co_spawn(context, tour(mail), [](std::exception_ptr error) {
        if (error) std::rethrow_exception(error);
    });
    context.run();
}
