// SPDX-License-Identifier: BSL-1.0
#include "imap/sequence_set.hpp"

#include "imap/date.hpp"
#include "imap/list_match.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace imapd::imap;
using mailfs::uid_set;

TEST_CASE("sequence_set: a star is the last one, and nothing in an empty mailbox") {
    sequence_set const set{{{5, sequence_set::star}, {2, 2}}};
    CHECK(set.resolve(7).text() == "2,5:7");
    CHECK(set.resolve(3).text() == "2:5");  // 5:* with 3 messages is 3:5 (RFC 3501, seq-range)
    sequence_set const star{{{sequence_set::star, sequence_set::star}}};
    CHECK(star.resolve(0).empty());
}

TEST_CASE("sequence_set: intersect and subtract agree with a look at each number") {
    std::mt19937 random(3);
    for (int round = 0; round < 300; ++round) {
        uid_set a, b;
        for (int i = 0; i < 6; ++i) {
            auto const x = 1 + static_cast<std::uint32_t>(random() % 60), y = 1 + static_cast<std::uint32_t>(random() % 60);
            a.add(x, x + static_cast<std::uint32_t>(random() % 5));
            b.add(y, y + static_cast<std::uint32_t>(random() % 5));
        }
        auto const both = intersect(a, b), left = subtract(a, b);
        for (std::uint32_t n = 1; n < 70; ++n) {
            REQUIRE(both.contains(n) == (a.contains(n) && b.contains(n)));
            REQUIRE(left.contains(n) == (a.contains(n) && !b.contains(n)));
        }
    }
    CHECK(subtract(uid_set{{1, mailfs::uid_max}}, uid_set{{5, mailfs::uid_max}}).text() == "1:4");
}

TEST_CASE("sequence_set: lists of COPYUID keep their order") {
    CHECK(ordered_text({4, 5, 6, 2, 9, 10}) == "4:6,2,9:10");
    CHECK(ordered_text({}).empty());
}

TEST_CASE("date: days and times, there and back") {
    CHECK(parse_date("1-Jan-1970") == day());
    CHECK(parse_date("29-feb-2024").has_value());
    for (auto const* wrong : {"29-Feb-2023", "00-Jan-2020", "1-Jan-20", "1 Jan 2020", "1-Foo-2020", "", "1-Jan-2020x"})
        CHECK_FALSE(parse_date(wrong));
    CHECK(format_date_time(1704099600123) == " 1-Jan-2024 09:00:00 +0000");
    CHECK(parse_date_time(" 1-Jan-2024 10:00:00 +0100") == 1704099600000);
    CHECK(parse_date_time("31-Dec-2023 23:30:00 -0930") == 1704099600000);
    for (auto const* wrong : {"31-Dec-2023 24:30:00 -0930", " 1-Jan-1969 10:00:00 +0000", "1-Jan-2024 10:00:00 +0100",
                              " 1-Jan-2024 10:00:00 +01x0", " 1-Jan-2024 10:00:00 0100 "})
        CHECK_FALSE(parse_date_time(wrong));
    CHECK(format_date_time(~std::uint64_t{0}).size() == 26);
}

TEST_CASE("list_match: wildcards") {
    CHECK(list_matches("*", "a/b"));
    CHECK_FALSE(list_matches("%", "a/b"));
    CHECK(list_matches("%/%", "a/b"));
    CHECK(list_matches("a%c*e", "abc/d/e"));
    CHECK_FALSE(list_matches("a%c", "a/c"));
    CHECK(list_matches("inb*", "INBOX"));
    CHECK_FALSE(list_matches("inb*", "INBOX/x"));
    CHECK_FALSE(list_matches("", "a"));
    CHECK(list_matches("**%%", ""));
    CHECK(list_matches(std::string(500, '*'), std::string(1000, 'a')));  // in no time
    CHECK_FALSE(list_matches(std::string(250, '*') + "b", std::string(1000, 'a')));
}
