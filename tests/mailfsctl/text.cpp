// SPDX-License-Identifier: BSL-1.0
#include "text.hpp"
#include "json.hpp"

#include <doctest/doctest.h>

using namespace mailfsctl;

TEST_CASE("text: times, numbers and sizes for people") {
    CHECK(utc(1'700'000'000'123) == "2023-11-14T22:13:20.123Z");
    CHECK(utc(0) == "1970-01-01T00:00:00.000Z");
    CHECK(utc(~std::uint64_t{0}) == "18446744073709551615 ms");
    CHECK(grouped(0) == "0");
    CHECK(grouped(999) == "999");
    CHECK(grouped(1'234'567) == "1,234,567");
    CHECK(readable_size(1) == "1 byte");
    CHECK(readable_size(999) == "999 bytes");
    CHECK(readable_size(999'949) == "999.9 kB");
    CHECK(readable_size(999'950) == "1.0 MB");
    CHECK(readable_size(~std::uint64_t{0}) == "18.4 EB");
    CHECK(readable_time(7) == "0:07");
    CHECK(readable_time(3'661) == "1:01:01");
    CHECK(counted(1, "mailbox") == "1 mailbox");
    CHECK(counted(0, "mailbox") == "0 mailboxes");
    CHECK(counted(5'664, "message") == "5,664 messages");
}

TEST_CASE("text: bytes of any origin do a terminal and a JSON reader no harm") {
    CHECK(printable("a\x1b[2J\xffü\xc2\x85") == "a\\x1b[2J\\xffü\\xc2\\x85");
    CHECK(printable("\xed\xa0\x80\xf0\x80\x80\x80\xc3") == "\\xed\\xa0\\x80\\xf0\\x80\\x80\\x80\\xc3");
    CHECK(json_string("a\"\\\n\xffü") == "\"a\\\"\\\\\\u000a\\ufffdü\"");
    CHECK(json_object().add("a", 1).add("b", "x").add("c", true).add("d", std::vector<std::string>{"y", "z"}).str() ==
          R"({"a":1,"b":"x","c":true,"d":["y","z"]})");
    CHECK(json_object().str() == "{}");
}
