// SPDX-License-Identifier: BSL-1.0
// Bytes that nobody should have written: each bit of a log flipped, each length cut, headers of the future, files too big.
#include <mailfs/log/lockless_log.hpp>

#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/fs/posix_fs.hpp>

#include "support/run.hpp"
#include "support/temporary_directory.hpp"
#include "unit/log/log_fixture.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

using namespace mailfs;
using namespace mailfs::test;

namespace {

using log_type = lockless_log::on<memory_fs, test_host, tiny_state>;

guid const object = guid::from_words(1, 2);

asio::awaitable<std::optional<error>> try_to_open(log_type& log) {
    try {
        co_await log.open();
    } catch (error const& e) {
        co_return e;
    }
    co_return std::nullopt;
}

/// A log of two files, begun in boot 1 and restarted in boot 2, and the state it stands for.
struct small_log {
    memory_fs fs;
    test_host host;
    tiny_state state;
    std::size_t files = 2;

    small_log() {
        test::run([&]() -> asio::awaitable<void> { co_await write(); });
    }
    log_type log(memory_fs where) const { return log_type(std::move(where), host, "box", {.rotate_size_min = 1U << 20}); }

    asio::awaitable<void> write() {
        auto first = log(fs);
        co_await first.create(object, {{0, 1}, 1}, {}, {});
        co_await first.open();
        for (std::uint64_t i = 2; i < 5; ++i) co_await deliver(first, i);
        co_await first.sync();
        co_await first.rotate();
        co_await deliver(first, 5);
        co_await first.sync();
        ++host.in().boot;
        auto second = log(fs);
        co_await second.open();
        for (std::uint64_t i = 6; i < 8; ++i) co_await deliver(second, i);
        co_await second.sync();
        co_await deliver(second, 8);
        state = second.machine();
        co_await fs.remove("box/index.2");
    }
    static asio::awaitable<void> deliver(log_type& log, std::uint64_t value) {
        tiny_transaction const t(value);
        dot const id{{0, 1}, value};
        co_await log.append(id, {}, t.bytes());
    }

    /// Opens the damaged log: a part of the true state, or an error that tells where.
    void check(std::string const& name, std::vector<std::byte> const& bytes, bool later_boot) {
        auto const damaged = fs.clone();
        damaged_in(damaged, name, bytes);
        test_host h;
        h.in() = host.in();
        h.in().boot += later_boot ? 1 : 0;
        log_type log(damaged, h, "box", {});
        auto const failed = test::run(try_to_open, log);
        if (failed) {
            bool const told = failed->code() == errc::corrupt && failed->offset() != error::no_offset &&
                              failed->file().starts_with("box/log.");
            CHECK_MESSAGE(told, std::string(failed->what()));
            return;
        }
        auto const& now = log.machine();
        bool foreign = now.mark_went_astray;
        for (auto const& [id, m] : now.messages) {
            auto const before = state.messages.find(id);
            foreign = foreign || before == state.messages.end() || before->second != m;
        }
        CHECK(!foreign);
        ++opened;
    }
    static void damaged_in(memory_fs where, std::string_view name, bytes_view bytes) {
        where.put("box/" + std::string(name), bytes);
    }

    std::uint64_t opened = 0;
};

std::vector<std::byte> header_bytes(format::log_header h) {
    h.checksum = format::log_header_checksum(h);
    auto const bytes = format::view_of(h);
    return {bytes.begin(), bytes.end()};
}
format::log_header header_of(small_log const& l, std::string_view name) {
    return format::load<format::log_header>(l.fs.bytes_of("box/" + std::string(name)));
}

std::optional<error> open_with_header(small_log& l, std::string const& name, format::log_header const& h) {
    auto bytes = l.fs.bytes_of("box/" + name);
    auto const head = header_bytes(h);
    std::copy(head.begin(), head.end(), bytes.begin());
    auto const damaged = l.fs.clone();
    small_log::damaged_in(damaged, name, bytes);
    auto log = l.log(damaged);
    auto failed = test::run(try_to_open, log);
    CHECK(damaged.bytes_of("box/" + name) == bytes);
    return failed;
}

}  // namespace

TEST_CASE("log damage: any single bit flipped leaves a part of the true state, or an error with file and offset") {
    small_log l;
    for (std::string const name : {"log.1", "log.2"}) {
        auto const bytes = l.fs.bytes_of("box/" + name);
        for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
            auto flipped = bytes;
            flipped[bit / 8] ^= std::byte{1} << bit % 8;
            l.check(name, flipped, bit % 2 == 1);
        }
    }
    CHECK(l.opened > 1000);
}

