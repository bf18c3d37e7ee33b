// SPDX-License-Identifier: BSL-1.0
// The store's errors in IMAP's words.
#include "imap/writer.hpp"

#include <mailfs/error.hpp>

#include <system_error>

namespace imapd::imap {

std::string_view code_of(std::error_code code) {
    if (code.category() != mailfs::error_category()) return "[UNAVAILABLE] ";
    switch (static_cast<mailfs::errc>(code.value())) {
        case mailfs::errc::not_found: return "[NONEXISTENT] ";
        case mailfs::errc::exists: return "[ALREADYEXISTS] ";
        case mailfs::errc::denied: return "[CANNOT] ";
        case mailfs::errc::bad_name: return "[CANNOT] ";
        case mailfs::errc::no_space: return "[OVERQUOTA] ";
        case mailfs::errc::too_big: return "[TOOBIG] ";
        case mailfs::errc::corrupt: return "[CORRUPTION] ";
        case mailfs::errc::body_missing: return "[CORRUPTION] ";
        case mailfs::errc::bad_message: return "[CANNOT] ";
        case mailfs::errc::newer_version:
        case mailfs::errc::network_filesystem:
        case mailfs::errc::past_gone:
        case mailfs::errc::not_supported: return "[SERVERBUG] ";
        case mailfs::errc::histories_differ: return "[CONTACTADMIN] ";
        case mailfs::errc::unreachable:
        case mailfs::errc::io:
        case mailfs::errc::busy:
        case mailfs::errc::may_have_happened:
        case mailfs::errc::closed: return "[UNAVAILABLE] ";
    }
    return "[UNAVAILABLE] ";
}

}  // namespace imapd::imap
