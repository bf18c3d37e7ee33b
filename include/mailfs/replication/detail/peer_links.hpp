// SPDX-License-Identifier: BSL-1.0
// The links between this node and its peers: one to each, made anew when it breaks, up while both directions are proven.
//
// Of two nodes the one with the lower number connects. The other could do no better: bytes that get lost one way keep a
// connection from being made from either side. Both say hello at once. Who connected sends pings when the hello is good: one
// that comes back proves both directions to it, and the next ping says so, which proves them to the other. A new link takes the
// place of the one before it only when it is proven, so that what is left of an older attempt breaks nothing. Belongs to one executor. The page: docs/protocols/replication.md
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/signal.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/peer_frame.hpp>
#include <mailfs/format/peer_message.hpp>
#include <mailfs/replication/detail/coverage.hpp>
#include <mailfs/replication/detail/send_queue.hpp>
#include <mailfs/transport/transport.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/uid_blocks.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/this_coro.hpp>

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

namespace mailfs::detail {

/// Times are milliseconds, sizes bytes.
struct peer_link_options {
    guid cluster;
    std::uint32_t node = 0;  ///< this one
    std::uint32_t slot = 0;
    std::uint64_t incarnation = 0;
    std::uint16_t version_min = format::peer_version, version_max = format::peer_version;
    std::vector<std::uint32_t> peers;       ///< all others
    std::function<std::uint64_t()> random;  ///< for nonces, and to spread attempts
    std::function<std::uint64_t()> now_ms;  ///< wall clock, told in hellos

    std::uint32_t ping_ms = 100;     ///< from one ping to the next, by who connected
    std::uint32_t silence_ms = 300;  ///< without a proof of both directions: the link is down
    std::uint32_t hello_ms = 1000;   ///< from connection to proof
    std::uint32_t back_off_min_ms = 20, back_off_max_ms = 1000;
    std::size_t queue_max = 4U << 20;    ///< of each link; beyond it the link is closed
    std::size_t write_size = 64U << 10;  ///< so much goes into one write, if it waits
    std::size_t read_size = 64U << 10;
};

/// What comes of links. Called on the executor of the links, never from inside send() or stop(). A mailfs::error that
/// message() throws ends the link; any other exception ends run().
struct peer_link_handler {
    virtual void up(std::uint32_t node) = 0;
    virtual void down(std::uint32_t node, bool silent) = 0;  ///< what was sent may have got there or not. `silent`: nobody said
                                                             ///< so, no echo came
    virtual void message(std::uint32_t node, std::uint64_t channel, format::peer_message&& m) = 0;  ///< in order, while it is up
    virtual void drained() {}  ///< less waits to be sent than did, on some link
    virtual void note(std::uint32_t, std::string const&) {}  ///< for a log: why a link ended, or was refused; 0: by a stranger

protected:
    ~peer_link_handler() = default;
};

/// The transport is this object's: stop() stops it.
template <transport Transport>
class peer_links {
public:
    static constexpr std::size_t handshakes_max = 64;       ///< accepted and not proven yet; more have to wait
    static constexpr std::size_t unproven_size_max = 4096;  ///< bytes that a stranger can have us keep

    peer_links(Transport t, peer_link_options options, peer_link_handler& handler)
        : transport_(std::move(t)), options_(std::move(options)), handler_(handler) {
        std::sort(options_.peers.begin(), options_.peers.end());
        for (auto const node : options_.peers) peers_.push_back({node, nullptr});
        assert(find(options_.node) == nullptr && find(0) == nullptr);
    }
    peer_links(peer_links const&) = delete;
    peer_links& operator=(peer_links const&) = delete;

    /// Keeps links until stop(); call it once. When it returns nothing is under way, and each up() was followed by a down().
    /// Throws what a handler threw that is no error of a link. It is ended by stop() alone, not by cancellation.
    asio::awaitable<void> run() {
        auto const executor = co_await asio::this_coro::executor;
        if (!stopped_) start(executor, accept_all(executor));
        for (auto const node : options_.peers)
            if (!stopped_ && node > options_.node) start(executor, keep_connected(node, executor));
        while (under_way_ > 0) co_await done_.wait();
        if (failure_) std::rethrow_exception(failure_);
    }

    /// Closes all links and lets run() come to its end. Again is nothing.
    void stop() {
        if (std::exchange(stopped_, true)) return;
        transport_.stop();
        for (auto const& weak : sessions_)
            if (auto const s = weak.lock()) end(*s, "this node stops");
    }

