// SPDX-License-Identifier: BSL-1.0
// Do many processes on one mailbox end with one state, and is nothing lost that any of them was told?
//   many_writers [seconds=3] [processes=8] [rotate_bytes=4096] [directory=a temporary one]
// Each process appends, copies, flags and expunges at random on a real disk, rotating the log all the time, and writes
// down what it was told. The parent then compares: one dump byte for byte, one message for each UID ever seen, live
// messages = appended - expunged, flags as the last change by MODSEQ left them.
#include <mailfs/fs/posix_fs.hpp>
#include <mailfs/index/index.hpp>

#include "support/run.hpp"
#include "support/temporary_directory.hpp"

#include <fmt/format.h>

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace {

using box_index = mailfs::index<mailfs::lockless_log, mailfs::posix_fs>;
using mailfs::format::mailbox_transaction;
using mailfs::guid;
using mailfs::uid_t;

struct options {
    double seconds = 3;
    int processes = 8;
    std::uint64_t rotate = 4096;
    std::string directory;
};

constexpr std::uint64_t live_max = 300;  // messages, about
constexpr int stored_one_in = 500;       // transactions that are synced

mailfs::log_options log_options_of(options const& o) { return {.rotate_size_min = o.rotate, .rotate_share = 1'000'000}; }

/// One process. `told` gets a line for each thing it was told: a = appended, x = expunged, f = flags, s = seen.
class worker {
public:
    worker(options const& o, int number, std::FILE* told)
        : box_(mailfs::posix_fs(o.directory), "box", mailfs::standalone{}, log_options_of(o)), number_(static_cast<std::uint64_t>(number)),
          told_(told), random_(static_cast<unsigned>(number) * 7919 + 1), end_(std::chrono::steady_clock::now() + std::chrono::milliseconds(static_cast<long>(o.seconds * 1000))) {}

    asio::awaitable<void> work() {
        bool const there = co_await box_.open();
        if (!there) throw std::runtime_error("no mailbox");
        view_.emplace(box_.make_view());
        note_news(view_->uids());
        while (std::chrono::steady_clock::now() < end_) {
            co_await one_transaction();
            ++transactions_;
            note_news(view_->refresh().arrived);
        }
    }
    asio::awaitable<void> finish() {
        bool more = true;
        while (more) more = co_await box_.catch_up();
        note_news(view_->refresh().arrived);
        auto const dump = box_.state().dump();
        fmt::print(told_, "d {:08x} {} {} {} {}\n", mailfs::crc32c(dump), dump.size(), box_.log().number(), transactions_, box_.log().bytes_lost());
        auto const& rows = box_.state().rows();
        box_.state().for_each(1, mailfs::uid_max, [&](std::size_t row) {
            fmt::print(told_, "l {} {} {}\n", rows.uid[row], rows.id[row].hex(), rows.flags[row]);
        });
    }

private:
    unsigned roll(unsigned n) { return static_cast<unsigned>(random_() % n); }

    asio::awaitable<void> one_transaction() {
        auto const live = box_.state().counters().messages;
        auto const dice = roll(100);
        auto const wanted = roll(stored_one_in) == 0 ? mailfs::durability::stored : mailfs::durability::none;
        mailbox_transaction t;
        std::vector<guid> ids;
        if (live < 10 || (dice < 45 && live < live_max)) {
            for (auto n = 1 + roll(3); n > 0; --n) add(t, ids, guid::from_words(number_ + 1, ++made_));
        } else if (dice < 50) {
            auto const u = any();
            if (auto const row = view_->row(u)) add(t, ids, row->id);  // a copy is a reference
        } else if (dice < 80) {
            auto const u = any();
            flags_ = roll(32);
            t.change_flags({{u, u + roll(4)}}, {mailfs::flag_mode::replace, static_cast<mailfs::flag>(flags_), {"k" + std::to_string(roll(9))}, {}});
        } else {
            auto const u = any();
            t.expunge({{u, u + roll(6)}}, false);
        }
        if (t.empty()) co_return;
        auto const outcome = co_await box_.propose(t.bytes(), wanted);
        for (std::size_t i = 0; i < ids.size(); ++i) fmt::print(told_, "a {} {}\n", outcome.first_uid + i, ids[i].hex());
        outcome.expunged.for_each([&](uid_t u) { fmt::print(told_, "x {}\n", u); });
        outcome.changed.for_each([&](uid_t u) { fmt::print(told_, "f {} {} {}\n", u, outcome.at.modseq(), flags_); });
    }
    void add(mailbox_transaction& t, std::vector<guid>& ids, guid id) {
        mailfs::message_entry m;
        m.id = id;
        m.size = 10;
        t.append(m);
        ids.push_back(id);
    }
    uid_t any() { return view_->messages() == 0 ? 1 : view_->uid(1 + roll(view_->messages())); }
    void note_news(mailfs::uid_set const& arrived) {
        arrived.for_each([&](uid_t u) {
            if (auto const row = view_->row(u)) fmt::print(told_, "s {} {}\n", u, row->id.hex());
        });
    }

    box_index box_;
    std::optional<mailfs::view> view_;
    std::uint64_t number_, made_ = 0, transactions_ = 0;
    unsigned flags_ = 0;
    std::FILE* told_;
    std::mt19937 random_;
    std::chrono::steady_clock::time_point end_;
};

std::string told_path(options const& o, int number) { return o.directory + "/told." + std::to_string(number); }

/// The life of a child: work, say so, wait until all have stopped, then look at the end.
int child(options const& o, int number, int done, int go) {
    char byte = 1;
    try {
        auto* told = std::fopen(told_path(o, number).c_str(), "w");
        worker w(o, number, told);
        mailfs::test::run([&] { return w.work(); });
        if (::write(done, &byte, 1) != 1 || ::read(go, &byte, 1) < 0) return 2;
        mailfs::test::run([&] { return w.finish(); });
        return std::fclose(told) == 0 ? 0 : 2;
    } catch (std::exception const& e) {
        fmt::print(stderr, "process {}: {}\n", number, e.what());
        return ::write(done, &byte, 1) == 1 ? 1 : 2;
    }
}

/// What all were told, put together and compared.
class verdict {
public:
    void read(options const& o, int number) {
        std::ifstream in(told_path(o, number));
        std::string kind, id;
        std::map<std::uint64_t, std::pair<std::string, unsigned>> live;
        std::uint64_t uid = 0, modseq = 0;
        unsigned flags = 0;
        while (in >> kind) {
            if (kind == "a" || kind == "s") {
                in >> uid >> id;
                auto const [it, is_new] = message_of_.emplace(uid, id);
                if (!is_new && it->second != id) complain("uid {} stands for {} and for {}", uid, it->second, id);
                if (kind == "a" && !appended_.emplace(uid, id).second) complain("uid {} was given twice", uid);
            } else if (kind == "x") {
                in >> uid;
                if (!expunged_.emplace(uid, number).second) complain("uid {} was expunged twice", uid);
            } else if (kind == "f") {
                in >> uid >> modseq >> flags;
                auto& last = flags_[uid];
                if (modseq > last.first) last = {modseq, flags};
            } else if (kind == "d") {
                std::string sum, size;
                std::uint64_t log = 0, transactions = 0, lost = 0;
                in >> sum >> size >> log >> transactions >> lost;
                if (number == 0) dump_ = sum + size;
                if (dump_ != sum + size) complain("process {} ended with another state", number);
                if (lost != 0) complain("process {} met {} damaged bytes", number, lost);
                rotations = std::max(rotations, log - 1);
                all_transactions += transactions;
            } else if (kind == "l") {
                in >> uid >> id >> flags;
                live[uid] = {id, flags};
            }
        }
        if (dump_.empty()) complain("process {} left no state", number);
        live_ = std::move(live);
    }
    void judge() {
        for (auto const& [uid, id] : appended_) {
            bool const there = live_.count(uid) != 0, gone = expunged_.count(uid) != 0;
            if (there == gone) complain("uid {} of {} is {}", uid, id, there ? "there although expunged" : "lost");
            if (there && live_[uid].first != id) complain("uid {} is another message", uid);
        }
        for (auto const& [uid, row] : live_) {
            if (appended_.count(uid) == 0) complain("uid {} came from nowhere", uid);
            auto const f = flags_.find(uid);
            if (row.second != (f == flags_.end() ? 0U : f->second.second)) complain("uid {} has flags {}", uid, row.second);
        }
    }

    std::uint64_t rotations = 0, all_transactions = 0, complaints = 0;
    std::size_t appended() const { return appended_.size(); }
    std::size_t live() const { return live_.size(); }

private:
    template <class... Args>
    void complain(fmt::format_string<Args...> text, Args&&... args) {
        if (++complaints <= 20) fmt::print(stderr, "WRONG: {}\n", fmt::format(text, std::forward<Args>(args)...));
    }

    std::string dump_;
    std::map<std::uint64_t, std::string> message_of_, appended_;
    std::map<std::uint64_t, int> expunged_;
    std::map<std::uint64_t, std::pair<std::uint64_t, unsigned>> flags_;
    std::map<std::uint64_t, std::pair<std::string, unsigned>> live_;
};

asio::awaitable<void> make_mailbox(options const& o) {
    box_index box(mailfs::posix_fs(o.directory), "box", mailfs::standalone{}, log_options_of(o));
    mailbox_transaction t;
    t.raise(1, 0);
    co_await box.create(guid::from_words(1, 1), t.bytes());
}

}  // namespace

