// SPDX-License-Identifier: BSL-1.0
// The assembler.
#include "imap/assembler.hpp"

#include "imap/cursor.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace imapd::imap {
namespace {

struct literal_mark {
    std::uint64_t size;
    bool waits;  ///< for a continuation request
};

/// "{3}" or "{3+}" at the end of a line. A size beyond 64 bits counts as endless.
std::optional<literal_mark> find_literal(std::string_view line) {
    if (line.size() < 3 || line.back() != '}') return std::nullopt;
    auto const open = line.rfind('{');
    if (open == line.npos) return std::nullopt;
    auto digits = line.substr(open + 1, line.size() - open - 2);
    bool const waits = digits.empty() || digits.back() != '+';
    if (!waits) digits.remove_suffix(1);
    if (digits.empty() || digits.find_first_not_of("0123456789") != digits.npos) return std::nullopt;
    std::uint64_t size = 0;
    if (std::from_chars(digits.data(), digits.data() + digits.size(), size).ec != std::errc{}) size = UINT64_MAX;
    return literal_mark{size, waits};
}

}  // namespace

std::string_view assembler::tag() const noexcept {
    auto const end = std::string_view(text_).find_first_of(" \r\n");
    if (end == std::string_view::npos || end == 0 || end > 64) return "*";
    auto const tag = std::string_view(text_).substr(0, end);
    bool const printable = std::all_of(tag.begin(), tag.end(),
                                       [](char c) { return c > ' ' && c < '\x7f' && c != '+' && c != '{' && c != '"'; });
    return printable ? tag : "*";
}

bool assembler::is_append() const noexcept {
    auto const space = text_.find(' ');
    return space != text_.npos && text_.size() > space + 8 &&
           equal_nocase(std::string_view(text_).substr(space + 1, 7), "APPEND ");
}

assembler::result assembler::finish(result r) {
    state_ = state::line;
    fresh_ = true;
    refused_ = false;
    return r;
}

assembler::result assembler::feed(std::string_view& input) {
    if (fresh_) {
        if (text_.capacity() > limits_.line_size_max) text_ = std::string();  // give an APPEND's memory back
        text_.clear();
        line_begin_ = append_size_ = 0;
        drained_ = 0;
        fresh_ = false;
    }
    while (!input.empty()) {
        result r = result::more;
        if (state_ == state::line) {
            r = feed_line(input);
        } else if (state_ == state::literal) {
            auto const n = static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, input.size()));
            text_.append(input.substr(0, n));
            input.remove_prefix(n);
            remaining_ -= n;
            if (remaining_ == 0) {
                state_ = state::line;
                line_begin_ = text_.size();
            }
        } else {
            r = drain(input);
        }
        if (r != result::more) return r;
    }
    return result::more;
}

assembler::result assembler::feed_line(std::string_view& input) {
    auto const end = input.find('\n');
    auto const n = end == input.npos ? input.size() : end + 1;
    auto const room = limits_.line_size_max - std::min(limits_.line_size_max, text_.size() - append_size_);
    if (n > room) {
        text_.append(input.substr(0, room));
        input.remove_prefix(room);
        last_[0] = last_[1] = '\0';
        state_ = state::draining_line;
        return result::more;
    }
    text_.append(input.substr(0, n));
    input.remove_prefix(n);
    return end == input.npos ? result::more : end_of_line();
}

assembler::result assembler::end_of_line() {
    auto line = std::string_view(text_).substr(line_begin_);
    line.remove_suffix(1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (auto const mark = find_literal(line)) return begin_literal(mark->size, mark->waits);
    if (refused_) return finish(result::too_big);
    text_.resize(line_begin_ + line.size());
    return finish(result::complete);
}

assembler::result assembler::begin_literal(std::uint64_t size, bool waits) {
    bool const append = is_append();
    auto const used = append ? append_size_ : text_.size();
    auto const most = append ? limits_.literal_size_max : limits_.line_size_max;
    if (refused_ || size > most - std::min(most, used)) {
        if (waits) return finish(result::too_big);  // the client sends it only when asked
        if (size > limits_.drain_size_max - std::min<std::uint64_t>(limits_.drain_size_max, drained_))
            return finish(result::hopeless);
        refused_ = true;
        state_ = state::draining_literal;
        remaining_ = size;
        if (size == 0) state_ = state::line;
        line_begin_ = text_.size();
        return result::more;
    }
    if (append) append_size_ += static_cast<std::size_t>(size);
    remaining_ = size;
    if (size > 0)
        state_ = state::literal;
    else
        line_begin_ = text_.size();
    return waits ? result::proceed : result::more;
}

assembler::result assembler::drain(std::string_view& input) {
    if (state_ == state::draining_literal) {
        auto const n = static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, input.size()));
        input.remove_prefix(n);
        remaining_ -= n;
        drained_ += n;
        if (remaining_ == 0) state_ = state::line;
        return result::more;
    }
    auto const end = input.find('\n');
    auto const n = end == input.npos ? input.size() : end + 1;
    for (char const c : input.substr(0, n).substr(n - std::min<std::size_t>(n, 4)))
        if (c != '\r' && c != '\n') last_[0] = std::exchange(last_[1], c);
    input.remove_prefix(n);
    drained_ += n;
    if (end != input.npos) {  // what follows "+}" is a literal and must not be taken for commands
        return finish(last_[0] == '+' && last_[1] == '}' ? result::hopeless : result::too_long);
    }
    return drained_ > limits_.drain_size_max ? finish(result::hopeless) : result::more;
}

}  // namespace imapd::imap
