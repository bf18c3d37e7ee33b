// SPDX-License-Identifier: BSL-1.0
#include <mailfs/host/sim_host.hpp>

#include <doctest/doctest.h>

using namespace mailfs;

TEST_CASE("sim_clock: the wall clock may be off, drift, jump and stand still; the steady one never falls") {
    sim_world world(1);
    sim_clock right(world), fast(world, 3'600'000, 10'000), slow(world, -1000, -10'000);
    auto const begin = fast.steady_ms();
    CHECK(right.now_ms() == sim_clock::world_began_ms);
    CHECK(fast.now_ms() == right.now_ms() + 3'600'000);
    world.run_for(100'000'000);
    CHECK(right.now_ms() == sim_clock::world_began_ms + 100'000);
    CHECK(fast.now_ms() == right.now_ms() + 3'601'000);
    CHECK(slow.now_ms() == right.now_ms() - 2000);
    CHECK(fast.steady_ms() == begin + 101'000);

    fast.jump(-5'000'000);
    CHECK(fast.now_ms() == right.now_ms() + 3'601'000 - 5'000'000);
    fast.stand_still();
    auto const stood = fast.now_ms();
    world.run_for(10'000'000);
    CHECK(fast.now_ms() == stood);
    CHECK(fast.steady_ms() == begin + 111'100);
    fast.go_on();
    CHECK(fast.now_ms() == stood + 10'100);
}

TEST_CASE("sim_clock: a wait lasts until the steady clock has gone on by so much") {
    sim_world world(1);
    for (std::int64_t const drift : {-10'000, 0, 10'000}) {
        sim_clock const clock(world, 0, drift);
        auto const begin = clock.steady_ms();
        world.run_for(clock.duration_of(2000));
        CHECK(clock.steady_ms() >= begin + 1999);
        CHECK(clock.steady_ms() <= begin + 2001);
    }
}

TEST_CASE("sim_host: randomness follows from the seed and the node; a boot is new after a power cut") {
    sim_world one(1), again(1), other(2);
    sim_host a(one, sim_clock(one), 1), same(again, sim_clock(again), 1), b(one, sim_clock(one), 2), c(other, sim_clock(other), 1);
    auto const word = a.random();
    CHECK(word == same.random());
    CHECK(word != b.random());
    CHECK(word != c.random());
    CHECK(a.node() == 1);
    auto const boot = a.boot();
    CHECK(boot != b.boot());
    auto copy = a;
    copy.boot_again();
    CHECK(a.boot() != boot);
}
