// SPDX-License-Identifier: BSL-1.0
#include <mailfs/fs/tiered.hpp>

#include <mailfs/fs/faulty_fs.hpp>
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/fs/posix_fs.hpp>

#include "conformance/filesystem.hpp"
#include "support/run.hpp"
#include "support/temporary_directory.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>

namespace {

using two_in_memory = tiered<memory_fs, memory_fs>;

struct tiered_model {
    two_in_memory fs{memory_fs(), memory_fs(), {""}};  // all files may move
};
struct one_tier_model {
    two_in_memory fs{memory_fs()};
};
struct tiered_posix_model {
    test::temporary_directory fast, slow;
    tiered<posix_fs, posix_fs> fs{posix_fs(fast.path()), posix_fs(slow.path())};
};

}  // namespace

MAILFS_FILESYSTEM_CONFORMANCE(tiered_model, one_tier_model, tiered_posix_model);
MAILFS_WATCH_CONFORMANCE(tiered_model);

TEST_CASE("tiered: a file that is moved down keeps its path and its bytes, and goes from the first filesystem") {
    memory_fs const fast, slow;
    words<two_in_memory> w{two_in_memory(fast, slow)};
    test::run([&]() -> asio::awaitable<void> {
        co_await w.create("a/mail/m.1", "one");
        co_await w.create("a/mail/m.2", "two");
        co_await w.create("a/tree/log", "log");
        auto before = co_await w.open("a/mail/m.1");
        auto const moved = co_await w.fs.move_down("a/mail/m.1");
        CHECK(moved == 3U);
        CHECK(fast.paths() == names{"a/mail/m.2", "a/tree/log"});
        CHECK(slow.paths() == names{"a/mail/m.1"});
        auto const held = co_await w.text(before), anew = co_await w.text("a/mail/m.1");
        CHECK(held == "one");
        CHECK(anew == "one");
        auto opened = co_await w.open("a/mail/m.1");
        auto mapped = co_await opened.map();
        CHECK(as_text(mapped.bytes()) == "one");
        auto const listed = co_await w.list("a/mail");
        CHECK(listed == names{"m.1", "m.2"});
        auto const again = co_await w.fs.move_down("a/mail/m.1"), never_there = co_await w.fs.move_down("a/mail/m.3"),
                   of_a_log = co_await w.fs.move_down("a/tree/log");
        CHECK((!again && !never_there && !of_a_log));
        auto const removed = co_await w.fs.remove("a/mail/m.1"), twice = co_await w.fs.remove("a/mail/m.1");
        CHECK((removed && !twice));
        CHECK(slow.paths().empty());
    });
}

TEST_CASE("tiered: what cannot be below the directory is never looked for on the second filesystem") {
    faulty_fs<> slow;
    using fs_type = tiered<memory_fs, faulty_fs<>>;
    words<fs_type> w{fs_type(memory_fs(), slow)};
    test::run([&]() -> asio::awaitable<void> {
        co_await w.create("a/box/log.1", "x");
        auto const next = co_await w.there("a/box/log.2");
        co_await w.list("a/box");
        co_await w.list("a");
        co_await w.fs.remove("a/box/log.1");
        co_await w.create("a/mail/m.1", "new mail");
        auto const mail = co_await w.there("a/mail/m.1");
        CHECK((!next && mail));
        CHECK(slow.faults().calls() == 0);
        co_await w.list("a/mail");
        CHECK(slow.faults().calls() == 1);
    });
}

TEST_CASE("tiered: a move that is interrupted anywhere leaves the file, and can be made again") {
    using fs_type = tiered<faulty_fs<>, faulty_fs<>>;
    for (bool in_fast : {true, false})
        for (std::uint64_t n = 1; n <= 6; ++n)
            for (auto const how : {power_cut::lose_all, power_cut::keep_all})
                for (bool answer_lost : {false, true}) {
                    CAPTURE(in_fast);
                    CAPTURE(n);
                    faulty_fs<> fast, slow;
                    test::run([&]() -> asio::awaitable<void> {
                        words<fs_type> w{fs_type(fast, slow)};
                        co_await w.fs.create("mail/m", as_bytes("the mail"), durability::stored);
                        auto const& faults = (in_fast ? fast : slow).faults();
                        if (answer_lost) (in_fast ? fast : slow).faults().stop_at(faults.calls() + n, 0, true);
                        else (in_fast ? fast : slow).faults().stop_at(faults.calls() + n, 0, false);
                        co_await failure_of(w.fs.move_down("mail/m"));
                    });
                    auto const fast_after = fast.after(how, n), slow_after = slow.after(how, n);
                    test::run([&]() -> asio::awaitable<void> {
                        words<two_in_memory> w{two_in_memory(fast_after, slow_after)};
                        auto const text = co_await w.text("mail/m");
                        CHECK(text == "the mail");
                        co_await w.fs.move_down("mail/m");
                        auto const moved = co_await w.text("mail/m");
                        CHECK(moved == "the mail");
                        CHECK(fast_after.paths().empty());
                        CHECK(slow_after.paths() == names{"mail/m"});
                    });
                }
}

TEST_CASE("tiered: another file of the same name on the second filesystem is an error, and both stay") {
    memory_fs fast, slow;
    words<two_in_memory> w{two_in_memory(fast, slow)};
    test::run([&]() -> asio::awaitable<void> {
        co_await w.create("mail/m", "one");
        co_await slow.create("mail/m", as_bytes("two"), durability::stored);
        auto const why = co_await failure_of(w.fs.move_down("mail/m"));
        CHECK(why == errc::corrupt);
        CHECK(fast.paths().size() == 1);
        CHECK(slow.paths().size() == 1);
    });
}
