// SPDX-License-Identifier: BSL-1.0
// mbox: lines in, messages out, and messages to text. No I/O; memory for one message at a time.
#pragma once

#include "mail/found_message.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mailfsctl {

/// Which lines of a body were quoted: mboxrd ">*From ", mboxo "From " alone, or none.
enum class from_quoting : std::uint8_t { mboxrd, mboxo, none };

/// The date in a line that begins a message ("From SENDER DATE"), in milliseconds since 1970; UTC where it names no zone.
/// Nothing when it is no such line: then it belongs to a body that was not quoted.
std::optional<std::uint64_t> from_line_date(std::string_view line);

/// Bounds: a message longer than `message_size_max` is passed over, and told.
class mbox_parser {
public:
    mbox_parser(from_quoting quoting, std::size_t message_size_max)
        : quoting_(quoting), message_size_max_(message_size_max) {}

    /// A line, its end included; the last may lack it. A long one may come in pieces, the first of 64 bytes at least.
    /// Nothing, or the message that this line shows to be finished.
    std::optional<found_message> line(std::string_view text);
    /// The last message.
    std::optional<found_message> end();

    /// Bytes that stood before the first message, and messages that were too long.
    std::uint64_t strange_bytes() const noexcept { return strange_bytes_; }
    std::uint64_t too_long() const noexcept { return too_long_; }
    /// Messages that say that they were longer.
    std::uint64_t cut() const noexcept { return cut_; }

private:
    std::optional<found_message> finish();

    from_quoting quoting_;
    std::size_t message_size_max_;
    bool inside_ = false, after_blank_ = true, skipping_ = false, within_line_ = false;
    std::uint64_t offset_ = 0;  // of the next line
    found_message current_;
    std::uint64_t strange_bytes_ = 0, too_long_ = 0, cut_ = 0;
};

/// The message as text of an mboxrd file, with flags, keywords and exact date in a block of four lines at its front, which
/// mbox_parser takes off again; what stands behind it is the message, byte for byte.
std::string mbox_text(std::string_view message, message_marks const& marks, std::uint64_t received_ms);

/// The file of a mailbox below a directory of mbox files, "A/B.mbox", and the inverse ("A.sbd" of Thunderbird, too).
std::string mbox_path_of_mailbox(std::string_view mailbox);
std::string mailbox_of_mbox_path(std::string_view path);

}  // namespace mailfsctl
