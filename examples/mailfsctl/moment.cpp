// SPDX-License-Identifier: BSL-1.0
#include "moment.hpp"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <string>

namespace mailfsctl {
namespace {

using mailfs::log_cut;

/// Takes things off the front of a text; the first that is not there makes all fail.
class scanner {
public:
    explicit scanner(std::string_view text) : rest_(text) {}

    /// A number of `digits` digits, or of any when 0.
    std::uint64_t number(std::size_t digits) {
        auto const end = rest_.find_first_not_of("0123456789");
        auto const size = digits != 0 ? digits : end == rest_.npos ? rest_.size() : end;
        std::uint64_t value = 0;
        auto const [at, ec] = std::from_chars(rest_.data(), rest_.data() + std::min(size, rest_.size()), value);
        good_ = good_ && size > 0 && size <= rest_.size() && ec == std::errc{} && at == rest_.data() + size;
        if (good_) rest_.remove_prefix(size);
        return value;
    }
    bool take(std::string_view word) {
        if (!rest_.starts_with(word)) return false;
        rest_.remove_prefix(word.size());
        return true;
    }
    void need(std::string_view word) { good_ = take(word) && good_; }
    void blanks() {
        while (take(" ")) {
        }
    }
    char next() const { return rest_.empty() ? '\0' : rest_.front(); }
    bool done() const { return good_ && rest_.empty(); }
    bool good() const { return good_; }
    void fail() { good_ = false; }

private:
    std::string_view rest_;
    bool good_ = true;
};

/// ".5" as 500.
std::uint64_t milliseconds(scanner& s) {
    std::uint64_t ms = 0;
    for (std::uint64_t unit = 100; s.next() >= '0' && s.next() <= '9'; unit /= 10) ms += s.number(1) * unit;
    return ms;
}

std::optional<log_cut> ago(std::string_view text, std::uint64_t now_ms) {
    scanner s(text);
    auto const n = s.number(0);
    s.blanks();
    std::uint64_t const unit = s.take("s") ? 1 : s.take("m") ? 60 : s.take("h") ? 3600 : s.take("d") ? 86'400 : 0;
    s.blanks();
    s.need("ago");
    if (!s.done() || unit == 0 || n > now_ms / (unit * 1000)) return std::nullopt;
    return log_cut::of_time(now_ms - n * unit * 1000);
}

std::optional<log_cut> calendar(std::string_view text) {
    scanner s(text);
    std::tm t{};
    t.tm_year = static_cast<int>(s.number(4)) - 1900;
    s.need("-");
    t.tm_mon = static_cast<int>(s.number(2)) - 1;
    s.need("-");
    t.tm_mday = static_cast<int>(s.number(2));
    std::uint64_t ms = 0;
    if (s.good() && (s.take("T") || s.take(" "))) {
        t.tm_hour = static_cast<int>(s.number(2));
        s.need(":");
        t.tm_min = static_cast<int>(s.number(2));
        if (s.take(":")) t.tm_sec = static_cast<int>(s.number(2));
        if (s.take(".")) ms = milliseconds(s);
    }
    s.blanks();
    bool const in_range = t.tm_year >= 70 && t.tm_mon >= 0 && t.tm_mon < 12 && t.tm_mday >= 1 && t.tm_mday <= 31 && t.tm_hour < 24 && t.tm_min < 60 && t.tm_sec <= 60;
    if (!s.good() || !in_range) return std::nullopt;
    std::time_t seconds = 0;
    if (s.take("Z")) {
        seconds = ::timegm(&t);
    } else if (s.next() == '+' || s.next() == '-') {
        bool const east = s.take("+");
        if (!east) s.need("-");
        auto const hours = static_cast<std::time_t>(s.number(2));
        s.take(":");
        auto const offset = hours * 3600 + static_cast<std::time_t>(s.number(2)) * 60;
        seconds = ::timegm(&t) - (east ? offset : -offset);
    } else {
        t.tm_isdst = -1;
        seconds = ::mktime(&t);
    }
    if (!s.done() || seconds < 0) return std::nullopt;
    return log_cut::of_time(static_cast<std::uint64_t>(seconds) * 1000 + ms);
}

}  // namespace

std::optional<log_cut> parse_moment(std::string_view text, std::uint64_t now_ms) {
    if (auto const cut = ago(text, now_ms)) return cut;
    scanner s(text);
    bool const since_1970 = s.take("@");
    auto const n = s.number(0);
    auto const ms = since_1970 && s.take(".") ? milliseconds(s) : 0;
    if (!s.done()) return calendar(text);
    if (!since_1970) return n < std::uint64_t{1} << 63 ? std::optional(log_cut::of_modseq(n)) : std::nullopt;
    constexpr std::uint64_t seconds_max = std::uint64_t{1} << 48;
    return n < seconds_max ? std::optional(log_cut::of_time(n * 1000 + ms)) : std::nullopt;
}

}  // namespace mailfsctl
