// SPDX-License-Identifier: BSL-1.0
// How many messages a second are delivered into one mailbox, each on stable storage before it is acknowledged, by 1, 8 and 64 at a time?
//   Beside as many threads that deliver into a Maildir: tmp, fsync, rename, fsync of the directory. .syncs is fsync calls for each
//   message; whoever delivers at the same time shares them. .of_maildir is speed over Maildir's.
#include "bench.hpp"
#include "mail_on_disk.hpp"
#include "mailbox.hpp"

#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/fs/counting_fs.hpp>
#include <mailfs/fs/posix_fs.hpp>
#include <mailfs/store/store.hpp>

#include <asio/detached.hpp>
#include <asio/thread_pool.hpp>

#include <fmt/format.h>

#include <atomic>
#include <thread>

namespace {

using namespace mailfs;

using disk = counting_fs<posix_fs>;
using store_type = store<mailfs::index<lockless_log, disk>, multi_dbox<disk>>;
using mailbox_type = mailbox<mailfs::index<lockless_log, disk>, multi_dbox<disk>>;

asio::awaitable<void> deliver_some(mailbox_type& box, std::vector<std::string> const& texts, std::size_t& next) {
    while (next < texts.size()) {
        auto const n = next++;
        co_await box.append(as_bytes(texts[n]));
    }
}

struct delivered {
    double seconds = 0, syncs = 0;
};

delivered into_store(std::string const& root, std::vector<std::string> const& texts, int at_once) {
    asio::thread_pool pool(8);
    disk fs(posix_fs(root, {.sync_executor = pool.get_executor()}));
    asio::io_context context(1);
    store_type s(fs, {});
    std::optional<mailbox_type> box;
    auto open = [&]() -> asio::awaitable<void> {
        auto a = co_await s.account("alice");
        box.emplace(co_await a.open("INBOX"));
        co_await box->append(as_bytes("the first makes the file\r\n"));
    };
    std::exception_ptr failure;
    auto const keep = [&](std::exception_ptr thrown) {
        if (thrown) failure = std::move(thrown);
    };
    asio::co_spawn(context, open(), keep);
    context.run();
    context.restart();
    fs.counts().reset();
    std::size_t next = 0;
    delivered d;
    d.seconds = bench::seconds([&] {
        for (int i = 0; i < at_once && !failure; ++i) asio::co_spawn(context, deliver_some(*box, texts, next), keep);
        context.run();
    });
    d.syncs = static_cast<double>(fs.counts().sync + fs.counts().create) / static_cast<double>(texts.size());
    pool.join();
    if (failure) std::rethrow_exception(failure);
    return d;
}

double into_maildir(std::string const& root, std::vector<std::string> const& texts, int at_once) {
    bench::make_maildir(root);
    std::atomic<std::size_t> next{0};
    return bench::seconds([&] {
        std::vector<std::jthread> threads;
        for (int i = 0; i < at_once; ++i)
            threads.emplace_back([&] {
                for (std::size_t n; (n = next++) < texts.size();) bench::deliver_to_maildir(root, n, texts[n], true);
            });
    });
}

void deliveries(bench::run& run) {
    auto const texts = bench::mails(run.size(2000));
    for (int const at_once : {1, 8, 64}) {
        auto const place = run.directory().string() + '/' + std::to_string(at_once);
        auto const ours = into_store(place + ".store", texts, at_once);
        auto const peer = into_maildir(place + ".maildir", texts, at_once);
        auto const name = fmt::format("deliver.{}", at_once);
        run.figure(name, static_cast<double>(texts.size()) / ours.seconds, "messages/s");
        run.figure(name + ".syncs", ours.syncs, "a message");
        run.figure(name + ".maildir", static_cast<double>(texts.size()) / peer, "messages/s");
        run.figure(name + ".of_maildir", peer / ours.seconds, "");
    }
    run.digest(texts.size());
}
bench::entry const here{"deliver", "How many messages a second are delivered, on stable storage?", deliveries};

}  // namespace
