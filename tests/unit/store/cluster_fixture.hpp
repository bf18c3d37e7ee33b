// SPDX-License-Identifier: BSL-1.0
// Nodes in a simulated network, with a store each: what the tests of shared stores begin with.
#pragma once

#include <mailfs/host/sim_host.hpp>
#include <mailfs/replication/multimaster.hpp>
#include <mailfs/store/store.hpp>
#include <mailfs/transport/sim_transport.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::test {

/// One process after another.
template <class Store>
struct store_node {
    using set_type = replica_set<sim_transport, sim_host>;

    store_node(sim_world& w, sim_network& n, std::uint32_t number, std::uint32_t of) : world(w), network(n), host(w, sim_clock(w), number) {
        options.cluster = guid::from_words(1, 1);
        options.self = {number, number};
        for (std::uint32_t p = 1; p <= of; ++p)
            if (p != number) options.peers.push_back({p, p});
    }
    template <class Policy, class Fs>
    void start_on(Fs fs) {
        process = sim_process::start(world, options.self.node);
        network.come_up(options.self.node);
        transport.emplace(network, process, sim_clock(world));
        set = std::make_unique<set_type>(*transport, host, options);
        here = std::make_unique<Store>(std::move(fs), store_options{}, host, Policy(*set));
        process->spawn(here->follow_peers());
        process->spawn(set->run());
    }
    void kill() {
        if (!process) return;
        process->kill();
        account.reset();
        here.reset();
        set.reset();
        transport.reset();
        process.reset();
    }

    sim_world& world;
    sim_network& network;
    sim_host host;
    replication_options options;
    std::shared_ptr<sim_process> process;
    std::optional<sim_transport> transport;
    std::unique_ptr<set_type> set;
    std::unique_ptr<Store> here;
    std::optional<typename Store::account_type> account;
};

/// Whoever derives from it makes the nodes. Calls answer what they threw; empty: nothing.
template <class Node>
struct store_cluster {
    static constexpr sim_time ms = 1000, second = 1000 * ms;

    store_cluster() : network(world) { network.set_delay(100, 300); }
    ~store_cluster() {
        for (auto& n : nodes) n->kill();
    }
    Node& operator[](std::uint32_t n) { return *nodes[n - 1]; }

    template <class F>
    std::string run(std::uint32_t n, F work, sim_time limit = 20 * second) {
        world.run_for(rest);
        bool done = false;
        std::string why;
        auto call = [](F f, Node& at) -> asio::awaitable<void> { co_await f(at); };
        (*this)[n].process->spawn(call(work, (*this)[n]), [&](std::exception_ptr thrown) {
            done = true;
            try {
                if (thrown) std::rethrow_exception(thrown);
            } catch (std::exception const& e) {
                why = e.what();
            }
        });
        if (world.run_until(world.now() + limit, [&] { return done; })) return why;
        tell();
        return "it does not end";
    }
    void tell() {
        for (auto& n : nodes) {
            auto const keys = n->here->services()->indexes.keys();
            std::string text = "node " + std::to_string(n->options.self.node) + ":";
            for (auto const& k : keys) {
                auto const i = n->here->services()->indexes.find(k);
                text += " " + k + " role " + std::to_string(int(i->role())) + " serves " + std::to_string(i->can_serve());
            }
            MESSAGE(text);
        }
    }
    std::string open(std::uint32_t n) {
        return run(n, [](auto& at) -> asio::awaitable<void> { at.account = co_await at.here->account("alice"); });
    }
    std::string open_on_all() {
        std::string why;
        for (std::uint32_t n = 1; n <= nodes.size(); ++n) why += open(n);
        return why;
    }
    std::string append(std::uint32_t n, std::string name, std::string text) {
        return run(n, [=](auto& at) -> asio::awaitable<void> {
            auto box = co_await at.account->open(name);
            co_await box.append(as_bytes(text));
        });
    }
    /// All that the mailbox shows on that node.
    std::string read(std::uint32_t n, std::string name) {
        std::string all;
        auto const why = run(n, [&](auto& at) -> asio::awaitable<void> {
            auto box = co_await at.account->open(name);
            std::vector<uid_t> uids;
            box.view().uids().for_each([&](uid_t uid) { uids.push_back(uid); });
            for (auto const uid : uids) {
                auto const body = co_await box.read(uid);
                all += std::string(as_text(body)) + ' ';
            }
        });
        return why.empty() ? all : why;
    }
    bool soon(std::function<bool()> until, sim_time limit = 5 * second) { return world.run_until(world.now() + limit, until); }

    sim_world world{1};
    sim_network network;
    std::vector<std::unique_ptr<Node>> nodes;
    sim_time rest = 0;  // before each call, so that what was pushed is there
};

}  // namespace mailfs::test
