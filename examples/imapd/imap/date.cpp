// SPDX-License-Identifier: BSL-1.0
// IMAP's dates.
#include "imap/date.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace imapd::imap {
namespace {

constexpr std::array<std::string_view, 12> months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::uint64_t ms_max = 253'402'300'799'999;  // the end of the year 9999

std::optional<unsigned> digits(std::string_view text) {
    unsigned value = 0;
    auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::optional<unsigned> month(std::string_view text) {
    if (text.size() != 3) return std::nullopt;
    char const name[] = {static_cast<char>(text[0] & ~0x20), static_cast<char>(text[1] | 0x20),
                         static_cast<char>(text[2] | 0x20)};
    for (unsigned i = 0; i < months.size(); ++i)
        if (months[i] == std::string_view(name, 3)) return i + 1;
    return std::nullopt;
}

}  // namespace

std::optional<day> parse_date(std::string_view text) {
    auto const dash = text.find('-');
    if (dash != 1 && dash != 2) return std::nullopt;
    if (text.size() != dash + 9 || text[dash + 4] != '-') return std::nullopt;
    auto const d = digits(text.substr(0, dash));
    auto const m = month(text.substr(dash + 1, 3));
    auto const y = digits(text.substr(dash + 5));
    if (!d || !m || !y) return std::nullopt;
    std::chrono::year_month_day const date{std::chrono::year(static_cast<int>(*y)), std::chrono::month(*m),
                                           std::chrono::day(*d)};
    if (!date.ok()) return std::nullopt;
    return day(date);
}

std::optional<std::uint64_t> parse_date_time(std::string_view text) {
    if (text.size() != 26 || text[11] != ' ' || text[14] != ':' || text[17] != ':' || text[20] != ' ') return std::nullopt;
    auto const date = parse_date(text.substr(text[0] == ' ' ? 1 : 0, text[0] == ' ' ? 10 : 11));
    auto const hour = digits(text.substr(12, 2)), minute = digits(text.substr(15, 2)), second = digits(text.substr(18, 2));
    auto const zone = digits(text.substr(22));
    if (!date || !hour || !minute || !second || !zone || (text[21] != '+' && text[21] != '-')) return std::nullopt;
    if (*hour > 23 || *minute > 59 || *second > 60 || *zone % 100 > 59) return std::nullopt;
    std::int64_t seconds = std::chrono::sys_seconds(*date).time_since_epoch().count();
    seconds += *hour * 3600 + *minute * 60 + *second;
    std::int64_t const offset = *zone / 100 * 3600 + *zone % 100 * 60;
    seconds -= text[21] == '+' ? offset : -offset;
    if (seconds < 0) return std::nullopt;
    return static_cast<std::uint64_t>(seconds) * 1000;
}

std::string format_date_time(std::uint64_t ms) {
    ms = std::min(ms, ms_max);
    auto const date = std::chrono::year_month_day(day_of(ms));
    auto const of_day = ms / 1000 % 86400;
    return fmt::format("{:2}-{}-{:04} {:02}:{:02}:{:02} +0000", static_cast<unsigned>(date.day()),
                       months[static_cast<unsigned>(date.month()) - 1], static_cast<int>(date.year()), of_day / 3600,
                       of_day / 60 % 60, of_day % 60);
}

}  // namespace imapd::imap
