// SPDX-License-Identifier: BSL-1.0
#include <mailfs/store/account_directory.hpp>

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

using namespace mailfs;

namespace {

std::vector<std::string> parts_of(std::string const& path) {
    std::vector<std::string> parts(1);
    for (char c : path) c == '/' ? void(parts.emplace_back()) : parts.back().push_back(c);
    return parts;
}

}  // namespace

TEST_CASE("account directory: plain names stay readable, all else is escaped") {
    CHECK(account_directory("alice") == "alice");
    CHECK(account_directory("alice.b@example.org") == "alice.b@example.org");
    CHECK(account_directory("Alice") == "%41lice");
    CHECK(account_directory("..") == "%2e.");
    CHECK(account_directory(".") == "%2e");
    CHECK(account_directory("../../etc") == "%2e.%2f..%2fetc");
    CHECK(account_directory(std::string_view("a\0b", 3)) == "a%00b");
    CHECK(account_directory("a%2f") == "a%252f");
    CHECK(!account_directory(""));
    CHECK(!account_directory(std::string(256, 'a')));
}

TEST_CASE("account directory: no two names share a path, none lies inside another, and every part is safe and short") {
    std::mt19937 random(3);
    std::map<std::string, std::string> seen;
    auto const check = [&](std::string const& name) {
        auto const path = account_directory(name).value();
        auto const [it, is_new] = seen.emplace(path, name);
        REQUIRE(it->second == name);
        auto const parts = parts_of(path);
        for (std::size_t i = 0; i < parts.size(); ++i) {
            REQUIRE(!parts[i].empty());
            REQUIRE(parts[i].size() <= 201);
            REQUIRE(parts[i] != ".");
            REQUIRE(parts[i] != "..");
            REQUIRE((parts[i].back() == '+') == (i + 1 < parts.size()));
        }
    };
    for (int c = 0; c < 256; ++c) check(std::string(1, static_cast<char>(c)));
    for (std::size_t size = 1; size <= 255; ++size)
        for (char c : {'a', '/', '+', '.', '%'}) check(std::string(size, c));
    for (int i = 0; i < 20'000; ++i) {
        std::string name(1 + random() % 255, ' ');
        for (auto& c : name) c = "a/.%+2fA"[random() % 8];
        check(name);
    }
}
