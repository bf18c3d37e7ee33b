// SPDX-License-Identifier: BSL-1.0
#include "mime/section.hpp"

#include "imap/parse.hpp"
#include "mime/gmime_extractor.hpp"
#include "mime/header.hpp"

#include <doctest/doctest.h>

using namespace imapd;

namespace {

// The example of RFC 3501 section 6.4.5, with bodies that name their part.
std::string const mail =
    "Subject: whole\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"outer\"\r\n\r\npreamble\r\n"
    "--outer\r\nContent-Type: text/plain\r\n\r\none\r\n"
    "--outer\r\nContent-Type: application/octet-stream\r\n\r\ntwo\r\n"
    "--outer\r\nContent-Type: message/rfc822\r\n\r\n"
    "Subject: three\r\nContent-Type: multipart/mixed; "
    "boundary=inner\r\n\r\n--inner\r\n\r\nthree.one\r\n--inner\r\n\r\nthree.two\r\n\r\n--inner--\r\n"
    "--outer \r\nContent-Type: multipart/alternative; boundary=other\r\n\r\n--other\r\nX: "
    "4.1\r\n\r\nfour.one\r\n--other--\r\nepilogue\r\n"
    "--outer--\r\nthe end\r\n";

std::optional<std::string> section(std::string const& message, std::string const& spec) {
    auto const text = "a FETCH 1 BODY[" + spec + "]";
    auto const parsed = imap::parse(text);
    auto const& item = std::get<imap::cmd::fetch>(std::get<imap::command>(parsed).arguments).items.at(0);
    auto const tree = mime::gmime_extractor().parse(message);
    auto const found = mime::find_section(message, &tree, item.section);
    if (!found) return std::nullopt;
    return std::string(mime::cut(found->get(), item.partial));
}

}  // namespace

TEST_CASE("section: parts are byte ranges of the message") {
    CHECK(section(mail, "") == mail);
    CHECK(section(mail, "1") == "one");
    CHECK(section(mail, "1.MIME") == "Content-Type: text/plain\r\n\r\n");
    CHECK(section(mail, "2") == "two");
    CHECK(section(mail, "3.HEADER") == "Subject: three\r\nContent-Type: multipart/mixed; boundary=inner\r\n\r\n");
    CHECK(section(mail, "3.TEXT") == "--inner\r\n\r\nthree.one\r\n--inner\r\n\r\nthree.two\r\n\r\n--inner--");
    CHECK(section(mail, "3.1") == "three.one");
    CHECK(section(mail, "3.2") == "three.two\r\n");
    CHECK(section(mail, "3") == *section(mail, "3.HEADER") + *section(mail, "3.TEXT"));
    CHECK(section(mail, "4") == "--other\r\nX: 4.1\r\n\r\nfour.one\r\n--other--\r\nepilogue");
    CHECK(section(mail, "4.1") == "four.one");
    CHECK(section(mail, "4.1.MIME") == "X: 4.1\r\n\r\n");
    CHECK(*section(mail, "HEADER") + *section(mail, "TEXT") == mail);
}

TEST_CASE("section: what is not there is nothing") {
    for (auto const* spec : {"5", "1.1", "2.HEADER", "4.HEADER", "4.TEXT", "3.3", "3.1.1", "4.1.HEADER", "1.2.3.4.5"})
        CHECK_FALSE(section(mail, spec));
}

TEST_CASE("section: a message that is no multipart has one part, its body") {
    std::string const plain = "Subject: x\r\n\r\nbody\r\n";
    CHECK(section(plain, "1") == "body\r\n");
    CHECK(section(plain, "1.MIME") == "Subject: x\r\n\r\n");
    CHECK_FALSE(section(plain, "1.1"));
    CHECK_FALSE(section(plain, "2"));
    std::string const wrapped = "Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ninner\r\n";
    CHECK(section(wrapped, "1.HEADER") == "Subject: in\r\n\r\n");
    CHECK(section(wrapped, "1.1") == "inner\r\n");
}

TEST_CASE("section: header fields by name or all others, folds and the blank line with them") {
    std::string const m = "A: 1\r\nB : 2\r\n\tfolded\r\na: 3\r\nno field\r\nC:\r\n\r\nA: body\r\n";
    CHECK(section(m, "HEADER.FIELDS (a c)") == "A: 1\r\na: 3\r\nC:\r\n\r\n");
    CHECK(section(m, "HEADER.FIELDS (b)") == "B : 2\r\n\tfolded\r\n\r\n");
    CHECK(section(m, "HEADER.FIELDS.NOT (a c)") == "B : 2\r\n\tfolded\r\nno field\r\n\r\n");
    CHECK(section("A: 1\r\n", "HEADER.FIELDS (x)") == "");  // no blank line to end with
    CHECK(section("\r\nbody", "HEADER") == "\r\n");
    CHECK(section("", "TEXT") == "");
    CHECK(section(mail, "3.HEADER.FIELDS (subject)") == "Subject: three\r\n\r\n");
}

TEST_CASE("section: a partial never reaches beyond what is there") {
    CHECK(mime::cut("hello", imap::fetch_item::range{1, 3}) == "ell");
    CHECK(mime::cut("hello", imap::fetch_item::range{3, 4'000'000'000}) == "lo");
    CHECK(mime::cut("hello", imap::fetch_item::range{5, 1}) == "");
    CHECK(mime::cut("hello", imap::fetch_item::range{4'000'000'000, 1}) == "");
}

TEST_CASE("header: values are unfolded and found once") {
    CHECK(mime::find_value("X: a\r\nSubject:\r\n  b\r\n\tc \r\nSubject: d\r\n\r\nY: e\r\n", "subject") == "b\tc");
    CHECK_FALSE(mime::find_value("\r\nY: e\r\n", "y"));
    CHECK(mime::header_size("A: b\n\nbody") == 6);
    CHECK(mime::header_size("A: b\r\n \r\nbody") == 13);  // white space is no blank line
}
