// SPDX-License-Identifier: BSL-1.0
#include <mailfs/store/fetch_pipeline.hpp>

#include <mailfs/error.hpp>

#include "support/run.hpp"

#include <doctest/doctest.h>

#include <asio/steady_timer.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

using namespace mailfs;

namespace {

// Reads take a while, the later ones less: what comes out in order did not finish in order.
struct slow_reader {
    struct counts {
        int under_way = 0, most = 0, begun = 0, cancelled = 0, finished = 0;
        std::size_t longest_run = 0;
    };
    std::shared_ptr<counts> seen = std::make_shared<counts>();
    std::chrono::milliseconds longest{5};
    std::uint64_t each = 10;
    uid_t broken = 0, together = 1, long_one = 0;

    std::uint64_t size(uid_t) const { return each; }
    bool reads_on(uid_t first_uid, uid_t last, uid_t next) const { return next == last + 1 && next - first_uid < together; }
    bool is_finished(mail const& m) const { return m.uid != long_one || m.bytes.size() > 10; }
    asio::awaitable<void> finish(mail& m) {
        ++seen->finished;
        if (seen->finished == 1) throw std::system_error(asio::error::operation_aborted);
        m.bytes = shared_bytes(std::vector<std::byte>(1000));
        co_return;
    }
    asio::awaitable<void> read(std::span<mail> run) {
        auto const c = seen;
        ++c->begun;
        c->longest_run = std::max(c->longest_run, run.size());
        auto const uid = run.front().uid;
        c->most = std::max(c->most, ++c->under_way);
        asio::steady_timer timer(co_await asio::this_coro::executor, longest / (1 + uid % 3));
        std::error_code ec;
        co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ec));
        --c->under_way;
        if (ec) ++c->cancelled;
        if (uid == broken) throw error(errc::body_missing, "file", 7, "not there");
        for (auto& m : run) {
            std::vector<std::byte> body;
            for (char digit : std::to_string(m.uid)) body.push_back(static_cast<std::byte>(digit));
            m.bytes = shared_bytes(std::move(body));
        }
    }
};

uid_set first(uid_t count) {
    uid_set set;
    set.add(1, count);
    return set;
}

asio::awaitable<void> pause(std::chrono::milliseconds time) {
    asio::steady_timer timer(co_await asio::this_coro::executor, time);
    co_await timer.async_wait(asio::use_awaitable);
}

template <class Pipeline>
asio::awaitable<std::vector<uid_t>> drain(Pipeline& mails) {
    std::vector<uid_t> uids;
    while (true) {
        auto const one = co_await mails.next();
        if (!one) break;
        uids.push_back(one->uid);
    }
    co_return uids;
}

}  // namespace

TEST_CASE("fetch: messages come in UID order, over gaps and up to the last UID there is") {
    test::run([]() -> asio::awaitable<void> {
        slow_reader reader;
        uid_set const uids{{1, 1}, {5, 7}, {900, 901}, {uid_max - 1, uid_max}};
        fetch_options const options{3, 1000, {}};
        fetch_pipeline<slow_reader> mails(reader, uids, options);
        auto const order = co_await drain(mails);
        CHECK(order == std::vector<uid_t>{1, 5, 6, 7, 900, 901, uid_max - 1, uid_max});
        auto const after = co_await mails.next();
        CHECK(!after.has_value());
    });
}

TEST_CASE("fetch: as many reads as the window says are under way, and no more") {
    for (std::size_t window : {0U, 1U, 4U, 64U}) {
        test::run([&]() -> asio::awaitable<void> {
            slow_reader reader;
            fetch_options const options{window, 1U << 20, {}};
            fetch_pipeline<slow_reader> mails(reader, first(40), options);
            auto const order = co_await drain(mails);
            CHECK(order.size() == 40);
            CHECK(reader.seen->most == static_cast<int>(std::clamp<std::size_t>(window, 1, 40)));
        });
    }
}

TEST_CASE("fetch: the window also ends at its bytes, but one body is always read") {
    test::run([]() -> asio::awaitable<void> {
        slow_reader reader;
        fetch_options const three{64, 35, {}};
        fetch_pipeline<slow_reader> mails(reader, first(20), three);
        auto order = co_await drain(mails);
        CHECK(order.size() == 20);
        CHECK(reader.seen->most == 3);
        slow_reader big;
        big.each = 1000;
        fetch_pipeline<slow_reader> single(big, first(5), three);
        order = co_await drain(single);
        CHECK(order.size() == 5);
        CHECK(big.seen->most == 1);
    });
}

