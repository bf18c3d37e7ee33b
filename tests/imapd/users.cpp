// SPDX-License-Identifier: BSL-1.0
#include "users.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

using imapd::users;

TEST_CASE("users: a file names them and their passwords") {
    auto const u = users::from_text("# who\nalice:a:b\n\nbob:{PLAIN}{x}\r\n", "f");
    CHECK(u.knows("alice"));
    CHECK_FALSE(u.knows("carol"));
    CHECK(u.may_login("alice", "a:b"));
    CHECK(u.may_login("bob", "{x}"));
    for (auto const* wrong : {"", "a", "a:", "a:bb", "a:ba:b"}) CHECK_FALSE(u.may_login("alice", wrong));
    CHECK_FALSE(u.may_login("carol", "no such user"));
    CHECK_FALSE(u.may_login("", ""));
}

TEST_CASE("users: any user has the one password") {
    auto const u = users::any("secret");
    CHECK(u.knows("whoever"));
    CHECK(u.may_login("whoever", "secret"));
    CHECK_FALSE(u.may_login("whoever", "Secret"));
    CHECK_FALSE(u.knows(""));
    CHECK_FALSE(u.knows(std::string(256, 'x')));
    CHECK_FALSE(u.may_login("", "secret"));
}

TEST_CASE("users: a wrong file is refused by line") {
    auto const why = [](char const* text) {
        try {
            users::from_text(text, "f");
        } catch (std::runtime_error const& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    CHECK(why("a:b\nc\n") == "f, line 2: a line is NAME:PASSWORD or NAME:{PLAIN}PASSWORD");
    CHECK(why("a:{CRYPT}x\n") == "f, line 1: {PLAIN} is the only password scheme known");
    CHECK(why("a:b\na:c\n") == "f, line 2: the user stands there twice");
    CHECK(why("a:\n") == "f, line 1: the password is empty");
    CHECK(why(":x\n") == "f, line 1: not a user name");
    CHECK_THROWS_AS(users::from_file("/nonexistent/users"), std::runtime_error);
}

TEST_CASE("users: comparing takes no notice of where texts differ") {
    CHECK(imapd::equal_constant_time("abc", "abc"));
    CHECK_FALSE(imapd::equal_constant_time("abc", "abd"));
    CHECK_FALSE(imapd::equal_constant_time("", "a"));
    CHECK(imapd::equal_constant_time("", ""));
    CHECK_FALSE(imapd::equal_constant_time("abcabc", "abc"));
}
