// SPDX-License-Identifier: BSL-1.0
// Does anything that was acknowledged go, come twice or come back when processes are killed at any moment?
//   kills [kills=200] [processes=4] [seed=1] [directory=a temporary one]
// Processes deliver, flag, move, expunge and purge in one account on a real disk, each with a store of its own, and note in
// shared memory what they are about to do and what was acknowledged. The parent kills one after another with SIGKILL and
// starts the next in its place; every so often all are killed, and a fresh store is compared with the notes.
#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/fs/posix_fs.hpp>
#include <mailfs/index/index.hpp>
#include <mailfs/store/purge.hpp>
#include <mailfs/store/store.hpp>

#include "support/run.hpp"
#include "support/temporary_directory.hpp"

#include <fmt/format.h>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <new>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace mailfs;
using store_type = store<mailfs::index<lockless_log, posix_fs>, multi_dbox<posix_fs>>;
using mailbox_type = store_type::mailbox_type;
using token = std::uint64_t;  // names a message for ever

constexpr std::size_t kills_per_check = 50;
constexpr std::array<char const*, 2> mailboxes{"INBOX", "Other"};
constexpr unsigned notes_max = 1U << 16;  // of one life; then the process waits for its end

store_options small_files() {
    store_options o;
    o.durability = durability::none;  // what a kill leaves standing
    o.log.rotate_size_min = 8192;
    o.log.rotate_share = 1'000'000;
    o.dbox.file_size_max = 64U << 10;
    o.grace_ms = 2000;
    return o;
}
std::string body_of(token t) {
    auto text = fmt::format("{} ", t);
    auto x = t;
    for (auto n = t % 700; n > 0; --n) text += static_cast<char>('a' + ((x = x * 6'364'136'223'846'793'005U + 1) >> 60));
    return text;
}

// --- what a process writes down ----------------------------------------------------------------------------------

enum class deed : std::uint8_t { deliver = 1, flags, move, expunge };
struct note {
    token what;
    deed kind;
    bool acknowledged;
    std::uint8_t argument;  // deliver, move: the mailbox; flags: which
};
struct lane {
    std::atomic<unsigned> count = 0;
    std::array<note, notes_max> notes;
};

class process {
public:
    process(std::string const& directory, lane& mine, std::uint64_t number)
        : store_(posix_fs(directory), small_files()), lane_(mine), next_(number << 32), random_(number) {}

    asio::awaitable<void> live() {
        auto account = co_await store_.account("a");
        std::vector<mailbox_type> boxes;
        for (auto const* name : mailboxes) boxes.push_back(co_await account.open(name));
        purger<store_type::index_type, store_type::format_type> purge(account);
        while (lane_.count + 2 < notes_max) {
            auto const what = roll(100);
            try {
                if (mails_.empty() || what < 40) co_await deliver(boxes);
                else if (what < 70) co_await flag(boxes);
                else if (what < 80) co_await move(boxes);
                else if (what < 98) co_await expunge(boxes);
                else co_await purge.step();
            } catch (error const& e) {
                if (e.code() != errc::busy) throw;
            }
        }
    }

private:
    struct mail {
        token name;
        unsigned box;
        mailfs::uid_t uid;
    };
    unsigned roll(unsigned n) { return static_cast<unsigned>(random_() % n); }
    void write_down(token t, deed kind, bool acknowledged, unsigned argument = 0) {
        auto const n = lane_.count.load(std::memory_order_relaxed);
        lane_.notes[n] = {t, kind, acknowledged, static_cast<std::uint8_t>(argument)};
        lane_.count.store(n + 1, std::memory_order_release);
    }

