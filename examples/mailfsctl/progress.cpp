// SPDX-License-Identifier: BSL-1.0
#include "progress.hpp"

#include "text.hpp"

#include <fmt/format.h>

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace mailfsctl {
namespace {

std::string amount(std::uint64_t n, std::string_view unit) { return unit == "B" ? readable_size(n) : grouped(n); }

std::size_t terminal_width() {
    winsize size{};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20) return 80;
    return size.ws_col;
}

}  // namespace

std::string progress_line(std::string_view what, std::uint64_t done, std::uint64_t total, std::string_view unit,
                          double seconds, std::size_t width) {
    auto const rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
    auto numbers = amount(done, unit);
    if (total > 0) numbers += '/' + amount(total, unit);
    if (unit != "B") (numbers += ' ') += unit;
    numbers += fmt::format("  {}/s", amount(static_cast<std::uint64_t>(rate), unit));
    if (total > 0 && rate > 0 && done <= total)
        numbers += "  " + readable_time(static_cast<std::uint64_t>(static_cast<double>(total - done) / rate)) + " left";
    else if (total == 0)
        numbers += "  " + readable_time(static_cast<std::uint64_t>(seconds));
    std::string line(what);
    if (total > 0) {
        auto const share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
        line += fmt::format(" {:3}%", static_cast<int>(share * 100));
        auto const room = width > line.size() + numbers.size() + 6
                              ? std::min<std::size_t>(width - line.size() - numbers.size() - 6, 40)
                              : 0;
        if (room >= 8) {
            auto const filled = static_cast<std::size_t>(share * static_cast<double>(room));
            line += " [" + std::string(filled, '=') + std::string(room - filled, ' ') + ']';
        }
    }
    line += "  " + numbers;
    return line.substr(0, width);
}

progress::progress(std::string what, std::uint64_t total, std::string unit, bool quiet)
    : what_(std::move(what)), unit_(std::move(unit)), total_(total), on_terminal_(!quiet && ::isatty(STDERR_FILENO) == 1) {}

void progress::begin(std::string what, std::uint64_t total, std::string unit) {
    what_ = std::move(what);
    unit_ = std::move(unit);
    total_ = total;
    done_ = 0;
    start_ = clock::now();
}

void progress::at(std::uint64_t done) {
    using namespace std::chrono_literals;
    done_ = done;
    if (!on_terminal_) return;
    auto const now = clock::now();
    if (now - shown_ < 100ms) return;
    shown_ = now;
    drawn_ = true;
    auto const seconds = std::chrono::duration<double>(now - start_).count();
    fmt::print(stderr, "\r{}\x1b[K", progress_line(what_, done_, total_, unit_, seconds, terminal_width() - 1));
    std::fflush(stderr);
}

void progress::clear() {
    if (!drawn_) return;
    drawn_ = false;
    fmt::print(stderr, "\r\x1b[K");
    std::fflush(stderr);
}

}  // namespace mailfsctl
