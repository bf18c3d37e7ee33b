// SPDX-License-Identifier: BSL-1.0
// HOST:PORT to a listening socket and back.
#pragma once

#include <mailfs/config.hpp>

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>

#include <string>
#include <string_view>

namespace imapd::net {

/// Listens on "HOST:PORT" or "[HOST]:PORT"; port 0 takes a free one. Warns on stderr when others than this machine
/// can reach it, for nothing here is encrypted. Throws std::runtime_error that names the option's value.
asio::ip::tcp::acceptor listen(asio::io_context& context, std::string_view host_and_port);

/// The address listened on, written as above.
std::string name_of(asio::ip::tcp::acceptor const& acceptor);

}  // namespace imapd::net
