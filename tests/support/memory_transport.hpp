// SPDX-License-Identifier: BSL-1.0
// Nodes in one process whose links are queues in memory, with a clock that a test moves on by hand. One thread.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/wait.hpp>
#include <mailfs/error.hpp>
#include <mailfs/transport/transport.hpp>

#include <asio/awaitable.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace mailfs::test {

/// What all nodes share. What is in flight is bounded as a socket's buffers are.
class memory_net {
public:
    static constexpr std::size_t in_flight_max = 256U << 10;

    memory_net() : work_(context_.get_executor()) {}

    asio::io_context& context() noexcept { return context_; }
    std::uint64_t now_ms() const noexcept { return now_ms_; }

    /// All that can run, runs; then a millisecond goes by; and again.
    void run_for(std::uint64_t ms) {
        poll();
        for (std::uint64_t i = 0; i < ms; ++i) {
            ++now_ms_;
            for (auto it = sleepers_.begin(); it != sleepers_.end(); ++it)
                if (it->first <= now_ms_) it->second->cancel();
            poll();
        }
    }
    void poll() {
        for (std::size_t n = 0; context_.poll_one() > 0; ++n)
            if (n == 10'000'000) throw std::runtime_error("coroutines spin");
    }

    /// Destroys all coroutines where they stand, as the end of a process does.
    void shut_down() { context_.shutdown(); }

    /// From now on no byte comes from one to the other, and no link is made between them; what is there stays.
    void cut(std::uint32_t from, std::uint32_t to) { cuts_.insert({from, to}); }
    void heal() { cuts_.clear(); }
    bool is_cut(std::uint32_t from, std::uint32_t to) const { return cuts_.count({from, to}) != 0; }
    std::size_t links_made() const noexcept { return links_made_; }

private:
    friend class memory_transport;

    /// One direction.
    struct pipe {
        explicit pipe(asio::io_context& c) : wake(c, asio::steady_timer::time_point::max()) {}
        std::deque<std::byte> bytes;
        bool ended = false;  // by either side
        asio::steady_timer wake;
    };
    struct both {
        both(asio::io_context& c, std::uint32_t a, std::uint32_t b) : there(c), back(c), from(a), to(b) {}
        pipe there, back;
        std::uint32_t from, to;
    };
    struct node {
        explicit node(asio::io_context& c) : wake(c, asio::steady_timer::time_point::max()) {}
        std::deque<std::shared_ptr<both>> waiting;
        bool stopped = false;
        asio::steady_timer wake;  // of accept
        std::set<asio::steady_timer*> sleepers;
    };

    struct ending_context : asio::io_context {
        ending_context() : asio::io_context(1) {}
        using asio::execution_context::shutdown;
    };
    ending_context context_;
    asio::executor_work_guard<asio::io_context::executor_type> work_;
    std::uint64_t now_ms_ = 1000;
    std::multimap<std::uint64_t, asio::steady_timer*> sleepers_;
    std::map<std::uint32_t, std::weak_ptr<node>> nodes_;
    std::set<std::pair<std::uint32_t, std::uint32_t>> cuts_;
    std::size_t links_made_ = 0;
};

class memory_transport {
    using pipe = memory_net::pipe;
    using both = memory_net::both;
    using node = memory_net::node;

public:
    class link {
    public:
        link(memory_net& net, std::shared_ptr<both> b, bool far) : net_(&net), both_(std::move(b)), far_(far) {}
        link(link&&) = default;
        link& operator=(link&&) = default;
        ~link() { close(); }

