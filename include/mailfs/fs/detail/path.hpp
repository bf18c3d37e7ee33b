// SPDX-License-Identifier: BSL-1.0
// Paths as the filesystem concept has them: relative, '/' between names, made by the library and never by a user.
#pragma once

#include <string_view>

namespace mailfs::detail {

/// Names that begin so are files in the making: no list shows them, and no caller may choose one.
inline constexpr std::string_view hidden_prefix = ".tmp-";

inline bool is_hidden(std::string_view name) noexcept { return name.starts_with(hidden_prefix); }

/// The directory that holds `path`; "" is the root.
inline std::string_view parent_of(std::string_view path) noexcept {
    auto const slash = path.rfind('/');
    return slash == path.npos ? std::string_view{} : path.substr(0, slash);
}

/// The last name in `path`.
inline std::string_view name_of(std::string_view path) noexcept {
    auto const slash = path.rfind('/');
    return slash == path.npos ? path : path.substr(slash + 1);
}

/// What callers owe: no empty name (so no '/' at either end), no "." or "..", no NUL, nothing hidden.
inline bool is_file_path(std::string_view path) noexcept {
    for (;;) {
        auto const slash = path.find('/');
        auto const name = path.substr(0, slash);
        if (name.empty() || name == "." || name == ".." || is_hidden(name) || name.find('\0') != name.npos) return false;
        if (slash == path.npos) return true;
        path.remove_prefix(slash + 1);
    }
}

/// The same, or "" for the root.
inline bool is_directory_path(std::string_view path) noexcept { return path.empty() || is_file_path(path); }

}  // namespace mailfs::detail
