// SPDX-License-Identifier: BSL-1.0
#include <mailfs/transport/sim_transport.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

using namespace mailfs;

namespace {

constexpr sim_time second = 1'000'000;

/// A node that takes what comes and keeps what it read.
struct node {
    node(sim_network& network, std::uint32_t number)
        : process(sim_process::start(network.world(), number)), transport(network, process, sim_clock(network.world())) {}

    void listen(bool reads = true) { process->spawn(take_all(this, reads)); }
    void dial(std::uint32_t to, std::string text) { process->spawn(speak(this, to, std::move(text))); }

    static asio::awaitable<void> take_all(node* self, bool reads) {
        try {
            for (;;) {
                auto link = co_await self->transport.accept();
                ++self->accepted;
                self->process->spawn(listen_to(self, std::move(link), reads));
            }
        } catch (error const& e) {
            self->endings.push_back(std::string("accept: ") + e.code().message());
        }
    }
    static asio::awaitable<void> listen_to(node* self, sim_link link, bool reads) {
        std::byte buffer[100];
        auto const which = self->heard.size();
        self->heard.emplace_back();
        try {
            for (;;) {
                if (!reads) co_await self->transport.wait(1'000'000);
                auto const n = co_await link.read_some(buffer);
                if (n == 0) break;
                self->heard[which] += as_text(bytes_view(buffer).first(n));
            }
            self->endings.push_back("end");
        } catch (error const& e) {
            self->endings.push_back(std::string("read: ") + e.code().message());
        }
    }
    static asio::awaitable<void> speak(node* self, std::uint32_t to, std::string text) {
        try {
            self->out = co_await self->transport.connect(to);
            self->endings.push_back("connected");
            co_await self->out.write(as_bytes(text));
            self->endings.push_back("written");
        } catch (error const& e) {
            self->endings.push_back(std::string("dial: ") + e.code().message());
        }
    }
    static asio::awaitable<void> say(node* self, std::string text) {
        try {
            co_await self->out.write(as_bytes(text));
        } catch (error const& e) {
            self->endings.push_back(std::string("write: ") + e.code().message());
        }
    }
    static asio::awaitable<void> hear(node* self) {
        std::byte buffer[10];
        try {
            auto const n = co_await self->out.read_some(buffer);
            self->endings.push_back(n == 0 ? "end" : "answer");
        } catch (error const& e) {
            self->endings.push_back(std::string("hear: ") + e.code().message());
        }
    }

    std::shared_ptr<sim_process> process;
    sim_transport transport;
    sim_link out;
    int accepted = 0;
    std::vector<std::string> heard, endings;
};

struct pair {
    explicit pair(std::uint64_t seed = 1) : world(seed), network(world), a(std::make_unique<node>(network, 1)), b(std::make_unique<node>(network, 2)) {}
    ~pair() {
        a->process->kill();
        b->process->kill();
    }
    void meet(std::string const& text) {
        b->listen();
        a->dial(2, text);
        world.run_for(second);
        REQUIRE(a->endings == std::vector<std::string>{"connected", "written"});
        a->endings.clear();
    }
    std::string heard() const { return b->heard.empty() ? std::string() : b->heard[0]; }

    sim_world world;
    sim_network network;
    std::unique_ptr<node> a, b;
};

using words = std::vector<std::string>;

}  // namespace

