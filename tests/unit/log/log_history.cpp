// SPDX-License-Identifier: BSL-1.0
#include <mailfs/log/log_history.hpp>

#include <mailfs/fs/faulty_fs.hpp>
#include <mailfs/fs/memory_fs.hpp>

#include "support/run.hpp"
#include "unit/log/log_fixture.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

using namespace mailfs;
using namespace mailfs::test;

namespace {

using log_type = lockless_log::on<memory_fs, test_host, tiny_state>;
using history_type = log_history<memory_fs, tiny_state>;

guid const object = guid::from_words(1, 2);
constexpr std::uint64_t minute_ms = 60'000;

// A journal whose states are remembered, each by the position and by the minute at which it was reached.
struct journal {
    memory_fs fs;
    test_host host;
    log_options options{.rotate_size_min = 1U << 20, .generations_kept = 100};
    std::uint64_t counter = 0;
    std::map<modseq_t, std::vector<std::byte>> by_modseq;
    std::map<std::uint64_t, std::vector<std::byte>> by_minute;

    log_type log() const { return log_type(fs, host, "box", options); }
    history_type history() const { return history_type(fs, "box", host.boot()); }

    asio::awaitable<void> create() {
        auto made = log();
        dot const id{{0, 1}, ++counter};
        bool const done = co_await made.create(object, id, stamp::at(host.now_ms()), {});
        CHECK(done);
    }
    asio::awaitable<void> append(log_type& log, tiny_transaction t) {
        host.in().now_ms += minute_ms;
        dot const id{{0, 1}, ++counter};
        auto const when = log.machine().stream().latest.next(host.now_ms());
        co_await log.append(id, when, t.bytes());
        remember(log);
    }
    void remember(log_type const& log) {
        auto const& m = log.machine();
        by_modseq[m.stream().at.modseq()] = m.dump();
        by_minute[m.stream().latest.milliseconds()] = m.dump();
    }
    /// Three generations, with a boot in the middle of the second.
    asio::awaitable<void> live() {
        co_await create();
        {
            auto first = log();
            co_await first.open();
            for (std::uint64_t i = 1; i <= 3; ++i) co_await append(first, tiny_transaction(i));
            co_await first.rotate();
            for (std::uint64_t i = 4; i <= 6; ++i) co_await append(first, tiny_transaction(i));
        }
        ++host.in().boot;
        auto second = log();
        co_await second.open();
        for (std::uint64_t i = 7; i <= 8; ++i) co_await append(second, tiny_transaction(i, 2));
        co_await second.rotate();
        co_await append(second, tiny_transaction::mark(1, 1));
    }

    std::vector<std::byte> bytes(std::string_view name) const { return fs.bytes_of("box/" + std::string(name)); }
    void put(std::string_view name, bytes_view b) { fs.put("box/" + std::string(name), b); }
    void rot(std::string_view name, std::uint64_t at) {
        auto b = bytes(name);
        b.at(static_cast<std::size_t>(at)) ^= std::byte{1};
        put(name, b);
    }
    asio::awaitable<void> remove(std::string_view name) {
        auto const path = "box/" + std::string(name);
        bool const gone = co_await fs.remove(path);
        CHECK(gone);
    }
    asio::awaitable<std::optional<error>> failure(log_cut cut = {}) {
        auto past = history();
        try {
            co_await past.load(cut);
        } catch (error const& e) {
            co_return e;
        }
        co_return std::nullopt;
    }
};

template <class Body>
void on_journal(Body body) {
    journal j;
    test::run([&]() -> asio::awaitable<void> {
        co_await j.live();
        co_await body(j);
    });
}

}  // namespace

TEST_CASE("history: each state that there was is found again by its position, byte for byte") {
    on_journal([](journal& j) -> asio::awaitable<void> {
        auto history = j.history();
        CHECK(j.by_modseq.size() == 9);
        for (auto const& [modseq, dump] : j.by_modseq) {
            auto const past = co_await history.load(log_cut::of_modseq(modseq));
            CHECK(past->machine.dump() == dump);
            CHECK(past->machine.stream().at.modseq() == modseq);
            CHECK(past->is_newest == (modseq == j.by_modseq.rbegin()->first));
        }
    });
}

TEST_CASE("history: the state of a time is that of the last transaction up to then") {
    on_journal([](journal& j) -> asio::awaitable<void> {
        auto history = j.history();
        for (auto const& [ms, dump] : j.by_minute)
            for (auto const later : {std::uint64_t{0}, std::uint64_t{1}, minute_ms - 1}) {
                auto const past = co_await history.load(log_cut::of_time(ms + later));
                tiny_state expected;
                auto copy = dump;
                expected.load(copy, "expected");
                CHECK(past->machine.messages == expected.messages);
                CHECK(past->machine.stream().latest == expected.stream().latest);
            }
    });
}

TEST_CASE("history: the newest state is what a log has, and reading it changes no file") {
    on_journal([](journal& j) -> asio::awaitable<void> {
        auto const paths = j.fs.paths();
        std::vector<std::vector<std::byte>> before;
        for (auto const& p : paths) before.push_back(j.fs.bytes_of(p));
        ++j.host.in().boot;
        auto history = j.history();
        auto const past = co_await history.load();
        CHECK(past->is_newest);
        CHECK(past->machine.dump() == j.by_modseq.rbegin()->second);
        CHECK(j.fs.paths() == paths);
        for (std::size_t i = 0; i < paths.size(); ++i) CHECK(j.fs.bytes_of(paths[i]) == before[i]);
    });
}

