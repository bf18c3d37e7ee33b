// SPDX-License-Identifier: BSL-1.0
// Is space given back while a store is in use, and does nobody notice?
//   purge_under_use [mebibytes=16] [readers=4] [writers=2] [directory=a temporary one]
// An account of so much mail of which every second message is expunged; then a purge goes on until nothing waits, while processes
// of their own read and check messages at random, and deliver and expunge, each delivery synced. In the end a fresh store must have all
// that was acknowledged, byte for byte, and nothing else, and the mail files must be little more than that.
#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/fs/posix_fs.hpp>
#include <mailfs/index/index.hpp>
#include <mailfs/store/purge.hpp>
#include <mailfs/store/store.hpp>

#include "support/temporary_directory.hpp"

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/use_future.hpp>

#include <fmt/format.h>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace mailfs;
using store_type = store<mailfs::index<lockless_log, posix_fs>, multi_dbox<posix_fs>>;
using mailbox_type = store_type::mailbox_type;
using clock_type = std::chrono::steady_clock;

constexpr std::array<char const*, 4> names{"INBOX", "Lists", "Work", "Sent"};
constexpr std::size_t batch = 500;              // messages of one append while it is filled
constexpr std::uint64_t writers_begin = 1U << 30;  // numbers of messages that writers deliver
constexpr std::uint32_t dead_percent = 30;      // of a file that is written anew
constexpr auto between_deliveries = std::chrono::milliseconds(5);
constexpr std::uint64_t small_file = 256U << 10;  // bytes of a mail file, of a small store, so that there are many

struct plan {
    std::uint64_t mebibytes = 16;
    int readers = 4, writers = 2;
    std::string directory;

    store_options options() const {
        store_options o;
        o.grace_ms = 3000;
        if (mebibytes < 256) o.dbox.file_size_max = small_file;
        return o;
    }
};

/// What the processes tell each other.
struct board {
    std::atomic<bool> stop = false;
    std::atomic<std::uint64_t> read = 0, delivered = 0, expunged = 0, wrong = 0;
};

/// The n-th message: up to 16 KiB, told by its first line.
std::string body_of(std::uint64_t n) {
    auto text = fmt::format("Message-Number: {}\r\n\r\n", n);
    auto x = (n + 1) * 0x9e37'79b9'7f4a'7c15U;
    for (auto size = text.size() + (x >> 50); text.size() < size;) text += fmt::format("{:016x}\r\n", x = x * 6'364'136'223'846'793'005U + 1);
    return text;
}
std::uint64_t number_in(std::string_view text) {
    auto const colon = text.find(": ");
    return colon == text.npos ? ~std::uint64_t{0} : std::strtoull(std::string(text.substr(colon + 2, 20)).c_str(), nullptr, 10);
}

/// Runs the coroutine to its end, however long that takes.
template <class T>
T to_end(asio::awaitable<T> work) {
    asio::io_context context(1);
    auto result = asio::co_spawn(context, std::move(work), asio::use_future);
    context.run();
    return result.get();
}

template <class... Args>
void complain(board& b, fmt::format_string<Args...> text, Args&&... args) {
    if (++b.wrong <= 20) fmt::print(stderr, "WRONG: {}\n", fmt::format(text, std::forward<Args>(args)...));
}

asio::awaitable<std::vector<mailbox_type>> open_all(store_type& s) {
    auto account = co_await s.account("alice");
    std::vector<mailbox_type> boxes;
    for (auto const* name : names) boxes.push_back(co_await account.open(name));
    co_return boxes;
}

// --- before --------------------------------------------------------------------------------------------------------

/// How many messages there are: every second one is expunged again.
asio::awaitable<std::uint64_t> fill(plan const& p) {
    auto options = p.options();
    options.durability = durability::none;
    store_type s(posix_fs(p.directory), options);
    auto account = co_await s.account("alice");
    for (std::size_t n = 1; n < names.size(); ++n) co_await account.create(names[n]);
    auto boxes = co_await open_all(s);
    std::uint64_t n = 0, bytes = 0;
    while (bytes < p.mebibytes << 20) {
        auto& box = boxes[n / batch % names.size()];
        std::vector<std::string> texts;
        std::vector<new_message> mails;
        while (texts.size() < batch) texts.push_back(body_of(n++));
        for (auto const& text : texts) {
            bytes += text.size();
            mails.push_back({as_bytes(text), {}, {}, 0});
        }
        co_await box.append(std::span<new_message const>(mails));
    }
    for (auto& box : boxes) {
        co_await box.refresh();
        uid_set even;
        box.view().uids().for_each([&](uid_t uid) {
            if (uid % 2 == 0) even.add(uid);
        });
        co_await box.expunge(even, false);
    }
    co_return n;
}
/// The n-th message was the (n % batch + 1)th of its append, whose first UID was odd.
bool stays(std::uint64_t n) { return n % 2 == 0; }

