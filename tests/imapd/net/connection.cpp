// SPDX-License-Identifier: BSL-1.0
#include "net/connection.hpp"

#include "limits.hpp"
#include "net/read_line.hpp"

#include <doctest/doctest.h>

#include <asio/co_spawn.hpp>
#include <asio/connect.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/io_context.hpp>
#include <asio/read.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

using namespace imapd;
using namespace std::chrono_literals;
using net::connection;
using net::ending;

namespace {

/// A connection of ours and the client's end of it.
struct pair {
    explicit pair(asio::io_context& context, std::chrono::steady_clock::duration idle_time = 10s) : client(context) {
        asio::ip::tcp::acceptor acceptor(context, asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0));
        client.connect(acceptor.local_endpoint());
        ours = std::make_shared<connection>(acceptor.accept());
        ours->start(idle_time);
    }
    ~pair() { ours->close(); }
    void say(std::string_view text) { asio::write(client, asio::buffer(text)); }
    std::string rest() {  ///< all that was sent, once our end is closed
        std::string out(1000, '\0');
        std::error_code end;
        out.resize(asio::read(client, asio::buffer(out), end));
        return out;
    }

    asio::ip::tcp::socket client;
    std::shared_ptr<connection> ours;
};

template <class Body>
void run(Body body) {
    asio::io_context context(1);
    std::exception_ptr failed;
    asio::co_spawn(context, body(context), [&](std::exception_ptr error) { failed = error; });
    context.run_for(20s);
    CHECK(context.stopped());  // nothing waits any more, not even the watch
    if (failed) std::rethrow_exception(failed);
}

}  // namespace

TEST_CASE("connection: a silent client is ended after its time, and told") {
    run([](asio::io_context& context) -> asio::awaitable<void> {
        pair p(context, 30ms);
        auto const start = std::chrono::steady_clock::now();
        bool const more = co_await p.ours->fill();
        CHECK_FALSE(more);
        CHECK(p.ours->why() == ending::timeout);
        CHECK(std::chrono::steady_clock::now() - start >= 30ms);
        co_await p.ours->say_farewell("bye");
        CHECK(p.rest() == "bye");
    });
}

TEST_CASE("connection: a client that does not read is given up in time") {
    run([](asio::io_context& context) -> asio::awaitable<void> {
        pair p(context, 30ms);
        std::string const much(64 << 20, 'x');
        auto ended = ending::none;
        asio::steady_timer soon(context, 50ms);
        soon.async_wait([ours = p.ours](auto) { ours->stop(); });
        try {
            co_await p.ours->write(much);
        } catch (net::hangup const& h) {
            ended = h.why;
        }
        CHECK(ended == ending::stopping);
        auto const start = std::chrono::steady_clock::now();
        co_await p.ours->say_farewell("bye");
        CHECK(std::chrono::steady_clock::now() - start < limits::farewell_time + 1s);
    });
}

TEST_CASE("connection: stopping wakes a reader, and what comes later does not wait") {
    run([](asio::io_context& context) -> asio::awaitable<void> {
        pair p(context);
        asio::steady_timer soon(context, 20ms);
        soon.async_wait([ours = p.ours](auto) { ours->stop(); });
        bool const more = co_await p.ours->fill();
        CHECK_FALSE(more);
        CHECK(p.ours->why() == ending::stopping);
        bool const again = co_await p.ours->fill();
        CHECK_FALSE(again);
    });
}

TEST_CASE("connection: a cancelled read loses nothing") {
    run([](asio::io_context& context) -> asio::awaitable<void> {
        using namespace asio::experimental::awaitable_operators;
        pair p(context);
        std::string seen;
        for (int i = 0; i < 200; ++i) {
            if (i % 3 != 0) p.say(std::to_string(i % 10));
            asio::steady_timer timer(context, std::chrono::microseconds(i % 7 * 20));
            co_await (p.ours->fill() || timer.async_wait(asio::use_awaitable));
            CHECK(p.ours->why() == ending::none);
            seen += p.ours->pending();
            p.ours->consume(p.ours->pending().size());
        }
        p.client.shutdown(asio::ip::tcp::socket::shutdown_send);
        bool more = true;
        while (more) {
            more = co_await p.ours->fill();
            seen += p.ours->pending();
            p.ours->consume(p.ours->pending().size());
        }
        std::string expected;
        for (int i = 0; i < 200; ++i)
            if (i % 3 != 0) expected += std::to_string(i % 10);
        CHECK(seen == expected);
        CHECK(p.ours->why() == ending::peer);
    });
}

TEST_CASE("read_line: lines, long lines and endless ones") {
    run([](asio::io_context& context) -> asio::awaitable<void> {
        pair p(context);
        p.say("one\r\ntwo\nthis one is too long\r\n\r\nrest");
        using net::line_status;
        auto const one = co_await net::read_line(*p.ours, 10);
        auto const two = co_await net::read_line(*p.ours, 10);
        auto const long_one = co_await net::read_line(*p.ours, 10);
        auto const empty = co_await net::read_line(*p.ours, 10);
        CHECK(one.line == "one");
        CHECK(two.line == "two");
        CHECK(long_one.status == line_status::too_long);
        CHECK(empty.status == line_status::line);
        CHECK(empty.line.empty());
        p.client.close();
        auto const none = co_await net::read_line(*p.ours, 10);
        CHECK(none.status == line_status::over);
    });
    run([](asio::io_context& context) -> asio::awaitable<void> {
        pair p(context);
        std::string const endless(limits::drain_size_max + 100'000, 'x');
        asio::co_spawn(
            context,
            [](pair& q, std::string const& text) -> asio::awaitable<void> {
                co_await asio::async_write(q.client, asio::buffer(text), asio::use_awaitable);
            }(p, endless),
            [](std::exception_ptr) {});
        auto const read = co_await net::read_line(*p.ours, 10);
        CHECK(read.status == net::line_status::over);
        p.ours->close();
    });
}
