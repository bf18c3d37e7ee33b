// SPDX-License-Identifier: BSL-1.0
// Fetching through a mailbox: what is read of which messages, by how many calls, how soon, and what is left when it is given up.
#include <mailfs/store/mailbox.hpp>

#include "store_fixture.hpp"

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs::test::fetch_tests {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

std::string message_of(int n, std::size_t body, std::string_view end = "\r\n") {
    std::string text = "Subject: " + std::to_string(n) + std::string(end) + "X-Filler: " + std::string(50, 'x') + std::string(end);
    return text + std::string(end) + std::string(body, static_cast<char>('a' + n % 26));
}
uid_set up_to(uid_t last) {
    uid_set all;
    all.add(1, last);
    return all;
}
template <class Mailbox>
asio::awaitable<std::vector<std::string>> texts_of(Mailbox& box, uid_set uids, fetch_options options = {}) {
    std::vector<std::string> texts;
    auto mails = box.fetch(uids, options);
    while (true) {
        auto const one = co_await mails.next();
        if (!one) break;
        texts.push_back(one->error ? '<' + one->reason + '>' : text_of(one->bytes));
    }
    co_return texts;
}
fetch_options part_of(mail_part part) {
    fetch_options o;
    o.part = part;
    return o;
}

// Many messages by one transaction.
template <class Mailbox>
asio::awaitable<void> fill(Mailbox& box, int count, std::size_t size) {
    std::vector<std::string> texts;
    for (int n = 1; n <= count; ++n) texts.push_back(message_of(n, size));
    std::vector<new_message> messages;
    for (auto const& text : texts) messages.push_back({as_bytes(text), {}, {}, 1'600'000'000'000});
    co_await box.append(messages);
    co_await box.refresh();
}

// Sanitizers make the processor's part of the time several times as long.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr double ratio_max = 3;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr double ratio_max = 3;
#else
inline constexpr double ratio_max = 1.3;
#endif
#else
inline constexpr double ratio_max = 1.3;
#endif

network_fs network(fs_delays delays) { return network_fs(latency_fs<memory_fs>(memory_fs(), delays)); }
fs_delays slow_reads(milliseconds each) {
    fs_delays d;
    d.read = each;
    return d;
}

}  // namespace