    /// Queues a message. False: the link is not up, or was closed because too much waits on it; down() follows. Throws
    /// too_big when the message does not fit into a frame. `channel` is not 0.
    bool send(std::uint32_t node, std::uint64_t channel, format::peer_message const& m) {
        auto const* const p = find(node);
        if (p == nullptr || !p->current || p->current->ended) return false;
        return queue(*p->current, channel, m);
    }

    bool is_up(std::uint32_t node) const noexcept {
        auto const* const p = find(node);
        return p != nullptr && p->current && !p->current->ended;
    }
    /// What the peer said of itself; null: the link is not up.
    format::peer_hello const* hello_of(std::uint32_t node) const noexcept { return is_up(node) ? &*find(node)->current->hello : nullptr; }
    /// Bytes that wait to be sent there.
    std::size_t queued(std::uint32_t node) const noexcept { return is_up(node) ? find(node)->current->out.size() : 0; }

private:
    using link = typename Transport::link;

    /// One connection, from its beginning to its end.
    struct session {
        session(link l, std::uint32_t wanted) : connection(std::move(l)), expected(wanted) {}

        link connection;
        std::uint32_t expected;  // the node that was connected to; 0: accepted
        signal wake;             // of the writer
        send_queue out;
        std::optional<format::peer_hello> hello;  // of the peer, once it was found good
        bool proven = false, refused = false, ended = false, silent = false;
        std::string why;
        std::uint64_t began_ms = 0, heard_ms = 0, pinged_ms = 0, proof_ms = 0;
        std::uint64_t pings = 0, pongs = 0;  // who connected: said, and heard. The other: heard, and confirmed

        bool connected() const noexcept { return expected != 0; }
        std::uint32_t node() const noexcept { return hello ? hello->node : expected; }
    };
    using session_ptr = std::shared_ptr<session>;
    struct peer {
        std::uint32_t node;
        session_ptr current;  // proven
    };

    peer const* find(std::uint32_t node) const noexcept {
        auto const at = std::lower_bound(peers_.begin(), peers_.end(), node, [](peer const& p, std::uint32_t n) { return p.node < n; });
        return at != peers_.end() && at->node == node ? &*at : nullptr;
    }
    peer* find(std::uint32_t node) noexcept { return const_cast<peer*>(std::as_const(*this).find(node)); }

    // --- coroutines: all are counted, and run() waits for all ------------------------------------------------------

    void start(asio::any_io_executor const& executor, asio::awaitable<void> work) {
        ++under_way_;
        asio::co_spawn(executor, std::move(work), [this](std::exception_ptr thrown) {
            if (thrown && !failure_) failure_ = thrown;
            if (thrown) stop();
            if (--under_way_ == 0) done_.raise();
        });
    }

    asio::awaitable<void> accept_all(asio::any_io_executor executor) {
        while (!stopped_) {
            session_ptr s;
            try {
                if (handshakes_ < handshakes_max) {
                    link l = co_await transport_.accept();
                    s = std::make_shared<session>(std::move(l), 0);
                }
            } catch (std::system_error const& e) {
                if (!stopped_) handler_.note(0, e.what());
            }
            if (s) start(executor, serve(std::move(s), executor));
            else if (!stopped_) co_await pause(options_.back_off_min_ms);
        }
    }

    asio::awaitable<void> keep_connected(std::uint32_t node, asio::any_io_executor executor) {
        auto back_off = options_.back_off_min_ms;
        while (!stopped_) {
            session_ptr s;
            try {
                link l = co_await transport_.connect(node);
                s = std::make_shared<session>(std::move(l), node);
            } catch (std::system_error const&) {  // unreachable is nothing to tell each time
            }
            if (s) co_await serve(s, executor);
            if (s && s->proven) back_off = options_.back_off_min_ms;
            if (s && s->refused) back_off = options_.back_off_max_ms;
            auto const spread = static_cast<std::uint32_t>(options_.random() % (back_off / 2 + 1));
            co_await pause(back_off - back_off / 2 + spread);
            back_off = std::min(back_off * 2, options_.back_off_max_ms);
        }
    }

    /// So long, or until this node stops.
    asio::awaitable<void> pause(std::uint32_t ms) {
        try {
            co_await transport_.wait(ms);
        } catch (std::system_error const&) {
            if (!stopped_) throw;
        }
    }