TEST_CASE("sim_transport: what is written is read, in order and whole, and then the end") {
    pair p;
    std::string text;
    for (int i = 0; text.size() < 100'000; ++i) text += std::to_string(i);
    p.meet(text);
    CHECK(p.heard() == text);
    p.a->out.close();
    p.world.run_for(second);
    CHECK(p.b->endings == words{"end"});
}

TEST_CASE("sim_transport: a way takes its time in each direction") {
    pair p;
    p.network.set_delay(1, 2, 30'000, 30'000);
    p.network.set_delay(2, 1, 70'000, 70'000);
    p.b->listen();
    p.a->dial(2, "x");
    p.world.run_until(99'999);
    CHECK(p.a->endings.empty());
    p.world.run_until(100'000);
    CHECK(p.a->endings == words{"connected", "written"});
    p.world.run_until(129'999);
    CHECK(p.heard().empty());
    p.world.run_until(130'000);
    CHECK(p.heard() == "x");
}

TEST_CASE("sim_transport: nobody who listens, or nobody at all: io") {
    pair p;
    p.b->transport.stop();
    p.a->dial(2, "x");
    p.a->dial(3, "x");
    p.world.run_for(10 * second);
    CHECK(p.a->endings.size() == 2);
    CHECK(p.a->endings[0].starts_with("dial: input/output error"));
    CHECK(p.a->endings[1].starts_with("dial: input/output error"));
}

TEST_CASE("sim_transport: who does not read makes the writer wait, and what is kept is bounded") {
    pair p;
    p.b->listen(false);
    std::string const text(3 * sim_network::window_size, 'x');
    p.a->dial(2, text);
    p.world.run_for(100 * second);
    CHECK(p.a->endings == words{"connected"});
    p.world.run_for(3000 * second);  // it reads at last: 100 bytes every 1000 s
    CHECK(p.a->endings == words{"connected"});
    p.b->process->kill();
    p.world.run_for(10 * second);
    CHECK(p.a->endings.size() == 2);
}

TEST_CASE("sim_transport: a cut way is silent for both, and what was on it comes out once it is healed") {
    pair p;
    p.meet("one ");
    p.network.cut(1, 2);
    p.a->process->spawn(node::say(p.a.get(), "two "));
    p.a->process->spawn(node::hear(p.a.get()));
    p.world.run_for(3600 * second);
    CHECK(p.heard() == "one ");
    CHECK(p.a->endings.empty());
    CHECK(p.b->endings.empty());
    p.network.heal(1, 2);
    p.world.run_for(second);
    CHECK(p.heard() == "one two ");
}

TEST_CASE("sim_transport: over a cut in one direction nobody connects") {
    for (bool const there : {false, true}) {
        pair p;
        p.b->listen();
        if (there) p.network.cut(1, 2);
        else p.network.cut(2, 1);
        p.a->dial(2, "x");
        p.world.run_for(10 * second);
        CHECK(p.a->endings == words{"dial: input/output error"});
        CHECK(p.b->accepted == 0);
    }
}

TEST_CASE("sim_transport: a broken connection ends at any byte, and both sides hear of it") {
    bool some_lost = false, some_kept = false;
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
        pair p(seed);
        p.meet("");
        p.network.set_delay(1000, 1000);
        p.a->process->spawn(node::say(p.a.get(), "0123456789"));
        p.a->process->spawn(node::hear(p.a.get()));
        p.world.run_for(10);
        CHECK(p.network.break_connections(2, 1) == 1);
        p.world.run_for(second);
        CHECK(p.a->endings == words{"hear: input/output error"});
        CHECK(p.b->endings == words{"read: input/output error"});
        CHECK(std::string("0123456789").starts_with(p.heard()));
        some_lost |= p.heard().size() < 10;
        some_kept |= !p.heard().empty();
    }
    CHECK(some_lost);
    CHECK(some_kept);
}

TEST_CASE("sim_transport: an old connection may be overtaken by a new one") {
    pair p;
    p.meet("");
    p.network.stall_connections(1, 2, second, 2 * second);
    p.a->process->spawn(node::say(p.a.get(), "old"));
    p.world.run_for(10'000);
    p.a->dial(2, "new");
    p.world.run_for(second / 2);
    CHECK(p.b->heard == words{"", "new"});
    p.world.run_for(3 * second);
    CHECK(p.b->heard == words{"old", "new"});
}

TEST_CASE("sim_transport: a process that dies is heard of, a machine without power is not") {
    pair p;
    p.meet("");
    p.a->process->kill();
    p.world.run_for(second);
    CHECK(p.b->endings.size() == 1);

    pair q;
    q.meet("");
    q.network.vanish(2);
    q.b->process->kill();
    q.a->process->spawn(node::hear(q.a.get()));
    q.a->process->spawn(node::say(q.a.get(), "anyone?"));
    q.world.run_for(3600 * second);
    CHECK(q.a->endings.empty());
    q.b = std::make_unique<node>(q.network, 2);  // it is back, and knows nothing of that connection
    q.world.run_for(second);
    CHECK(q.a->endings == words{"hear: input/output error"});
}

TEST_CASE("sim_transport: stop ends accepts and waits with closed, and refuses who comes later") {
    pair p;
    p.b->listen(false);
    p.a->dial(2, "x");
    p.world.run_for(second);
    p.b->transport.stop();
    p.world.run_for(second);
    CHECK(p.b->endings == words{"accept: closed", "read: closed"});
    p.a->endings.clear();
    p.a->dial(2, "y");
    p.world.run_for(second);
    CHECK(p.a->endings == words{"dial: input/output error"});
}

TEST_CASE("sim_transport: a link that its own side closed is closed for who reads it") {
    pair p;
    p.meet("");
    p.a->process->spawn(node::hear(p.a.get()));
    p.world.run_for(second);
    p.a->out.close();
    p.a->out.close();
    p.a->process->spawn(node::say(p.a.get(), "x"));
    p.world.run_for(second);
    CHECK(p.a->endings == words{"hear: closed", "write: closed"});
    CHECK(p.b->endings == words{"end"});
}

namespace {

std::uint64_t wild_run(std::uint64_t seed) {
    pair p(seed);
    auto chance = p.world.stream(99);
    p.b->listen();
    for (int i = 0; i < 60; ++i) {
        switch (chance.up_to(6)) {
            case 0: p.network.cut(1, 2); p.world.after(chance.up_to(second), [&] { p.network.heal(1, 2); }); break;
            case 1: p.network.break_connections(1, 2); break;
            case 2: p.network.stall_connections(1, 2, 0, second); break;
            case 3: p.a->dial(2, std::string(chance.up_to(100'000), 'x')); break;
            case 4: p.b->process->pause(); p.world.after(chance.up_to(second), [&] { p.b->process->go_on(); }); break;
            case 5: p.a->process->kill_after_steps(1 + chance.up_to(20)); break;
            default:
                p.a->process->kill();
                p.a = std::make_unique<node>(p.network, 1);
                break;
        }
        p.world.run_for(chance.up_to(second / 2));
    }
    return p.world.trace_hash();
}

}  // namespace

TEST_CASE("sim_transport: the same seed gives the same trace, another one another") {
    for (std::uint64_t seed = 1; seed < 20; ++seed) {
        auto const first = wild_run(seed);
        CHECK(first == wild_run(seed));
        CHECK(first != wild_run(seed + 1000));
    }
}