// --- meanwhile -----------------------------------------------------------------------------------------------------

asio::awaitable<void> read_on(plan const& p, board& b, int number) {
    store_type s(posix_fs(p.directory), p.options());
    auto boxes = co_await open_all(s);
    std::mt19937_64 random(static_cast<unsigned>(number));
    while (!b.stop) {
        auto& box = boxes[random() % boxes.size()];
        co_await box.refresh();
        if (box.view().messages() == 0) continue;
        auto const first = 1 + static_cast<std::uint32_t>(random() % box.view().messages());
        auto const last = std::min(box.view().messages(), first + 100);
        auto mails = box.fetch(box.view().uids(box.view().uid(first), box.view().uid(last)));
        while (auto one = co_await mails.next()) {
            ++b.read;
            if (one->error) {
                complain(b, "reader {}: uid {}: {}", number, one->uid, one->error.message());
                continue;
            }
            auto const text = as_text(one->bytes);
            if (text != body_of(number_in(text))) complain(b, "reader {}: uid {} is another message", number, one->uid);
        }
    }
}
/// Writes down what was acknowledged: "+ number", "- number".
asio::awaitable<void> write_on(plan const& p, board& b, int number, std::FILE* told) {
    store_type s(posix_fs(p.directory), p.options());
    auto boxes = co_await open_all(s);
    std::mt19937_64 random(static_cast<unsigned>(number) + 1000);
    auto next = writers_begin * static_cast<std::uint64_t>(number + 1);
    std::vector<std::pair<std::uint64_t, uid_t>> mine;  // in the last mailbox, of this process
    while (!b.stop) {
        auto const at = random() % boxes.size();
        auto const text = body_of(next);
        auto const uid = co_await boxes[at].append(as_bytes(text));
        fmt::print(told, "+ {}\n", next);
        ++b.delivered;
        if (at + 1 == boxes.size()) mine.emplace_back(next, uid);
        ++next;
        std::this_thread::sleep_for(between_deliveries);
        if (mine.size() < 8) continue;
        auto const [what, gone] = mine[random() % mine.size()];
        std::erase(mine, std::pair(what, gone));
        auto const removed = co_await boxes.back().expunge(uid_set::one(gone), false);
        if (removed != uid_set::one(gone)) complain(b, "writer {}: uid {} of message {} was not there", number, gone, what);
        fmt::print(told, "- {}\n", what);
        ++b.expunged;
    }
}
std::string told_path(plan const& p, int number) { return p.directory + "/told." + std::to_string(number); }

template <class F>
pid_t start(board& b, F&& life) {
    auto const pid = ::fork();
    if (pid != 0) return pid;
    int status = 0;
    try {
        life();
    } catch (std::exception const& e) {
        complain(b, "{}", e.what());
        status = 1;
    }
    ::_exit(status);
}

struct purged {
    std::uint64_t removed = 0, moved = 0;
    int rounds = 0;
};
/// Until a round finds next to nothing to do: writers go on making some.
asio::awaitable<purged> purge(plan const& p, std::uint64_t before) {
    store_type s(posix_fs(p.directory), p.options());
    auto account = co_await s.account("alice");
    purger purge(account, {.dead_percent_min = dead_percent});
    purged sum;
    for (auto todo = before; todo > before / 10;) {
        auto const r = co_await purge.step();
        sum.removed += r.bytes_removed;
        sum.moved += r.bytes_moved;
        if (r.failure) std::rethrow_exception(r.failure);
        if (!r.complete()) continue;
        ++sum.rounds;
        todo = r.bytes_waiting;
        fmt::print("round {}: {} MiB removed, {} MiB written anew, {} MiB out of use\n", sum.rounds, sum.removed >> 20, sum.moved >> 20, todo >> 20);
        std::fflush(stdout);
        std::this_thread::sleep_for(std::chrono::milliseconds(r.wait_ms));
    }
    co_return sum;
}

// --- afterwards ----------------------------------------------------------------------------------------------------

std::uint64_t bytes_on_disk(plan const& p) {
    std::uint64_t sum = 0;
    for (auto const& e : std::filesystem::recursive_directory_iterator(p.directory))
        if (e.is_regular_file() && e.path().parent_path().filename() == "mail") sum += e.file_size();
    return sum;
}

