// SPDX-License-Identifier: BSL-1.0
// Nodes that keep one directory of mail bodies, over a simulated network; each has a disk of its own.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/dbox/replicated_dbox.hpp>
#include <mailfs/dbox/single_dbox.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fs/faulty_fs.hpp>
#include <mailfs/fs/power_cut.hpp>
#include <mailfs/host/sim_host.hpp>
#include <mailfs/replication/replica_set.hpp>
#include <mailfs/transport/sim_transport.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace mailfs::test::bodies {

inline constexpr sim_time ms = 1000, second = 1000 * ms;
using set_type = replica_set<sim_transport, sim_host>;
using octets = std::vector<std::byte>;

inline guid numbered(std::uint64_t n) { return guid::from_words(n * 0x9e37'79b9'7f4a'7c15U, n); }
/// Different for each number.
inline octets body_of(std::uint64_t n, std::size_t size = 100) {
    octets all(size);
    for (std::size_t i = 0; i < size; ++i) all[i] = static_cast<std::byte>((n * 131 + i * 7 + i / 251) & 0xff);
    return all;
}

/// What became of a call.
struct outcome {
    bool done = false;
    std::error_code why;
    std::size_t copies = 0;
    octets bytes;
    std::uint64_t took_ms = 0;
};

template <class Format>
class body_node {
public:
    using mails_type = replicated_dbox<Format, sim_transport, sim_host>;

    body_node(sim_world& w, sim_network& n, std::uint32_t number, std::uint32_t of) : world(w), network(n), host(w, sim_clock(w), number) {
        options.cluster = guid::from_words(1, 1);
        options.self = {number, number};
        for (std::uint32_t p = 1; p <= of; ++p)
            if (p != number) options.peers.push_back({p, p});
    }
    void start() {
        process = sim_process::start(world, options.self.node);
        network.come_up(options.self.node);
        transport.emplace(network, process, sim_clock(world));
        set = std::make_unique<set_type>(*transport, host, options);
        process->spawn(set->run());
    }
    void open() {
        mails.emplace(disk, "alice/mail", host, dbox, *set);
        process->spawn([](body_node& n) -> asio::awaitable<void> {
            co_await n.mails->open();
            n.is_open = true;
        }(*this));
    }
    void kill() {
        if (!process) return;
        process->kill();
        mails.reset();
        set.reset();
        transport.reset();
        process.reset();
        is_open = false;
    }
    void restart() {
        kill();
        start();
        open();
    }
    /// Loses all that was not synced.
    void lose_power() {
        auto found = disk.after(power_cut::lose_all, 1);
        network.vanish(options.self.node);
        kill();
        disk = faulty_fs<>(std::move(found));
        host.boot_again();
    }

    std::shared_ptr<outcome> put(std::uint64_t n, durability d = durability::stored, std::size_t size = 100) {
        auto const out = std::make_shared<outcome>();
        process->spawn([](body_node& at, std::uint64_t number, durability wanted, std::size_t bytes, std::shared_ptr<outcome> o) -> asio::awaitable<void> {
            auto const begun = at.set->steady_ms();
            try {
                auto const body = body_of(number, bytes);
                mail_to_write const mail{numbered(number), 1000 + number, body, guid::from_words(5, number)};
                o->copies = co_await at.mails->put(std::span(&mail, 1), wanted);
            } catch (std::system_error const& e) {
                o->why = e.code();
            }
            o->took_ms = at.set->steady_ms() - begun;
            o->done = true;
        }(*this, n, d, size, out));
        return out;
    }
    std::shared_ptr<outcome> get(std::uint64_t n) {
        auto const out = std::make_shared<outcome>();
        process->spawn([](body_node& at, std::uint64_t number, std::shared_ptr<outcome> o) -> asio::awaitable<void> {
            auto const begun = at.set->steady_ms();
            try {
                o->bytes = co_await at.mails->read(numbered(number), mailfs::detail::alone_in_its_file);
            } catch (std::system_error const& e) {
                o->why = e.code();
            }
            o->took_ms = at.set->steady_ms() - begun;
            o->done = true;
        }(*this, n, out));
        return out;
    }

    sim_world& world;
    sim_network& network;
    sim_host host;
    faulty_fs<> disk;
    replication_options options;
    dbox_options dbox;
    std::shared_ptr<sim_process> process;
    std::optional<sim_transport> transport;
    std::unique_ptr<set_type> set;
    std::optional<mails_type> mails;
    bool is_open = false;
};

template <class Format>
struct body_cluster {
    explicit body_cluster(std::uint32_t count, std::function<void(replication_options&)> choose = {}) : network(world) {
        network.set_delay(100, 300);
        for (std::uint32_t n = 1; n <= count; ++n) nodes.push_back(std::make_unique<body_node<Format>>(world, network, n, count));
        for (auto& n : nodes) {
            if (choose) choose(n->options);
            n->start();
            n->open();
        }
        world.run_for(second);
    }
    ~body_cluster() {
        for (auto& n : nodes) n->kill();
    }
    body_node<Format>& operator[](std::uint32_t n) { return *nodes[n - 1]; }
    bool run(std::function<bool()> until, sim_time limit = 10 * second) { return world.run_until(world.now() + limit, until); }
    void cut(std::uint32_t a, std::uint32_t b) {
        network.cut(a, b);
        network.cut(b, a);
    }
    void heal(std::uint32_t a, std::uint32_t b) {
        network.heal(a, b);
        network.heal(b, a);
    }
    /// The call, once it ended.
    outcome wait(std::shared_ptr<outcome> const& o) {
        REQUIRE(run([&] { return o->done; }));
        return *o;
    }

    sim_world world{1};
    sim_network network;
    std::vector<std::unique_ptr<body_node<Format>>> nodes;
};

}  // namespace mailfs::test::bodies