    asio::awaitable<void> serve(session_ptr s, asio::any_io_executor executor) {
        bool const accepted = !s->connected();
        s->began_ms = transport_.steady_ms();
        remember(s);
        handshakes_ += accepted ? 1U : 0U;
        if (stopped_) end(*s, "this node stops");
        queue(*s, 0, own_hello());
        start(executor, write_all(s));
        start(executor, keep_alive(s));
        co_await read_all(s);
        end(*s, "the other side ended it");
        handshakes_ -= accepted && !s->proven ? 1U : 0U;
        auto* const p = find(s->node());
        bool const was_up = p != nullptr && p->current == s;
        if (was_up) p->current = nullptr;
        if (s->refused || s->proven || s->hello) handler_.note(s->node(), s->why);
        if (was_up) handler_.down(p->node, s->silent);
    }

    asio::awaitable<void> read_all(session_ptr s) {
        try {
            std::vector<std::byte> buffer(options_.read_size);
            std::span<std::byte> const room(buffer);
            format::frame_reader frames(name_of(*s));
            while (!s->ended) {
                auto const size = co_await s->connection.read_some(room);
                if (size == 0) break;
                s->heard_ms = transport_.steady_ms();
                frames.feed(room.first(size));
                while (!s->ended) {
                    auto f = frames.next();
                    if (!f) break;
                    receive(s, std::move(*f), frames);
                }
                if (!s->proven && frames.pending() > unproven_size_max) refuse(*s, "it sends much and no hello");
            }
        } catch (error const& e) {
            bool const ours = e.code() == errc::closed || e.code() == errc::io;
            if (!ours && !s->proven) s->refused = true;
            end(*s, e.what());
        } catch (std::system_error const& e) {
            end(*s, e.what());
        }
    }

    asio::awaitable<void> write_all(session_ptr s) {
        try {
            std::vector<std::byte> bytes;
            while (!s->ended) {
                if (s->out.empty()) {
                    co_await s->wake.wait();
                    continue;
                }
                bytes.clear();
                s->out.take(bytes, options_.write_size);
                bytes_view const all(bytes);
                co_await s->connection.write(all);
                handler_.drained();
                if (bytes.capacity() > 2 * options_.write_size) std::vector<std::byte>().swap(bytes);
            }
        } catch (std::system_error const& e) {
            end(*s, e.what());
        }
    }

    asio::awaitable<void> keep_alive(session_ptr s) {
        while (!s->ended) {
            auto const now = transport_.steady_ms();
            auto const last = s->proven ? s->proof_ms + options_.silence_ms : s->began_ms + options_.hello_ms;
            if (now >= last) {
                give_up(*s, now);
                break;
            }
            if (pings(*s) && now >= s->pinged_ms + options_.ping_ms) ping(*s);
            auto next = std::max(last, now + 1);
            if (!s->proven) next = std::min(next, now + options_.silence_ms);  // a proof that comes brings the end nearer
            if (s->connected()) next = std::min(next, s->hello ? s->pinged_ms + options_.ping_ms : now + options_.ping_ms);
            co_await pause(static_cast<std::uint32_t>(next - now));
        }
    }

    void give_up(session& s, std::uint64_t now) {
        bool const heard = s.heard_ms + options_.silence_ms > now;
        if (s.hello && heard) hit(reached::one_way);
        s.silent = s.proven;
        if (!s.proven) end(s, "no proof of both directions in time");
        else end(s, heard ? "it is heard, but does not hear: one direction is lost" : "it is silent");
    }

    // --- what comes in ---------------------------------------------------------------------------------------------

    void receive(session_ptr const& s, format::frame f, format::frame_reader& from) {
        if (auto const* hello = std::get_if<format::peer_hello>(&f.message)) {
            greeted(*s, *hello);
            if (s->hello) from.rename("node " + std::to_string(s->hello->node));
            return;
        }
        if (!s->hello) return refuse(*s, "it speaks before it says hello");
        if (auto const* one = std::get_if<format::peer_ping>(&f.message)) {
            if (s->connected() || one->number <= s->pings || one->confirmed < s->pongs || one->confirmed > s->pings)
                throw error(errc::corrupt, from.peer(), from.offset(), "a ping that cannot be");
            s->pings = one->number;
            queue(*s, 0, format::peer_pong{one->number});
            if (std::exchange(s->pongs, one->confirmed) < one->confirmed) proved(s);
        } else if (auto const* echo = std::get_if<format::peer_pong>(&f.message)) {
            if (!s->connected() || echo->number <= s->pongs || echo->number > s->pings)
                throw error(errc::corrupt, from.peer(), from.offset(), "an echo of what was not said");
            s->pongs = echo->number;
            if (!s->proven) ping(*s);  // so that the other side knows, before it hears of mailboxes
            proved(s);
        } else if (!s->proven) {
            refuse(*s, "it speaks of mailboxes before both directions are proven");
        } else {
            handler_.message(s->node(), f.channel, std::move(f.message));
        }
    }

