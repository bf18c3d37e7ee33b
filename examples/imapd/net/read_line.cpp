// SPDX-License-Identifier: BSL-1.0
// One line from a connection.
#include "net/read_line.hpp"

#include "limits.hpp"

namespace imapd::net {

std::optional<line_result> take_line(connection& c, std::size_t size_max) {
    auto const pending = c.pending();
    auto const end = pending.substr(0, size_max + 2).find('\n');
    if (end == pending.npos) return std::nullopt;
    auto line = pending.substr(0, end);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    line_result out{line_status::line, std::string(line)};
    c.consume(end + 1);
    return out;
}

asio::awaitable<line_result> read_line(connection& c, std::size_t size_max) {
    while (c.pending().size() < size_max + 2) {
        if (auto line = take_line(c, size_max)) co_return *std::move(line);
        bool const more = co_await c.fill();
        if (!more) co_return line_result{};
    }
    if (auto line = take_line(c, size_max)) co_return *std::move(line);
    for (std::size_t drained = 0; drained <= limits::drain_size_max;) {
        auto const end = c.pending().find('\n');
        if (end != std::string_view::npos) {
            c.consume(end + 1);
            co_return line_result{line_status::too_long, {}};
        }
        drained += c.pending().size();
        c.consume(c.pending().size());
        bool const more = co_await c.fill();
        if (!more) break;
    }
    co_return line_result{};
}

}  // namespace imapd::net
