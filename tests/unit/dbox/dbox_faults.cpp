// SPDX-License-Identifier: BSL-1.0
// Mail formats over a filesystem that goes wrong at every call in turn.
#include "dbox_fixture.hpp"
#include "support/run.hpp"

#include <mailfs/fs/counting_fs.hpp>
#include <mailfs/fs/faulty_fs.hpp>
#include <mailfs/fs/latency_fs.hpp>
#include <mailfs/fs/memory_fs.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/this_coro.hpp>

#include <doctest/doctest.h>

#include <array>
#include <exception>

using namespace mailfs;
using namespace mailfs::test;

namespace {

using faulty = faulty_fs<memory_fs>;
using single = single_dbox<faulty, fixed_host>;
using multi = multi_dbox<faulty, fixed_host>;

struct written {
    guid id;
    mail_location at;
    bytes body;
    durability d;
};

/// Twelve writes of one to three mails at either durability, files small enough that new ones begin on the way.
/// Goes on after an error; returns what was acknowledged.
template <class M>
asio::awaitable<std::vector<written>> twelve_writes(faulty fs) {
    auto format = make_format<M>(fs, {.file_size_max = 3000});
    std::vector<written> acknowledged;
    std::uint64_t n = 0;
    for (std::size_t round = 0; round < 12; ++round) {
        auto const d = round % 3 == 0 ? durability::none : durability::stored;
        std::vector<bytes> bodies;
        std::vector<mail_to_write> mails;
        for (std::size_t k = 0; k <= round % 3; ++k) bodies.push_back(noise(round * 60 + k, round + 1));
        for (auto const& body : bodies) mails.push_back({numbered(++n), 0, body});
        std::vector<mail_location> places;
        try {
            places = co_await format.write(mails, d);
        } catch (error const&) {
            continue;
        }
        for (std::size_t k = 0; k < mails.size(); ++k) acknowledged.push_back({mails[k].id, places.at(k), bodies[k], d});
    }
    co_return acknowledged;
}

/// How many of these can't be read as they were written; `tolerated` counts the missing and damaged of durability none.
template <class M, class Fs>
asio::awaitable<int> count_lost(Fs fs, std::vector<written> const& mails, int& tolerated) {
    auto format = make_format<M>(fs, {}, 99);
    int lost = 0;
    for (auto const& mail : mails) {
        auto const result = co_await try_read(format, mail.id, mail.at);
        bool const excused = mail.d == durability::none && (result.is(errc::body_missing) || result.is(errc::corrupt));
        if (result.body == mail.body) continue;
        if (excused) ++tolerated;
        else ++lost;
    }
    auto const id = numbered(1'000'000);
    auto const body = noise(500);
    auto const at = co_await write_one(format, id, body, durability::stored);
    auto const read = co_await format.read(id, at);
    if (read != body) ++lost;
    co_return lost;
}

template <class M>
asio::awaitable<mail_location> write_stored(M& format, std::uint64_t n) {
    auto const body = noise(100, n);
    co_return co_await write_one(format, numbered(n), body, durability::stored);
}

}  // namespace

TEST_CASE_TEMPLATE("dbox: a disk that is full at any byte fails the write alone, and with room again all goes on", M, single,
                   multi) {
    for (std::uint64_t room = 0; room < 700; ++room) {
        run([&]() -> asio::awaitable<void> {
            faulty const fs;
            auto format = make_format<M>(fs);
            auto const a = co_await write_one(format, numbered(1), noise(100, 1), durability::stored);
            fs.faults().disk_full_after(room);
            auto const first = co_await try_write(format, numbered(2), noise(200, 2), durability::stored);
            auto const second = co_await try_write(format, numbered(3), noise(800, 3), durability::stored);
            fs.faults().disk_has_room();
            REQUIRE(second);
            CHECK(second->code() == errc::no_space);
            if (first) CHECK(first->code() == errc::no_space);
            auto const b = co_await write_one(format, numbered(4), noise(300, 4), durability::stored);
            auto const body_a = co_await format.read(numbered(1), a);
            auto const body_b = co_await format.read(numbered(4), b);
            CHECK(body_a == noise(100, 1));
            CHECK(body_b == noise(300, 4));
        });
    }
}

TEST_CASE_TEMPLATE("dbox: whichever call fails, what was acknowledged is there and later writes succeed", M, single, multi) {
    std::size_t failures = 0;
    for (auto const verb : {fs_verb::create, fs_verb::open, fs_verb::append, fs_verb::sync}) {
        for (int answer_lost = 0; answer_lost < 2; ++answer_lost) {
            for (std::uint64_t nth = 1;; ++nth) {
                faulty const fs;
                if (answer_lost) fs.faults().lose_answer(verb, nth);
                else fs.faults().fail(verb, nth);
                auto const mails = run([&] { return twelve_writes<M>(fs); });
                int tolerated = 0;
                auto const lost = run([&] { return count_lost<M>(faulty(fs.inner()), mails, tolerated); });
                CHECK(lost == 0);
                CHECK(tolerated == 0);
                CHECK(mails.size() >= 21);  // of 24: one failed write costs its own mails only
                if (fs.faults().calls(verb) < nth) break;
                ++failures;
            }
        }
    }
    CHECK(failures >= 24);
}

