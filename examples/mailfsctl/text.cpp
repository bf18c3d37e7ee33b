// SPDX-License-Identifier: BSL-1.0
#include "text.hpp"

#include <fmt/format.h>

#include <array>
#include <ctime>
#include <utility>

namespace mailfsctl {
namespace {

/// Length of the well-formed UTF-8 character that `text` begins with, or 0.
std::size_t character_size(std::string_view text) {
    auto const octet = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    unsigned const lead = octet(0);
    if (lead < 0x80) return 1;
    std::size_t const size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || size > text.size()) return 0;
    for (std::size_t i = 1; i < size; ++i)
        if ((octet(i) & 0xc0) != 0x80) return 0;
    bool const wrong = (lead == 0xe0 && octet(1) < 0xa0) || (lead == 0xed && octet(1) >= 0xa0) ||
                       (lead == 0xf0 && octet(1) < 0x90) || (lead == 0xf4 && octet(1) >= 0x90);
    return wrong ? 0 : size;
}

bool is_control(std::string_view character) {
    auto const lead = static_cast<unsigned char>(character[0]);
    return lead < 0x20 || lead == 0x7f || (lead == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0);
}

}  // namespace

std::string utc(std::uint64_t milliseconds) {
    constexpr std::uint64_t year_10000 = 253'402'300'800'000;
    if (milliseconds >= year_10000) return fmt::format("{} ms", milliseconds);
    auto const seconds = static_cast<std::time_t>(milliseconds / 1000);
    std::tm t{};
    ::gmtime_r(&seconds, &t);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour,
                       t.tm_min, t.tm_sec, milliseconds % 1000);
}

std::string grouped(std::uint64_t number) {
    auto digits = std::to_string(number);
    for (auto at = digits.size(); at > 3;) digits.insert(at -= 3, 1, ',');
    return digits;
}

std::string readable_size(std::uint64_t bytes) {
    if (bytes < 1000) return counted(bytes, "byte");
    constexpr std::array units{"kB", "MB", "GB", "TB", "PB", "EB"};
    auto value = static_cast<double>(bytes) / 1000;
    std::size_t unit = 0;
    for (; value >= 999.95 && unit + 1 < units.size(); ++unit) value /= 1000;
    return fmt::format("{:.1f} {}", value, units[unit]);
}

std::string readable_time(std::uint64_t seconds) {
    auto const hours = seconds / 3600, minutes = seconds / 60 % 60;
    if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, seconds % 60);
    return fmt::format("{}:{:02}", minutes, seconds % 60);
}

std::string counted(std::uint64_t number, std::string_view noun) {
    if (number == 1) return fmt::format("1 {}", noun);
    if (noun.ends_with("ry")) return fmt::format("{} {}ies", grouped(number), noun.substr(0, noun.size() - 1));
    return fmt::format("{} {}{}", grouped(number), noun, noun.ends_with('x') ? "es" : "s");
}

std::string printable(std::string_view bytes) {
    std::string out;
    while (!bytes.empty()) {
        auto const size = character_size(bytes);
        if (size == 0 || is_control(bytes)) {
            out += fmt::format("\\x{:02x}", static_cast<unsigned char>(bytes[0]));
            bytes.remove_prefix(1);
        } else {
            out += bytes.substr(0, size);
            bytes.remove_prefix(size);
        }
    }
    return out;
}

std::string json_string(std::string_view bytes) {
    std::string out = "\"";
    while (!bytes.empty()) {
        auto const size = character_size(bytes);
        if (size == 0)
            out += "\\ufffd";
        else if (bytes[0] == '"' || bytes[0] == '\\')
            (out += '\\') += bytes[0];
        else if (static_cast<unsigned char>(bytes[0]) < 0x20 || bytes[0] == 0x7f)
            out += fmt::format("\\u{:04x}", static_cast<unsigned char>(bytes[0]));
        else
            out += bytes.substr(0, size);
        bytes.remove_prefix(size == 0 ? 1 : size);
    }
    return out += '"';
}

std::vector<std::string> flag_names(mailfs::flag flags) {
    using mailfs::flag;
    constexpr std::array<std::pair<flag, char const*>, 5> names{{{flag::seen, "\\Seen"},
                                                                 {flag::answered, "\\Answered"},
                                                                 {flag::flagged, "\\Flagged"},
                                                                 {flag::deleted, "\\Deleted"},
                                                                 {flag::draft, "\\Draft"}}};
    std::vector<std::string> out;
    for (auto const& [one, name] : names)
        if (has(flags, one)) out.emplace_back(name);
    return out;
}

std::string joined(std::vector<std::string> const& words, std::string_view between) {
    std::string out;
    for (auto const& word : words) {
        if (!out.empty()) out += between;
        out += word;
    }
    return out;
}

}  // namespace mailfsctl
