// SPDX-License-Identifier: BSL-1.0
#include "lmtp/command.hpp"

#include <doctest/doctest.h>

using namespace imapd::lmtp;

namespace {

std::string user_of(std::string_view line) {
    auto const c = parse(line);
    auto const* rcpt = std::get_if<cmd::rcpt>(&c);
    return rcpt != nullptr ? rcpt->user : "?";
}
bool is_bad(std::string_view line) { return std::holds_alternative<bad_line>(parse(line)); }

/// The message in `bytes`, fed in pieces of `size`; what follows it after "|".
std::string decode(std::string_view bytes, std::size_t size, std::size_t size_max = 1000) {
    dot_decoder decoder;
    std::string message;
    while (!bytes.empty()) {
        auto piece = bytes.substr(0, size);
        auto const before = piece.size();
        bool const end = decoder.feed(piece, message, size_max);
        bytes.remove_prefix(before - piece.size());
        if (end) return message + "|" + std::string(bytes);
    }
    return message + "?";
}

}  // namespace

TEST_CASE("lmtp: recipients are local parts, without detail and domain") {
    CHECK(user_of("RCPT TO:<alice@example.org>") == "alice");
    CHECK(user_of("rcpt to:<alice+lists@example.org>") == "alice");
    CHECK(user_of("RCPT TO: <alice>") == "alice");
    CHECK(user_of("RCPT TO:<@a.org,@b.org:alice@c.org>") == "alice");
    CHECK(user_of("RCPT TO:<\"al ice\\\"+x\"@c.org>") == "al ice\"+x");
    for (auto const* wrong : {"RCPT TO:<>", "RCPT TO:alice", "RCPT TO:<alice", "RCPT FROM:<a@b>", "RCPT TO:<+x@b>",
                              "RCPT TO:<a@b> NOTIFY=NEVER", "RCPT TO:<\"a>", "RCPT"})
        CHECK(is_bad(wrong));
}

TEST_CASE("lmtp: MAIL knows SIZE, BODY and SMTPUTF8") {
    auto const mail = std::get<cmd::mail>(parse("MAIL FROM:<a@b> SIZE=123 BODY=8BITMIME SMTPUTF8"));
    CHECK(mail.sender == "a@b");
    CHECK(mail.size == 123);
    CHECK(std::get<cmd::mail>(parse("MAIL FROM:<>")).sender.empty());
    for (auto const* wrong : {"MAIL FROM:<a@b> SIZE=x", "MAIL FROM:<a@b> SIZE=99999999999999999999999",
                              "MAIL FROM:<a@b> BODY=NO", "MAIL FROM:<a@b> X=1", "MAIL <a@b>"})
        CHECK(is_bad(wrong));
}

TEST_CASE("lmtp: other commands") {
    CHECK(std::holds_alternative<cmd::lhlo>(parse("LHLO client")));
    CHECK(std::holds_alternative<cmd::data>(parse("data")));
    CHECK(std::holds_alternative<cmd::quit>(parse("QUIT")));
    CHECK(std::holds_alternative<cmd::noop>(parse("NOOP whatever")));
    for (auto const* wrong : {"LHLO", "DATA now", "EHLO x", "HELO x", "", "STARTTLS"}) CHECK(is_bad(wrong));
    CHECK(is_bad(std::string_view("NOOP \0", 6)));
}

TEST_CASE("lmtp: dots are unstuffed and nothing else changes, in pieces of any size") {
    std::string_view const bytes = "a\r\n..b\r\n.c\r\n..\r\n\n.\n\r.\r\n...\r\r\n.\r\r\n\r\n.\r\nQUIT\r\n";
    for (std::size_t size = 1; size < bytes.size() + 1; ++size)
        CHECK(decode(bytes, size) == "a\r\n.b\r\nc\r\n.\r\n\n.\n\r.\r\n..\r\r\n\r\r\n\r\n|QUIT\r\n");
    CHECK(decode(".\r\nx", 1) == "|x");
    CHECK(decode("..\r\n.\r\n", 3) == ".\r\n|");
}

TEST_CASE("lmtp: only CRLF, dot, CRLF ends a message") {
    for (auto const* bytes : {"a\n.\nMAIL FROM:<x>\r\n", "a\n.\r\n", "a\r.\r\n", "a\r\n.\n", "a\r\n.\r", "a\r\n.\rx\r\n"})
        CHECK(decode(bytes, 2).back() == '?');
}

TEST_CASE("lmtp: what is beyond the bound is counted and not kept") {
    dot_decoder decoder;
    std::string message;
    std::string const bytes = std::string(5000, 'x') + "\r\n.\r\n";
    std::string_view input = bytes;
    CHECK(decoder.feed(input, message, 100));
    CHECK(message.size() == 100);
    CHECK(decoder.size() == 5002);
}
