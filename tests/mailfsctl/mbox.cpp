// SPDX-License-Identifier: BSL-1.0
#include "mail/mbox.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

using namespace mailfsctl;
using mailfs::flag;

namespace {

struct parsed {
    std::vector<found_message> messages;
    std::uint64_t strange = 0, too_long = 0, cut = 0;
};

/// `piece`: lines come in pieces of at most so many bytes.
parsed parse(std::string_view text, from_quoting quoting = from_quoting::mboxrd, std::size_t size_max = 1 << 20,
             std::size_t piece = 1 << 20) {
    mbox_parser parser(quoting, size_max);
    parsed out;
    while (!text.empty()) {
        auto const line = std::min(text.find('\n'), text.size() - 1) + 1;
        auto const size = std::min(line, piece);
        if (auto m = parser.line(text.substr(0, size))) out.messages.push_back(std::move(*m));
        text.remove_prefix(size);
    }
    if (auto m = parser.end()) out.messages.push_back(std::move(*m));
    out.strange = parser.strange_bytes();
    out.too_long = parser.too_long();
    out.cut = parser.cut();
    return out;
}

constexpr auto from = "From a@b Thu Jan  1 00:00:01 1970\n";

}  // namespace

TEST_CASE("mbox: a line that begins a message has a date") {
    CHECK(from_line_date("From a@b Thu Jan  1 00:00:01 1970\n") == 1000);
    CHECK(from_line_date("From - Sat Jan 01 12:30:00 2022\r\n") == 1'641'040'200'000);
    CHECK(from_line_date("From a b c Sat Jan  1 12:30 2022") == 1'641'040'200'000);
    CHECK(from_line_date("From x Sat Jan  1 12:30:00 +0200 2022\n") == 1'641'033'000'000);
    CHECK(from_line_date("From x Sat Jan  1 12:30:00 2022 -0130\n") == 1'641'045'600'000);
    CHECK(from_line_date("From x Sat Jan  1 12:30:00 PST 2022 remote from y\n") == 1'641'040'200'000);
    for (auto const* no : {"From here to eternity\n", "from a@b Thu Jan  1 00:00:01 1970\n", "From", "From ",
                           "From a Jan 1\n", "From a Jan 32 00:00:00 2000\n", "From a Jan 1 24:00:00 2000\n",
                           "From a Jan 1 00-00-00 2000\n", "From a Jan 1 00:00:00 20\n"})
        CHECK_FALSE(from_line_date(no));
}

TEST_CASE("mbox: messages begin at From_ lines behind a blank line, and keep their bytes") {
    auto const p = parse(std::string(from) + "Subject: a\n\nbody\n\n" + from + "\nFrom within\n\nFrom here to there\n\n");
    REQUIRE(p.messages.size() == 2);
    CHECK(p.messages[0].bytes == "Subject: a\n\nbody\n");
    CHECK(p.messages[0].received_ms == 1000);
    CHECK(p.messages[1].bytes == "\nFrom within\n\nFrom here to there\n");
    CHECK(p.messages[1].place == "offset 52");
    CHECK(parse(std::string("junk\n\n") + from + "a: b\n").strange == 5);
    CHECK(parse("").messages.empty());
    CHECK(parse(from).messages.at(0).bytes.empty());
    CHECK(parse(std::string("From a@b Thu Jan  1 00:00:01 1970\r\n") + "a: b\r\n\r\nc\r\n\r\n").messages.at(0).bytes ==
          "a: b\r\n\r\nc\r\n");
}

TEST_CASE("mbox: quoting is undone as it was done") {
    std::string const text = std::string(from) + "a: b\n\n>From x\n>>From y\n> From z\n";
    CHECK(parse(text).messages[0].bytes == "a: b\n\nFrom x\n>From y\n> From z\n");
    CHECK(parse(text, from_quoting::mboxo).messages[0].bytes == "a: b\n\nFrom x\n>>From y\n> From z\n");
    CHECK(parse(text, from_quoting::none).messages[0].bytes == "a: b\n\n>From x\n>>From y\n> From z\n");
}

TEST_CASE("mbox: flags and keywords of others are read and taken off") {
    auto const p = parse(std::string(from) +
                         "Status: RO\nSubject: a\nX-Status: AF\nX-Keywords: one two\n three   \nX-Mozilla-Status: "
                         "1009\nX-UID: 7\n\nStatus: D\n");
    REQUIRE(p.messages.size() == 1);
    CHECK(p.messages[0].marks.flags == (flag::seen | flag::answered | flag::flagged | flag::deleted));
    CHECK(p.messages[0].marks.keywords == std::vector<std::string>{"one", "two", "three", "$Forwarded"});
    CHECK(p.messages[0].bytes == "Subject: a\n\nStatus: D\n");
}

