// SPDX-License-Identifier: BSL-1.0
// One line from a connection.
#pragma once

#include "net/connection.hpp"

#include <optional>
#include <string>

namespace imapd::net {

enum class line_status : std::uint8_t {
    line,      ///< here it is
    too_long,  ///< it was longer than allowed, and is behind us
    over,      ///< the connection is over, or the line has no end
};
struct line_result {
    line_status status = line_status::over;
    std::string line;  ///< without its line end
};

/// The next line of at most `size_max` bytes, CR LF or LF at its end. Reads no more than drain_size_max of a longer one.
asio::awaitable<line_result> read_line(connection& c, std::size_t size_max);

/// As above, of what is pending already; nothing when there is no whole line and there may yet be one.
std::optional<line_result> take_line(connection& c, std::size_t size_max);

}  // namespace imapd::net
