// SPDX-License-Identifier: BSL-1.0
// How many flag changes and appends a second, how fast a scan, how many bytes: mailfs beside SQLite and LMDB in one run.
//   --size: milliseconds for each measurement of a rate, and thousands of rows for scan and size. All in one call, so in turns.
#include "mailbox.hpp"
#include "peers.hpp"

#include <fmt/format.h>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace bench {

namespace {

std::vector<peer_kind>& registry() {
    static std::vector<peer_kind> all;
    return all;
}

constexpr unsigned processes_max = 8;
constexpr std::uint64_t rows = 100'000;

/// Shared by parent and children.
struct board {
    std::atomic<unsigned> ready = 0, failed = 0;
    std::atomic<bool> go = false, stop = false;
    std::array<std::atomic<std::uint64_t>, processes_max> done{};
};
class shared_board {
public:
    shared_board() : place_(::mmap(nullptr, sizeof(board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
        if (place_ == MAP_FAILED) throw std::runtime_error("no shared memory");
        new (place_) board;
    }
    ~shared_board() { ::munmap(place_, sizeof(board)); }
    shared_board(shared_board const&) = delete;
    shared_board& operator=(shared_board const&) = delete;
    board* operator->() const noexcept { return static_cast<board*>(place_); }

private:
    void* place_;
};

using job = std::uint64_t (*)(peer&, load, unsigned);
std::uint64_t change(peer& p, load l, unsigned) { return p.change_flags(std::move(l)); }
std::uint64_t append(peer& p, load l, unsigned) { return p.append(std::move(l), rows + 1); }

[[noreturn]] void child(shared_board const& shared, peer_kind const& kind, std::filesystem::path const& where, job what, unsigned n) {
    try {
        auto const mine = kind.open(where);
        ++shared->ready;
        while (!shared->go) std::this_thread::yield();
        shared->done[n] = what(*mine, load(shared->stop, rows, n + 1), n);
        ::_exit(0);
    } catch (std::exception const& e) {
        fmt::print(stderr, "{}: {}\n", kind.name, e.what());
        ++shared->failed;
        ::_exit(1);
    }
}

/// Transactions a second of all processes together.
double rate(run& r, peer_kind const& kind, unsigned processes, job what) {
    auto const where = r.directory() / fmt::format("{}-{}", kind.name, processes);
    std::filesystem::create_directory(where);
    kind.open(where)->fill(1, rows + 1);
    shared_board const shared;
    std::vector<pid_t> children;
    std::fflush(nullptr);
    for (unsigned n = 0; n < processes; ++n) {
        auto const pid = ::fork();
        if (pid == 0) child(shared, kind, where, what, n);
        if (pid > 0) children.push_back(pid);
    }
    while (shared->ready + shared->failed < children.size()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    auto const time = seconds([&] {
        shared->go = true;
        std::this_thread::sleep_for(std::chrono::milliseconds(r.size(1000)));
        shared->stop = true;
        for (auto const pid : children) ::waitpid(pid, nullptr, 0);
    });
    if (shared->failed > 0 || children.size() < processes) throw std::runtime_error(fmt::format("{}: a process failed", kind.name));
    std::uint64_t sum = 0;
    for (auto const& done : shared->done) sum += done;
    std::filesystem::remove_all(where);
    return static_cast<double>(sum) / time;
}

void figure_of(run& r, std::string const& what, std::string_view who, double value, std::string_view unit) {
    r.figure(fmt::format("peers.{}.{}", what, who), value, unit);
}

/// All kinds that last like this, and how often each of them goes into mailfs.
void compare(run& r, std::string const& what, bool stored, unsigned processes, job do_it) {
    std::vector<std::pair<std::string_view, double>> others;
    double ours = 0;
    for (auto const& kind : peer_kinds()) {
        if ((kind.lasts == lasting::stored) != stored) continue;
        auto const value = rate(r, kind, processes, do_it);
        figure_of(r, what, kind.name, value, "/s");
        if (kind.name.starts_with("mailfs")) ours = value;
        else others.emplace_back(kind.name, value);
    }
    for (auto const& [name, value] : others)
        if (value > 0) figure_of(r, what + ".ratio", name, ours / value, "x");
}

void flags(run& r) {
    for (unsigned const processes : {1U, 4U, 8U}) compare(r, fmt::format("flags.{}", processes), false, processes, change);
}
void flags_stored(run& r) {
    for (unsigned const processes : {1U, 8U}) compare(r, fmt::format("flags_stored.{}", processes), true, processes, change);
}
void appends(run& r) {
    compare(r, "append", false, 1, append);
    compare(r, "append_stored", true, 1, append);
}

std::uint64_t size_on_disk(std::filesystem::path const& where) {
    std::uint64_t sum = 0;
    for (auto const& e : std::filesystem::recursive_directory_iterator(where))
        if (e.is_regular_file()) sum += e.file_size();
    return sum;
}

/// Time to open, to scan at once, and to scan again; and bytes a row.
void scan(run& r) {
    auto const count = r.size(1000) * 1000;
    double ours = 0;
    for (auto const& kind : peer_kinds()) {
        if (kind.lasts != lasting::killed) continue;  // the same file whatever the durability
        auto const where = r.directory() / std::string(kind.name);
        std::filesystem::create_directory(where);
        kind.open(where)->fill(1, count + 1);
        std::unique_ptr<peer> opened;
        auto const open_ms = 1e3 * seconds([&] { opened = kind.open(where); });
        auto const first_ms = 1e3 * seconds([&] { r.digest(opened->sum_unseen()); });
        std::vector<double> again;
        for (int n = 0; n < 5; ++n) again.push_back(1e3 * seconds([&] { r.digest(opened->sum_unseen()); }));
        std::ranges::sort(again);
        auto const again_ms = again[again.size() / 2];
        figure_of(r, "open", kind.name, open_ms, "ms");
        figure_of(r, "scan_first", kind.name, first_ms, "ms");
        figure_of(r, "scan", kind.name, again_ms, "ms");
        figure_of(r, "disk", kind.name, static_cast<double>(size_on_disk(where)) / static_cast<double>(count), "bytes/message");
        if (kind.name.starts_with("mailfs")) ours = again_ms;
        else if (ours > 0) figure_of(r, "scan.ratio", kind.name, again_ms / ours, "x");
        opened.reset();
        std::filesystem::remove_all(where);
    }
}

entry const flags_entry{"peers.flags", "Flag changes a second from 1, 4 and 8 processes on one mailbox, beside SQLite and LMDB?", flags};
entry const stored_entry{"peers.flags_stored", "The same, each on stable storage before the next?", flags_stored};
entry const append_entry{"peers.append", "Message rows a second, one by one, beside SQLite and LMDB?", appends};
entry const scan_entry{"peers.scan", "Opening and scanning a mailbox of a million, and its bytes, beside SQLite and LMDB?", scan};

}  // namespace

std::vector<peer_kind> const& peer_kinds() { return registry(); }
peer_registration::peer_registration(peer_kind kind) {
    auto& all = registry();
    // ours first: the others are compared with it
    auto const before = [](peer_kind const& a, peer_kind const& b) {
        return std::pair(!a.name.starts_with("mailfs"), a.name) < std::pair(!b.name.starts_with("mailfs"), b.name);
    };
    all.insert(std::ranges::upper_bound(all, kind, before), kind);
}

}  // namespace bench
