// SPDX-License-Identifier: BSL-1.0
// All that can go wrong while running: errc, its category, and an exception that names the file and the offset.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace mailfs {

/// What the world did to us. What a caller does wrong is an assertion; what is expected is a value.
enum class errc {
    not_found = 1,        ///< no such file, mailbox or message
    exists,               ///< the name is taken
    denied,               ///< the operating system refuses access
    no_space,             ///< disk or quota is full: nothing was acknowledged
    io,                   ///< the device or the peer failed
    corrupt,              ///< bytes on disk fail their checks
    newer_version,        ///< written by a newer mailfs: nothing was changed
    too_big,              ///< beyond a named limit
    busy,                 ///< a bounded number of tries was used up; trying again later is safe
    may_have_happened,    ///< the answer of a write was lost: repeat the same transaction to learn its outcome
    body_missing,         ///< the index has a row whose mail is not there (a power cut under durability none)
    network_filesystem,   ///< the root lies on a filesystem that does not order appends of several hosts
    bad_name,             ///< not a name that can be stored
    bad_message,          ///< the bytes handed in cannot be taken as a message
    closed,               ///< the object was closed while the call was under way
    not_supported,        ///< this backend or kernel cannot do it
    past_gone,            ///< the state of that moment is told by files that are not kept any more
    unreachable,          ///< it is on other nodes, none of which answers now: try again later
    histories_differ,     ///< two nodes hold other changes at the same position: an older copy of a disk. Nothing was changed
};

namespace detail {

struct error_category final : std::error_category {
    char const* name() const noexcept override { return "mailfs"; }
    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::not_found: return "not found";
            case errc::exists: return "exists already";
            case errc::denied: return "permission denied";
            case errc::no_space: return "no space left";
            case errc::io: return "input/output error";
            case errc::corrupt: return "damaged data";
            case errc::newer_version: return "written by a newer version of mailfs";
            case errc::too_big: return "too big";
            case errc::busy: return "busy, try again";
            case errc::may_have_happened: return "the outcome is unknown, repeating it is safe";
            case errc::body_missing: return "the mail body is missing";
            case errc::network_filesystem: return "network filesystem";
            case errc::bad_name: return "name cannot be stored";
            case errc::bad_message: return "not a message";
            case errc::closed: return "closed";
            case errc::not_supported: return "not supported";
            case errc::past_gone: return "that past is not kept";
            case errc::unreachable: return "no node that has it can be reached";
            case errc::histories_differ: return "the histories of two nodes differ";
        }
        return "unknown mailfs error";
    }
};

}  // namespace detail

inline std::error_category const& error_category() noexcept {
    static detail::error_category const category;
    return category;
}
inline std::error_code make_error_code(errc e) noexcept { return {static_cast<int>(e), error_category()}; }

/// Thrown by everything that waits. `what()` reads "FILE, offset N: WHY: MEANING".
class error : public std::system_error {
public:
    static constexpr std::uint64_t no_offset = ~std::uint64_t{0};

    error(errc e, std::string_view file, std::uint64_t offset, std::string_view why)
        : std::system_error(make_error_code(e), describe(file, offset, why)), file_(file), offset_(offset) {}
    error(errc e, std::string_view file, std::string_view why) : error(e, file, no_offset, why) {}

    std::string const& file() const noexcept { return file_; }
    std::uint64_t offset() const noexcept { return offset_; }  ///< bytes from the start of the file, or no_offset

private:
    static std::string describe(std::string_view file, std::uint64_t offset, std::string_view why) {
        std::string text(file);
        if (offset != no_offset) text += ", offset " + std::to_string(offset);
        if (!text.empty() && !why.empty()) text += ": ";
        return text.append(why);
    }

    std::string file_;
    std::uint64_t offset_;
};

}  // namespace mailfs

template <>
struct std::is_error_code_enum<mailfs::errc> : std::true_type {};