TEST_CASE("mbox: a message too long is passed over and told, whatever stands behind it") {
    auto const p = parse(std::string(from) + "a: b\n\n" + std::string(5000, 'x') + "\n\n" + from + "a: c\n\n",
                         from_quoting::mboxrd, 1000);
    REQUIRE(p.messages.size() == 1);
    CHECK(p.messages[0].bytes == "a: c\n");
    CHECK(p.too_long == 1);
}

TEST_CASE("mbox: what was written comes back, byte for byte") {
    std::vector<std::string> const bodies{"",
                                          "\n",
                                          "\r\n",
                                          "a",
                                          "a: b\n\nc",
                                          "a: b\r\n\r\nc\r\n",
                                          "From x\n>From y\n\n\n",
                                          "Status: RO\n\nx\n",
                                          "X-Mailfs: received=1 size=9\nStatus: O\n\n",
                                          "\n\nFrom a@b Thu Jan  1 00:00:01 1970\nx",
                                          std::string("a\0b\r\r\n", 6),
                                          " folded\n",
                                          "x\n\n\n",
                                          "x\r\n\r\n",
                                          "x\n\r\n"};
    std::string text;
    message_marks const marks{mailfs::all_flags, {"$Work", "two words", "100%", "%41", "a,b", "\xff"}};
    for (auto const& body : bodies) text += mbox_text(body, marks, 1'700'000'000'123);
    for (std::size_t const piece : {std::size_t{1} << 20, std::size_t{64}}) {
        auto const p = parse(text, from_quoting::mboxrd, 1 << 20, piece);
        REQUIRE(p.messages.size() == bodies.size());
        for (std::size_t i = 0; i < bodies.size(); ++i) {
            CAPTURE(i);
            CHECK(p.messages[i].bytes == bodies[i]);
            CHECK(p.messages[i].marks == marks);
            CHECK(p.messages[i].received_ms == 1'700'000'000'123);
        }
        CHECK(p.cut == 0);
    }
    auto const whole = mbox_text("a: b\n\nlong body\n", {}, 1);
    CHECK(parse(whole.substr(0, whole.size() - 8)).cut == 1);
}

TEST_CASE("mbox: random lines come back") {
    std::mt19937 random(7);
    constexpr std::string_view words[] = {
        "From ",    ">",           "\n", "\r\n", "x", "\r", "From a Thu Jan  1 00:00:01 1970", "X-Mailfs: size=1 received=2",
        "Status: ", "X-Keywords:", " "};
    for (int round = 0; round < 2000; ++round) {
        std::vector<std::string> bodies(1 + random() % 3);
        std::string text;
        for (auto& body : bodies) {
            for (auto n = random() % 12; n > 0; --n) body += words[random() % std::size(words)];
            text += mbox_text(body, {}, 1000);
        }
        auto const p = parse(text);
        REQUIRE(p.messages.size() == bodies.size());
        for (std::size_t i = 0; i < bodies.size(); ++i) REQUIRE(p.messages[i].bytes == bodies[i]);
    }
}

TEST_CASE("mbox: mailboxes have files, and files mailboxes") {
    for (std::string const name : {"INBOX", "A/B", "a.mbox", "x.sbd/y", ".hidden", "Entwürfe", "back\\slash", "a&b"}) {
        CAPTURE(name);
        CHECK(mailbox_of_mbox_path(mbox_path_of_mailbox(name)) == name);
    }
    CHECK(mbox_path_of_mailbox("A/B") == "A/B.mbox");
    CHECK(mailbox_of_mbox_path("Local.sbd/Old") == "Local/Old");
    CHECK(mailbox_of_mbox_path("Inbox") == "INBOX");
}

TEST_CASE("line ends: as the first line has them, or as asked") {
    CHECK(with_line_ends("a\nb\r\nc", line_ends::automatic) == "a\r\nb\r\nc");
    CHECK(with_line_ends("a\r\nb\nc", line_ends::automatic) == "a\r\nb\nc");
    CHECK(with_line_ends("\n\n", line_ends::automatic) == "\r\n\r\n");
    CHECK(with_line_ends("a\r\rb", line_ends::automatic) == "a\r\rb");
    CHECK(with_line_ends("a\r\nb\nc\r", line_ends::crlf) == "a\r\nb\r\nc\r");
    CHECK(with_line_ends("a\r\nb\nc\r", line_ends::lf) == "a\nb\nc\r");
    CHECK(with_line_ends("a\nb", line_ends::keep) == "a\nb");
}
