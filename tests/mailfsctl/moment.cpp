// SPDX-License-Identifier: BSL-1.0
#include "moment.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <ctime>

using namespace mailfsctl;
using mailfs::log_cut;

TEST_CASE("moment: times, times ago, and positions") {
    ::setenv("TZ", "UTC-2", 1);  // two hours east
    ::tzset();
    constexpr std::uint64_t now = 1'700'000'000'000;
    auto const time = [&](std::string_view text) {
        auto const cut = parse_moment(text, now);
        return cut && *cut == log_cut::of_time(cut->time_ms) ? cut->time_ms : 0;
    };
    CHECK(time("2023-11-14T22:13:20Z") == now);
    CHECK(time("2023-11-14T22:13:20.5Z") == now + 500);
    CHECK(time("2023-11-15 00:13:20") == now);
    CHECK(time("2023-11-14 22:13:20 +0000") == now);
    CHECK(time("2023-11-14 23:43:20 +01:30") == now);
    CHECK(time("2023-11-14 20:13:20-0200") == now);
    CHECK(time("2023-11-15 00:13") == now - 20'000);
    CHECK(time("2023-11-15") == now - (13 * 60 + 20) * 1000);
    CHECK(time("@1700000000") == now);
    CHECK(time("@1700000000.25") == now + 250);
    CHECK(time("90s ago") == now - 90'000);
    CHECK(time("2 h ago") == now - 7'200'000);
    CHECK(time("3d ago") == now - 259'200'000);
    CHECK(parse_moment("17", now) == log_cut::of_modseq(17));
    CHECK(parse_moment("68719476737", now) == log_cut::of_modseq(68'719'476'737));
    for (auto const* no : {"", "x", "tomorrow", "1h", "h ago", "-5", "2023-11", "2023-13-01", "2023-11-14T", "2023-11-14T25:00", "2023-11-14 22:13:20 CET", "1969-01-01", "@", "@x",
                           "99999999999999999999", "@99999999999999999", "99999999999d ago", "17 ", "2023-11-14Z1"})
        CHECK_FALSE(parse_moment(no, now));
}
