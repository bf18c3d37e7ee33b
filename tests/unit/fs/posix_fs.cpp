// SPDX-License-Identifier: BSL-1.0
#include <mailfs/fs/posix_fs.hpp>

#include "conformance/filesystem.hpp"
#include "support/run.hpp"

#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/thread_pool.hpp>
#include <asio/use_future.hpp>

#include <doctest/doctest.h>

#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace {

struct posix_model {
    test::temporary_directory root;
    posix_fs fs{root.path()};
};
struct posix_named_model {
    test::temporary_directory root;
    posix_fs fs{root.path(), {.named_temporaries = true}};
};
struct posix_pool_model {
    test::temporary_directory root;
    asio::thread_pool pool{1};
    posix_fs fs{root.path(), {.sync_executor = pool.get_executor()}};

    /// Returns when the pool's one thread has let go of what it did before.
    void settle() { asio::post(pool, asio::use_future).wait(); }
};

using posix_words = words<posix_fs>;

/// The error that making a posix_fs ends with.
std::optional<error> refusal(std::string const& root, posix_options options = {}) {
    try {
        posix_fs const fs(root, std::move(options));
    } catch (error const& e) {
        return e;
    }
    return std::nullopt;
}

bool says(error const& e, std::string_view text) { return std::string_view(e.what()).find(text) != std::string_view::npos; }

/// A limit of this process, until the end of the block.
class limit {
public:
    limit(__rlimit_resource which, rlim_t value) : which_(which) {
        ::getrlimit(which_, &before_);
        auto lowered = before_;
        lowered.rlim_cur = value;
        ::setrlimit(which_, &lowered);
    }
    limit(limit const&) = delete;
    limit& operator=(limit const&) = delete;
    ~limit() { ::setrlimit(which_, &before_); }

private:
    __rlimit_resource which_;
    rlimit before_{};
};

/// The descriptor of this process that is open on `path`; -1: none.
int descriptor_of(std::string const& path) {
    for (auto const& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone;
        if (std::filesystem::read_symlink(entry.path(), gone) == path) return std::stoi(entry.path().filename());
    }
    return -1;
}

template <class T>
asio::awaitable<std::optional<error>> error_of(asio::awaitable<T> work) {
    try {
        co_await std::move(work);
    } catch (error const& e) {
        co_return e;
    }
    co_return std::nullopt;
}

}  // namespace

MAILFS_FILESYSTEM_CONFORMANCE(posix_model, posix_named_model, posix_pool_model);
MAILFS_WATCH_CONFORMANCE(posix_model, posix_named_model);

TEST_CASE("posix_fs: makes its root, for its user alone, and files likewise") {
    test::temporary_directory const above;
    posix_fs fs(above.path() + "/a/b//");
    CHECK(fs.root() == above.path() + "/a/b");
    test::run([&] { return fs.create("c/log", {}, durability::stored); });
    using std::filesystem::perms;
    CHECK(std::filesystem::status(above.path() + "/a").permissions() == perms::owner_all);
    CHECK(std::filesystem::status(above.path() + "/a/b/c").permissions() == perms::owner_all);
    CHECK(std::filesystem::status(above.path() + "/a/b/c/log").permissions() == (perms::owner_read | perms::owner_write));
    auto const on_file = refusal(above.path() + "/a/b/c/log");
    REQUIRE(on_file.has_value());
    CHECK(on_file->file() == above.path() + "/a/b/c/log");
}

TEST_CASE("posix_fs: a root on a network filesystem is refused, with the reason and the way out") {
    test::temporary_directory const root;
    for (std::uint32_t const type : {0x6969U, 0xff53'4d42U, 0xfe53'4d42U, 0x517bU, 0x0102'1997U, 0x00c3'6400U}) {
        auto const refused = refusal(root.path(), {.filesystem_type = type});
        REQUIRE(refused.has_value());
        CHECK(refused->code() == errc::network_filesystem);
        CHECK(refused->file() == root.path());
        CHECK(says(*refused, network_filesystem_name(type)));
        CHECK(says(*refused, "appends of several hosts are not ordered"));
        CHECK(says(*refused, "multimaster"));
    }
    CHECK_FALSE(refusal(root.path(), {.filesystem_type = 0xef53}).has_value());
}

