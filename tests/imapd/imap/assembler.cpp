// SPDX-License-Identifier: BSL-1.0
#include "imap/assembler.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace imapd::imap;
using result = assembler::result;

namespace {

assembler small() { return assembler({100, 1000, 500}); }

/// All that comes of the bytes, in pieces of `size`.
std::vector<std::pair<result, std::string>> feed_all(assembler& a, std::string_view bytes,
                                                     std::size_t size = std::string_view::npos) {
    std::vector<std::pair<result, std::string>> out;
    while (!bytes.empty()) {
        auto piece = bytes.substr(0, size);
        auto const before = piece.size();
        auto const r = a.feed(piece);
        bytes.remove_prefix(before - piece.size());
        if (r != result::more) out.emplace_back(r, r == result::complete ? std::string(a.text()) : std::string(a.tag()));
    }
    return out;
}

}  // namespace

TEST_CASE("assembler: lines and literals make commands, in pieces of any size") {
    std::string_view const bytes = "a NOOP\r\nb LOGIN {5}\r\nalice {2+}\r\nxy\r\nc NOOP\nd APPEND x {0}\r\n\r\n";
    for (std::size_t size : {std::size_t{1}, std::size_t{2}, std::size_t{7}, std::string_view::npos}) {
        auto a = small();
        auto const got = feed_all(a, bytes, size);
        REQUIRE(got.size() == 6);
        CHECK(got[0] == std::pair(result::complete, std::string("a NOOP")));
        CHECK(got[1].first == result::proceed);
        CHECK(got[2] == std::pair(result::complete, std::string("b LOGIN {5}\r\nalice {2+}\r\nxy")));
        CHECK(got[3] == std::pair(result::complete, std::string("c NOOP")));
        CHECK(got[4].first == result::proceed);
        CHECK(got[5] == std::pair(result::complete, std::string("d APPEND x {0}\r\n")));
    }
}

TEST_CASE("assembler: a literal that waits and is too big is refused before it comes") {
    auto a = small();
    auto const got = feed_all(a, "t1 LOGIN {101}\r\nt2 NOOP\r\nt3 LOGIN {99999999999999999999999}\r\nt4 NOOP\r\n");
    REQUIRE(got.size() == 4);
    CHECK(got[0] == std::pair(result::too_big, std::string("t1")));
    CHECK(got[1] == std::pair(result::complete, std::string("t2 NOOP")));
    CHECK(got[2] == std::pair(result::too_big, std::string("t3")));
    CHECK(got[3] == std::pair(result::complete, std::string("t4 NOOP")));
}

TEST_CASE("assembler: a literal that does not wait and is too big is read to its end, or ends the session") {
    auto a = small();
    auto const bytes = "t1 LOGIN {400+}\r\n" + std::string(400, 'x') + " {3+}\r\nabc\r\nt2 NOOP\r\n";
    auto const got = feed_all(a, bytes, 13);
    REQUIRE(got.size() == 2);
    CHECK(got[0] == std::pair(result::too_big, std::string("t1")));
    CHECK(got[1] == std::pair(result::complete, std::string("t2 NOOP")));
    auto b = small();
    auto const lost = feed_all(b, "t1 LOGIN {501+}\r\n");
    REQUIRE(lost.size() == 1);
    CHECK(lost[0].first == result::hopeless);
}

TEST_CASE("assembler: only APPEND may have literals beyond the line's bound, and those have a bound too") {
    auto a = small();
    auto const message = std::string(990, 'm');
    auto const got = feed_all(a, "t1 append {5+}\r\nINBOX {990+}\r\n" + message + "\r\n", 64);
    REQUIRE(got.size() == 1);
    CHECK(got[0].second == "t1 append {5+}\r\nINBOX {990+}\r\n" + message);
    auto const more = feed_all(a, "t2 APPEND INBOX {1001}\r\n");
    REQUIRE(more.size() == 1);
    CHECK(more[0] == std::pair(result::too_big, std::string("t2")));
}

TEST_CASE("assembler: an endless line is forgotten as it comes") {
    auto a = small();
    auto const got = feed_all(a, "t1 " + std::string(300, 'x') + "\r\nt2 NOOP\r\n", 10);
    REQUIRE(got.size() == 2);
    CHECK(got[0] == std::pair(result::too_long, std::string("t1")));
    CHECK(got[1] == std::pair(result::complete, std::string("t2 NOOP")));
    auto b = small();
    auto const lost = feed_all(b, std::string(2000, 'x'), 10);
    REQUIRE_FALSE(lost.empty());
    CHECK(lost[0] == std::pair(result::hopeless, std::string("*")));
    auto c = small();
    auto const literal = feed_all(c, "t1 " + std::string(300, 'x') + " {9+}\r\n", 1);
    REQUIRE(literal.size() == 1);
    CHECK(literal[0].first == result::hopeless);  // its literal must not be taken for commands
}
