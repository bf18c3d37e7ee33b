// SPDX-License-Identifier: BSL-1.0
// This node's place among the others: its links, and the mailboxes that share them.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/signal.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/peer_message.hpp>
#include <mailfs/fwd.hpp>
#include <mailfs/host/host.hpp>
#include <mailfs/replication/detail/peer_links.hpp>
#include <mailfs/replication/member_options.hpp>
#include <mailfs/transport/transport.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/this_coro.hpp>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace mailfs {

namespace detail {

/// What a mailbox hears of its peers.
struct replica_endpoint {
    virtual void link_up(std::uint32_t node) = 0;
    virtual void link_down(std::uint32_t node, bool silent) = 0;
    virtual void receive(std::uint32_t node, format::peer_message const& message) = 0;
    virtual void tick() = 0;
    virtual std::uint64_t next_due_ms() const noexcept = 0;  ///< when tick() has something to do; reschedule() when it changes

protected:
    ~replica_endpoint() = default;
};

}  // namespace detail

/// One object for each process. Belongs to one executor, as do the journals that use it, and must outlive them.
/// run() does the work: spawn it before the first journal is opened.
template <transport Transport, host Host>
class replica_set {
public:
    replica_set(Transport t, Host h, replication_options options)
        : transport_(std::move(t)), host_(std::move(h)), options_(std::move(options)), incarnation_(host_.now_ms() << 16 | (host_.random() & 0xffff)),
          handler_(*this), links_(transport_, link_options(), handler_) {}
    replica_set(replica_set const&) = delete;
    replica_set& operator=(replica_set const&) = delete;

    Host& host() noexcept { return host_; }
    Transport& transport() noexcept { return transport_; }
    replication_options const& options() const noexcept { return options_; }
    std::uint64_t steady_ms() { return transport_.steady_ms(); }
    bool is_up(std::uint32_t node) const noexcept { return up_.contains(node); }

    /// Keeps the links and the time until stop(). Nothing is under way when it returns.
    asio::awaitable<void> run() {
        executor_ = co_await asio::this_coro::executor;
        keep_time();
        co_await links_.run();
        while (!alarms_.empty()) co_await alarm_ended_.wait();
        executor_ = {};
    }
    void stop() { links_.stop(); }
    /// Why links end, for a log.
    void on_note(std::function<void(std::uint32_t node, std::string const& what)> f) { note_ = std::move(f); }

    /// Called with the name of a mailbox, or of a directory of mail bodies, that a peer has open, and this node has not: a node
    /// that keeps a replica of all opens it. `is_there`: it is a mailbox that the peer has; else the peer may be looking for it, and
    /// only who has it on its disk has a reason to open it. From the executor, not from inside a call.
    void on_unknown(std::function<void(std::string const& name, bool is_there)> f) { unknown_ = std::move(f); }

    // --- for journals --------------------------------------------------------------------------------------------

    void attach(std::string const& name, detail::replica_endpoint& e) {
        if (name.empty() || name.size() > format::peer_name_size_max) throw error(errc::bad_name, name, "nodes name a mailbox by 1 to 1024 bytes");
        if (!endpoints_.try_emplace(name, endpoint{&e, ++channels_, never}).second) throw error(errc::busy, name, "is open in this process already");
        for (auto const node : up_) e.link_up(node);
    }
    void detach(std::string const& name) {
        auto const it = endpoints_.find(name);
        if (it == endpoints_.end()) return;
        for (auto const node : up_) links_.send(node, it->second.channel, format::peer_close{});
        dues_.erase({it->second.due, it->first});
        short_of_room_.erase(name);
        endpoints_.erase(it);
    }
    /// A mailbox that held `before` bytes which its shared store has not holds `now`. Who waits for room is ticked when there is some.
    void note_unflushed(std::size_t before, std::size_t now) {
        unflushed_ += now - before;
        if (now >= before || short_of_room_.empty()) return;
        for (auto const& name : std::exchange(short_of_room_, {})) set_due(endpoints_.find(name), steady_ms());
    }
    /// For so many more of them; one alone may be greater. False: the mailbox of this name is ticked when there is room.
    bool has_unflushed_room(std::string const& name, std::size_t size) {
        if (unflushed_ == 0 || unflushed_ + size <= options_.unflushed_node_max) return true;
        if (endpoints_.contains(name)) short_of_room_.insert(name);
        return false;
    }
    std::size_t unflushed() const noexcept { return unflushed_; }
    /// Room for more mail bodies on the link to a node: they must not fill its queue.
    bool has_room(std::uint32_t node) const noexcept { return links_.queued(node) < bodies_queued_max; }
    /// Until there is, or the link is down.
    asio::awaitable<void> wait_for_room(std::uint32_t node) {
        while (is_up(node) && !has_room(node)) co_await drained_.wait();
    }
    void send(std::string const& name, std::uint32_t node, format::peer_message const& m) {
        if (auto const it = endpoints_.find(name); it != endpoints_.end()) links_.send(node, it->second.channel, m);
    }
    /// Its next_due_ms() may be another now. Cost: the logarithm of how many mailboxes are open.
    void reschedule(std::string const& name) {
        auto const it = endpoints_.find(name);
        if (it != endpoints_.end()) set_due(it, it->second.here->next_due_ms());
    }

private:
    static constexpr std::uint64_t never = ~std::uint64_t{0};