        asio::awaitable<std::size_t> read_some(std::span<std::byte> buffer) {
            auto const b = both_;
            auto& in = far_ ? b->there : b->back;
            while (in.bytes.empty() && !in.ended) {
                std::error_code ignored;
                co_await mailfs::detail::wait(in.wake, ignored);
            }
            if (closed_here()) throw error(errc::closed, "a link in memory", "it was closed");
            auto const size = std::min(buffer.size(), in.bytes.size());
            std::copy_n(in.bytes.begin(), size, buffer.begin());
            in.bytes.erase(in.bytes.begin(), in.bytes.begin() + static_cast<std::ptrdiff_t>(size));
            in.wake.cancel();
            co_return size;
        }
        asio::awaitable<void> write(bytes_view bytes) {
            auto const b = both_;
            auto& out = far_ ? b->back : b->there;
            while (!bytes.empty()) {
                if (closed_here()) throw error(errc::closed, "a link in memory", "it was closed");
                if (out.ended) throw error(errc::io, "a link in memory", "reset");
                if (net_->is_cut(far_ ? b->to : b->from, far_ ? b->from : b->to)) co_return;
                auto const room = memory_net::in_flight_max - out.bytes.size();
                auto const taken = bytes.first(std::min(room, bytes.size()));
                out.bytes.insert(out.bytes.end(), taken.begin(), taken.end());
                bytes = bytes.subspan(taken.size());
                out.wake.cancel();
                if (bytes.empty()) break;
                std::error_code ignored;
                co_await mailfs::detail::wait(out.wake, ignored);
            }
        }
        void close() {
            if (!both_ || std::exchange(closed_, true)) return;
            for (auto* p : {&both_->there, &both_->back}) {
                bool const lost = net_->is_cut(far_ ? both_->to : both_->from, far_ ? both_->from : both_->to);
                bool const ours = p == (far_ ? &both_->there : &both_->back);  // that we read from
                if (ours || !lost) p->ended = true;
                p->wake.cancel();
            }
        }

    private:
        bool closed_here() const noexcept { return closed_; }

        memory_net* net_;
        std::shared_ptr<both> both_;
        bool far_;  // it was accepted
        bool closed_ = false;
    };

    memory_transport(memory_net& net, std::uint32_t number) : net_(&net), number_(number), node_(std::make_shared<node>(net.context())) {
        net.nodes_[number] = node_;
    }

    asio::awaitable<link> connect(std::uint32_t to) {
        auto const self = *this;
        auto const other = self.net_->nodes_[to].lock();
        bool const lost = self.net_->is_cut(self.number_, to) || self.net_->is_cut(to, self.number_);
        if (self.node_->stopped) throw error(errc::closed, "memory", "stopped");
        if (!other || other->stopped || lost) throw error(errc::io, "memory", "unreachable");
        auto const made = std::make_shared<both>(self.net_->context(), self.number_, to);
        ++self.net_->links_made_;
        other->waiting.push_back(made);
        other->wake.cancel();
        link mine(*self.net_, made, false);
        co_return mine;
    }
    asio::awaitable<link> accept() {
        auto const self = *this;
        while (self.node_->waiting.empty() && !self.node_->stopped) {
            std::error_code ignored;
            co_await mailfs::detail::wait(self.node_->wake, ignored);
        }
        if (self.node_->stopped) throw error(errc::closed, "memory", "stopped");
        link mine(*self.net_, self.node_->waiting.front(), true);
        self.node_->waiting.pop_front();
        co_return mine;
    }
    void stop() {
        node_->stopped = true;
        node_->wake.cancel();
        for (auto* sleeper : node_->sleepers) sleeper->cancel();
    }
    std::uint64_t steady_ms() { return net_->now_ms(); }
    asio::awaitable<void> wait(std::uint32_t ms) {
        auto const self = *this;
        asio::steady_timer timer(self.net_->context(), asio::steady_timer::time_point::max());
        auto const until = self.net_->now_ms() + std::max<std::uint32_t>(ms, 1);
        auto const mine = self.net_->sleepers_.emplace(until, &timer);
        self.node_->sleepers.insert(&timer);
        while (self.net_->now_ms() < until && !self.node_->stopped) {
            std::error_code ignored;
            co_await mailfs::detail::wait(timer, ignored);
        }
        self.net_->sleepers_.erase(mine);
        self.node_->sleepers.erase(&timer);
        if (self.node_->stopped) throw error(errc::closed, "memory", "stopped");
    }

private:
    memory_net* net_;
    std::uint32_t number_;
    std::shared_ptr<node> node_;
};
static_assert(transport<memory_transport>);

}  // namespace mailfs::test
