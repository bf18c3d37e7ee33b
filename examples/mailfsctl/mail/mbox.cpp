// SPDX-License-Identifier: BSL-1.0
#include "mail/mbox.hpp"

#include "mail/maildir.hpp"
#include "mail/mbox_marks.hpp"

#include <mailfs/store/mailbox_name.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <utility>
#include <vector>

namespace mailfsctl {
namespace {

constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

std::vector<std::string_view> words_of(std::string_view line) {
    std::vector<std::string_view> out;
    for (std::size_t at = 0; (at = line.find_first_not_of(" \t\r\n", at)) != line.npos;) {
        auto const end = std::min(line.find_first_of(" \t\r\n", at), line.size());
        out.push_back(line.substr(at, end - at));
        at = end;
    }
    return out;
}

std::optional<int> number(std::string_view text, int first, int last) {
    int value = 0;
    auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    bool const whole = ec == std::errc{} && end == text.data() + text.size() && !text.empty();
    return whole && value >= first && value <= last ? std::optional(value) : std::nullopt;
}

bool set_clock(std::string_view text, std::tm& t) {
    if (text.size() != 5 && text.size() != 8) return false;
    auto const hour = number(text.substr(0, 2), 0, 23), minute = number(text.substr(3, 2), 0, 59);
    auto const second = text.size() == 8 ? number(text.substr(6, 2), 0, 60) : 0;
    if (!hour || !minute || !second || text[2] != ':' || (text.size() == 8 && text[5] != ':')) return false;
    t.tm_hour = *hour;
    t.tm_min = *minute;
    t.tm_sec = *second;
    return true;
}

/// Seconds east of UTC of "+0130"; nothing of other words.
std::optional<int> zone(std::string_view word) {
    if (word.size() != 5 || (word[0] != '+' && word[0] != '-')) return std::nullopt;
    auto const hours = number(word.substr(1, 2), 0, 14), minutes = number(word.substr(3, 2), 0, 59);
    if (!hours || !minutes) return std::nullopt;
    return (word[0] == '-' ? -1 : 1) * (*hours * 3600 + *minutes * 60);
}

/// "Jan 2 03:04:05", then within three words the year, and perhaps a zone.
std::optional<std::uint64_t> date_at(std::vector<std::string_view> const& words, std::size_t month) {
    std::tm t{};
    auto const name = std::find(months.begin(), months.end(), words[month]);
    if (name == months.end() || month + 3 >= words.size()) return std::nullopt;
    auto const day = number(words[month + 1], 1, 31);
    if (!day || !set_clock(words[month + 2], t)) return std::nullopt;
    std::optional<int> year, east;
    for (auto i = month + 3; i < words.size() && i < month + 6; ++i) {
        if (!year && words[i].size() == 4) year = number(words[i], 1970, 9999);
        if (!east) east = zone(words[i]);
    }
    if (!year) return std::nullopt;
    t.tm_mon = static_cast<int>(name - months.begin());
    t.tm_mday = *day;
    t.tm_year = *year - 1900;
    auto const seconds = ::timegm(&t) - east.value_or(0);
    return seconds < 0 ? 0 : static_cast<std::uint64_t>(seconds) * 1000;
}

std::string date_text(std::uint64_t milliseconds) {
    constexpr std::uint64_t year_10000 = 253'402'300'800;
    auto const seconds = static_cast<std::time_t>(std::min(milliseconds / 1000, year_10000 - 1));
    std::tm t{};
    ::gmtime_r(&seconds, &t);
    return fmt::format("{} {} {:2} {:02}:{:02}:{:02} {}", days[static_cast<std::size_t>(t.tm_wday)],
                       months[static_cast<std::size_t>(t.tm_mon)], t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec,
                       t.tm_year + 1900);
}

bool is_from_line(std::string_view line) { return line.starts_with("From "); }

/// ">From " and the like, and "From " itself.
bool is_quotable(std::string_view line) {
    auto const from = line.find_first_not_of('>');
    return from != line.npos && is_from_line(line.substr(from));
}

std::string_view unquoted(std::string_view line, from_quoting how) {
    bool const quoted =
        line.starts_with('>') &&
        (how == from_quoting::mboxrd ? is_quotable(line) : how == from_quoting::mboxo && is_from_line(line.substr(1)));
    return quoted ? line.substr(1) : line;
}

bool is_blank(std::string_view line) { return line == "\n" || line == "\r\n" || line.empty(); }

/// The blank line that stands between a message and the next.
void drop_separator(std::string& text) {
    for (std::string_view const end : {"\r\n", "\n"}) {
        bool const alone = text == end;
        bool const behind_a_line =
            text.size() > end.size() && text.ends_with(end) && text[text.size() - end.size() - 1] == '\n';
        if (!alone && !behind_a_line) continue;
        text.resize(text.size() - end.size());
        return;
    }
}

}  // namespace

std::optional<std::uint64_t> from_line_date(std::string_view line) {
    if (!is_from_line(line)) return std::nullopt;
    auto const words = words_of(line.substr(0, 1000));
    for (std::size_t i = 1; i + 3 < words.size(); ++i)
        if (auto const date = date_at(words, i)) return date;
    return std::nullopt;
}

std::optional<found_message> mbox_parser::line(std::string_view text) {
    auto const at = offset_;
    offset_ += text.size();
    bool const goes_on = std::exchange(within_line_, !text.ends_with('\n'));
    auto const date = after_blank_ && is_from_line(text) ? from_line_date(text) : std::nullopt;
    after_blank_ = is_blank(text) && !goes_on;
    if (date) {
        auto done = finish();
        inside_ = true;
        current_ = {};
        current_.received_ms = *date;
        current_.place = fmt::format("offset {}", at);
        return done;
    }
    if (!inside_) {
        if (!is_blank(text)) strange_bytes_ += text.size();
        return std::nullopt;
    }
    auto const bytes = goes_on ? text : unquoted(text, quoting_);
    skipping_ = skipping_ || current_.bytes.size() + bytes.size() > message_size_max_;
    if (skipping_)
        current_.bytes = {};
    else
        current_.bytes += bytes;
    return std::nullopt;
}

std::optional<found_message> mbox_parser::end() { return finish(); }

std::optional<found_message> mbox_parser::finish() {
    if (!std::exchange(inside_, false)) return std::nullopt;
    if (std::exchange(skipping_, false)) {
        ++too_long_;
        return std::nullopt;
    }
    drop_separator(current_.bytes);
    if (!take_mbox_marks(current_)) ++cut_;
    return std::move(current_);
}

std::string mbox_text(std::string_view message, message_marks const& marks, std::uint64_t received_ms) {
    auto const first = message.find('\n');
    std::string_view const end = first != message.npos && first > 0 && message[first - 1] == '\r' ? "\r\n" : "\n";
    std::string out = fmt::format("From MAILER-DAEMON {}{}", date_text(received_ms), end);
    out += mbox_marks_text(marks, received_ms, message.size(), end);
    bool const ended = message.ends_with('\n');
    while (!message.empty()) {
        auto const size = std::min(message.find('\n'), message.size() - 1) + 1;
        auto const one = message.substr(0, size);
        if (is_quotable(one)) out += '>';
        out += one;
        message.remove_prefix(size);
    }
    if (!ended) out += end;
    return out += end;
}

std::string mbox_path_of_mailbox(std::string_view mailbox) {
    std::string out;
    for (;;) {
        auto const slash = mailbox.find(mailfs::mailbox_separator);
        auto const level = mailbox.substr(0, slash);
        for (std::size_t i = 0; i < level.size(); ++i) {
            bool const suffix = level[i] == '.' && (level.substr(i) == ".mbox" || level.substr(i) == ".sbd");
            if (level[i] == '\\' || suffix || (i == 0 && level[i] == '.'))
                out += fmt::format("\\{:02x}", static_cast<unsigned char>(level[i]));
            else
                out += level[i];
        }
        if (slash == mailbox.npos) return out + ".mbox";
        out += '/';
        mailbox.remove_prefix(slash + 1);
    }
}

std::string mailbox_of_mbox_path(std::string_view path) {
    if (path.ends_with(".mbox")) path.remove_suffix(5);
    std::string stored;
    for (;;) {
        auto const slash = path.find('/');
        auto level = path.substr(0, slash);
        if (slash != path.npos && level.ends_with(".sbd")) level.remove_suffix(4);
        stored += level;
        if (slash == path.npos) return mailbox_of_path(stored);
        stored += '/';
        path.remove_prefix(slash + 1);
    }
}

}  // namespace mailfsctl