    struct endpoint {
        detail::replica_endpoint* here = nullptr;
        std::uint64_t channel = 0;
        std::uint64_t due = never;  // under which it stands in dues_
    };
    struct handler final : detail::peer_link_handler {
        explicit handler(replica_set& s) : set(s) {}
        void up(std::uint32_t node) override { set.link_up(node); }
        void down(std::uint32_t node, bool silent) override { set.link_down(node, silent); }
        void message(std::uint32_t node, std::uint64_t channel, format::peer_message&& m) override { set.receive(node, channel, m); }
        void drained() override { set.drained_.raise(); }
        void note(std::uint32_t node, std::string const& what) override {
            if (set.note_) set.note_(node, what);
        }
        replica_set& set;
    };

    void set_due(typename std::map<std::string, endpoint>::iterator it, std::uint64_t due) {
        auto& e = it->second;
        if (due == e.due) return;
        dues_.erase({e.due, it->first});
        e.due = due;
        if (due != never) dues_.emplace(due, it->first);
        keep_time();
    }
    detail::peer_link_options link_options() {
        detail::peer_link_options o;
        o.cluster = options_.cluster;
        o.node = options_.self.node;
        o.slot = options_.self.slot;
        o.incarnation = incarnation_;
        o.version_min = options_.version_min;
        o.version_max = options_.version_max;
        for (auto const& p : options_.peers) o.peers.push_back(p.node);
        o.back_off_max_ms = o.hello_ms = options_.reconnect_ms;
        o.random = [this] { return host_.random(); };
        o.now_ms = [this] { return host_.now_ms(); };
        return o;
    }
    // An alarm goes off no later than the first thing comes due. One that goes off too early does nothing.
    void keep_time() {
        if (!executor_ || dues_.empty()) return;
        auto const due = std::max(dues_.begin()->first, last_tick_ + 1);  // whatever an endpoint says
        if (!alarms_.empty() && alarms_.back() <= due) return;
        alarms_.push_back(due);
        asio::co_spawn(executor_, wait_until(due), [this, due](std::exception_ptr thrown) {
            std::erase(alarms_, due);
            alarm_ended_.raise();
            if (!thrown) tick();
        });
    }
    asio::awaitable<void> wait_until(std::uint64_t due) {
        auto const now = steady_ms();
        co_await transport_.wait(static_cast<std::uint32_t>(std::min<std::uint64_t>(due > now ? due - now : 0, 1U << 30)));
    }
    void tick() {
        auto const now = last_tick_ = steady_ms();
        std::vector<std::string> due;
        for (auto const& [when, name] : dues_) {
            if (when > now) break;
            due.emplace_back(name);
        }
        for (auto const& name : due) {
            auto const it = endpoints_.find(name);
            if (it != endpoints_.end()) it->second.here->tick();
        }
        keep_time();
    }
    bool is_attached(detail::replica_endpoint const& e) const {
        return std::any_of(endpoints_.begin(), endpoints_.end(), [&](auto const& n) { return n.second.here == &e; });
    }
    std::vector<detail::replica_endpoint*> all() const {
        std::vector<detail::replica_endpoint*> out;
        for (auto const& [name, e] : endpoints_) out.push_back(e.here);
        return out;
    }

    void link_up(std::uint32_t node) {
        up_.insert(node);
        for (auto* const e : all())
            if (is_attached(*e)) e->link_up(node);
    }
    void link_down(std::uint32_t node, bool silent) {
        up_.erase(node);
        drained_.raise();
        std::erase_if(names_, [&](auto const& n) { return n.first.first == node; });
        for (auto* const e : all())
            if (is_attached(*e)) e->link_down(node, silent);
    }
    void receive(std::uint32_t node, std::uint64_t channel, format::peer_message const& m) {
        auto const key = std::pair(node, channel);
        auto const* const named = name_in(m);
        if (named != nullptr) {
            if (names_.size() >= names_max && !names_.contains(key)) return;
            names_.insert_or_assign(key, *named);
        }
        auto const name = names_.find(key);
        if (name == names_.end()) return;
        auto const it = endpoints_.find(name->second);
        if (it != endpoints_.end()) it->second.here->receive(node, m);
        else if (unknown_ && named != nullptr) unknown_(name->second, has_state(m));
    }
    // What a channel stands for, if the message tells it.
    static std::string const* name_in(format::peer_message const& m) noexcept {
        if (auto const* const open = std::get_if<format::peer_open>(&m)) return &open->name;
        auto const* const bodies = std::get_if<format::peer_bodies>(&m);
        return bodies == nullptr ? nullptr : &bodies->name;
    }

    static bool has_state(format::peer_message const& m) noexcept {
        auto const* const open = std::get_if<format::peer_open>(&m);
        return open != nullptr && open->object != guid{};
    }

    static constexpr std::size_t bodies_queued_max = 1U << 20;  // bytes that wait for a link before more bodies do
    static constexpr std::size_t names_max = 1U << 20;  // of mailboxes that peers have open

    Transport transport_;
    Host host_;
    replication_options options_;
    std::uint64_t incarnation_;
    std::map<std::string, endpoint> endpoints_;
    std::set<std::pair<std::uint64_t, std::string_view>> dues_;  // of endpoints, by their names
    std::size_t unflushed_ = 0;                                  // bytes of all mailboxes that are not in their shared store
    std::set<std::string> short_of_room_;                        // mailboxes that wait for these to become fewer
    std::vector<std::uint64_t> alarms_;                          // that are under way, the first to go off last
    std::uint64_t last_tick_ = 0;
    asio::any_io_executor executor_;                             // while it runs
    detail::signal alarm_ended_, drained_;
    std::map<std::pair<std::uint32_t, std::uint64_t>, std::string> names_;  // what a peer's channel stands for
    std::set<std::uint32_t> up_;
    std::uint64_t channels_ = 0;
    std::function<void(std::string const&, bool)> unknown_;
    std::function<void(std::uint32_t, std::string const&)> note_;
    handler handler_;
    detail::peer_links<Transport> links_;
};

}  // namespace mailfs
