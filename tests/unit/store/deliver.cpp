// SPDX-License-Identifier: BSL-1.0
#include <mailfs/store/deliver.hpp>

#include "store_fixture.hpp"

#include <doctest/doctest.h>

#include <chrono>

using namespace mailfs;
using namespace mailfs::test;

namespace {

std::vector<recipient> people(int count) {
    std::vector<recipient> all;
    for (int n = 0; n < count; ++n) all.push_back({"user" + std::to_string(n)});
    return all;
}

}  // namespace

TEST_CASE_TEMPLATE("deliver: each recipient has a copy, and what fails for one is told for that one", On, memory_single, network_multi) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto const body = bytes_view(as_bytes("Subject: to all\r\n\r\n"));
        auto to = people(20);
        to.push_back({"user3"});
        to.push_back({"user4", "Not there"});
        to.push_back({"", "INBOX"});
        new_message message;
        message.bytes = body;
        message.flags = flag::flagged;
        auto const done = co_await mailfs::deliver(s, to, message);
        REQUIRE(done.size() == to.size());
        for (std::size_t n = 0; n < to.size(); ++n) {
            bool const fails = n >= 21;
            CHECK((done[n].uid == 0) == fails);
            CHECK(static_cast<bool>(done[n].error) == fails);
            CHECK(done[n].reason.empty() == !fails);
        }
        CHECK(done[21].error == errc::not_found);
        CHECK(done[22].error == errc::bad_name);
        for (int n = 0; n < 20; ++n) {
            auto account = co_await s.account("user" + std::to_string(n));
            auto box = co_await account.open("INBOX");
            CHECK(box.view().messages() == (n == 3 ? 2 : 1));
            auto const read = co_await box.read(box.view().uid(1));
            CHECK(text_of(read) == text_of(body));
            CHECK(box.view().flags(box.view().uid(1)) == flag::flagged);
        }
    });
}

TEST_CASE("deliver: recipients do not wait for each other") {
    network_multi::fs const slow(latency_fs<memory_fs>(memory_fs(), fs_delays::all(std::chrono::milliseconds(3))));
    run([&]() -> asio::awaitable<void> {
        auto const timed = [&](int count) -> asio::awaitable<double> {
            network_multi::store s(slow, store_options{}, ticking_host(1));
            new_message message;
            message.bytes = as_bytes("a message");
            auto const to = people(count);
            auto const begun = std::chrono::steady_clock::now();
            auto const done = co_await mailfs::deliver(s, to, message);
            for (auto const& d : done) CHECK(!d.error);
            co_return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
        };
        co_await timed(16);  // makes the accounts
        auto const one = co_await timed(1);
        auto const all = co_await timed(16);
        CHECK(all < 10 * one);  // 16 one after the other
    });
}