    void greeted(session& s, format::peer_hello const& h) {
        if (s.hello) return refuse(s, "it says hello twice");
        if (auto const why = objection(s, h); !why.empty()) return refuse(s, why);
        s.hello = h;
        if (s.connected()) ping(s);
    }
    /// Why a hello is not good; empty: it is.
    std::string objection(session const& s, format::peer_hello const& h) const {
        if (h.cluster != options_.cluster) return "it belongs to another cluster: " + h.cluster.hex();
        if (h.version_min > options_.version_max || h.version_max < options_.version_min)
            return "it speaks versions " + std::to_string(h.version_min) + " to " + std::to_string(h.version_max) + " only";
        if (h.node == options_.node) return "it has this node's number";
        if (find(h.node) == nullptr) return "it is node " + std::to_string(h.node) + ", which is no peer";
        if (s.expected == 0 ? h.node > options_.node : h.node != s.expected) return "it is node " + std::to_string(h.node) + ", which was not to be met here";
        if (h.slot >= uid_slots) return "it has slot " + std::to_string(h.slot) + ", which there is not";
        if (h.slot == options_.slot) return "it has this node's slot";
        for (auto const& p : peers_)
            if (p.node != h.node && p.current && p.current->hello->slot == h.slot)
                return "it has the slot of node " + std::to_string(p.node);
        return {};
    }

    // Both directions are there.
    void proved(session_ptr const& s) {
        s->proof_ms = transport_.steady_ms();
        if (std::exchange(s->proven, true)) return;
        auto* const p = find(s->node());
        handshakes_ -= s->expected == 0 ? 1U : 0U;
        if (auto const old = std::exchange(p->current, nullptr)) {
            end(*old, "a new link took its place");
            handler_.down(p->node, false);
            if (s->ended) return;
        }
        p->current = s;
        handler_.up(p->node);
    }

    // --- what goes out ---------------------------------------------------------------------------------------------

    bool queue(session& s, std::uint64_t channel, format::peer_message const& m) {
        if (s.ended) return false;
        s.out.push(channel, m);
        s.wake.raise();
        if (s.out.size() > options_.queue_max) end(s, "more waits to be sent than may");
        return !s.ended;
    }
    static bool pings(session const& s) noexcept { return s.connected() && s.hello; }
    void ping(session& s) {
        s.pinged_ms = transport_.steady_ms();
        queue(s, 0, format::peer_ping{++s.pings, s.pongs});
    }
    format::peer_hello own_hello() {
        format::peer_hello h;
        h.version_min = options_.version_min;
        h.version_max = options_.version_max;
        h.cluster = options_.cluster;
        h.node = options_.node;
        h.slot = options_.slot;
        h.incarnation = options_.incarnation;
        h.now_ms = options_.now_ms();
        auto const random = [this] {
            auto const high = options_.random();
            return guid::from_words(high, options_.random());
        };
        h.nonce_high = random();
        h.nonce_low = random();
        return h;
    }

    // The first reason counts. Calls no handler: the reader does, when it finds out.
    static void end(session& s, std::string_view why) {
        if (std::exchange(s.ended, true)) return;
        s.why = why;
        s.connection.close();
        s.wake.raise();
    }
    static void refuse(session& s, std::string_view why) {
        s.refused = true;
        end(s, why);
    }
    static std::string name_of(session const& s) { return s.expected == 0 ? "a node that connected" : "node " + std::to_string(s.expected); }
    void remember(session_ptr const& s) {
        std::erase_if(sessions_, [](auto const& weak) { return weak.expired(); });
        sessions_.push_back(s);
    }

    Transport transport_;
    peer_link_options options_;
    peer_link_handler& handler_;
    std::vector<peer> peers_;                       // ascending
    std::vector<std::weak_ptr<session>> sessions_;  // all that have not ended
    signal done_;
    std::size_t under_way_ = 0, handshakes_ = 0;
    bool stopped_ = false;
    std::exception_ptr failure_;
};

}  // namespace mailfs::detail
