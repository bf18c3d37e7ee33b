// SPDX-License-Identifier: BSL-1.0
// One client's socket with what both protocols need: buffered input, bounded output, a time limit, and an end from outside.
#pragma once

#include <mailfs/config.hpp>

#include <asio/awaitable.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace imapd::net {

/// Why a connection is over.
enum class ending : std::uint8_t {
    none,      ///< it is not
    peer,      ///< the client closed it, or it broke
    timeout,   ///< the client was silent for too long, or did not take what we sent
    stopping,  ///< the server ends
};

/// Thrown by write() when the connection is over.
struct hangup {
    ending why;
};

/// All of it belongs to one executor. Once it is over it stays over; only say_farewell() still tries to send.
class connection : public std::enable_shared_from_this<connection> {
public:
    explicit connection(asio::ip::tcp::socket socket);

    /// Starts the watch over the time limit; once, before anything else.
    void start(std::chrono::steady_clock::duration idle_time);

    /// From now on, this long may pass without a byte from the client.
    void set_idle_time(std::chrono::steady_clock::duration time);

    /// What was read and not yet consumed.
    std::string_view pending() const noexcept { return std::string_view(input_).substr(begin_); }
    void consume(std::size_t n) noexcept;

    /// Waits for more input; true: pending() grew. false: the connection is over, why() tells. Asio's cancellation of the
    /// calling coroutine makes it return false with why() none, and loses nothing.
    asio::awaitable<bool> fill();

    /// Sends all of it, piece by piece, each within write_time. Throws hangup.
    asio::awaitable<void> write(std::string_view bytes);

    /// Last words within farewell_time, then the end. Never throws; nothing is sent to a peer that went.
    asio::awaitable<void> say_farewell(std::string_view bytes);

    ending why() const noexcept { return why_; }

    /// Ends it from outside (the server stops): what waits on it returns.
    void stop() { end(ending::stopping); }
    void close() noexcept;

private:
    void end(ending why);
    void expire_after(std::chrono::steady_clock::duration time);
    static asio::awaitable<void> watch(std::shared_ptr<connection> self);

    asio::ip::tcp::socket socket_;
    asio::steady_timer timer_;
    std::chrono::steady_clock::time_point deadline_{};
    std::chrono::steady_clock::duration idle_time_{};
    ending why_ = ending::none;
    bool closed_ = false;
    std::string input_;
    std::size_t begin_ = 0;  // of what is not consumed
};

}  // namespace imapd::net
