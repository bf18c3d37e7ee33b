// SPDX-License-Identifier: BSL-1.0
// Where an account's files lie: a name of any bytes becomes a path that no name can break out of or share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mailfs {

inline constexpr std::size_t account_name_size_max = 255;  ///< bytes

namespace detail {
inline constexpr std::size_t path_part_size_max = 200;  // bytes; every filesystem takes 255
}

/// Letters a-z, digits and "-_@." (a dot not first in its part) stand for themselves, any other byte becomes %xx in
/// lower-case hex. What is longer than 200 bytes goes on in a directory below, and each part but the last ends in "+":
/// so two accounts never have the same directory, nor one inside the other's files. Nothing for an empty name and one
/// above 255 bytes.
inline std::optional<std::string> account_directory(std::string_view name) {
    if (name.empty() || name.size() > account_name_size_max) return std::nullopt;
    std::string path;
    std::size_t part = 0;
    for (char const c : name) {
        bool const letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '@';
        if (part + (letter || c == '.' ? 1 : 3) > detail::path_part_size_max) {
            path += "+/";
            part = 0;
        }
        if (letter || (c == '.' && part > 0)) {
            path += c;
            ++part;
            continue;
        }
        constexpr std::string_view digits = "0123456789abcdef";
        auto const octet = static_cast<std::uint8_t>(c);
        path += '%';
        path += digits[octet >> 4];
        path += digits[octet & 15];
        part += 3;
    }
    return path;
}

/// The inverse of account_directory(); nothing for what it does not yield.
inline std::optional<std::string> account_name(std::string_view path) {
    auto const digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
    std::string name;
    for (std::size_t i = 0; i < path.size(); ++i) {
        if (path.substr(i, 2) == "+/") {
            ++i;
        } else if (path[i] == '%' && path.size() - i > 2 && digit(path[i + 1]) >= 0 && digit(path[i + 2]) >= 0) {
            name += static_cast<char>(digit(path[i + 1]) * 16 + digit(path[i + 2]));
            i += 2;
        } else {
            name += path[i];
        }
    }
    if (account_directory(name) != path) return std::nullopt;
    return name;
}

}  // namespace mailfs