    asio::awaitable<void> deliver(std::vector<mailbox_type>& boxes) {
        mail m{++next_, roll(2), 0};
        auto const text = body_of(m.name);
        auto const bytes = as_bytes(std::string_view(text));
        write_down(m.name, deed::deliver, false, m.box);
        m.uid = co_await boxes[m.box].append(bytes);
        write_down(m.name, deed::deliver, true, m.box);
        mails_.push_back(m);
    }
    asio::awaitable<void> flag(std::vector<mailbox_type>& boxes) {
        auto const m = mails_[roll(static_cast<unsigned>(mails_.size()))];
        flag_change change;
        change.mode = flag_mode::replace;
        change.flags = static_cast<mailfs::flag>(roll(16));
        write_down(m.name, deed::flags, false, static_cast<unsigned>(change.flags));
        co_await boxes[m.box].set_flags(uid_set::one(m.uid), std::move(change));
        write_down(m.name, deed::flags, true, lane_.notes[lane_.count - 1].argument);
    }
    asio::awaitable<void> move(std::vector<mailbox_type>& boxes) {
        auto& m = mails_[roll(static_cast<unsigned>(mails_.size()))];
        auto const to = 1 - m.box;
        write_down(m.name, deed::move, false, to);
        auto const moved = co_await boxes[m.box].move_to(uid_set::one(m.uid), boxes[to]);
        if (moved.uids.size() != 1) throw std::runtime_error("a message that is there was not moved");
        m.uid = moved.uids.front().second;
        m.box = to;
        write_down(m.name, deed::move, true, to);
    }
    asio::awaitable<void> expunge(std::vector<mailbox_type>& boxes) {
        auto const n = roll(static_cast<unsigned>(mails_.size()));
        auto const m = mails_[n];
        mails_.erase(mails_.begin() + n);
        write_down(m.name, deed::expunge, false);
        co_await boxes[m.box].expunge(uid_set::one(m.uid), false);
        write_down(m.name, deed::expunge, true);
    }

    store_type store_;
    lane& lane_;
    token next_;
    std::mt19937_64 random_;
    std::vector<mail> mails_;
};

// --- what must be there ---------------------------------------------------------------------------------------------

struct expected {
    bool delivered = false, expunged = false;
    bool expunge_open = false, move_open = false, flags_open = false;  // begun, and perhaps done
    unsigned box = 0;
    std::set<unsigned> flags{0};
};
struct verdict {
    std::uint64_t acknowledged = 0, lost = 0, doubled = 0, resurrected = 0, wrong = 0;
    bool good() const noexcept { return lost + doubled + resurrected + wrong == 0; }
};

class journal {
public:
    void read(lane& l) {
        auto const count = l.count.load(std::memory_order_acquire);
        for (unsigned n = 0; n < count; ++n) take(l.notes[n]);
        l.count = 0;
    }
    asio::awaitable<void> compare(std::string directory) {
        store_type fresh((posix_fs(directory)), small_files());
        auto account = co_await fresh.account("a");
        std::map<token, std::vector<unsigned>> found;
        for (unsigned box = 0; box < mailboxes.size(); ++box) co_await look(account, box, found);
        for (auto const& [name, e] : mails_) settle(name, e, found[name]);
        mails_.clear();
        for (auto const* name : mailboxes) {  // the next processes begin with nothing
            auto box = co_await account.open(name);
            auto all = box.view().uids();
            co_await box.expunge(std::move(all), false);
        }
    }
    verdict sum;

private:
    void take(note const& n) {
        sum.acknowledged += n.acknowledged ? 1U : 0U;
        auto& e = mails_[n.what];
        switch (n.kind) {
            case deed::deliver: e.box = n.argument, e.delivered = n.acknowledged; break;
            case deed::flags:
                if (n.acknowledged) e.flags.clear();
                e.flags.insert(n.argument);
                break;
            case deed::move:
                e.move_open = !n.acknowledged;
                if (n.acknowledged) e.box = n.argument;
                break;
            case deed::expunge: e.expunge_open = !n.acknowledged, e.expunged = n.acknowledged; break;
        }
    }
    template <class Account>
    asio::awaitable<void> look(Account& account, unsigned number, std::map<token, std::vector<unsigned>>& found) {
        auto box = co_await account.open(mailboxes[number]);
        auto const uids = box.view().uids();
        auto mails = box.fetch(uids);
        while (auto const mail = co_await mails.next()) {
            auto const text = as_text(mail->bytes);
            token name = 0;
            std::from_chars(text.data(), text.data() + text.size(), name);
            auto const known = mails_.find(name);
            if (mail->error || text != body_of(name)) complain(sum.wrong, name, "has a wrong body " + mail->reason);
            else if (known == mails_.end()) complain(sum.resurrected, name, "was gone");
            else if (!known->second.flags.contains(static_cast<unsigned>(box.view().row(mail->uid)->flags))) complain(sum.wrong, name, "has wrong flags");
            found[name].push_back(number);
        }
    }
    void settle(token name, expected const& e, std::vector<unsigned> const& places) {
        if (e.expunged && !places.empty()) complain(sum.resurrected, name, "was expunged");
        if (e.delivered && !e.expunged && !e.expunge_open && places.empty()) complain(sum.lost, name, "was acknowledged");
        if (places.size() > (e.move_open ? 2U : 1U)) complain(sum.doubled, name, "is there more than once");
        if (places.size() == 1 && !e.move_open && places.front() != e.box) complain(sum.wrong, name, "is in the wrong mailbox");
    }
    static void complain(std::uint64_t& count, token name, std::string const& why) {
        if (++count <= 10) fmt::print(stderr, "message {} {}\n", name, why);
    }