TEST_CASE_TEMPLATE("dbox: stopped at any call, by kill or power cut, acknowledged mail is there as its durability says", M,
                   single_dbox<memory_fs, fixed_host>, multi_dbox<memory_fs, fixed_host>) {
    using writer = std::conditional_t<std::same_as<M, single_dbox<memory_fs, fixed_host>>, single, multi>;
    int points = 0, lost = 0, killed_lost = 0, tolerated = 0, none = 0;
    for (std::uint64_t nth = 1;; ++nth) {
        faulty const fs;
        fs.faults().stop_at(nth, nth);
        auto const mails = run([&] { return twelve_writes<writer>(fs); });
        killed_lost += run([&] { return count_lost<M>(memory_fs(fs.after(power_cut::keep_all, 1)), mails, none); });
        for (auto const how : {power_cut::lose_all, power_cut::cut, power_cut::appends, power_cut::pages, power_cut::garbage,
                               power_cut::any}) {
            for (std::uint64_t seed = 0; seed < 8; ++seed, ++points)
                lost += run([&] { return count_lost<M>(fs.after(how, seed), mails, tolerated); });
        }
        if (!fs.faults().stopped()) break;
    }
    CHECK(lost == 0);
    CHECK(killed_lost == 0);
    CHECK(none == 0);  // a kill alone costs nothing, whatever the durability
    CHECK(tolerated > 0);
    CHECK(points >= 1000);
}

TEST_CASE("multi_dbox: after a failed sync nothing is promised for that file again") {
    run([]() -> asio::awaitable<void> {
        faulty const fs;
        auto format = make_format<multi>(fs);
        auto const a = co_await write_one(format, numbered(1), noise(10, 1), durability::stored);
        fs.faults().fail(fs_verb::sync, 1);
        auto const failed = co_await try_write(format, numbered(2), noise(10, 2), durability::stored);
        REQUIRE(failed);
        CHECK(failed->code() == errc::io);
        auto const c = co_await write_one(format, numbered(3), noise(10, 3), durability::stored);
        CHECK(c.file != a.file);
    });
}

TEST_CASE("multi_dbox: a cancelled write costs no other its mail, wherever it stood") {
    using slow = counting_fs<latency_fs<memory_fs>>;
    for (std::size_t cancelled = 0; cancelled < 4; ++cancelled) {
        struct moment {
            std::uint64_t append, sync;
        };
        for (auto const when : {moment{0, 0}, {1, 0}, {2, 0}, {2, 1}, {2, 2}}) {  // as soon as so many calls have begun
            run([&]() -> asio::awaitable<void> {
                constexpr auto delay = std::chrono::milliseconds(8);
                slow const fs(latency_fs<memory_fs>(memory_fs(), {.append = delay, .sync = delay}));
                auto format = make_format<multi_dbox<slow, fixed_host>>(fs);
                std::array<std::optional<mail_location>, 4> places;
                std::array<asio::cancellation_signal, 4> signals;
                std::size_t ended = 0;
                auto const executor = co_await asio::this_coro::executor;
                for (std::size_t n = 0; n < 4; ++n) {
                    auto const end = [&, n](std::exception_ptr failure, mail_location at) {
                        if (!failure) places[n] = at;
                        ++ended;
                    };
                    asio::co_spawn(executor, write_stored(format, n), asio::bind_cancellation_slot(signals[n].slot(), end));
                }
                auto const& counts = fs.counts();
                for (int tries = 0; tries < 1000 && (counts.append < when.append || counts.sync < when.sync); ++tries)
                    co_await mailfs::detail::delay(std::chrono::milliseconds(1));
                signals[cancelled].emit(asio::cancellation_type::terminal);
                for (int tries = 0; ended < 4 && tries < 1000; ++tries)
                    co_await mailfs::detail::delay(std::chrono::milliseconds(1));
                REQUIRE(ended == 4);
                for (std::size_t n = 0; n < 4; ++n) {
                    if (n != cancelled) CHECK(places[n]);
                    if (!places[n]) continue;
                    auto const body = co_await format.read(numbered(n), *places[n]);
                    CHECK(body == noise(100, n));
                }
                auto const later = co_await try_write(format, numbered(9), noise(9), durability::stored);
                CHECK(!later);
            });
        }
    }
}
