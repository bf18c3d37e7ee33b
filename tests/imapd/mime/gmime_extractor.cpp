// SPDX-License-Identifier: BSL-1.0
#include "mime/gmime_extractor.hpp"

#include "limits.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace imapd;
using mime::part;

namespace {

part parse(std::string const& message) { return mime::gmime_extractor().parse(message); }

/// Children lie within their parent, in order; ranges are sound. The number of parts.
std::size_t check(part const& p, std::size_t size, std::size_t depth = 0) {
    REQUIRE(p.header_begin <= p.body_begin);
    REQUIRE(p.body_begin <= p.body_end);
    REQUIRE(p.body_end <= size);
    REQUIRE(depth <= limits::mime_depth_max + 1);
    std::size_t count = 1, at = p.body_begin;
    for (auto const& child : p.children) {
        REQUIRE(child.header_begin >= at);
        REQUIRE(child.body_end <= p.body_end);
        at = child.body_end;
        count += check(child, size, depth + 1);
    }
    REQUIRE((!p.is_multipart() || !p.children.empty()));
    REQUIRE((!p.holds_message() || p.children.size() == 1));
    return count;
}

}  // namespace

TEST_CASE("gmime_extractor: values of a part") {
    auto const p = parse(
        "Content-Type: Text/HTML; charset=\"UTF-8\"; format=flowed\r\nContent-Transfer-Encoding: Quoted-Printable\r\n"
        "Content-Disposition: attachment; filename*=utf-8''na%C3%AFve.txt\r\nContent-ID: <id@x>\r\nContent-Language: de, "
        "en\r\n"
        "Content-Description: a\r\n b\r\nContent-Location: there\r\nContent-MD5: Q2hlY2s=\r\n\r\na\r\nb\r\n");
    CHECK(p.type == "TEXT");
    CHECK(p.subtype == "HTML");
    CHECK(p.encoding == "QUOTED-PRINTABLE");
    REQUIRE(p.parameters.size() == 2);
    CHECK(p.parameters[0] == std::pair(std::string("CHARSET"), std::string("UTF-8")));
    CHECK(p.disposition == "ATTACHMENT");
    CHECK(p.disposition_parameters.at(0).second.find("na") != std::string::npos);
    for (char const c : p.disposition_parameters[0].second) CHECK(static_cast<unsigned char>(c) < 0x80);
    CHECK(p.id == "<id@x>");
    CHECK(p.description == "a b");
    CHECK(p.languages == std::vector<std::string>{"de", "en"});
    CHECK(p.lines == 2);
}

TEST_CASE("gmime_extractor: an envelope as it stands, addresses taken apart") {
    auto const e = mime::gmime_extractor().envelope(
        "Date: Mon, 1 Jan 2024 10:00:00 +0000\r\nSubject: =?utf-8?q?=C3=A9?=\r\n plain\r\nFrom: \"Smith, John\" "
        "<john@x.org>, =?utf-8?q?J=C3=BC?= <j@y.org>\r\n"
        "To: friends: a@b, c@d;, e@f\r\nMessage-ID: <1@x>\r\nIn-Reply-To: <0@x>\r\n\r\nFrom: body@x\r\n");
    CHECK(e.date == "Mon, 1 Jan 2024 10:00:00 +0000");
    CHECK(e.subject == "=?utf-8?q?=C3=A9?= plain");
    REQUIRE(e.from.size() == 2);
    CHECK(e.from[0].name == "Smith, John");
    CHECK(e.from[0].mailbox == "john");
    CHECK(e.from[0].host == "x.org");
    CHECK(e.from[1].name.substr(0, 2) == "=?");
    REQUIRE(e.to.size() == 5);
    CHECK(e.to[0].group);
    CHECK(e.to[0].mailbox == "friends");
    CHECK(e.to[3].group);
    CHECK(e.to[3].mailbox.empty());
    CHECK(e.sender.size() == 2);
    CHECK(e.reply_to.size() == 2);
    CHECK(e.cc.empty());
    CHECK(e.in_reply_to == "<0@x>");
    CHECK_FALSE(mime::gmime_extractor().envelope("\r\n").subject);
}