int main(int argc, char** argv) {
    mailfs::test::temporary_directory const own;
    options o;
    o.directory = own.path();
    if (argc > 1) o.seconds = std::atof(argv[1]);
    if (argc > 2) o.processes = std::atoi(argv[2]);
    if (argc > 3) o.rotate = static_cast<std::uint64_t>(std::atoll(argv[3]));
    if (argc > 4) o.directory = argv[4];
    mailfs::test::run([&] { return make_mailbox(o); });

    int done[2], go[2];
    if (::pipe(done) != 0 || ::pipe(go) != 0) return 2;
    std::vector<pid_t> children;
    for (int i = 0; i < o.processes; ++i) {
        auto const pid = ::fork();
        if (pid == 0) {
            ::close(done[0]);
            ::close(go[1]);
            ::_exit(child(o, i, done[1], go[0]));
        }
        children.push_back(pid);
    }
    ::close(done[1]);
    char byte = 0;
    for (int i = 0; i < o.processes && ::read(done[0], &byte, 1) == 1; ++i) {}
    ::close(go[1]);  // all wake

    verdict v;
    int failed = 0;
    for (int i = 0; i < o.processes; ++i) {
        int status = 0;
        ::waitpid(children[static_cast<std::size_t>(i)], &status, 0);
        failed += status != 0;
        v.read(o, i);
    }
    v.judge();
    fmt::print("many_writers processes={} seconds={} transactions={} appended={} live={} rotations={} wrong={} failed={}\n", o.processes,
               o.seconds, v.all_transactions, v.appended(), v.live(), v.rotations, v.complaints, failed);
    return v.complaints == 0 && failed == 0 && v.all_transactions > 0 ? 0 : 1;
}
