// SPDX-License-Identifier: BSL-1.0
// From bytes as they arrive to whole commands: lines, literals, continuation requests, and what is too big.
#pragma once

#include "limits.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace imapd::imap {

/// Gathers one command at a time. Literals stay where they were sent, sizes and line ends included. Memory is bounded
/// by the limits, and grows only as bytes arrive, whatever size a literal announces.
class assembler {
public:
    struct limits {
        std::size_t line_size_max;     ///< of a command, its literals counted, the literals of an APPEND not
        std::size_t literal_size_max;  ///< of an APPEND's literals together
        std::size_t drain_size_max;    ///< of refused bytes that are read and forgotten
    };
    enum class result : std::uint8_t {
        more,      ///< all input is taken; feed again
        proceed,   ///< as `more`, and the client waits for "+ ": send it
        complete,  ///< text() is a command
        too_long,  ///< the line was too long and is now behind us: BAD
        too_big,   ///< a literal was too big and was refused or is now behind us: NO [TOOBIG]
        hopeless,  ///< more than drain_size_max would have to be read: BYE [TOOBIG], and close
    };

    explicit assembler(limits l) : limits_(l) {}
    void set_limits(limits l) noexcept { limits_ = l; }

    /// Takes bytes from the front of `input`. After complete, too_long and too_big the next feed() begins a new command.
    result feed(std::string_view& input);

    std::string_view text() const noexcept { return text_; }  ///< without the last line end; valid until the next feed()
    std::string_view tag() const noexcept;                    ///< of a command refused by size, "*" when not even that came

private:
    enum class state : std::uint8_t { line, literal, draining_line, draining_literal };

    result feed_line(std::string_view& input);
    result end_of_line();
    result begin_literal(std::uint64_t size, bool waits);
    result finish(result r);
    result drain(std::string_view& input);
    bool is_append() const noexcept;

    limits limits_;
    state state_ = state::line;
    bool fresh_ = true;     // the next byte begins a command
    bool refused_ = false;  // the command is only read to its end
    std::string text_;
    std::size_t line_begin_ = 0;   // of the current line in text_
    std::size_t append_size_ = 0;  // bytes of text_ that are literals of an APPEND
    std::uint64_t remaining_ = 0;  // bytes of the current literal still to come
    std::uint64_t drained_ = 0;
    char last_[2] = {};  // of a line that is being drained
};

}  // namespace imapd::imap
