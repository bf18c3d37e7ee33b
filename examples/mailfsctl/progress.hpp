// SPDX-License-Identifier: BSL-1.0
// How far long work has come: a bar with rate and time left on a terminal, nothing elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace mailfsctl {

/// What a bar shows after `done` of `total` in `seconds`, at most `width` columns wide. `unit`: "B" for bytes, else a noun.
std::string progress_line(std::string_view what, std::uint64_t done, std::uint64_t total, std::string_view unit,
                          double seconds, std::size_t width);

/// Draws on standard error, at most ten times a second, and wipes its line when it goes.
class progress {
public:
    /// `total` 0: not known.
    progress(std::string what, std::uint64_t total, std::string unit, bool quiet);
    ~progress() { clear(); }
    progress(progress const&) = delete;
    progress& operator=(progress const&) = delete;

    /// Another piece of work, from its start.
    void begin(std::string what, std::uint64_t total, std::string unit);
    void advance(std::uint64_t by = 1) { at(done_ + by); }
    void at(std::uint64_t done);
    void total(std::uint64_t total) noexcept { total_ = total; }
    /// What is being worked on now.
    void what(std::string words) { what_ = std::move(words); }
    /// So that a line can be printed; the bar comes back with the next step.
    void clear();

private:
    using clock = std::chrono::steady_clock;

    std::string what_, unit_;
    std::uint64_t total_, done_ = 0;
    clock::time_point start_ = clock::now(), shown_{};
    bool on_terminal_, drawn_ = false;
};

}  // namespace mailfsctl
