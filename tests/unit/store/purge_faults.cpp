// SPDX-License-Identifier: BSL-1.0
// Purge when its process is killed, or the power is cut, in any of its calls.
#include <mailfs/store/purge.hpp>

#include "purge_fixture.hpp"

#include <cstdlib>

namespace mailfs::test::purge_faults_tests {

namespace {

std::uint64_t number_from(char const* variable, std::uint64_t otherwise) {
    auto const* const text = std::getenv(variable);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}
/// More by hand: MAILFS_PURGE_SEEDS=10. Fewer under sanitizers: MAILFS_PURGE_STRIDE, each how manieth call is the last.
std::uint64_t seeds() { return number_from("MAILFS_PURGE_SEEDS", 1); }

template <class Fs>
using multi_on = store_on<Fs, multi_dbox>;
template <class Fs>
using single_on = store_on<Fs, single_dbox>;

struct in_multi {
    template <class Fs>
    using on = multi_on<Fs>;
};
struct in_single {
    template <class Fs>
    using on = single_on<Fs>;
};

store_options options_with(durability d) {
    auto options = purge_store_options(1500);
    options.durability = d;
    return options;
}

/// Twenty messages in two mailboxes, of which a few stay, some of them in both.
template <class On>
asio::awaitable<void> live(typename On::store& s) {
    auto a = co_await s.account("alice");
    co_await a.create("copies");
    auto box = co_await a.open("INBOX"), copies = co_await a.open("copies");
    for (std::uint64_t n = 0; n < 20; ++n) co_await deliver(box, body_of(n));
    uid_set const both{{5, 6}, {20, 20}};
    co_await box.copy_to(both, copies);
    co_await a.core()->make_mailbox(guid::from_words(3, 3), 9);  // an orphan
}
template <class On>
asio::awaitable<void> expunge_most(typename On::store& s) {
    auto a = co_await s.account("alice");
    auto box = co_await a.open("INBOX");
    uid_set const most{{1, 6}, {8, 16}, {18, 20}};
    co_await box.expunge(most, false);
}
using mail_map = std::map<std::string, std::vector<std::string>>;
mail_map const left{{"INBOX", {body_of(6), body_of(16)}}, {"copies", {body_of(4), body_of(5), body_of(19)}}};

template <class On>
asio::awaitable<void> purge_for_long(typename On::store& s, clocked_host host) {
    auto a = co_await s.account("alice");
    purger_on<On> purger(a);
    for (int rounds = 0; rounds < 5; ++rounds) {
        co_await round_of(purger);
        host.pass(grace);
    }
}

/// What another process finds, and that it finishes the work.
template <class On>
asio::awaitable<void> check(memory_fs fs, clocked_host host, bool may_be_back) {
    typename On::store s(fs, options_with(durability::stored), host);
    auto a = co_await s.account("alice");
    auto all = co_await everything(a);
    if (may_be_back) {
        for (auto const& [name, texts] : all)
            for (auto const& text : texts) CHECK_MESSAGE(text.starts_with("message "), text);
        auto const there = [&](std::string const& name, std::string const& text) {
            auto const& texts = all[name];
            CHECK(std::find(texts.begin(), texts.end(), text) != texts.end());
        };
        for (auto const& [name, texts] : left)
            for (auto const& text : texts) there(name, text);
        co_await expunge_most<On>(s);
    } else {
        CHECK(all == left);
    }
    auto const sum = co_await purge_all<On>(a, host);
    CHECK(sum.bytes_waiting == 0);
    all = co_await everything(a);
    CHECK(all == left);
    std::uint64_t size = 0;
    auto const files = co_await a.core()->mails.files();
    for (auto const& file : files) size += fs.bytes_of(file.path).size();
    CHECK(size < 2500);  // five messages, not twenty
    auto const boxes = co_await fs.list("alice/box");
    CHECK(boxes.size() == 2);
}

template <class In, class Find>
std::uint64_t each_call(durability of_expunge, std::uint64_t seeds, bool may_be_back, Find find) {
    auto const stride = number_from("MAILFS_PURGE_STRIDE", 1);
    std::uint64_t n = 1;
    for (bool stopped = true; stopped; n += stride) {
        for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
            CAPTURE(n);
            CAPTURE(seed);
            using on = typename In::template on<faulty_fs<>>;
            faulty_fs<> fs;
            clocked_host host;
            run([&]() -> asio::awaitable<void> {
                typename on::store s(fs, options_with(durability::stored), host);
                co_await live<on>(s);
                typename on::store t(fs, options_with(of_expunge), host);
                co_await expunge_most<on>(t);
            });
            fs.faults().stop_at(fs.faults().calls() + n, seed * 1000 + n);
            run([&]() -> asio::awaitable<void> {
                typename on::store s(fs, options_with(durability::stored), host);
                co_await failure_of(purge_for_long<on>(s, host));
            });
            stopped = fs.faults().stopped();
            run([&]() -> asio::awaitable<void> { co_await find(fs, host, seed * 1000 + n, may_be_back); });
        }
    }
    return n;
}

}  // namespace

TEST_CASE_TEMPLATE("purge: killed in any call it has lost nothing, and another finishes its work", In, in_multi, in_single) {
    auto const n = each_call<In>(durability::stored, 1, false, [](faulty_fs<> fs, clocked_host host, std::uint64_t, bool may) {
        return check<typename In::template on<memory_fs>>(fs.inner(), host, may);
    });
    CHECK(n > 150);
}

TEST_CASE_TEMPLATE("purge: when the power is cut in any call nothing is lost, and another finishes its work", In, in_multi, in_single) {
    auto const n = each_call<In>(durability::stored, seeds(), false, [](faulty_fs<> fs, clocked_host host, std::uint64_t seed, bool may) {
        return check<typename In::template on<memory_fs>>(fs.after(power_cut::any, seed), host.rebooted(), may);
    });
    CHECK(n > 150);
}

TEST_CASE_TEMPLATE("purge: an expunge that was not synced may come back with the power, and then the message does too", In, in_multi,
                   in_single) {
    auto const n = each_call<In>(durability::none, seeds(), true, [](faulty_fs<> fs, clocked_host host, std::uint64_t seed, bool may) {
        return check<typename In::template on<memory_fs>>(fs.after(power_cut::cut, seed), host.rebooted(), may);
    });
    CHECK(n > 150);
}

}  // namespace mailfs::test::purge_faults_tests
