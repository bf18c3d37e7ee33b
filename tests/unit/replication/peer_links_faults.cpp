// SPDX-License-Identifier: BSL-1.0
// Links in a simulated world that cuts, breaks and stalls connections, pauses and kills processes. MAILFS_LINK_WORLDS: how
// many worlds; 60 by default.
#include <mailfs/replication/detail/peer_links.hpp>

#include <mailfs/host/sim_clock.hpp>
#include <mailfs/transport/sim_network.hpp>
#include <mailfs/transport/sim_process.hpp>
#include <mailfs/transport/sim_transport.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

using namespace mailfs;
using namespace mailfs::format;

namespace {

constexpr sim_time second = 1'000'000;
constexpr std::uint32_t nodes = 4;

/// What a node says over one link, channel by channel: {the how-manieth link, the how-manieth message on the channel}.
struct tally {
    std::uint32_t link = 0;
    std::map<std::uint64_t, std::uint32_t> count;
};

struct node final : mailfs::detail::peer_link_handler {
    node(sim_network& network, std::uint32_t number, std::int64_t drift)
        : me(number), process(sim_process::start(network.world(), number)),
          transport(network, process, sim_clock(network.world(), 0, drift)), links(transport, options_of(network.world()), *this) {
        process->spawn(links.run(), [this](std::exception_ptr e) {
            ended = true;
            if (e) std::rethrow_exception(e);
        });
    }
    ~node() { process->kill(); }
    node(node const&) = delete;
    node& operator=(node const&) = delete;

    mailfs::detail::peer_link_options options_of(sim_world& world) const {
        mailfs::detail::peer_link_options o;
        o.cluster = guid::from_words(1, 1);
        o.node = o.slot = me;
        o.incarnation = world.now() + 1;
        for (std::uint32_t n = 1; n <= nodes; ++n)
            if (n != me) o.peers.push_back(n);
        o.random = [r = world.stream(77, me, world.now())]() mutable { return r(); };
        o.now_ms = [] { return std::uint64_t{1}; };
        o.queue_max = 300'000;
        return o;
    }

    void up(std::uint32_t n) override {
        CHECK_FALSE(is_up[n]);
        is_up[n] = true;
        out[n] = {static_cast<std::uint32_t>(process->world().now()), {}};
        in[n] = {};
        say(n, 1, 0);
    }
    void down(std::uint32_t n, bool) override {
        CHECK(is_up[n]);
        is_up[n] = false;
        ++downs;
    }
    void message(std::uint32_t n, std::uint64_t channel, peer_message&& m) override {
        CHECK(is_up[n]);
        position at;
        if (auto const* push = std::get_if<peer_push>(&m)) at = push->before;
        else if (auto const* piece = std::get_if<peer_snapshot>(&m)) at = piece->at;
        else at = std::get<peer_handover>(m).at;
        auto& from = in[n];
        auto const expected = ++from.count[channel];
        if (from.link == 0) from.link = at.epoch;
        if (from.link != at.epoch || at.n != expected) ++wrong;  // out of order, lost, or of another link
        ++came;
    }
    void say(std::uint32_t n, std::uint64_t channel, std::uint64_t kind) {
        auto& to = out[n];
        position const at{to.link & epoch_max, to.count[channel] + 1};
        peer_message m = peer_handover{at};
        if (kind == 1) m = peer_push{at, 7, false, {}};
        if (kind == 2) m = peer_snapshot{false, at, 0, 60'000, std::vector<std::byte>(60'000)};
        if (links.send(n, channel, m)) ++to.count[channel];
    }

    std::uint32_t me;
    std::shared_ptr<sim_process> process;
    sim_transport transport;
    std::map<std::uint32_t, bool> is_up;
    std::map<std::uint32_t, tally> out, in;
    std::uint64_t came = 0, wrong = 0, downs = 0;
    bool ended = false;
    mailfs::detail::peer_links<sim_transport> links;
};

struct result {
    std::uint64_t hash = 0, came = 0, downs = 0;
    friend bool operator==(result const&, result const&) = default;
};

result live(std::uint64_t seed) {
    sim_world world(seed);
    sim_network network(world);
    auto chance = world.stream(1);
    network.set_delay(100, 100 + chance.up_to(20'000));
    std::vector<std::unique_ptr<node>> all(nodes + 1);
    auto const start = [&](std::uint32_t n) { all[n] = std::make_unique<node>(network, n, static_cast<std::int64_t>(chance.up_to(20'000)) - 10'000); };
    for (std::uint32_t n = 1; n <= nodes; ++n) start(n);
    std::vector<std::pair<std::uint32_t, std::uint32_t>> cuts;
    result r;
    auto const one = [&] { return static_cast<std::uint32_t>(1 + chance.up_to(nodes - 1)); };
    for (int step = 0; step < 150; ++step) {
        auto const a = one();
        auto const b = 1 + (a + static_cast<std::uint32_t>(chance.up_to(nodes - 2))) % nodes;
        switch (chance.up_to(24)) {
            case 0:
                network.cut(a, b);
                cuts.emplace_back(a, b);
                break;
            case 1:
                for (auto const& [from, to] : cuts) network.heal(from, to);
                cuts.clear();
                break;
            case 2: network.break_connections(a, b); break;
            case 3: network.stall_connections(a, b, 10'000, 2 * second); break;
            case 4:
                r.came += all[a]->came;
                CHECK(all[a]->wrong == 0);
                all[a].reset();
                start(a);
                break;
            case 5: all[a]->process->pause(); break;
            case 6: all[a]->process->go_on(); break;
            default:
                for (auto n = chance.up_to(12); n > 0; --n) all[a]->say(b, 1 + chance.up_to(3), chance.up_to(2));
        }
        world.run_for(chance.up_to(3) == 0 ? chance.up_to(second) : chance.up_to(30'000));
    }
    for (auto const& [from, to] : cuts) network.heal(from, to);
    for (std::uint32_t n = 1; n <= nodes; ++n) all[n]->process->go_on();
    world.run_for(6 * second);
    for (std::uint32_t n = 1; n <= nodes; ++n) {
        auto& here = *all[n];
        for (std::uint32_t other = 1; other <= nodes; ++other) CHECK((other == n || here.links.is_up(other)));
        CHECK(here.wrong == 0);
        r.came += here.came;
        r.downs += here.downs;
    }
    for (std::uint32_t n = 1; n <= nodes; ++n) all[n]->links.stop();
    world.run_for(second);
    for (std::uint32_t n = 1; n <= nodes; ++n) {
        CHECK(all[n]->ended);
        for (auto const& [other, is] : all[n]->is_up) CHECK_FALSE(is);
    }
    r.hash = world.trace_hash();
    return r;
}

}  // namespace

TEST_CASE("peer links: whatever happens to connections, what comes is in order and of one link, and all links are up again in the end") {
    auto const* text = std::getenv("MAILFS_LINK_WORLDS");
    auto const worlds = text == nullptr ? 60U : static_cast<unsigned>(std::atoi(text));
    std::uint64_t came = 0, downs = 0;
    for (std::uint64_t seed = 1; seed <= worlds; ++seed) {
        INFO("seed ", seed);
        auto const r = live(seed);
        came += r.came;
        downs += r.downs;
        if (seed == 1) CHECK(live(seed) == r);
    }
    MESSAGE(worlds, " worlds, ", came, " messages, ", downs, " links lost");
    CHECK(came > worlds * 100);
    CHECK(downs > worlds * 5);
}
