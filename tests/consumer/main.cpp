// SPDX-License-Identifier: BSL-1.0
// What a project that uses mailfs writes: one include, and a message that comes back.
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/mailfs.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <cstdio>

using store = mailfs::store<mailfs::index<mailfs::lockless_log, mailfs::memory_fs>>;

static asio::awaitable<void> tour(store& mail) {
    auto account = co_await mail.account("consumer");
    auto inbox = co_await account.open("INBOX");
    auto const uid = co_await inbox.append(mailfs::as_bytes("Subject: from a consumer\r\n\r\n"));
    co_await inbox.refresh();
    auto const body = co_await inbox.read(uid);
    std::printf("uid %u: %.*s\n", uid, 24, mailfs::as_text(body).data());
}

int main() {
    asio::io_context context;
    store mail(mailfs::memory_fs{}, {});
    asio::co_spawn(context, tour(mail), [](std::exception_ptr error) {
        if (error) std::rethrow_exception(error);
    });
    context.run();
}
