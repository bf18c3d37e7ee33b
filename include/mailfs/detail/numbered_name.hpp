// SPDX-License-Identifier: BSL-1.0
// Names of files that end in a number, such as log.12.
#pragma once

#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <system_error>

namespace mailfs::detail {

/// The number behind the prefix, as std::to_string writes it; nothing for any other name. Neither 0 nor the greatest one: there
/// is always a next.
inline std::optional<std::uint64_t> number_in(std::string_view name, std::string_view prefix) noexcept {
    std::uint64_t n = 0;
    if (!name.starts_with(prefix)) return std::nullopt;
    name.remove_prefix(prefix.size());
    auto const [end, ec] = std::from_chars(name.data(), name.data() + name.size(), n);
    bool const whole = ec == std::errc{} && end == name.data() + name.size() && name.front() != '0';
    return whole && n < std::numeric_limits<std::uint64_t>::max() ? std::optional(n) : std::nullopt;
}

}  // namespace mailfs::detail