TEST_CASE("posix_fs: FUSE is refused until told that a local disk stands behind it") {
    test::temporary_directory const root;
    auto const refused = refusal(root.path(), {.filesystem_type = fuse_filesystem_type});
    REQUIRE(refused.has_value());
    CHECK(refused->code() == errc::network_filesystem);
    CHECK(says(*refused, "fuse_is_local"));
    CHECK_FALSE(refusal(root.path(), {.fuse_is_local = true, .filesystem_type = fuse_filesystem_type}).has_value());
    CHECK(refusal(root.path(), {.fuse_is_local = true, .filesystem_type = 0x6969}).has_value());
}

TEST_CASE("posix_fs: a full disk is told with the file and the offset, and the torn bytes are what the system wrote") {
    test::temporary_directory const root;
    posix_words w{posix_fs(root.path())};
    test::run([&]() -> asio::awaitable<void> {
        co_await w.create("log", "head");
        auto file = co_await w.open("log");
        std::signal(SIGXFSZ, SIG_IGN);
        std::optional<error> torn, absent, create;
        {
            limit const file_size(RLIMIT_FSIZE, 10);
            torn = co_await error_of(w.append(file, "0123456789"));
            absent = co_await error_of(w.append(file, "more"));
            create = co_await error_of(w.create("new", "longer than ten bytes"));
        }
        std::signal(SIGXFSZ, SIG_DFL);
        auto const after = co_await w.append(file, "!");
        auto const text = co_await w.text("log");
        auto const listed = co_await w.list("");
        REQUIRE((torn && absent && create));
        CHECK(torn->code() == errc::no_space);
        CHECK(torn->offset() == 4);
        CHECK(torn->file() == root.path() + "/log");
        CHECK(says(*torn, "6 of 10 bytes"));
        CHECK(absent->code() == errc::no_space);
        CHECK(absent->offset() == 10);
        CHECK(create->code() == errc::no_space);
        CHECK(create->file() == root.path() + "/new");
        CHECK(after == 10);
        CHECK(text == "head012345!");
        CHECK(listed == names{"log"});
    });
}

