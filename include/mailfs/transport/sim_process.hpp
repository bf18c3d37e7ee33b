// SPDX-License-Identifier: BSL-1.0
// One process in a simulated world, from its start to its death: the coroutines of a node, which can be held up and killed.
//
// Each has an io_context of its own that is only polled. kill() destroys every coroutine where it stands: first those that
// wait in park(), then, by shutting the context down, those that Asio holds. What the coroutines use (a journal, timers in
// it) is still there then; it goes after kill() and before the process, so nothing that dies finds another already dead.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/transport/sim_world.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>

#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

namespace mailfs {

class sim_process final : public detail::sim_runnable, public std::enable_shared_from_this<sim_process> {
    struct private_key {};

public:
    static constexpr std::uint64_t steps_max = 2'000'000;  ///< of its coroutines while time stands still: it spins

    static std::shared_ptr<sim_process> start(sim_world& world, std::uint32_t node) {
        auto made = std::make_shared<sim_process>(private_key{}, world, node);
        world.add(made);
        world.note(sim_note::kind::started, node);
        return made;
    }
    sim_process(private_key, sim_world& world, std::uint32_t node) : world_(world), node_(node), work_(context_.get_executor()) {}
    sim_process(sim_process const&) = delete;
    sim_process& operator=(sim_process const&) = delete;
    ~sim_process() { kill(); }

    sim_world& world() const noexcept { return world_; }
    std::uint32_t node() const noexcept { return node_; }
    bool alive() const noexcept { return alive_; }
    bool paused() const noexcept { return paused_; }
    asio::io_context::executor_type executor() noexcept { return context_.get_executor(); }

    /// `ended` is called when the coroutine ends by itself, with what it threw; not when it is killed.
    template <class T>
    void spawn(asio::awaitable<T> work, std::function<void(std::exception_ptr)> ended) {
        static_assert(std::is_void_v<T>);
        if (!alive_) return;
        asio::co_spawn(context_, std::move(work), [ended = std::move(ended)](std::exception_ptr thrown) { ended(thrown); });
        make_ready();
    }
    void spawn(asio::awaitable<void> work) {
        spawn(std::move(work), [](std::exception_ptr thrown) {
            if (thrown) std::rethrow_exception(thrown);
        });
    }

    /// From now on nothing of it runs; what it waits for piles up.
    void pause() {
        if (!alive_ || paused_) return;
        paused_ = true;
        world_.note(sim_note::kind::paused, node_);
    }
    void go_on() {
        if (!alive_ || !paused_) return;
        paused_ = false;
        world_.note(sim_note::kind::resumed, node_);
        make_ready();
    }
    /// Destroys all its coroutines. Called from one of them, it ends the process when that one next waits. Again is nothing.
    void kill() override {
        if (running_) {
            dying_ = true;
            return;
        }
        if (!std::exchange(alive_, false)) return;
        world_.note(sim_note::kind::killed, node_);
        auto const on_death = std::exchange(at_death_, {});
        for (auto const& [number, call] : on_death) call();
        auto waiting = std::move(held_);
        held_.clear();
        waiting.clear();
        context_.shutdown();
    }
    /// Kills it after that many more steps of its coroutines: between any two of them.
    void kill_after_steps(std::uint64_t steps) noexcept { steps_left_ = steps; }
    /// Calls `f` when it dies, before its coroutines go. The number is for forget_death().
    std::uint64_t at_death(std::function<void()> f) {
        at_death_.emplace(++tickets_, std::move(f));
        return tickets_;
    }
    void forget_death(std::uint64_t number) { at_death_.erase(number); }

    /// A number for one wait: wake() before, or without, park() is nothing.
    std::uint64_t ticket() noexcept { return ++tickets_; }
    /// Until wake() with this ticket.
    template <class = void>
    asio::awaitable<void> park(std::uint64_t ticket) {
        auto keep = [this, ticket](auto handler) {
            if (alive_) held_.emplace(ticket, std::make_unique<held<decltype(handler)>>(std::move(handler)));
        };
        return asio::async_initiate<asio::use_awaitable_t<> const, void()>(keep, asio::use_awaitable);
    }
    void wake(std::uint64_t ticket) {
        auto const found = held_.extract(ticket);
        if (!found) return;
        found.mapped()->go_on(context_);
        make_ready();
    }
    /// Until that much time has gone by.
    template <class = void>
    asio::awaitable<void> sleep(sim_time time) {
        auto const number = ticket();
        world_.after(time, [weak = weak_from_this(), number] {
            if (auto const p = weak.lock()) p->wake(number);
        });
        co_await park(number);
    }

    void run_ready() override {
        ready_ = false;
        if (!alive_ || paused_) return;
        running_ = true;
        struct ends {
            bool& flag;
            ~ends() { flag = false; }
        };
        {
            ends const at_return{running_};
            for (std::uint64_t steps = 0; !dying_ && !paused_ && context_.poll_one() > 0; ++steps) {
                if (steps == steps_max) throw std::runtime_error("sim_process: node " + std::to_string(node_) + " spins");
                if (steps_left_ > 0 && --steps_left_ == 0) dying_ = true;
            }
        }
        if (dying_) kill();
    }

private:
    struct context : asio::io_context {
        context() : asio::io_context(ASIO_CONCURRENCY_HINT_UNSAFE) {}
        using asio::execution_context::shutdown;
    };
    struct held_base {
        virtual ~held_base() = default;
        virtual void go_on(asio::io_context& c) = 0;
    };
    template <class Handler>
    struct held final : held_base {
        explicit held(Handler h) : handler(std::move(h)) {}
        void go_on(asio::io_context& c) override { asio::post(c, std::move(handler)); }
        Handler handler;
    };

    void make_ready() {
        if (!alive_ || paused_ || std::exchange(ready_, true)) return;
        world_.make_ready(weak_from_this());
    }

    sim_world& world_;
    std::uint32_t node_;
    bool alive_ = true, paused_ = false, ready_ = false, running_ = false, dying_ = false;
    std::uint64_t steps_left_ = 0;
    std::uint64_t tickets_ = 0;
    context context_;
    asio::executor_work_guard<asio::io_context::executor_type> work_;
    std::map<std::uint64_t, std::unique_ptr<held_base>> held_;  // by ticket: they die in the order in which they came
    std::map<std::uint64_t, std::function<void()>> at_death_;
};

}  // namespace mailfs
