// SPDX-License-Identifier: BSL-1.0
// The transport of a process in a simulated world.
//
//     sim_world world(seed);
//     sim_network network(world);
//     auto process = sim_process::start(world, 1);
//     sim_transport transport(network, process, sim_clock(world));   // and it hears of connections from now on
//
// Belongs to the process' executor. Waits end when the process is killed, by never ending.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/host/sim_clock.hpp>
#include <mailfs/transport/sim_network.hpp>
#include <mailfs/transport/sim_process.hpp>
#include <mailfs/transport/transport.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace mailfs {

class sim_link {
public:
    sim_link() = default;
    sim_link(sim_network& network, std::shared_ptr<detail::sim_connection> c, std::size_t side) : network_(&network), at_(std::move(c)), side_(side) {}
    sim_link(sim_link&& other) noexcept : network_(other.network_), at_(std::move(other.at_)), side_(other.side_) {}
    sim_link& operator=(sim_link&& other) noexcept {
        std::swap(network_, other.network_);
        std::swap(at_, other.at_);
        std::swap(side_, other.side_);
        return *this;
    }
    ~sim_link() { close(); }

    asio::awaitable<std::size_t> read_some(std::span<std::byte> buffer) {
        auto const c = at_;
        auto const side = side_;
        auto& network = *network_;
        while (true) {
            auto& end = c->ends[side];
            if (end.closed) fail(*c, side, errc::closed, "closed");
            auto const& in = c->pipe[1 - side];
            if (in.waiting() > 0) co_return network.take(*c, side, buffer);
            if (end.broken) fail(*c, side, errc::io, "connection reset");
            if (in.ended) co_return 0;
            auto const process = end.process;
            assert(end.reader == 0);
            co_await process->park(end.reader = process->ticket());
        }
    }
    asio::awaitable<void> write(bytes_view bytes) {
        auto const c = at_;
        auto const side = side_;
        auto& network = *network_;
        while (true) {
            auto& end = c->ends[side];
            if (end.closed) fail(*c, side, errc::closed, "closed");
            if (end.broken) fail(*c, side, errc::io, "connection reset");
            auto const n = std::min(bytes.size(), network.room(*c, side));
            if (n > 0) network.send(c, side, bytes.first(n));
            bytes = bytes.subspan(n);
            if (bytes.empty()) co_return;
            auto const process = end.process;
            assert(end.writer == 0);
            co_await process->park(end.writer = process->ticket());
        }
    }
    void close() {
        if (at_) network_->close(at_, side_);
    }

private:
    [[noreturn]] static void fail(detail::sim_connection const& c, std::size_t side, errc why, std::string_view text) {
        throw error(why, "link to node " + std::to_string(c.pipe[side].to), text);
    }

    sim_network* network_ = nullptr;
    std::shared_ptr<detail::sim_connection> at_;
    std::size_t side_ = 0;
};

class sim_transport {
public:
    using link = sim_link;

    sim_transport(sim_network& network, std::shared_ptr<sim_process> process, sim_clock clock)
        : network_(&network), endpoint_(std::make_shared<detail::sim_endpoint>()), clock_(std::move(clock)) {
        endpoint_->process = std::move(process);
        network_->listen(endpoint_);
    }

    asio::awaitable<link> connect(std::uint32_t node) {
        auto const endpoint = endpoint_;
        auto const attempt = std::make_shared<detail::sim_attempt>();
        attempt->process = endpoint->process;
        attempt->ticket = endpoint->process->ticket();
        network_->dial(attempt, node);
        auto* const network = network_;
        co_await park(endpoint, attempt->ticket);
        attempt->given_up = true;
        link made;
        if (attempt->made) made = link(*network, attempt->made, 0);
        if (endpoint->stopped) throw error(errc::closed, "transport", "stopped");
        if (!attempt->made) throw error(errc::io, "node " + std::to_string(node), "cannot be reached");
        co_return made;
    }
    asio::awaitable<link> accept() {
        auto const endpoint = endpoint_;
        auto* const network = network_;
        while (!endpoint->stopped && endpoint->backlog.empty()) {
            assert(endpoint->acceptor == 0);
            co_await endpoint->process->park(endpoint->acceptor = endpoint->process->ticket());
        }
        if (endpoint->stopped) throw error(errc::closed, "transport", "stopped");
        auto const next = std::move(endpoint->backlog.front());
        endpoint->backlog.pop_front();
        co_return link(*network, next, 1);
    }
    void stop() {
        auto& e = *endpoint_;
        if (std::exchange(e.stopped, true)) return;
        for (auto const& c : std::exchange(e.backlog, {})) network_->close(c, 1);
        e.process->wake(std::exchange(e.acceptor, 0));
        for (auto const ticket : std::exchange(e.waits, {})) e.process->wake(ticket);
    }

    std::uint64_t steady_ms() const { return clock_.steady_ms(); }
    asio::awaitable<void> wait(std::uint32_t ms) {
        auto const endpoint = endpoint_;
        auto const& process = endpoint->process;
        if (endpoint->stopped) throw error(errc::closed, "transport", "stopped");
        auto const ticket = process->ticket();
        process->world().after(clock_.duration_of(ms), [weak = std::weak_ptr(process), ticket] {
            if (auto const p = weak.lock()) p->wake(ticket);
        });
        co_await park(endpoint, ticket);
        if (endpoint->stopped) throw error(errc::closed, "transport", "stopped");
    }

private:
    // Until the ticket, or all of them, are woken.
    static asio::awaitable<void> park(std::shared_ptr<detail::sim_endpoint> endpoint, std::uint64_t ticket) {
        endpoint->waits.push_back(ticket);
        co_await endpoint->process->park(ticket);
        std::erase(endpoint->waits, ticket);
    }

    sim_network* network_;
    std::shared_ptr<detail::sim_endpoint> endpoint_;
    sim_clock clock_;
};
static_assert(transport<sim_transport>);

}  // namespace mailfs