    std::map<token, expected> mails_;
};

// --- the parent -------------------------------------------------------------------------------------------------

class lanes {
public:
    explicit lanes(std::size_t count) : size_(count * sizeof(lane)) {
        place_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (place_ == MAP_FAILED) throw std::runtime_error("no shared memory");
        for (std::size_t n = 0; n < count; ++n) new (static_cast<lane*>(place_) + n) lane;
    }
    ~lanes() { ::munmap(place_, size_); }
    lanes(lanes const&) = delete;
    lanes& operator=(lanes const&) = delete;
    lane& operator[](std::size_t n) const noexcept { return static_cast<lane*>(place_)[n]; }

private:
    std::size_t size_;
    void* place_;
};

class reaper {
public:
    reaper(std::string directory, std::size_t processes, std::uint64_t seed)
        : directory_(std::move(directory)), lanes_(processes), pids_(processes, 0), random_(seed), next_(seed << 16) {}

    journal const& notes() const noexcept { return journal_; }

    /// Kills so many, and compares.
    void round(std::size_t kills) {
        for (std::size_t n = 0; n < pids_.size(); ++n) start(n);
        for (std::size_t k = 0; k + pids_.size() < kills; ++k) {
            std::this_thread::sleep_for(std::chrono::microseconds(random_() % 20'000));
            auto const n = static_cast<std::size_t>(random_() % pids_.size());
            kill(n);
            start(n);
        }
        for (std::size_t n = 0; n < pids_.size(); ++n) kill(n);
        test::run([&] { return journal_.compare(directory_); });
    }
    std::uint64_t kills() const noexcept { return kills_; }

private:
    void start(std::size_t n) {
        auto const number = ++next_;
        std::fflush(nullptr);
        pids_[n] = ::fork();
        if (pids_[n] != 0) return;
        try {
            process p(directory_, lanes_[n], number);
            test::run([&] { return p.live(); });
            while (true) ::pause();
        } catch (std::exception const& e) {
            fmt::print(stderr, "process {}: {}\n", number, e.what());
        }
        ::_exit(1);
    }
    void kill(std::size_t n) {
        int status = 0;
        ::kill(pids_[n], SIGKILL);
        ::waitpid(pids_[n], &status, 0);
        if (WIFEXITED(status)) throw std::runtime_error("a process ended by itself");
        ++kills_;
        journal_.read(lanes_[n]);
    }

    std::string directory_;
    lanes lanes_;
    std::vector<pid_t> pids_;
    std::mt19937_64 random_;
    std::uint64_t next_;
    std::uint64_t kills_ = 0;
    journal journal_;
};

asio::awaitable<void> prepare(std::string directory) {
    store_type s((posix_fs(directory)), small_files());
    auto account = co_await s.account("a");
    co_await account.create("Other");
}

}  // namespace

int main(int argc, char** argv) {
    auto const argument = [&](int n, std::uint64_t otherwise) { return argc > n ? std::strtoull(argv[n], nullptr, 10) : otherwise; };
    auto const budget = std::getenv("MAILFS_PROCESS_KILLS");
    auto const kills = budget != nullptr ? std::strtoull(budget, nullptr, 10) : argument(1, 200);
    auto const processes = std::clamp<std::uint64_t>(argument(2, 4), 1, 64);
    test::temporary_directory const own;
    auto const directory = argc > 4 ? std::string(argv[4]) : own.path();
    auto const begin = std::chrono::steady_clock::now();
    try {
        test::run([&] { return prepare(directory); });
        reaper r(directory, processes, argument(3, 1));
        while (r.kills() < kills) {
            r.round(std::max<std::size_t>(std::min<std::size_t>(kills_per_check, kills - r.kills()), processes));
            if (!r.notes().sum.good()) break;
        }
        auto const& v = r.notes().sum;
        fmt::print("kills={} acknowledged={} lost={} doubled={} resurrected={} wrong={} seconds={:.1f}\n", r.kills(), v.acknowledged, v.lost,
                   v.doubled, v.resurrected, v.wrong, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
        return v.good() && v.acknowledged > 0 ? 0 : 1;
    } catch (std::exception const& e) {
        fmt::print(stderr, "kills: {}\n", e.what());
        return 1;
    }
}
