// SPDX-License-Identifier: BSL-1.0
// A thread with its own io_context and the connections that it serves.
#pragma once

#include "net/connection.hpp"

#include <mailfs/config.hpp>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>

#include <atomic>
#include <memory>
#include <set>
#include <thread>

namespace imapd::net {

/// Its thread runs the io_context from start() to finish(). enter(), leave() belong to that thread; the rest to the one
/// that made it.
class worker {
public:
    asio::io_context& context() noexcept { return context_; }

    void start() {
        thread_ = std::thread([this] { context_.run(); });
    }
    /// Tells all connections, and those still to come, that the server ends.
    void stop_connections() {
        asio::post(context_, [this] {
            stopping_ = true;
            auto const open = connections_;
            for (auto const& c : open) c->stop();
        });
    }
    /// Whatever still waits is given up.
    void finish() {
        context_.stop();
        if (thread_.joinable()) thread_.join();
    }

    void enter(std::shared_ptr<connection> const& c) {
        connections_.insert(c);
        if (stopping_) c->stop();
    }
    void leave(std::shared_ptr<connection> const& c) { connections_.erase(c); }

private:
    asio::io_context context_{1};
    asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(context_);
    std::set<std::shared_ptr<connection>> connections_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace imapd::net
