// SPDX-License-Identifier: BSL-1.0
// The extractor on GMime 3: it reads all values; the offsets come from one pass over the lines with its boundaries.
#pragma once

#include "mime/extractor.hpp"

namespace imapd::mime {

/// GMime is initialised by the first one made, for good. Any number of threads, each with its own.
class gmime_extractor {
public:
    gmime_extractor();

    part parse(std::string_view message) const;
    mime::envelope envelope(std::string_view message) const;
    std::string text(std::string_view message, part const& p) const;
    std::string header_text(std::string_view value) const;
    std::string fold_case(std::string_view value) const;
    std::optional<std::chrono::sys_days> sent_day(std::string_view value) const;
};
static_assert(extractor<gmime_extractor>);

/// Fills type, encoding, disposition and the other values of `p` from its header. For the scanner.
/// Returns the boundary of a multipart, "" when there is none.
std::string read_part_header(std::string_view header, part& p, bool in_digest);

/// What stands in one header field that holds addresses.
std::vector<address> read_addresses(std::string_view value);

}  // namespace imapd::mime
