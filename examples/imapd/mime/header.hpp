// SPDX-License-Identifier: BSL-1.0
// The fields of a header as ranges of the message: bytes in, views out.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace imapd::mime {

struct field {
    std::string_view name;   ///< empty for a line that is no field
    std::string_view value;  ///< with its folds, without its last line end
    std::string_view whole;  ///< name to line end: what HEADER.FIELDS sends
};

/// Whether two field names are the same: ASCII, in any case.
bool equal_name(std::string_view a, std::string_view b) noexcept;

/// The size of the header at the begin of `text`, its blank line included; all of it when there is no blank line. One pass.
std::size_t header_size(std::string_view text) noexcept;

/// Takes the next field from the front of `header`; nothing at the blank line or the end.
std::optional<field> take_field(std::string_view& header) noexcept;

/// The first field of that name, unfolded; nothing: it is not there. One pass.
std::optional<std::string> find_value(std::string_view header, std::string_view name);

/// A value on one line: without line ends, white space trimmed at both ends, no NUL, cut off at header_value_size_max.
std::string unfold(std::string_view value);

/// The fields that are named in `names` (or those that are not, when `except`), and the blank line if the header has one.
std::string select_fields(std::string_view header, std::vector<std::string> const& names, bool except);

}  // namespace imapd::mime
