// SPDX-License-Identifier: BSL-1.0
#include "imap/search.hpp"

#include "imap/base64.hpp"
#include "imap/expectations.hpp"
#include "imap/parse.hpp"
#include "mime/gmime_extractor.hpp"

#include <doctest/doctest.h>

using namespace imapd::imap;

namespace {

search_key key_of(std::string const& keys, std::uint32_t last_number = 10, mailfs::uid_t last_uid = 100) {
    auto const text = "a SEARCH " + keys;
    auto parsed = parse(text);
    auto key = std::get<cmd::search>(std::get<command>(parsed).arguments).key;
    resolve(key, {last_number, last_uid, mailfs::uid_set{{50, 50}}, 1704099600000 + 60'000});
    return key;
}

std::vector<std::string> const keywords = {"$Junk", "work"};
message_facts const facts{5, 50, mailfs::flag::seen | mailfs::flag::flagged, keywords, 1000, 2048, 1704099600000, 1704272400000, mailfs::guid::from_words(1, 2)};  // received on 1 January 2024, saved on 3 January

verdict by_row(std::string const& keys) { return match_row(key_of(keys), facts); }

std::string const mail =
    "From: =?utf-8?q?J=C3=BCrgen?= <j@x.org>\r\nSubject: re\r\n =?iso-8859-1?q?Gr=FC=DFe?=\r\nDate: Mon, 1 Jan 2024 "
    "23:30:00 -0500\r\n"
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\nU2Now7ZuZSBHcsO8w59l\r\n--b\r\nContent-Type: "
    "image/png\r\n\r\nneedle\r\n--b--\r\n";

bool by_content(std::string const& keys) {
    static imapd::mime::gmime_extractor const extractor;
    return content_matcher(extractor, mail).matches(key_of(keys), facts);
}

}  // namespace

TEST_CASE("search: rows decide flags, keywords, sizes, days, numbers, mod-sequences") {
    for (auto const* yes : {"ALL", "SEEN", "UNDELETED", "FLAGGED SEEN", "OR DELETED SEEN", "NOT DRAFT", "KEYWORD $junk",
                            "UNKEYWORD other", "OLD", "LARGER 2047", "SMALLER 2049", "ON 1-Jan-2024", "SINCE 1-Jan-2024",
                            "BEFORE 2-Jan-2024", "5", "1:3,5", "UID 50:60", "UID 40:*", "MODSEQ 1000", "$", "UID $", "OLDER 60", "OLDER 59", "YOUNGER 60",
                            "YOUNGER 3600", "SAVEDON 3-Jan-2024", "SAVEDSINCE 3-Jan-2024", "SAVEDBEFORE 4-Jan-2024", "SAVEDATESUPPORTED",
                            "EMAILID 00000000000000010000000000000002"})
        CHECK_MESSAGE(by_row(yes) == verdict::yes, std::string(yes));
    for (auto const* no :
         {"NEW", "RECENT", "UNSEEN", "DELETED", "SEEN DELETED", "OR DELETED DRAFT", "NOT SEEN", "KEYWORD jun", "LARGER 2048",
          "SMALLER 2048", "BEFORE 1-Jan-2024", "SINCE 2-Jan-2024", "6:*", "UID 51", "MODSEQ 1001", "NOT (SEEN FLAGGED)", "NOT $", "OLDER 61", "YOUNGER 59", "SAVEDON 1-Jan-2024",
          "SAVEDBEFORE 3-Jan-2024", "EMAILID x", "THREADID x"})
        CHECK_MESSAGE(by_row(no) == verdict::no, std::string(no));
}

TEST_CASE("search: bytes are asked for only where a row cannot settle it") {
    CHECK(by_row("TEXT x") == verdict::needs_bytes);
    CHECK(by_row("DELETED TEXT x") == verdict::no);
    CHECK(by_row("TEXT x DELETED") == verdict::no);
    CHECK(by_row("OR TEXT x SEEN") == verdict::yes);
    CHECK(by_row("OR TEXT x DELETED") == verdict::needs_bytes);
    CHECK(by_row("NOT SENTSINCE 1-Jan-2020") == verdict::needs_bytes);
    CHECK(asks_modseq(key_of("NOT (MODSEQ 5)")));
    CHECK_FALSE(asks_modseq(key_of("UID 5")));
}

TEST_CASE("search: contents are compared decoded and without regard to case") {
    for (auto const* yes : {"FROM \"J\xc3\x9cRGEN\"", "SUBJECT \"gr\xc3\xbc\xc3\x9f\x65\"", "BODY \"SCH\xc3\x96NE\"",
                            "TEXT \"j@x.org\"", "TEXT \"re gr\xc3\xbc\xc3\x9f\x65\"", "HEADER date \"\"",
                            "SENTON 1-Jan-2024", "SENTBEFORE 2-Jan-2024", "NOT BODY needle", "HEADER Subject \"RE G\" SEEN"})
        CHECK_MESSAGE(by_content(yes), std::string(yes));
    for (auto const* no : {"BODY \"j@x.org\"", "CC x", "HEADER x-none \"\"", "SENTSINCE 2-Jan-2024",
                           "HEADER Subject gr DELETED", "TEXT needle"})
        CHECK_FALSE_MESSAGE(by_content(no), std::string(no));
}

TEST_CASE("expectations: order and case of keywords make no difference, everything else does") {
    expectations e;
    e.add(3, mailfs::flag::seen, keyword_digest(std::vector<std::string>{"b", "A"}));
    e.add(7, mailfs::flag::none, keyword_digest({}));
    CHECK(e.met(3, mailfs::flag::seen, std::vector<std::string>{"a", "b"}));
    CHECK_FALSE(e.met(3, mailfs::flag::seen, std::vector<std::string>{"a"}));
    CHECK_FALSE(e.met(3, mailfs::flag::none, std::vector<std::string>{"a", "b"}));
    CHECK_FALSE(e.met(4, mailfs::flag::seen, {}));
    CHECK(e.met(7, mailfs::flag::none, {}));
}

TEST_CASE("base64: padding is needed, rubbish is refused") {
    CHECK(base64_decode("AGEAYg==") == std::string("\0a\0b", 4));
    CHECK(base64_decode("") == "");
    CHECK(base64_decode("YWJj") == "abc");
    CHECK(base64_decode("YWI=") == "ab");
    for (auto const* wrong : {"YWI", "YW=j", "====", "Y===", "YW*=", "YQ==YQ=="}) CHECK_FALSE(base64_decode(wrong));
}
