// SPDX-License-Identifier: BSL-1.0
// A view of raw bytes, and of text as raw bytes.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace mailfs {

using bytes_view = std::span<std::byte const>;

inline bytes_view as_bytes(std::string_view text) noexcept {
    return {reinterpret_cast<std::byte const*>(text.data()), text.size()};
}
inline std::string_view as_text(bytes_view bytes) noexcept {
    return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}

}  // namespace mailfs
