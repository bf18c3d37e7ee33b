// SPDX-License-Identifier: BSL-1.0
// Purge among processes that deliver, copy, move, expunge and read, interleaved call by call, by a seed.
//
// More by hand: MAILFS_PURGE_SCHEDULES=10000, MAILFS_PURGE_FIRST_SEED=1.
#include <mailfs/store/purge.hpp>

#include "../log/interleaved_fs.hpp"
#include "purge_fixture.hpp"

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <cstdlib>
#include <deque>
#include <functional>
#include <set>

namespace mailfs::test::purge_model_tests {

namespace {

template <template <class, class> class Format>
struct schedule {
    using on = store_on<interleaved_fs, Format>;
    using store_type = typename on::store;
    using mailbox_type = typename on::mailbox;

    explicit schedule(std::uint64_t seed) : random(seed), machine(std::make_shared<interleaved_machine>()) {
        machine->random.seed(seed);
        host.chance->seed(seed);
    }

    random_source random;  // what processes do, and how long it takes
    std::shared_ptr<interleaved_machine> machine;
    clocked_host host;
    std::set<std::string> kept;         // acknowledged, and never to be expunged
    std::uint64_t numbers = 0, late = 0, removed = 0, moved = 0, read = 0;
    std::vector<std::string> failures;

    struct process {
        process(std::shared_ptr<interleaved_machine> m, std::uint64_t n) : calls(std::make_shared<interleaved_process>(std::move(m), n)) {}
        std::shared_ptr<interleaved_process> calls;
        bool done = false;
        std::exception_ptr failure;
    };
    std::deque<process> processes;
    std::size_t users_left = 0;

    store_type store_of(process& p) {
        auto options = purge_store_options(1200);
        options.log.rotate_size_min = 2000;
        return store_type(interleaved_fs(p.calls), options, host);
    }
    std::string any_box() { return std::array<std::string, 3>{"INBOX", "a", "b"}[up_to(random, 2)]; }

    asio::awaitable<void> prepare(process& p) {
        auto s = store_of(p);
        auto a = co_await s.account("alice");
        co_await a.create("a");
        co_await a.create("b");
    }

    asio::awaitable<void> use(process& p) {
        auto s = store_of(p);
        auto a = co_await s.account("alice");
        for (int n = 0; n < 150; ++n) {
            auto box = co_await a.open(any_box());
            auto other = co_await a.open(any_box());
            try {
                co_await act(box, other);
            } catch (error const& e) {  // a clock that jumps makes a call late, which is no fault
                if (e.code() != errc::busy) throw;
                ++late;
            }
        }
        --users_left;
    }
    asio::awaitable<void> act(mailbox_type& box, mailbox_type& other) {
        auto const what = up_to(random, 9);
        auto const some = choose(box, what < 9 ? 3 : 8);
        if (what < 3) {
            bool const keep = one_in(random, 3);
            auto const text = (keep ? "keep " : "drop ") + std::to_string(++numbers) + std::string(up_to(random, 300), 'x');
            co_await deliver(box, text);
            if (keep) kept.insert(text);
        } else if (what < 5) {
            co_await box.copy_to(some, other);
        } else if (what < 7) {
            if (box.id() != other.id()) co_await box.move_to(some, other);
        } else {
            co_await expunge(box, some);
        }
    }
    uid_set choose(mailbox_type const& box, std::uint64_t most) {
        uid_set out;
        auto const n = box.view().messages();
        for (auto left = n == 0 ? 0 : up_to(random, most); left > 0; --left) out.add(box.view().uid(1 + static_cast<std::uint32_t>(up_to(random, n - 1))));
        return out;
    }
    // All that is not to be kept.
    asio::awaitable<void> expunge(mailbox_type& box, uid_set const& some) {
        uid_set dead;
        std::vector<uid_t> uids;
        some.for_each([&](uid_t u) { uids.push_back(u); });
        for (auto const uid : uids) {
            auto const text = co_await text_at(box, uid);
            if (text.starts_with("drop")) dead.add(uid);
        }
        co_await box.expunge(dead, false);
    }
    // Empty when the message is there no more; a body that is missing while its row stays is told.
    asio::awaitable<std::string> text_at(mailbox_type& box, uid_t uid) {
        std::string failure;
        try {
            auto const body = co_await box.read(uid);
            ++read;
            co_return text_of(body);
        } catch (error const& e) {
            failure = e.what();
        }
        for (int tries = 0; tries < 50; ++tries) {  // who was late takes its row back
            co_await box.refresh();
            if (!box.view().number(uid)) co_return "";
        }
        failures.push_back("UID " + std::to_string(uid) + ": " + failure);
        co_return "";
    }

