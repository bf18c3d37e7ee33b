// SPDX-License-Identifier: BSL-1.0
// Names of mailboxes: what is one, and its canonical form. A name is data and never part of a path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mailfs {

inline constexpr std::size_t mailbox_name_size_max = 1024;  ///< bytes
inline constexpr char mailbox_separator = '/';
inline constexpr std::string_view inbox_name = "INBOX";

namespace detail {

/// Length of the UTF-8 character that `text` begins with; 0 when it is none that a name may have: malformed, longer
/// than needed, a surrogate, beyond U+10FFFF, or a control character (U+0000..1F, U+007F..9F, U+2028, U+2029).
constexpr std::size_t name_character_size(std::string_view text) noexcept {
    auto const octet = [&](std::size_t i) -> std::uint32_t { return static_cast<unsigned char>(text[i]); };
    auto const lead = octet(0);
    if (lead < 0x80) return lead >= 0x20 && lead != 0x7f ? 1 : 0;
    std::size_t const size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || size > text.size()) return 0;
    std::uint32_t code = lead & (0xffU >> (size + 1));
    for (std::size_t i = 1; i < size; ++i) {
        if ((octet(i) & 0xc0) != 0x80) return 0;
        code = code << 6 | (octet(i) & 0x3f);
    }
    constexpr std::uint32_t least[] = {0, 0, 0xa0, 0x800, 0x1'0000};  // U+0080..9F are controls
    bool const surrogate = code >= 0xd800 && code <= 0xdfff;
    bool const separator = code == 0x2028 || code == 0x2029;
    return code < least[size] || code > 0x10'ffff || surrogate || separator ? 0 : size;
}

constexpr bool begins_with_inbox(std::string_view name) noexcept {
    if (name.size() < inbox_name.size()) return false;
    for (std::size_t i = 0; i < inbox_name.size(); ++i)
        if ((name[i] | 0x20) != (inbox_name[i] | 0x20)) return false;
    return name.size() == inbox_name.size() || name[inbox_name.size()] == mailbox_separator;
}

}  // namespace detail

/// Whether the bytes are a name: 1..1024 bytes of UTF-8 without controls, no level empty. O(size).
constexpr bool is_mailbox_name(std::string_view name) noexcept {
    if (name.empty() || name.size() > mailbox_name_size_max || name.back() == mailbox_separator) return false;
    bool level_begins = true;
    while (!name.empty()) {
        auto const size = detail::name_character_size(name);
        bool const separator = name.front() == mailbox_separator;
        if (size == 0 || (separator && level_begins)) return false;
        level_begins = separator;
        name.remove_prefix(size);
    }
    return true;
}

/// The one form of a name that is stored: INBOX in any case, as the name or its first level, in capitals. Nothing when
/// it is not a name.
inline std::optional<std::string> canonical_mailbox_name(std::string_view name) {
    if (!is_mailbox_name(name)) return std::nullopt;
    std::string canonical(name);
    if (detail::begins_with_inbox(name)) canonical.replace(0, inbox_name.size(), inbox_name);
    return canonical;
}
constexpr bool is_canonical_mailbox_name(std::string_view name) noexcept {
    return is_mailbox_name(name) && (!detail::begins_with_inbox(name) || name.substr(0, inbox_name.size()) == inbox_name);
}

/// Whether `name` stands below `ancestor`, at any depth.
constexpr bool is_below(std::string_view name, std::string_view ancestor) noexcept {
    return name.size() > ancestor.size() && name.substr(0, ancestor.size()) == ancestor &&
           name[ancestor.size()] == mailbox_separator;
}

/// The names above it, the nearest first: of "a/b/c" those are "a/b" and "a".
inline std::vector<std::string_view> ancestors_of(std::string_view name) {
    std::vector<std::string_view> above;
    for (auto at = name.rfind(mailbox_separator); at != name.npos; at = name.rfind(mailbox_separator)) {
        name = name.substr(0, at);
        above.push_back(name);
    }
    return above;
}

}  // namespace mailfs
