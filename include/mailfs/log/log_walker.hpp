// SPDX-License-Identifier: BSL-1.0
// The records of a log file one by one, and the damage between them: what is there, not what it comes to. Pure, no I/O.
#pragma once

#include <mailfs/format/log_record.hpp>
#include <mailfs/types/bytes.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>

namespace mailfs {

/// A piece of a log file.
struct log_entry {
    std::uint64_t offset = 0;  ///< bytes from the start of the file
    std::uint64_t size = 0;
    std::optional<format::record_view> record;  ///< of any kind, void or not; nothing: damage, or at the end of the file a
                                                ///< record that is not there yet
    bool torn = false;  ///< damage that is made of heads of records, as killed writers leave them: nobody was told of those
};

/// The entries tile the file from behind its header to its end. `file` must outlive the walker and what it gives. Linear.
class log_walker {
public:
    /// `file`: the whole file, whose header was checked.
    log_walker(bytes_view file, format::log_header const& header) noexcept
        : file_(file), seed_(format::record_seed(header.nonce)), at_(std::min<std::size_t>(sizeof header, file.size())) {}

    /// The next entry, or nothing at the end.
    std::optional<log_entry> next() noexcept {
        if (at_ >= file_.size()) return std::nullopt;
        auto const rest = file_.subspan(at_);
        log_entry e{at_, 0, format::decode_record(rest, seed_), false};
        auto const size = e.record ? std::size_t{e.record->header.size} : format::find_record(rest, 1, seed_);
        if (!e.record) e.torn = format::is_torn(rest.first(size), seed_);
        e.size = size;
        at_ += size;
        return e;
    }

private:
    bytes_view file_;
    std::uint32_t seed_;
    std::size_t at_;
};

}  // namespace mailfs
