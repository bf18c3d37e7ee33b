// SPDX-License-Identifier: BSL-1.0
// The connection.
#include "net/connection.hpp"

#include "limits.hpp"

#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/error.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <algorithm>

namespace imapd::net {

connection::connection(asio::ip::tcp::socket socket) : socket_(std::move(socket)), timer_(socket_.get_executor()) {
    std::error_code ignored;  // without it, answers are only later
    socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
}

void connection::start(std::chrono::steady_clock::duration idle_time) {
    idle_time_ = idle_time;
    deadline_ = std::chrono::steady_clock::now() + idle_time;
    asio::co_spawn(socket_.get_executor(), watch(shared_from_this()), asio::detached);
}

void connection::set_idle_time(std::chrono::steady_clock::duration time) { idle_time_ = time; }

void connection::consume(std::size_t n) noexcept {
    begin_ += std::min(n, input_.size() - begin_);
    if (begin_ < input_.size()) return;
    input_.clear();
    begin_ = 0;
}

/// A later deadline is found by the watch when it wakes; an earlier one has to wake it.
void connection::expire_after(std::chrono::steady_clock::duration time) {
    auto const before = deadline_;
    deadline_ = std::chrono::steady_clock::now() + time;
    if (deadline_ < before) timer_.cancel();
}

asio::awaitable<void> connection::watch(std::shared_ptr<connection> self) {
    while (!self->closed_) {
        if (std::chrono::steady_clock::now() >= self->deadline_) {
            bool const again = self->why_ != ending::none;
            self->end(ending::timeout);
            if (again) self->close();  // even the farewell took too long
            self->deadline_ = std::chrono::steady_clock::now() + limits::farewell_time;
            continue;
        }
        self->timer_.expires_at(self->deadline_);
        std::error_code woken;
        co_await self->timer_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    }
}

void connection::end(ending why) {
    if (why_ != ending::none) return;
    why_ = why;
    std::error_code ignored;  // a socket that cannot be cancelled is closed by the watch
    socket_.cancel(ignored);
    if (why == ending::stopping) expire_after(limits::farewell_time);
}

void connection::close() noexcept {
    if (std::exchange(closed_, true)) return;
    if (why_ == ending::none) why_ = ending::peer;
    std::error_code ignored;  // it is over either way
    socket_.shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
    socket_.close(ignored);
    timer_.cancel();
}

asio::awaitable<bool> connection::fill() {
    if (why_ != ending::none) co_return false;
    expire_after(idle_time_);
    if (begin_ > 0) {
        input_.erase(0, begin_);
        begin_ = 0;
    }
    auto const old_size = input_.size();
    input_.resize(old_size + limits::read_size);
    std::error_code failed;
    auto const room = asio::buffer(input_.data() + old_size, limits::read_size);
    auto const n = co_await socket_.async_read_some(room, asio::redirect_error(asio::use_awaitable, failed));
    input_.resize(old_size + n);
    if (!failed && why_ == ending::none) co_return true;
    if (failed && failed != asio::error::operation_aborted && why_ == ending::none) why_ = ending::peer;
    co_return false;
}

asio::awaitable<void> connection::write(std::string_view bytes) {
    while (!bytes.empty()) {
        if (why_ != ending::none) throw hangup{why_};
        expire_after(limits::write_time);
        auto const piece = bytes.substr(0, limits::write_size);
        std::error_code failed;
        co_await asio::async_write(socket_, asio::buffer(piece), asio::redirect_error(asio::use_awaitable, failed));
        if (failed && why_ == ending::none) why_ = ending::peer;
        if (failed) throw hangup{why_};
        bytes.remove_prefix(piece.size());
    }
    expire_after(idle_time_);
}

asio::awaitable<void> connection::say_farewell(std::string_view bytes) {
    if (why_ != ending::peer && !closed_) {
        if (why_ == ending::none) why_ = ending::stopping;
        expire_after(limits::farewell_time);
        std::error_code failed;  // whom it does not reach it does not reach
        co_await asio::async_write(socket_, asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, failed));
    }
    close();
}

}  // namespace imapd::net
