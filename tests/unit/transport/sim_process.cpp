// SPDX-License-Identifier: BSL-1.0
#include <mailfs/transport/sim_process.hpp>

#include <mailfs/detail/turns.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using namespace mailfs;

namespace {

struct counted {
    explicit counted(int& n) : n_(&n) { ++*n_; }
    ~counted() { --*n_; }
    counted(counted const&) = delete;
    counted& operator=(counted const&) = delete;
    int* n_;
};

asio::awaitable<void> sleep_and_tell(std::shared_ptr<sim_process> p, sim_time time, std::string name, std::vector<std::string>* told) {
    co_await p->sleep(time);
    told->push_back(name + "@" + std::to_string(p->world().now()));
}
asio::awaitable<void> sleep_with(std::shared_ptr<sim_process> p, sim_time time, int* alive) {
    counted const one(*alive);
    co_await p->sleep(time);
}
asio::awaitable<void> take_turn(std::shared_ptr<sim_process> p, detail::turns* turns, int* alive) {
    counted const one(*alive);
    if (!turns->try_take()) co_await turns->wait();
    detail::turn const mine(*turns);
    co_await p->sleep(1000);
}
asio::awaitable<void> spin(std::shared_ptr<sim_process> p) {
    for (;;) {
        auto const ticket = p->ticket();
        asio::post(p->executor(), [p, ticket] { p->wake(ticket); });
        co_await p->park(ticket);
    }
}

}  // namespace

TEST_CASE("sim_world: events come in the order of their times, and of the calls where those are equal") {
    sim_world world(1);
    std::string order;
    world.after(20, [&] { order += 'c'; });
    world.after(10, [&] { order += 'a'; world.after(10, [&] { order += 'e'; }); });
    world.after(10, [&] { order += 'b'; });
    world.after(20, [&] { order += 'd'; });
    world.run_until(15);
    CHECK(order == "ab");
    CHECK(world.now() == 15);
    bool const done = world.run_until(100, [&] { return order.size() == 4; });
    CHECK(done);
    CHECK(order == "abcd");
    CHECK(world.now() == 20);
    world.run_for(5);
    CHECK(order == "abcde");
    CHECK(world.now() == 25);
}

TEST_CASE("sim_world: streams of chance follow from the seed and their name alone") {
    sim_world a(1), b(1), c(2);
    auto first = a.stream(7, 1, 2);
    auto other = a.stream(7, 2, 1);
    a.stream(9)();
    auto again = b.stream(7, 1, 2);
    auto elsewhere = c.stream(7, 1, 2);
    auto const drawn = first();
    CHECK(drawn == again());
    CHECK(drawn != other());
    CHECK(drawn != elsewhere());
}

TEST_CASE("sim_process: its coroutines sleep in simulated time") {
    sim_world world(1);
    auto const p = sim_process::start(world, 1);
    std::vector<std::string> told;
    p->spawn(sleep_and_tell(p, 3'600'000'000, "long", &told));
    p->spawn(sleep_and_tell(p, 500, "short", &told));
    world.run_for(7'200'000'000);
    CHECK(told == std::vector<std::string>{"short@500", "long@3600000000"});
}

TEST_CASE("sim_process: while it is paused nothing of it runs, and then all that was due does") {
    sim_world world(1);
    auto const p = sim_process::start(world, 1);
    std::vector<std::string> told;
    p->spawn(sleep_and_tell(p, 100, "a", &told));
    p->spawn(sleep_and_tell(p, 50, "b", &told));
    world.run_until(10);
    p->pause();
    world.run_until(5000);
    CHECK(told.empty());
    p->go_on();
    world.run_until(5000);
    CHECK(told == std::vector<std::string>{"b@5000", "a@5000"});
}

TEST_CASE("sim_process: killed, its coroutines are destroyed where they stand") {
    sim_world world(1);
    auto const p = sim_process::start(world, 1);
    int alive = 0;
    bool ended = false;
    p->spawn(sleep_with(p, 1000, &alive), [&](std::exception_ptr) { ended = true; });
    p->spawn(sleep_with(p, 1000, &alive));
    world.run_until(10);
    CHECK(alive == 2);
    p->spawn(sleep_with(p, 1000, &alive));  // has not begun
    p->kill();
    CHECK(alive == 0);
    CHECK_FALSE(p->alive());
    world.run_until(5000);
    CHECK_FALSE(ended);
    CHECK(alive == 0);
}

TEST_CASE("sim_process: who waits for a turn dies as well as who has it, whichever goes first") {
    for (std::uint64_t steps = 1; steps < 12; ++steps) {
        sim_world world(1);
        detail::turns turns;
        auto const p = sim_process::start(world, 1);
        int alive = 0;
        for (int i = 0; i < 4; ++i) p->spawn(take_turn(p, &turns, &alive));
        p->kill_after_steps(steps);
        world.run_until(1500);
        p->kill();
        CHECK(alive == 0);
    }
}

TEST_CASE("sim_process: who waits for a turn may die before the one who has it") {
    sim_world world(1);
    detail::turns turns;
    auto const p = sim_process::start(world, 1);
    int alive = 0;
    for (int i = 0; i < 4; ++i) p->spawn(take_turn(p, &turns, &alive));
    world.run_until(500);
    p->pause();
    world.run_until(1500);  // the first is to go on, and stands in a queue that goes last
    p->kill();
    CHECK(alive == 0);
}

TEST_CASE("sim_process: what it shares with the world may die before or after it") {
    int alive = 0;
    {
        auto world = std::make_unique<sim_world>(1);
        auto const p = sim_process::start(*world, 1);
        p->spawn(sleep_with(p, 1000, &alive));
        world->run_until(10);
        CHECK(alive == 1);
        world.reset();
        CHECK(alive == 0);
    }
}

TEST_CASE("sim_process: a coroutine that goes round and round while time stands still is found out") {
    sim_world world(1);
    auto const p = sim_process::start(world, 1);
    p->spawn(spin(p));
    CHECK_THROWS_AS(world.run_until(10), std::runtime_error);
}

TEST_CASE("sim_process: what a coroutine throws comes out of the world") {
    sim_world world(1);
    auto const p = sim_process::start(world, 1);
    p->spawn([]() -> asio::awaitable<void> {
        throw std::logic_error("violation");
        co_return;
    }());
    CHECK_THROWS_AS(world.run_until(10), std::logic_error);
}