TEST_CASE_TEMPLATE("fetch: headers end with their empty line, whatever they are like", On, memory_single, network_multi) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto alice = co_await s.account("alice");
        auto box = co_await alice.open("INBOX");
        std::string const longer = "Subject: long\r\nX-Long: " + std::string(50'000, 'l') + "\r\n\r\n";
        std::vector<std::pair<std::string, std::string>> const all{
            {message_of(1, 10), message_of(1, 0)},
            {message_of(2, 100'000), message_of(2, 0)},
            {message_of(3, 20'000, "\n"), message_of(3, 0, "\n")},
            {longer + "body", longer},
            {longer + std::string(100'000, 'b'), longer},
            {"\r\nno header", "\r\n"},
            {"\nno header", "\n"},
            {"", ""},
            {"no end", "no end"},
            {"Subject: no body\r\n", "Subject: no body\r\n"},
            {std::string(30'000, 'e'), std::string(30'000, 'e')},
            {message_of(12, 3000), message_of(12, 0)},
        };
        for (auto const& [text, header] : all) co_await deliver(box, text);
        co_await box.refresh();
        auto const headers = co_await texts_of(box, up_to(uid_max), part_of(mail_part::header()));
        REQUIRE(headers.size() == all.size());
        for (std::size_t i = 0; i < all.size(); ++i) CHECK(headers[i] == all[i].second);
        auto const parts = co_await texts_of(box, up_to(uid_max), part_of(mail_part::range(5, 3000)));
        for (std::size_t i = 0; i < all.size(); ++i) CHECK(parts[i] == (all[i].first.size() < 5 ? "" : all[i].first.substr(5, 3000)));
        auto const beyond = co_await texts_of(box, up_to(2), part_of(mail_part::range(1U << 30, 10)));
        CHECK(beyond == std::vector<std::string>{"", ""});
        auto const rest = co_await texts_of(box, up_to(2), part_of(mail_part::range(90'000, ~std::uint64_t{0})));
        CHECK(rest == std::vector<std::string>{"", all[1].first.substr(90'000)});
    });
}

TEST_CASE("fetch: headers and parts cost what they take, not what the messages are long") {
    store_fixture<network_multi> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto alice = co_await s.account("alice");
        auto box = co_await alice.open("INBOX");
        co_await fill(box, 100, 200'000);
        f.fs.counts().reset();
        auto const headers = co_await texts_of(box, up_to(100), part_of(mail_part::header()));
        CHECK(headers.size() == 100);
        CHECK(headers[41] == message_of(42, 0));
        CHECK(f.fs.counts().read <= 100 + 3);  // a header of each of three files
        CHECK(f.fs.counts().bytes_read <= 100 * (8192 + 200));
        f.fs.counts().reset();
        co_await texts_of(box, up_to(100), part_of(mail_part::range(100, 50)));
        CHECK(f.fs.counts().read == 100);
        CHECK(f.fs.counts().bytes_read <= 100 * (150 + 200));
    });
}

TEST_CASE("fetch: headers without end take no more of the window than others") {
    store_fixture<network_multi> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto alice = co_await s.account("alice");
        auto box = co_await alice.open("INBOX");
        std::string const endless(1'000'000, 'e');
        for (int n = 0; n < 64; ++n) co_await deliver(box, endless);
        co_await box.refresh();
        f.fs.counts().reset();
        auto mails = box.fetch(up_to(64), part_of(mail_part::header()));
        auto const one = co_await mails.next();
        CHECK(text_of(one->bytes) == endless);
        CHECK(f.fs.counts().bytes_read < 64 * (50 << 10) + 2'000'000);  // all others together, and that one
        int count = 1;
        while (auto const m = co_await mails.next()) count += m->bytes.size() == endless.size() ? 1 : 0;
        CHECK(count == 64);
    });
}

TEST_CASE("fetch: messages that lie side by side come by few calls") {
    store_fixture<network_multi> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto alice = co_await s.account("alice");
        auto box = co_await alice.open("INBOX");
        co_await fill(box, 1000, 2000);
        f.fs.counts().reset();
        auto const texts = co_await texts_of(box, up_to(1000));
        REQUIRE(texts.size() == 1000);
        for (int n = 1; n <= 1000; ++n) CHECK(texts[static_cast<std::size_t>(n - 1)] == message_of(n, 2000));
        CHECK(f.fs.counts().read <= 63 + 4);  // 1000 / 16, and the header of the file for whoever came first
        CHECK(f.fs.counts().open == 1);
        CHECK(f.fs.counts().size == 0);
        f.fs.counts().reset();
        auto const headers = co_await texts_of(box, up_to(1000), part_of(mail_part::header()));
        CHECK(headers[999] == message_of(1000, 0));
        CHECK(f.fs.counts().calls() <= 63);
    });
}

TEST_CASE("fetch: a thousand messages at 10 ms a read take sixteen times that, the first takes one") {
    for (std::size_t size : {2000U, 6000U}) {  // by runs of sixteen, or with 64 calls under way since they are far apart
        bool const apart = size == 6000;
        auto const fs = network(slow_reads(milliseconds(10)));
        run([&]() -> asio::awaitable<void> {
            network_multi::store s(fs, store_options{.durability = durability::none}, ticking_host(1));
            auto alice = co_await s.account("alice");
            auto box = co_await alice.open("INBOX");
            co_await fill(box, apart ? 2000 : 1000, size);
            uid_set wanted;
            for (uid_t n = 0; n < 1000; ++n) wanted.add(1 + n * (apart ? 2 : 1));
            fetch_options o;
            o.window = 64;
            double best = 1e9, first = 1e9;
            for (int tries = 0; tries < 10 && (best > ratio_max || first > 1.5); ++tries) {  // a busy machine is late
                network_multi::store fresh(fs, store_options{.durability = durability::none}, ticking_host(1));
                auto const begun = clock::now();
                auto mails = box.fetch(wanted, o);
                auto const one = co_await mails.next();
                auto const now = std::chrono::duration<double, std::milli>(clock::now() - begun).count() / 10;
                first = std::min(first, now);
                int count = 0;
                for (auto m = one; m; m = co_await mails.next()) count += m->error ? 0 : 1;
                CHECK(count == 1000);
                best = std::min(best, std::chrono::duration<double, std::milli>(clock::now() - begun).count() / 160);
            }
            MESSAGE("fetch.latency.ratio " << best << ", first message " << first);
            CHECK(best <= ratio_max);
            CHECK(first <= 1.5);
        });
    }
}

TEST_CASE("fetch: given up in the middle of ten thousand messages it leaves nothing running") {
    memory_fs const disk;
    auto const open = [&](milliseconds read) {
        return network_multi::store(network_fs(latency_fs<memory_fs>(disk, slow_reads(read))), store_options{.durability = durability::none}, ticking_host(1));
    };
    run([&]() -> asio::awaitable<void> {
        auto s = open(milliseconds(0));
        auto alice = co_await s.account("alice");
        auto box = co_await alice.open("INBOX");
        for (int n = 0; n < 10; ++n) co_await fill(box, 1000, 100);
    });
    asio::io_context context(1);
    clock::time_point given_up;
    auto work = [&]() -> asio::awaitable<void> {
        auto s = open(milliseconds(800));
        auto alice = co_await s.account("alice");
        auto box = co_await alice.open("INBOX");
        auto mails = box.fetch(up_to(10'000));
        for (int i = 0; i < 17; ++i) co_await mails.next();  // from then on more are under way
        given_up = clock::now();
    };
    asio::co_spawn(context, work(), asio::detached);
    context.run();
    CHECK(clock::now() - given_up < milliseconds(700));
}

TEST_CASE("fetch: given up after the first message it leaves no file open") {
    store_fixture<posix_multi> f;
    auto const open_files = [&] {
        int count = 0;
        for (auto const& each : std::filesystem::directory_iterator("/proc/self/fd")) {
            std::error_code ignored;
            if (std::filesystem::read_symlink(each, ignored).string().starts_with(f.root.path() + '/')) ++count;
        }
        return count;
    };
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto alice = co_await s.account("alice");
        auto box = co_await alice.open("INBOX");
        for (int n = 0; n < 10; ++n) co_await fill(box, 1000, 10'000);
        auto const idle = open_files();
        {
            auto mails = box.fetch(up_to(10'000));
            auto const one = co_await mails.next();
            CHECK(one->bytes.size() > 10'000);
        }
        CHECK(open_files() <= idle + 1);  // what the account keeps open for the next reader
    });
    CHECK(open_files() == 0);
}

TEST_CASE("fetch: what was announced is there when it is asked for, and is read once") {
    auto const fs = network(slow_reads(milliseconds(5)));
    run([&]() -> asio::awaitable<void> {
        network_multi::store s(fs, store_options{.durability = durability::none}, ticking_host(1));
        auto alice = co_await s.account("alice");
        auto box = co_await alice.open("INBOX");
        co_await fill(box, 40, 1000);
        auto const header = part_of(mail_part::header());
        co_await box.will_need(up_to(10));
        co_await box.will_need(uid_set::one(20), header);
        co_await mailfs::detail::delay(milliseconds(50));
        fs.counts().reset();
        auto const head = co_await texts_of(box, uid_set::one(20), header);
        CHECK(head == std::vector<std::string>{message_of(20, 0)});
        auto const ten = co_await texts_of(box, up_to(10));
        CHECK(ten.size() == 10);
        CHECK(ten[9] == message_of(10, 1000));
        CHECK(fs.counts().calls() == 0);
        auto const whole = co_await texts_of(box, uid_set::one(20));  // another part was announced
        CHECK(whole == std::vector<std::string>{message_of(20, 1000)});
        CHECK(fs.counts().read == 1);
        fs.counts().reset();
        for (uid_t uid = 1; uid <= 40; ++uid) co_await box.will_need(uid_set::one(uid));  // all but the last are forgotten
        co_await mailfs::detail::delay(milliseconds(50));
        fs.counts().reset();
        co_await texts_of(box, uid_set::one(32));
        CHECK(fs.counts().read == 1);
        co_await texts_of(box, uid_set::one(33));
        CHECK(fs.counts().read == 1);
        co_await box.will_need(uid_set::one(900));  // not there
        auto const nothing = co_await texts_of(box, uid_set::one(900));
        CHECK(nothing.empty());
    });
}

TEST_CASE("fetch: a copy into another account reads ahead, too") {
    auto const fs = network(slow_reads(milliseconds(5)));
    run([&]() -> asio::awaitable<void> {
        network_multi::store s(fs, store_options{.durability = durability::none}, ticking_host(1));
        auto alice = co_await s.account("alice"), bob = co_await s.account("bob");
        auto from = co_await alice.open("INBOX"), to = co_await bob.open("INBOX");
        co_await fill(from, 256, 1000);
        fs.counts().reset();
        auto const result = co_await from.copy_to(up_to(256), to);
        CHECK(result.uids.size() == 256);
        CHECK(fs.counts().read < 30);
        co_await to.refresh();
        auto const texts = co_await texts_of(to, up_to(256));
        REQUIRE(texts.size() == 256);
        CHECK(texts[255] == message_of(256, 1000));
    });
}

}  // namespace mailfs::test::fetch_tests