TEST_CASE("posix_fs: what the system refuses is told with its own words and the file's name") {
    test::temporary_directory const root;
    posix_words w{posix_fs(root.path())};
    test::run([&]() -> asio::awaitable<void> {
        co_await w.create("a/log");
        std::optional<error> too_many;
        {
            limit const files(RLIMIT_NOFILE, 3);
            too_many = co_await error_of(w.there("a/log"));
        }
        auto const too_long = co_await error_of(w.create(std::string(256, 'x')));
        REQUIRE((too_many && too_long));
        CHECK(too_many->code() == errc::io);
        CHECK(too_many->file() == root.path() + "/a/log");
        CHECK(says(*too_many, "Too many open files"));
        CHECK(too_long->code() == errc::bad_name);
        if (::geteuid() == 0) co_return;  // who may do all is refused nothing
        std::filesystem::permissions(root.path() + "/a/log", std::filesystem::perms::none);
        std::filesystem::permissions(root.path() + "/a", std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
        auto const open = co_await error_of(w.there("a/log"));
        auto const create = co_await error_of(w.create("a/new"));
        std::filesystem::permissions(root.path() + "/a", std::filesystem::perms::owner_all);
        REQUIRE((open && create));
        CHECK(open->code() == errc::denied);
        CHECK(create->code() == errc::denied);
    });
}

TEST_CASE("posix_fs: hidden files that a killed process left are not listed, and do not keep their directory") {
    test::temporary_directory const root;
    posix_words w{posix_fs(root.path())};
    test::run([&]() -> asio::awaitable<void> {
        co_await w.create("a/log");
        std::ofstream(root.path() + "/a/.tmp-0123456789abcdef") << "half";
        auto const listed = co_await w.list("a");
        auto const while_used = co_await w.fs.remove("a");
        CHECK(listed == names{"log"});
        CHECK_FALSE(while_used);
        CHECK(std::filesystem::exists(root.path() + "/a/.tmp-0123456789abcdef"));
        co_await w.fs.remove("a/log");
        auto const removed = co_await w.fs.remove("a");
        CHECK(removed);
        CHECK_FALSE(std::filesystem::exists(root.path() + "/a"));
    });
}

TEST_CASE("posix_fs: create leaves nothing but the file, in either way, made or not") {
    for (bool const named : {false, true}) {
        test::temporary_directory const root;
        posix_words w{posix_fs(root.path(), {.named_temporaries = named})};
        test::run([&]() -> asio::awaitable<void> {
            for (auto const d : {durability::none, durability::stored})
                for (int n = 0; n < 2; ++n) co_await w.fs.create("a/log", as_bytes("x"), d);
        });
        std::size_t count = 0;
        for ([[maybe_unused]] auto const& entry : std::filesystem::directory_iterator(root.path() + "/a")) ++count;
        CHECK(count == 1);
    }
}

TEST_CASE("posix_fs: sync and stored creation wait on their executor, and other coroutines go on meanwhile") {
    test::temporary_directory const root;
    asio::io_context aside;  // does nothing until it is run
    posix_words w{posix_fs(root.path(), {.sync_executor = aside.get_executor()})};
    test::run([&]() -> asio::awaitable<void> {
        auto const executor = co_await asio::this_coro::executor;
        co_await w.create("log");
        auto file = co_await w.open("log");
        int done = 0;
        auto const sync = [&]() -> asio::awaitable<void> {
            co_await file.sync();
            ++done;
        };
        auto const create = [&]() -> asio::awaitable<void> {
            co_await w.fs.create("new", {}, durability::stored);
            ++done;
        };
        asio::co_spawn(executor, sync(), asio::detached);
        asio::co_spawn(executor, create(), asio::detached);
        for (int n = 0; n < 20; ++n) co_await asio::post(executor, asio::use_awaitable);
        CHECK(done == 0);
        auto const offset = co_await w.append(file, "meanwhile");
        CHECK(offset == 0);
        for (int n = 0; n < 1000 && done < 2; ++n) {
            aside.restart();
            aside.poll();
            co_await asio::post(executor, asio::use_awaitable);
        }
        CHECK(done == 2);
    });
}

TEST_CASE("posix_fs: once a sync failed, none of that file object is believed") {
    test::temporary_directory const root;
    posix_words w{posix_fs(root.path())};
    test::run([&]() -> asio::awaitable<void> {
        co_await w.create("log");
        auto file = co_await w.open("log");
        int const fd = descriptor_of(root.path() + "/log");
        REQUIRE(fd >= 0);
        mailfs::detail::unique_fd const healthy(::dup(fd));
        int ends[2];
        REQUIRE(::pipe(ends) == 0);
        mailfs::detail::unique_fd const in(ends[0]), out(ends[1]);
        ::dup2(out.get(), fd);  // a pipe cannot be synced: the disk fails
        auto const failed = co_await error_of(file.sync());
        ::dup2(healthy.get(), fd);  // and recovers
        auto const later = co_await error_of(file.sync());
        REQUIRE((failed && later));
        CHECK(failed->code() == errc::io);
        CHECK(failed->file() == root.path() + "/log");
        CHECK(later->code() == errc::io);
        auto another = co_await w.open("log");
        co_await another.sync();
    });
}

TEST_CASE("posix_fs: appends of several processes never tear, and each learns its own offset") {
    constexpr int processes = 4, rounds = 200;
    test::temporary_directory const root;
    posix_words w{posix_fs(root.path())};
    test::run([&] { return w.create("log"); });
    auto const record = [](int process, int n) {
        return std::string(static_cast<std::size_t>(64 + (n * 7919 + process * 104'729) % 5000), static_cast<char>('a' + process)) + "\n";
    };
    auto const child = [&](int process) -> asio::awaitable<void> {
        auto file = co_await w.open("log");
        std::string offsets;
        for (int n = 0; n < rounds; ++n) offsets += std::to_string(co_await w.append(file, record(process, n))) + " ";
        co_await w.create("offsets." + std::to_string(process), offsets);
    };
    std::vector<pid_t> children;
    for (int process = 0; process < processes; ++process) {
        auto const pid = ::fork();
        if (pid == 0) {
            try {
                test::run([&] { return child(process); });
            } catch (...) {
                ::_exit(1);
            }
            ::_exit(0);
        }
        children.push_back(pid);
    }
    for (auto const pid : children) {
        int status = -1;
        ::waitpid(pid, &status, 0);
        CHECK(status == 0);
    }
    auto const all = test::run([&] { return w.text("log"); });
    std::size_t total = 0;
    int whole = 0;
    for (int process = 0; process < processes; ++process) {
        auto const path = "offsets." + std::to_string(process);
        std::istringstream offsets(test::run([&] { return w.text(path); }));
        std::size_t offset = 0;
        for (int n = 0; offsets >> offset; ++n) {
            auto const expected = record(process, n);
            total += expected.size();
            if (std::string_view(all).substr(offset).starts_with(expected)) ++whole;
        }
    }
    CHECK(whole == processes * rounds);
    CHECK(total == all.size());
}
