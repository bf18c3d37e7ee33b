// SPDX-License-Identifier: BSL-1.0
#include <mailfs/store/mailbox_name.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace mailfs;

TEST_CASE("mailbox name: UTF-8 of 1 to 1024 bytes with no level empty") {
    for (std::string_view good :
         {"a", "a/b", "Entwürfe/2024", "日本語", "..", "../x", "INBOX/..", "a b", "*", "%", "\xf4\x8f\xbf\xbf"})
        CHECK_MESSAGE(is_mailbox_name(good), good);
    CHECK(is_mailbox_name(std::string(1024, 'x')));
    for (std::string_view bad : {"", "/", "/a", "a/", "a//b"}) CHECK_MESSAGE(!is_mailbox_name(bad), bad);
    CHECK(!is_mailbox_name(std::string(1025, 'x')));
}

TEST_CASE("mailbox name: control characters are refused") {
    for (int c = 0; c < 0x20; ++c) CHECK(!is_mailbox_name(std::string("a") + static_cast<char>(c)));
    CHECK(!is_mailbox_name("\x7f"));
    CHECK(!is_mailbox_name("\xc2\x80"));
    CHECK(!is_mailbox_name("\xc2\x9f"));
    CHECK(is_mailbox_name("\xc2\xa0"));
    CHECK(!is_mailbox_name("\xe2\x80\xa8"));
    CHECK(!is_mailbox_name("\xe2\x80\xa9"));
}

TEST_CASE("mailbox name: malformed UTF-8 is refused") {
    for (std::string_view bad : {"\x80", "\xff", "\xc3", "\xc3(", "\xe2\x82", "\xf0\x9f\x98", "\xc0\xaf", "\xe0\x80\xaf",
                                 "\xf0\x80\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80"})
        CHECK(!is_mailbox_name(bad));
}

TEST_CASE("mailbox name: INBOX in any case is one name, as the first level too and nowhere else") {
    CHECK(canonical_mailbox_name("inbox") == "INBOX");
    CHECK(canonical_mailbox_name("iNbOx/Sub") == "INBOX/Sub");
    CHECK(canonical_mailbox_name("inboxes") == "inboxes");
    CHECK(canonical_mailbox_name("a/inbox") == "a/inbox");
    CHECK(canonical_mailbox_name("Work") == "Work");
    CHECK(!canonical_mailbox_name("a//b"));
    CHECK(is_canonical_mailbox_name("INBOX/x"));
    CHECK(!is_canonical_mailbox_name("Inbox/x"));
}

TEST_CASE("mailbox name: ancestors and descendants follow the levels, not the letters") {
    CHECK(is_below("a/b/c", "a"));
    CHECK(!is_below("ab", "a"));
    CHECK(!is_below("a", "a"));
    CHECK(ancestors_of("a/b/c") == std::vector<std::string_view>{"a/b", "a"});
    CHECK(ancestors_of("a").empty());
}