/// Bytes of mail that are there. Each message that was acknowledged is, once; no other is.
asio::awaitable<std::uint64_t> check(plan const& p, board& b, std::map<std::uint64_t, int> wanted) {
    store_type s(posix_fs(p.directory), p.options());
    auto boxes = co_await open_all(s);
    std::uint64_t bytes = 0;
    for (auto& box : boxes) {
        auto mails = box.fetch(box.view().uids());
        while (auto one = co_await mails.next()) {
            auto const text = as_text(one->bytes);
            auto const n = number_in(text);
            bytes += text.size();
            if (one->error) complain(b, "uid {}: {}", one->uid, one->error.message());
            else if (text != body_of(n)) complain(b, "uid {} is another message", one->uid);
            else if (--wanted[n] < 0) complain(b, "message {} came back, or twice", n);
        }
    }
    for (auto const& [n, times] : wanted)
        if (times > 0) complain(b, "message {} is lost", n);
    co_return bytes;
}
std::map<std::uint64_t, int> wanted(plan const& p, std::uint64_t filled) {
    std::map<std::uint64_t, int> all;
    for (std::uint64_t n = 0; n < filled; ++n)
        if (stays(n)) all[n] = 1;
    for (int w = 0; w < p.writers; ++w) {
        std::ifstream in(told_path(p, w));
        char sign = 0;
        for (std::uint64_t n = 0; in >> sign >> n;) all[n] += sign == '+' ? 1 : -1;
    }
    return all;
}

}  // namespace

int main(int argc, char** argv) {
    mailfs::test::temporary_directory const own;
    plan p;
    p.directory = own.path();
    if (argc > 1) p.mebibytes = static_cast<std::uint64_t>(std::atoll(argv[1]));
    if (argc > 2) p.readers = std::atoi(argv[2]);
    if (argc > 3) p.writers = std::atoi(argv[3]);
    if (argc > 4) p.directory = argv[4];
    auto* const shared = ::mmap(nullptr, sizeof(board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return 2;
    auto& b = *new (shared) board;

    auto const begin = clock_type::now();
    auto const seconds = [&] { return std::chrono::duration<double>(clock_type::now() - begin).count(); };
    auto const filled = to_end(fill(p));
    auto const before = bytes_on_disk(p);
    fmt::print("purge_under_use messages={} mail={} MiB filled in {:.1f} s\n", filled, before >> 20, seconds());
    std::fflush(stdout);

    std::vector<pid_t> children;
    for (int n = 0; n < p.readers; ++n) children.push_back(start(b, [&] { to_end(read_on(p, b, n)); }));
    for (int n = 0; n < p.writers; ++n)
        children.push_back(start(b, [&] {
            auto* const told = std::fopen(told_path(p, n).c_str(), "w");
            if (told == nullptr) throw std::runtime_error("cannot write down what is told");
            to_end(write_on(p, b, n, told));
            std::fclose(told);
        }));
    auto const from = seconds();
    purged sum;
    try {
        sum = to_end(purge(p, before));
    } catch (std::exception const& e) {
        complain(b, "the purge: {}", e.what());
    }
    auto const took = seconds() - from;
    b.stop = true;
    int failed = 0;
    for (auto const child : children) {
        int status = 0;
        ::waitpid(child, &status, 0);
        failed += status != 0;
    }
    auto const live = to_end(check(p, b, wanted(p, filled)));
    auto const after = bytes_on_disk(p);
    fmt::print("purge_under_use rounds={} seconds={:.1f} moved={} MiB removed={} MiB mail={} MiB live={} MiB read={} delivered={} expunged={} wrong={} failed={}\n",
               sum.rounds, took, sum.moved >> 20, sum.removed >> 20, after >> 20, live >> 20, b.read.load(), b.delivered.load(), b.expunged.load(),
               b.wrong.load(), failed);
    // So much of each file may be dead; and what was out of use when the purge stopped, files that writers are at, headers.
    auto const most = live * 100 / (100 - dead_percent) + before / 10 + static_cast<std::uint64_t>(p.writers + 1) * p.options().dbox.file_size_max;
    if (after > most) complain(b, "{} bytes are kept for {} bytes of mail", after, live);
    if (b.read == 0 || (p.writers > 0 && b.delivered == 0) || sum.moved == 0) complain(b, "nothing happened meanwhile");
    return b.wrong == 0 && failed == 0 ? 0 : 1;
}
