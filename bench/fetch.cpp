// SPDX-License-Identifier: BSL-1.0
// How fast do all messages of a mailbox come from disk, cold and warm, beside a Maildir and beside cat of the same bytes?
//   Each message is whole in memory in the end, and checked where the format has a checksum; cat reads the files of multi_dbox in pieces
//   of 128 KiB and looks at nothing, checked_cat computes a checksum of them. Ratios: .of_cat is time over cat's (1 is as fast),
//   .of_maildir is speed over Maildir's.
//   Cold: the page cache has forgotten the mail, not the directories.
#include "bench.hpp"
#include "mail_on_disk.hpp"
#include "mailbox.hpp"

#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/dbox/single_dbox.hpp>
#include <mailfs/format/crc32c.hpp>
#include <mailfs/fs/pooled.hpp>
#include <mailfs/fs/posix_fs.hpp>
#if defined(MAILFS_BENCH_URING)
#include <mailfs/fs/uring_fs.hpp>
#endif
#include <mailfs/store/store.hpp>

#include <asio/thread_pool.hpp>

#include <fmt/format.h>

namespace {

using namespace mailfs;

constexpr std::size_t pool_threads = 16;

template <class Fs, template <class, class> class Format>
using store_on = store<mailfs::index<lockless_log, Fs>, Format<Fs, system_host>>;

store_options quick() {
    store_options o;
    o.durability = durability::none;
    return o;
}

template <class Store>
asio::awaitable<void> deliver(Store& s, std::vector<std::string> const& texts) {
    auto a = co_await s.account("alice");
    auto box = co_await a.open("INBOX");
    for (std::size_t done = 0; done < texts.size();) {
        std::vector<new_message> some;
        for (; done < texts.size() && some.size() < 256; ++done) some.push_back({as_bytes(texts[done]), {}, {}, 0});
        co_await box.append(some);
    }
}

template <class Store>
asio::awaitable<void> fetch_all(Store& s, double& seconds, std::uint64_t& bytes, std::uint64_t& messages) {
    auto a = co_await s.account("alice");
    auto box = co_await a.open("INBOX");
    auto const begun = std::chrono::steady_clock::now();
    auto mails = box.fetch(box.view().uids());
    while (true) {
        auto const one = co_await mails.next();
        if (!one) break;
        if (one->error) throw std::runtime_error(one->reason);
        bytes += one->bytes.size();
        ++messages;
    }
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

struct sum {
    double seconds = 0;
    std::uint64_t bytes = 0, messages = 0;
};

template <template <class, class> class Format, class Fs>
sum fetch(Fs fs) {
    sum all;
    store_on<Fs, Format> s(std::move(fs), quick());
    bench::run_to_end(fetch_all(s, all.seconds, all.bytes, all.messages));
    return all;
}

template <class Take>
sum cat(std::vector<std::string> const& files, Take take) {
    sum all;
    std::vector<std::byte> buffer(128 << 10);
    all.seconds = bench::seconds([&] {
        for (auto const& path : files) all.bytes += bench::read_file(path, buffer, take);
    });
    return all;
}
sum cat(std::vector<std::string> const& files) {
    return cat(files, [](auto) {});
}
sum checked_cat(std::vector<std::string> const& files) {
    std::uint32_t crc = 0;
    return cat(files, [&](auto piece) { crc = crc32c(piece, crc); });
}
sum maildir(std::vector<std::string> const& files) {
    sum all;
    std::vector<std::byte> buffer(128 << 10);
    all.seconds = bench::seconds([&] {
        for (auto const& path : files) {
            std::vector<std::byte> message;
            all.bytes += bench::read_file(path, buffer, [&](auto piece) { message.insert(message.end(), piece.begin(), piece.end()); });
            ++all.messages;
        }
    });
    return all;
}

struct places {
    std::string multi, single, maildir;
    std::vector<std::string> multi_mail, single_mail, maildir_mail;
};

places prepare(bench::run& run) {
    auto const texts = bench::mails(run.size(20'000));
    places p;
    p.multi = run.directory().string() + "/multi", p.single = run.directory().string() + "/single", p.maildir = run.directory().string() + "/maildir";
    store_on<posix_fs, multi_dbox> multi(posix_fs(p.multi), quick());
    bench::run_to_end(deliver(multi, texts));
    store_on<posix_fs, single_dbox> single(posix_fs(p.single), quick());
    bench::run_to_end(deliver(single, texts));
    bench::make_maildir(p.maildir);
    for (std::size_t n = 0; n < texts.size(); ++n) bench::deliver_to_maildir(p.maildir, n, texts[n], false);
    p.multi_mail = bench::files_below(p.multi + "/alice/mail");
    p.single_mail = bench::files_below(p.single + "/alice/mail");
    p.maildir_mail = bench::files_below(p.maildir);
    bench::settle(p.maildir);
    return p;
}

void measure(bench::run& run, places const& p, bool cold) {
    std::string const how = cold ? "fetch.cold." : "fetch.warm.";
    auto const ready = [&](std::vector<std::string> const& files) {
        if (cold)
            bench::make_cold(files);
        else
            cat(files);
    };
    ready(p.multi_mail);
    auto const bare = cat(p.multi_mail);
    ready(p.multi_mail);
    auto const checked = checked_cat(p.multi_mail);
    ready(p.maildir_mail);
    auto const peer = maildir(p.maildir_mail);
    run.figure(how + "cat", static_cast<double>(bare.bytes) / bare.seconds / 1e6, "MB/s");
    run.figure(how + "checked_cat", static_cast<double>(checked.bytes) / checked.seconds / 1e6, "MB/s");
    run.figure(how + "maildir", static_cast<double>(peer.messages) / peer.seconds, "messages/s");
    run.figure(how + "maildir.bytes", static_cast<double>(peer.bytes) / peer.seconds / 1e6, "MB/s");
    auto const tell = [&](std::string const& name, sum const& s) {
        if (s.bytes != peer.bytes || s.messages != peer.messages) bench::fail(name + " read other mail");
        run.figure(how + name, static_cast<double>(s.messages) / s.seconds, "messages/s");
        run.figure(how + name + ".bytes", static_cast<double>(s.bytes) / s.seconds / 1e6, "MB/s");
        run.figure(how + name + ".of_cat", s.seconds / bare.seconds * static_cast<double>(bare.bytes) / static_cast<double>(s.bytes), "");
        run.figure(how + name + ".of_checked_cat", s.seconds / checked.seconds * static_cast<double>(checked.bytes) / static_cast<double>(s.bytes), "");
        run.figure(how + name + ".of_maildir", peer.seconds / s.seconds, "");
    };
    auto const each = [&](std::string const& name, auto make) {
        ready(p.multi_mail);
        tell("multi." + name, fetch<multi_dbox>(make(p.multi)));
        ready(p.single_mail);
        tell("single." + name, fetch<single_dbox>(make(p.single)));
    };
    each("posix", [](std::string const& root) { return posix_fs(root); });
    asio::thread_pool pool(pool_threads);
    each("pooled", [&](std::string const& root) { return pooled<posix_fs>(posix_fs(root), pool.get_executor()); });
    pool.join();
#if defined(MAILFS_BENCH_URING)
    if (mailfs::detail::uring_refusal() == 0)
        each("uring", [](std::string const& root) { return uring_fs(root); });
    else
        fmt::print(stderr, "fetch: the kernel gives no io_uring; uring is left out\n");
#endif
    run.digest(peer.bytes);
}

void fetch_mail(bench::run& run) {
    auto const p = prepare(run);
    measure(run, p, false);
    measure(run, p, true);
}
bench::entry const fetch_entry{"fetch", "How fast do messages come from disk, beside Maildir and cat?", fetch_mail};

}  // namespace