TEST_CASE("fetch: nothing is read before it is asked for, and the next is under way while one is used") {
    test::run([]() -> asio::awaitable<void> {
        slow_reader reader;
        fetch_options const options{4, 1000, {}};
        fetch_pipeline<slow_reader> mails(reader, first(100), options);
        co_await pause(std::chrono::milliseconds(10));
        CHECK(reader.seen->begun == 0);
        co_await mails.next();
        co_await pause(std::chrono::milliseconds(20));
        CHECK(reader.seen->begun == 5);
    });
}

TEST_CASE("fetch: what lies side by side is read together, by quarters of the window, and bytes bound that, too") {
    test::run([]() -> asio::awaitable<void> {
        slow_reader reader;
        reader.together = 1000;
        fetch_options const wide{64, 1U << 20, {}};
        fetch_pipeline<slow_reader> mails(reader, first(1000), wide);
        auto const order = co_await drain(mails);
        CHECK(order.size() == 1000);
        CHECK(std::is_sorted(order.begin(), order.end()));
        CHECK(reader.seen->longest_run == 16);
        CHECK(reader.seen->begun == 63);
        CHECK(reader.seen->most == 4);
        slow_reader narrow;
        narrow.together = 1000;
        fetch_options const few{64, 35, {}};
        fetch_pipeline<slow_reader> bounded(narrow, first(20), few);
        auto const again = co_await drain(bounded);
        CHECK(again.size() == 20);
        CHECK(narrow.seen->longest_run == 3);
        CHECK(narrow.seen->most == 1);
    });
}

TEST_CASE("fetch: what is longer than its share of the window is finished when it is its turn, and again where that was cut short") {
    test::run([]() -> asio::awaitable<void> {
        slow_reader reader;
        reader.long_one = 3;
        fetch_pipeline<slow_reader> mails(reader, first(5), {});
        co_await mails.next();
        co_await mails.next();
        CHECK(reader.seen->finished == 0);
        bool cut_short = false;
        try {
            co_await mails.next();
        } catch (std::system_error const&) {
            cut_short = true;
        }
        CHECK(cut_short);
        auto const three = co_await mails.next();
        CHECK(three->uid == 3);
        CHECK(three->bytes.size() == 1000);
        auto const four = co_await mails.next();
        CHECK(four->uid == 4);
        CHECK(reader.seen->finished == 2);
    });
}

TEST_CASE("fetch: started, it reads before it is asked") {
    test::run([]() -> asio::awaitable<void> {
        slow_reader reader;
        fetch_options const options{4, 1000, {}};
        fetch_pipeline<slow_reader> mails(reader, first(100), options);
        mails.start(co_await asio::this_coro::executor);
        co_await pause(std::chrono::milliseconds(10));
        CHECK(reader.seen->begun == 4);
        CHECK(reader.seen->under_way == 0);
        auto const one = co_await mails.next();
        CHECK(one->uid == 1);
    });
}

TEST_CASE("fetch: what fails is told in its message and stops no other") {
    test::run([]() -> asio::awaitable<void> {
        slow_reader reader;
        reader.broken = 2;
        fetch_pipeline<slow_reader> mails(reader, first(3), {});
        auto const one = co_await mails.next();
        auto const two = co_await mails.next();
        auto const three = co_await mails.next();
        CHECK(!one->error);
        CHECK(two->uid == 2);
        CHECK(two->error == errc::body_missing);
        CHECK(two->reason.find("file, offset 7") != std::string::npos);
        CHECK(two->bytes.empty());
        CHECK(!three->error);
    });
}

TEST_CASE("fetch: a consumer that stops early cancels what is under way") {
    test::run([]() -> asio::awaitable<void> {
        slow_reader reader;
        reader.longest = std::chrono::minutes(10);
        auto const seen = reader.seen;
        {
            slow_reader quick = reader;
            fetch_options const options{8, 1000, {}};
            fetch_pipeline<slow_reader> mails(quick, first(100), options);
            auto waiting = [](fetch_pipeline<slow_reader>& p) -> asio::awaitable<void> { co_await p.next(); };
            asio::steady_timer stop(co_await asio::this_coro::executor, asio::steady_timer::time_point::max());
            asio::cancellation_signal cancel;
            bool ended = false;
            auto end = [&](std::exception_ptr) {
                ended = true;
                stop.cancel();
            };
            asio::co_spawn(co_await asio::this_coro::executor, waiting(mails),
                           asio::bind_cancellation_slot(cancel.slot(), end));
            co_await pause(std::chrono::milliseconds(5));
            CHECK(seen->under_way == 8);
            cancel.emit(asio::cancellation_type::all);  // the consumer's own wait ends,
            std::error_code ignored;
            if (!ended) co_await stop.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
            CHECK(ended);
            CHECK(seen->cancelled == 0);
        }
        co_await pause(std::chrono::milliseconds(5));
        CHECK(seen->under_way == 0);  // and the reads end with the pipeline
        CHECK(seen->cancelled == 8);
    });
}
