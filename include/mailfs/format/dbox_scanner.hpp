// SPDX-License-Identifier: BSL-1.0
// Walks the bytes of a dbox file and finds every message that is left, whatever happened to the rest.
//
// Takes time in proportion to the file, whatever its bytes say: behind a header it trusts a trailer or a checksum, and the
// checksums of bodies without a trailer, which may overlap where bytes are hostile, have a budget of the file's size.
#pragma once

#include <mailfs/format/dbox_message.hpp>

namespace mailfs {

/// The nonce of a file, from its header, or where that is damaged from the first message, whose place is known.
inline std::optional<dbox_fault> find_dbox_nonce(bytes_view file, std::uint64_t& nonce) noexcept {
    dbox_file_header header;
    auto const fault = decode(file, header);
    if (fault && fault->code == errc::newer_version) return fault;
    dbox_message_header first;
    if (!fault) {
        nonce = header.nonce;
    } else if (file.size() > sizeof header && !decode(file.subspan(sizeof header), std::nullopt, first)) {
        nonce = first.sync;
    } else {
        return fault;
    }
    return std::nullopt;
}

enum class dbox_find : std::uint8_t {
    record,        ///< header and body are sound (the trailer too, or it alone is damaged or cut)
    damaged_body,  ///< the header says what was lost; the body fails its checksum or is cut
    damage,        ///< no header: bytes of a lost header and body, or a torn tail
};

struct dbox_found {
    dbox_find what;
    std::uint64_t offset;        ///< bytes from the start of the file
    std::uint64_t size;          ///< bytes up to where the next find begins
    dbox_message_header header;  ///< not for damage. Any kind: kinds unknown here are for the caller to pass by
};

/// The finds tile the file from behind its header to its end. `file` must outlive the scanner. One executor at a time.
class dbox_scanner {
public:
    dbox_scanner(bytes_view file, std::uint64_t nonce) noexcept
        : file_(file), nonce_(nonce), position_(sizeof(dbox_file_header)), budget_(file.size()) {}

    /// The next find, or nothing at the end.
    std::optional<dbox_found> next() noexcept {
        if (position_ >= file_.size()) return std::nullopt;
        dbox_message_header header;
        auto const start = position_;
        position_ = find_header(start, header);
        if (position_ > start) return dbox_found{dbox_find::damage, start, position_ - start, {}};
        auto const what = step_over(header);
        return dbox_found{what, start, position_ - start, header};
    }

private:
    /// Offset of the first valid header from `offset` on, or the file's size.
    std::uint64_t find_header(std::uint64_t offset, dbox_message_header& header) const noexcept {
        le64 const sync = nonce_;
        for (; offset + sizeof header <= file_.size(); offset += dbox_alignment) {
            auto const bytes = file_.subspan(offset);
            if (std::memcmp(bytes.data(), &sync, sizeof sync) == 0 && !decode(bytes, nonce_, header)) return offset;
        }
        return file_.size();
    }

    /// Moves behind the record whose header stands at position_: behind its whole extent where that is beyond doubt.
    dbox_find step_over(dbox_message_header const& header) noexcept {
        auto const rest = file_.subspan(position_ + sizeof header);
        auto const to_trailer = header.stored_size + dbox_padding(header.stored_size);
        bool const trailed = to_trailer < rest.size() && is_trailer_of(rest.subspan(to_trailer), header);
        bool const sound = header.stored_size <= rest.size() && (trailed || afford(header.stored_size)) &&
                           dbox_body_checksum(header, rest.first(header.stored_size)) == header.body_checksum;
        auto const extent = trailed || sound ? dbox_extent(header.stored_size) : sizeof header;
        position_ = std::min<std::uint64_t>(position_ + extent, file_.size());
        return sound ? dbox_find::record : dbox_find::damaged_body;
    }

    bool afford(std::uint64_t size) noexcept {
        if (size > budget_) return false;
        budget_ -= size;
        return true;
    }

    bytes_view file_;
    std::uint64_t nonce_;
    std::uint64_t position_;
    std::uint64_t budget_;  ///< bytes of body without trailer that may still be checksummed
};

}  // namespace mailfs