    asio::awaitable<void> look(process& p) {
        auto s = store_of(p);
        auto a = co_await s.account("alice");
        while (users_left > 0) {
            auto box = co_await a.open(any_box());
            for (int n = 0; n < 10 && box.view().messages() > 0; ++n) {
                auto const uid = box.view().uid(1 + static_cast<std::uint32_t>(up_to(random, box.view().messages() - 1)));
                co_await text_at(box, uid);
            }
        }
    }
    asio::awaitable<void> purge(process& p) {
        auto s = store_of(p);
        auto a = co_await s.account("alice");
        while (users_left > 0) {
            purger_on<on> purger(a, {static_cast<std::uint32_t>(up_to(random, 90))});
            auto steps = up_to(random, 100);
            while (users_left > 0 && steps-- > 0) {
                purge_budget const budget{1 + up_to(random, 3), 1 + up_to(random, 5), 1 + up_to(random, 500)};
                purge_report report;
                try {
                    report = co_await purger.step(budget);
                } catch (error const& e) {
                    if (e.code() != errc::busy) throw;
                    ++late;
                }
                removed += report.files_removed;
                moved += report.mails_moved;
                if (report.complete()) co_await a.list();  // a call, so that others go on
            }
        }
    }

    void start(asio::io_context& context, process& p, asio::awaitable<void> work) {
        asio::co_spawn(context, std::move(work), [&p](std::exception_ptr e) {
            p.done = true;
            p.failure = e;
        });
    }
    // Lets one of those that wait make its call, until all are done.
    void go(asio::io_context& context) {
        for (std::uint64_t calls = 0; calls < 3'000'000; ++calls) {
            std::vector<process*> waiting;
            for (auto& p : processes) {
                while (!p.done && !p.calls->waits()) {
                    context.restart();
                    context.run_one();
                }
                if (!p.done) waiting.push_back(&p);
            }
            if (waiting.empty()) return;
            if (users_left > 0) host.pass(one_in(random, 50) ? up_to(random, grace / 3) : up_to(random, 40));
            waiting[up_to(random, waiting.size() - 1)]->calls->go();
        }
        throw std::runtime_error("the schedule does not end");
    }
    void run_all(std::vector<asio::awaitable<void> (schedule::*)(process&)> works) {
        asio::io_context context(1);
        processes.clear();
        for (auto work : works) {
            auto& p = processes.emplace_back(machine, processes.size());
            start(context, p, (this->*work)(p));
        }
        go(context);
        for (auto& p : processes)
            if (p.failure) std::rethrow_exception(p.failure);
    }

    void check() {
        run_all({&schedule::prepare});
        users_left = 2;
        run_all({&schedule::use, &schedule::use, &schedule::look, &schedule::purge, &schedule::purge});
        CHECK(failures.empty());
        for (auto const& text : failures) MESSAGE(text);
        run([this]() -> asio::awaitable<void> {
            using sound = store_on<memory_fs, Format>;
            memory_fs const fs = machine->disk.inner();
            auto s = open_store<sound>(fs, host);
            auto a = co_await s.account("alice");
            for (int again = 0; again < 2; ++again) {
                auto const all = co_await everything(a);
                std::set<std::string> found;
                std::uint64_t size = 0;
                for (auto const& [name, texts] : all)
                    for (auto const& text : texts) {
                        CHECK_MESSAGE((text.starts_with("keep") || text.starts_with("drop")), text);
                        if (found.insert(text).second) size += dbox_extent(text.size());
                    }
                for (auto const& text : kept) CHECK_MESSAGE(found.contains(text), text);
                if (again == 0) co_await purge_all<sound>(a, host);
                else CHECK(size_of_files(fs) <= 4 * size + 8000);
            }
        });
    }
    static std::uint64_t size_of_files(memory_fs const& fs) {
        std::uint64_t size = 0;
        for (auto const& path : fs.paths())
            if (path.starts_with("alice/mail/")) size += fs.bytes_of(path).size();
        return size;
    }
};

std::uint64_t number_from(char const* variable, std::uint64_t otherwise) {
    auto const* const text = std::getenv(variable);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

template <template <class, class> class Format>
void run_schedules() {
    auto const first = number_from("MAILFS_PURGE_FIRST_SEED", 1);
    auto const count = number_from("MAILFS_PURGE_SCHEDULES", 12);
    std::uint64_t removed = 0, moved = 0, late = 0, read = 0;
    for (auto seed = first; seed < first + count; ++seed) {
        CAPTURE(seed);
        schedule<Format> one(seed);
        one.check();
        removed += one.removed;
        moved += one.moved;
        late += one.late;
        read += one.read;
    }
    MESSAGE(count << " schedules: " << removed << " files removed, " << moved << " messages moved, " << late << " calls too late, "
                  << read << " messages read");
    if (count < 10) return;
    CHECK(removed > 0);
    CHECK(read > 0);
}

}  // namespace

TEST_CASE("purge: in random schedules of several processes nothing is lost, and space comes back: many messages in a file") {
    run_schedules<multi_dbox>();
}
TEST_CASE("purge: in random schedules of several processes nothing is lost, and space comes back: a file for each message") {
    run_schedules<single_dbox>();
}

}  // namespace mailfs::test::purge_model_tests
