// SPDX-License-Identifier: BSL-1.0
// Listening sockets.
#include "net/endpoint.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <stdexcept>

namespace imapd::net {

asio::ip::tcp::acceptor listen(asio::io_context& context, std::string_view host_and_port) {
    auto const colon = host_and_port.rfind(':');
    if (colon == std::string_view::npos || colon == 0)
        throw std::runtime_error(fmt::format("{}: an address is HOST:PORT", host_and_port));
    auto host = host_and_port.substr(0, colon);
    auto const port = host_and_port.substr(colon + 1);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    try {
        asio::ip::tcp::resolver resolver(context);
        auto const found =
            resolver.resolve(host, port, asio::ip::tcp::resolver::numeric_service | asio::ip::tcp::resolver::passive);
        auto const endpoint = found.begin()->endpoint();
        if (!endpoint.address().is_loopback())
            fmt::print(stderr, "imapd: warning: {} can be reached from other machines, and nothing is encrypted\n",
                       host_and_port);
        asio::ip::tcp::acceptor acceptor(context, endpoint);  // reuses the address of a server that has just ended
        return acceptor;
    } catch (std::system_error const& error) {
        throw std::runtime_error(fmt::format("cannot listen on {}: {}", host_and_port, error.what()));
    }
}

std::string name_of(asio::ip::tcp::acceptor const& acceptor) {
    auto const endpoint = acceptor.local_endpoint();
    auto const host = endpoint.address().to_string();
    return endpoint.address().is_v6() ? fmt::format("[{}]:{}", host, endpoint.port())
                                      : fmt::format("{}:{}", host, endpoint.port());
}

}  // namespace imapd::net
