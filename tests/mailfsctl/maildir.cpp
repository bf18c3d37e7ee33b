// SPDX-License-Identifier: BSL-1.0
#include "mail/maildir.hpp"

#include <doctest/doctest.h>

using namespace mailfsctl;
using mailfs::flag;

TEST_CASE("maildir: a name tells its base, its flags and when it came") {
    auto const n = parse_maildir_name("1700000000.M1P2.host,S=12:2,FSa");
    CHECK(n.base == "1700000000.M1P2.host,S=12");
    CHECK(n.flags == "FSa");
    CHECK(n.seconds == 1'700'000'000);
    CHECK(parse_maildir_name("1700000000.x").flags.empty());
    CHECK(parse_maildir_name("1700000000.x;2,S").flags == "S");
    CHECK(parse_maildir_name("1700000000.x!2,S").base == "1700000000.x");
    for (auto const* strange : {"", ":2,", "17.x:2,S", "99999999999999999999.x:2,S", "abc:1,S", "1700000000x.y"})
        CHECK_FALSE(parse_maildir_name(strange).seconds);
}

TEST_CASE("maildir: letters are flags, or keywords of the folder") {
    auto const letters = parse_keyword_letters("0 $Work\n1 two words\n25 last\n26 none\nx y\n\n-1 n\n3\n");
    CHECK(letters[0] == "$Work");
    CHECK(letters[1] == "two words");
    CHECK(letters[25] == "last");
    CHECK(letters[3].empty());
    auto const marks = marks_of("DFPRSTazcQ", letters);
    CHECK(marks.flags == mailfs::all_flags);
    CHECK(marks.keywords == std::vector<std::string>{"$Forwarded", "$Work", "last"});
    CHECK(marks_of("", letters) == message_marks{});
    CHECK(marks_of("S,extension F", letters) == message_marks{flag::seen, {}});
    CHECK(marks_of("\x7f{~", letters) == message_marks{});
}

TEST_CASE("maildir: letters come in ASCII order, a new keyword takes a free one, and the rest is told") {
    auto letters = parse_keyword_letters("0 a\n2 c\n");
    std::vector<std::string> rest;
    CHECK(letters_of({flag::seen | flag::draft, {"new", "c", "$Forwarded", "with blank"}}, letters, rest) == "DPSbc");
    CHECK(letters[1] == "new");
    CHECK(rest == std::vector<std::string>{"with blank"});
    rest.clear();
    for (int i = 0; i < 30; ++i) letters_of({flag::none, {"k" + std::to_string(i)}}, letters, rest);
    CHECK(rest.size() == 7);
    CHECK(parse_keyword_letters(format_keyword_letters(letters)) == letters);
}

TEST_CASE("maildir: the date is the file's, unless it was copied since") {
    auto const name = parse_maildir_name("1700000000.x");
    CHECK(received_ms_of(name, 1'700'000'000'123) == 1'700'000'000'123);
    CHECK(received_ms_of(name, 1'700'000'001'999) == 1'700'000'001'999);
    CHECK(received_ms_of(name, 1'800'000'000'000) == 1'700'000'000'000);
    CHECK(received_ms_of(name, 1'000'000'000'000) == 1'000'000'000'000);  // filed later, with a date of its own
    CHECK(received_ms_of(parse_maildir_name("x"), 5) == 5);
}

TEST_CASE("maildir: names of folders and of mailboxes are told apart and found again") {
    CHECK(mailbox_of_folder(".") == "INBOX");
    CHECK(mailbox_of_folder(".A.B") == "A/B");
    CHECK(mailbox_of_folder(".INBOX.sub") == "INBOX/sub");
    CHECK(mailbox_of_folder(".inbox.sub") == "INBOX/sub");
    CHECK(mailbox_of_folder(".Entw&APw-rfe") == "Entwürfe");
    CHECK(mailbox_of_folder(".Entwürfe") == "Entwürfe");
    CHECK(mailbox_of_folder(".A & B") == "A & B");
    CHECK(mailbox_of_path("A/.B") == "A/.B");
    for (std::string const name : {"INBOX", "A", "A/B", "INBOX/sub", "v1.2/x", "Entwürfe/日本", "cur/new/tmp", ".hidden/..",
                                   "back\\slash", "a&b", "\\2e", "100 %"}) {
        CAPTURE(name);
        CHECK(mailbox_of_folder(folder_of_mailbox(name)) == name);
        CHECK(mailbox_of_path(path_of_mailbox(name)) == name);
    }
    CHECK(folder_of_mailbox("v1.2/x") == ".v1\\2e2.x");
    CHECK(path_of_mailbox("cur") == "\\63ur");
}

TEST_CASE("maildir: what cannot be part of a name becomes an underscore") {
    CHECK(mailbox_of_folder(".A..B") == "A/_/B");
    CHECK(mailbox_of_folder(".\x01\xff") == "__");
    CHECK(mailbox_of_folder(".a\\2fb") == "a_b");
    CHECK(mailbox_of_path("a//b") == "a/_/b");
}

TEST_CASE("maildir: a list of UIDs, of either version") {
    auto const three = parse_uidlist("3 V1 N9 Gabc\n5 G12 :1700000000.a,S=1:2,S\n7 :b\nx :c\n\n8\n");
    CHECK(three.size() == 2);
    CHECK(three.at("1700000000.a,S=1") == 5);
    CHECK(three.at("b") == 7);
    CHECK(parse_uidlist("1 1 9\n5 name\n").at("name") == 5);
    CHECK(parse_uidlist("").empty());
}

TEST_CASE("maildir: subscriptions of Dovecot and of Courier") {
    CHECK(parse_subscriptions("V\t2\n\nA\tB\nEntw&APw-rfe\nINBOX\n", false) ==
          std::vector<std::string>{"A/B", "Entwürfe", "INBOX"});
    CHECK(parse_subscriptions("A.B\nC/D\r\n", false) == std::vector<std::string>{"A/B", "C/D"});
    CHECK(parse_subscriptions("INBOX\nINBOX.A.B\n", true) == std::vector<std::string>{"INBOX", "A/B"});
}