TEST_CASE("gmime_extractor: text is decoded, header text and dates too") {
    mime::gmime_extractor const x;
    std::string const latin =
        "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: "
        "quoted-printable\r\n\r\ncaf=E9=\r\n!\r\n";
    CHECK(x.text(latin, x.parse(latin)) == "caf\xc3\xa9!\r\n");
    std::string const unknown = "Content-Type: text/plain; charset=x-nonsense\r\n\r\nabc\r\n";
    CHECK(x.text(unknown, x.parse(unknown)) == "abc\r\n");
    CHECK(x.header_text("=?iso-8859-1?q?caf=E9?=") == "caf\xc3\xa9");
    CHECK(x.fold_case("CAF\xc3\x89") == x.fold_case("caf\xc3\xa9"));
    CHECK(x.sent_day("Mon, 1 Jan 2024 23:59:59 -1200") == std::chrono::sys_days(std::chrono::year(2024) / 1 / 1));
    CHECK_FALSE(x.sent_day("not a date"));
}

TEST_CASE("gmime_extractor: boundaries that never come, come twice or belong to someone else") {
    auto const never = parse("Content-Type: multipart/mixed; boundary=b\r\n\r\nno parts\r\n");
    REQUIRE(never.children.size() == 1);
    CHECK(never.children[0].body_begin == never.children[0].body_end);
    auto const cut = parse("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: y\r\n--b\r\n\r\nz");
    REQUIRE(cut.children.size() == 2);
    CHECK(cut.children[0].body_begin == cut.children[0].body_end);
    // the inner multipart forgets its end; the outer boundary ends both
    auto const nested = parse(
        "Content-Type: multipart/mixed; boundary=outer\r\n\r\n--outer\r\nContent-Type: multipart/mixed; "
        "boundary=outer2\r\n\r\n--outer2\r\n\r\na\r\n--outer\r\n\r\nb\r\n--outer--\r\n");
    REQUIRE(nested.children.size() == 2);
    CHECK(nested.children[0].children.size() == 1);
    auto const none = parse("Content-Type: multipart/mixed\r\n\r\n--\r\n\r\nx\r\n");
    CHECK(none.children.size() == 1);
}

TEST_CASE("gmime_extractor: depth and number of parts are bounded") {
    std::string deep;
    for (int i = 0; i < 500; ++i) deep += "Content-Type: message/rfc822\r\n\r\n";
    CHECK(check(parse(deep), deep.size()) == limits::mime_depth_max + 1);
    std::string nested = "Content-Type: multipart/mixed; boundary=b0\r\n\r\n";
    for (int i = 0; i < 500; ++i) {
        auto const n = std::to_string(i);
        nested += "--b" + n + "\r\nContent-Type: multipart/mixed; boundary=b" + std::to_string(i + 1) + "\r\n\r\n";
    }
    CHECK(check(parse(nested), nested.size()) <= limits::mime_depth_max + 2);
    std::string many = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    for (std::size_t i = 0; i < limits::mime_parts_max + 100; ++i) many += "--b\r\n\r\n\r\n";
    auto const wide = parse(many);
    CHECK(check(wide, many.size()) <= limits::mime_parts_max);
}

TEST_CASE("gmime_extractor: any bytes give a sound tree") {
    std::mt19937 random(5);
    std::vector<std::string> const words = {"Content-Type: ",
                                            "multipart/mixed; boundary=",
                                            "message/rfc822",
                                            "text/plain",
                                            "b",
                                            "c",
                                            "--b",
                                            "--c",
                                            "--",
                                            "\r\n",
                                            "\r\n\r\n",
                                            "\n",
                                            "From: ",
                                            "a@b",
                                            "\"",
                                            "<",
                                            "=?utf-8?b?",
                                            "\xff",
                                            std::string(1, '\0'),
                                            ";",
                                            "(",
                                            ":",
                                            "multipart/digest; boundary=c"};
    mime::gmime_extractor const x;
    for (int round = 0; round < 5000; ++round) {
        std::string message;
        for (auto n = random() % 60; n-- > 0;) message += words[random() % words.size()];
        auto const tree = x.parse(message);
        check(tree, message.size());
        x.envelope(message);
        x.text(message, tree);
    }
}