TEST_CASE("history: a past that is not kept any more is an error that tells the oldest there is") {
    on_journal([](journal& j) -> asio::awaitable<void> {
        auto const middle = std::next(j.by_modseq.begin(), 3)->first;
        co_await j.remove("log.1");
        auto const by_position = co_await j.failure(log_cut::of_modseq(1));
        REQUIRE(by_position);
        CHECK(by_position->code() == errc::past_gone);
        CHECK(std::string(by_position->what()).find("index.2, at MODSEQ 3") != std::string::npos);
        auto const by_time = co_await j.failure(log_cut::of_time(j.by_minute.begin()->first));
        REQUIRE(by_time);
        CHECK(by_time->code() == errc::past_gone);
        auto const kept = co_await j.failure(log_cut::of_modseq(middle));
        CHECK(!kept);
    });
}

TEST_CASE("history: a time before the log began is an error") {
    on_journal([](journal& j) -> asio::awaitable<void> {
        auto const early = co_await j.failure(log_cut::of_time(1000));
        REQUIRE(early);
        CHECK(early->code() == errc::past_gone);
    });
}

TEST_CASE("history: a damaged snapshot is passed over for the one before") {
    on_journal([](journal& j) -> asio::awaitable<void> {
        j.put("index.3", as_bytes("rubbish"));
        auto history = j.history();
        auto const past = co_await history.load();
        CHECK(past->snapshot == 2);
        CHECK(past->machine.messages.size() == 10);
        j.put("index.2", as_bytes("rubbish"));
        auto const all = co_await history.load();
        CHECK(all->snapshot == 0);
        CHECK(all->machine.dump() == j.by_modseq.rbegin()->second);
    });
}

TEST_CASE("history: a log that is gone in between is an error that names it, beyond what the one before tells") {
    on_journal([](journal& j) -> asio::awaitable<void> {
        co_await j.remove("index.3");
        co_await j.remove("log.2");
        auto const newest = co_await j.failure();
        REQUIRE(newest);
        CHECK(newest->code() == errc::corrupt);
        CHECK(newest->file() == "box/log.2");
        auto history = j.history();
        auto const past = co_await history.load(log_cut::of_modseq(2));
        CHECK(past->machine.messages.size() == 2);
    });
}

TEST_CASE("history: generations are told with their sizes, and a damaged header with its fault") {
    on_journal([](journal& j) -> asio::awaitable<void> {
        j.rot("log.2", 40);
        auto history = j.history();
        auto const all = co_await history.generations();
        REQUIRE(all.size() == 3);
        CHECK(all[0].number == 1);
        CHECK(!all[0].snapshot_size);
        CHECK(all[0].log_size == j.bytes("log.1").size());
        CHECK(all[0].start() == position{});
        CHECK(!all[1].header);
        CHECK(all[1].header_fault.find("box/log.2, offset 0") != std::string::npos);
        CHECK(all[2].snapshot_size == j.bytes("index.3").size());
        CHECK(all[2].start() == position{16, 2});
        CHECK(all[2].created_ms() > all[0].created_ms());
    });
}

TEST_CASE("history: walking a log tells each record and the damage between, and no byte twice") {
    on_journal([](journal& j) -> asio::awaitable<void> {
        auto history = j.history();
        auto const sound = co_await history.contents(2);
        std::vector<log_entry> entries;
        auto walker = sound.walk();
        while (auto const e = walker.next()) entries.push_back(*e);
        REQUIRE(entries.size() == 7);  // three transactions, restart, two more, seal
        CHECK(entries[3].record->kind() == format::record_kind::restart);
        CHECK(entries[6].record->kind() == format::record_kind::seal);
        j.rot("log.2", entries[1].offset + 20);
        auto const hurt = co_await history.contents(2);
        auto again = hurt.walk();
        std::uint64_t at = sizeof(format::log_header);
        for (std::size_t i = 0; i < entries.size(); ++i) {
            auto const e = again.next();
            REQUIRE(e);
            CHECK(e->offset == at);
            CHECK(e->size == entries[i].size);
            CHECK(e->record.has_value() == (i != 1));
            CHECK(!e->torn);
            at += e->size;
        }
        CHECK(!again.next());
        CHECK(at == hurt.bytes.size());
    });
}

TEST_CASE("history: what is being appended is not there yet, and a log without an end is read as far as it goes") {
    on_journal([](journal& j) -> asio::awaitable<void> {
        auto cut = j.bytes("log.3");
        cut.resize(cut.size() - 1);
        j.put("log.3", cut);
        auto history = j.history();
        auto const past = co_await history.load();
        auto const before = std::prev(j.by_modseq.end(), 2);
        CHECK(past->machine.dump() == before->second);
        CHECK(past->is_newest);
    });
}

TEST_CASE("history: whatever one byte of a log becomes, no message gets another's number, or an error names the file") {
    journal whole;
    test::run([&]() -> asio::awaitable<void> { co_await whole.live(); });
    tiny_state truth;
    auto newest = whole.by_modseq.rbegin()->second;
    truth.load(newest, "truth");
    for (auto const& path : whole.fs.paths()) {
        if (path.find("log.") == path.npos) continue;  // the tiny snapshot has no checksums
        auto const bytes = whole.fs.bytes_of(path);
        for (std::size_t at = 0; at < bytes.size(); ++at) {
            journal j = whole;
            j.fs = whole.fs.clone();
            auto hurt = bytes;
            hurt[at] ^= std::byte{0x10};
            j.fs.put(path, hurt);
            test::run([&]() -> asio::awaitable<void> {
                auto history = j.history();
                try {
                    auto const past = co_await history.load();
                    for (auto const& [id, m] : past->machine.messages) CHECK(truth.messages.at(id).value == m.value);
                } catch (error const& e) {
                    CHECK(!e.file().empty());
                }
            });
        }
    }
}
