// SPDX-License-Identifier: BSL-1.0
#include "imap/utf7.hpp"

#include <doctest/doctest.h>

using namespace imapd::imap;

TEST_CASE("utf7: the examples of RFC 3501 section 5.1.3, both ways") {
    CHECK(utf7_decode("~peter/mail/&U,BTFw-/&ZeVnLIqe-") ==
          "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e");
    CHECK(utf7_encode("~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e") ==
          "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
    CHECK_FALSE(utf7_decode("&Jjo!"));               // not in base64
    CHECK_FALSE(utf7_decode("&U,BTFw-&ZeVnLIqe-"));  // a superfluous shift
    CHECK(utf7_decode("&U,BTF2XlZyyKng-"));
}

TEST_CASE("utf7: ampersands, Latin-1 and characters beyond the basic plane come back") {
    for (auto const* name :
         {"a&b", "&&", "R\xc3\xa4ksm\xc3\xb6rg\xc3\xa5s", "\xf0\x9f\x93\xac mail", "\xe2\x82\xac", "-", ""}) {
        auto const wire = utf7_encode(name);
        CHECK(utf7_decode(wire) == name);
    }
    CHECK(utf7_encode("a&b") == "a&-b");
    CHECK(utf7_encode("\xf0\x9f\x93\xac") == "&2D3c7A-");
}

TEST_CASE("utf7: what is malformed or could be spelt otherwise is refused") {
    for (auto const* wire : {"&", "&AGE-", "caf\xc3\xa9", "a\x01", "&2D0-", "&3Kw-", "&A-", "&AOk", "&AOl-", "&AOk-&AOk-"})
        CHECK_FALSE(utf7_decode(wire));
}

TEST_CASE("utf7: bytes that are not UTF-8 become a replacement character, not a crash") {
    CHECK(utf7_encode("\xff") == "&,,0-");
    CHECK(utf7_encode("\xe2\x82") == "&,,3,,Q-");
    CHECK(utf7_encode("\xed\xa0\x80") == "&,,3,,f,9-");
}