TEST_CASE("log damage: any length cut leaves a part of the true state, or an error with file and offset") {
    small_log l;
    for (std::string const name : {"log.1", "log.2"}) {
        auto const bytes = l.fs.bytes_of("box/" + name);
        for (std::size_t size = 0; size < bytes.size(); ++size) {
            std::vector<std::byte> const cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
            for (bool const later_boot : {false, true}) l.check(name, cut, later_boot);
        }
    }
    CHECK(l.opened > 100);
}

TEST_CASE("log damage: any page zeroed or filled with garbage leaves a part of the true state, or an error") {
    small_log l;
    std::string const name = "log.2";
    auto const bytes = l.fs.bytes_of("box/" + name);
    for (std::size_t size : {8U, 64U, 100U, 512U})
        for (std::size_t at = 0; at + size < bytes.size(); at += 8)
            for (auto const fill : {std::byte{0}, std::byte{0xa7}, std::byte{0xff}}) {
                auto filled = bytes;
                std::fill_n(filled.begin() + static_cast<std::ptrdiff_t>(at), size, fill);
                l.check(name, filled, at % 16 == 0);
            }
    CHECK(l.opened > 100);
}

TEST_CASE("log damage: a log of a newer version is refused by name, and nothing is changed") {
    small_log l;
    auto h = header_of(l, "log.2");
    h.major = 2;
    auto const major = open_with_header(l, "log.2", h);
    CHECK(major->code() == errc::newer_version);
    CHECK(major->file() == "box/log.2");
    CHECK(major->offset() == 8);
    h = header_of(l, "log.2");
    h.features_required = std::uint64_t{1} << 40;
    auto const features = open_with_header(l, "log.2", h);
    CHECK(features->code() == errc::newer_version);
    CHECK(features->offset() == 48);
    h = header_of(l, "log.2");
    h.minor = 99;
    h.features_optional = 77;
    auto const minor = open_with_header(l, "log.2", h);
    CHECK(!minor);
}

TEST_CASE("log damage: a header that contradicts the file's name, its object or the log before it is refused") {
    small_log l;
    auto h = header_of(l, "log.2");
    h.number = 3;
    CHECK(open_with_header(l, "log.2", h)->code() == errc::corrupt);
    h = header_of(l, "log.2");
    h.seal_offset = 0;
    CHECK(open_with_header(l, "log.2", h)->offset() == 104);
    h = header_of(l, "log.2");
    h.epoch = epoch_max + 1;
    CHECK(open_with_header(l, "log.2", h)->offset() == 80);
    h = header_of(l, "log.2");
    h.seal_offset = 1U << 30;
    auto const beyond = open_with_header(l, "log.2", h);
    CHECK(beyond->code() == errc::corrupt);
    CHECK(beyond->file() == "box/log.1");
}

TEST_CASE("log damage: a record of an unknown kind is named by file and offset") {
    small_log l;
    auto bytes = l.fs.bytes_of("box/log.2");
    auto const at = bytes.size();
    format::record_header r;
    r.kind = 99;
    format::encode_record(bytes, r, {}, format::record_seed(header_of(l, "log.2").nonce));
    small_log::damaged_in(l.fs, "log.2", bytes);
    auto log = l.log(l.fs);
    auto const failed = test::run(try_to_open, log);
    CHECK(failed->code() == errc::newer_version);
    CHECK(failed->file() == "box/log.2");
    CHECK(failed->offset() == at);
}

TEST_CASE("log damage: a file that no log can be, in size or kind, is refused at once") {
    test::temporary_directory const root;
    posix_fs fs(root.path());
    lockless_log::on<posix_fs, test_host, tiny_state> log(fs, {}, "box", {});
    test::run([&]() -> asio::awaitable<void> { co_await log.create(object, {{0, 1}, 1}, {}, {}); });
    std::filesystem::resize_file(root.path() + "/box/log.1", format::log_size_max + 1);
    try {
        test::run([&] { return log.open(); });
        CHECK(false);
    } catch (error const& e) {
        CHECK(e.code() == errc::too_big);
        CHECK(e.file() == "box/log.1");
    }
    std::filesystem::resize_file(root.path() + "/box/log.1", 0);
    try {
        test::run([&] { return log.open(); });
        CHECK(false);
    } catch (error const& e) {
        CHECK(e.code() == errc::corrupt);
        CHECK(std::string(e.what()).find("box/log.1, offset 0: ends inside the log header") != std::string::npos);
    }
}

TEST_CASE("log damage: names that are no log's are passed over") {
    small_log l;
    for (auto const* name :
         {"log.", "log.x", "log.01", "log.0", "log.-1", "log.99999999999999999999999", "log.3~", "index.", "index.2x"})
        small_log::damaged_in(l.fs, name, {});
    auto log = l.log(l.fs);
    auto const failed = test::run(try_to_open, log);
    CHECK(!failed);
    CHECK(log.machine().messages == l.state.messages);
}
