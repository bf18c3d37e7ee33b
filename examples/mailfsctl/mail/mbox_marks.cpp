// SPDX-License-Identifier: BSL-1.0
#include "mail/mbox_marks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

namespace mailfsctl {
namespace {

using mailfs::flag;

std::string_view take_line(std::string_view& text) {
    auto const size = std::min(text.find('\n'), text.size() - 1) + 1;
    auto const line = text.substr(0, size);
    text.remove_prefix(size);
    return line;
}

std::string_view trimmed(std::string_view text) {
    auto const first = text.find_first_not_of(" \t\r\n");
    if (first == text.npos) return {};
    return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

template <class Each>
void for_each_word(std::string_view text, Each const& each) {
    for (std::size_t at = 0; (at = text.find_first_not_of(" \t\r\n,", at)) != text.npos;) {
        auto const end = std::min(text.find_first_of(" \t\r\n,", at), text.size());
        each(text.substr(at, end - at));
        at = end;
    }
}

bool is_name(std::string_view name, std::string_view known) {
    return std::equal(name.begin(), name.end(), known.begin(), known.end(), [](char a, char b) {
        return (a >= 'A' && a <= 'Z' ? a + 0x20 : a) == (b >= 'A' && b <= 'Z' ? b + 0x20 : b);
    });
}

void read_letters(std::string_view letters, message_marks& marks) {
    for (char const letter : letters) {
        if (letter == 'R') marks.flags |= flag::seen;
        if (letter == 'A') marks.flags |= flag::answered;
        if (letter == 'F') marks.flags |= flag::flagged;
        if (letter == 'D') marks.flags |= flag::deleted;
        if (letter == 'T') marks.flags |= flag::draft;
    }
}

void add_keyword(std::string_view word, message_marks& marks) {
    if (word.size() <= 255 && std::find(marks.keywords.begin(), marks.keywords.end(), word) == marks.keywords.end())
        marks.keywords.emplace_back(word);
}

void read_mozilla(std::string_view text, message_marks& marks) {
    unsigned bits = 0;
    std::from_chars(text.data(), text.data() + text.size(), bits, 16);
    if ((bits & 0x0001) != 0) marks.flags |= flag::seen;
    if ((bits & 0x0002) != 0) marks.flags |= flag::answered;
    if ((bits & 0x0004) != 0) marks.flags |= flag::flagged;
    if ((bits & 0x0008) != 0) marks.flags |= flag::deleted;  // the folder was not compacted since
    if ((bits & 0x1000) != 0) add_keyword("$Forwarded", marks);
}

/// Whether the field belongs to the mbox and not to the message. Its marks are read then.
bool read_field(std::string_view name, std::string_view value, message_marks& marks) {
    if (is_name(name, "Status") || is_name(name, "X-Status")) {
        read_letters(value, marks);
        return true;
    }
    if (is_name(name, "X-Keywords") || is_name(name, "X-Mozilla-Keys")) {
        for_each_word(value, [&](std::string_view word) { add_keyword(word, marks); });
        return true;
    }
    if (is_name(name, "X-Mozilla-Status")) {
        read_mozilla(trimmed(value), marks);
        return true;
    }
    constexpr std::string_view others[] = {"X-Mozilla-Status2", "X-UID", "X-IMAP", "X-IMAPbase", "X-Mailfs"};
    return std::any_of(std::begin(others), std::end(others), [&](std::string_view other) { return is_name(name, other); });
}

/// The rest of a line that begins so; nothing of another.
std::optional<std::string_view> value_of(std::string_view line, std::string_view name) {
    if (!line.starts_with(name)) return std::nullopt;
    return trimmed(line.substr(name.size()));
}

template <class T>
std::optional<T> number_behind(std::string_view text, std::string_view key) {
    auto const at = text.find(key);
    if (at == text.npos) return std::nullopt;
    T value = 0;
    auto const* const first = text.data() + at + key.size();
    return std::from_chars(first, text.data() + text.size(), value).ec == std::errc{} ? std::optional(value) : std::nullopt;
}

/// Nothing when the message does not begin with our block; else whether it is as long as that says.
std::optional<bool> take_block(found_message& message) {
    std::string_view rest = message.bytes;
    if (!rest.starts_with("X-Mailfs:")) return std::nullopt;
    auto const ours = value_of(take_line(rest), "X-Mailfs:");
    auto const received = number_behind<std::uint64_t>(*ours, "received=");
    auto const size = number_behind<std::size_t>(*ours, "size=");
    message_marks marks;
    for (std::string_view const name : {"Status:", "X-Status:", "X-Keywords:"}) {
        if (rest.empty()) return std::nullopt;
        auto const value = value_of(take_line(rest), name);
        if (!value) return std::nullopt;
        if (name != "X-Keywords:")
            read_letters(*value, marks);
        else
            for_each_word(*value, [&](std::string_view word) { add_keyword(keyword_of_word(word), marks); });
    }
    if (!received || !size) return std::nullopt;
    bool const whole = rest.size() >= *size;
    message.marks = std::move(marks);
    message.received_ms = *received;
    message.bytes = std::string(rest.substr(0, *size));  // a message without a last line end was given one
    return whole;
}

}  // namespace

std::string mbox_marks_text(message_marks const& marks, std::uint64_t received_ms, std::size_t size,
                            std::string_view line_end) {
    std::string letters, words;
    constexpr std::pair<char, flag> known[] = {
        {'A', flag::answered}, {'F', flag::flagged}, {'T', flag::draft}, {'D', flag::deleted}};
    for (auto const& [letter, f] : known)
        if (has(marks.flags, f)) letters += letter;
    for (auto const& keyword : marks.keywords) {
        std::string word;
        for (char const c : keyword_word(keyword)) word += c == ',' ? "%2c" : std::string(1, c);
        words += ' ' + word;
    }
    auto const status = has(marks.flags, flag::seen) ? "RO" : "O";
    return fmt::format("X-Mailfs: received={} size={}{}Status: {}{}X-Status: {}{}X-Keywords:{}{}", received_ms, size,
                       line_end, status, line_end, letters, line_end, words, line_end);
}

bool take_mbox_marks(found_message& message) {
    if (auto const whole = take_block(message)) return *whole;
    std::string kept;
    std::string_view rest = message.bytes;
    bool drop = false, list = false;
    while (!rest.empty() && trimmed(rest.substr(0, rest.find('\n'))).size() > 0) {
        auto const line = take_line(rest);
        bool const goes_on = line.starts_with(' ') || line.starts_with('\t');
        auto const colon = line.find(':');
        if (goes_on && drop && list) read_field("X-Keywords", line, message.marks);
        if (!goes_on)
            drop = colon != line.npos && read_field(trimmed(line.substr(0, colon)), line.substr(colon + 1), message.marks);
        if (!goes_on) list = line.find("Key") < colon;  // lists are folded
        if (!drop) kept += line;
    }
    if (kept.size() + rest.size() == message.bytes.size()) return true;
    message.bytes = kept += rest;
    return true;
}

}  // namespace mailfsctl
