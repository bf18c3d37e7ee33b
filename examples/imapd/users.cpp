// SPDX-License-Identifier: BSL-1.0
// Users and passwords.
#include "users.hpp"

#include "limits.hpp"

#include <fmt/format.h>

#include <fstream>
#include <stdexcept>

namespace imapd {
namespace {

bool is_name(std::string_view name) {
    return !name.empty() && name.size() <= limits::user_name_size_max && name.find('\0') == name.npos;
}

}  // namespace

bool equal_constant_time(std::string_view given, std::string_view secret) noexcept {
    unsigned difference = given.size() == secret.size() ? 0 : 1;
    for (std::size_t i = 0; i < given.size(); ++i) {
        char const other = secret.empty() ? '\0' : secret[i % secret.size()];
        difference |= static_cast<unsigned char>(given[i] ^ other);
    }
    return difference == 0;
}

users users::any(std::string password) {
    users out;
    out.any_ = std::move(password);
    return out;
}

users users::from_text(std::string_view text, std::string const& path) {
    users out;
    for (std::size_t number = 1; !text.empty(); ++number) {
        auto line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
        if (line.empty() || line.front() == '#') continue;
        auto const fail = [&](std::string_view why) {
            throw std::runtime_error(fmt::format("{}, line {}: {}", path, number, why));
        };
        auto const colon = line.find(':');
        if (colon == line.npos) fail("a line is NAME:PASSWORD or NAME:{PLAIN}PASSWORD");
        auto const name = line.substr(0, colon);
        auto password = line.substr(colon + 1);
        if (!is_name(name)) fail("not a user name");
        if (password.starts_with("{PLAIN}"))
            password.remove_prefix(7);
        else if (password.starts_with("{"))
            fail("{PLAIN} is the only password scheme known");
        if (password.empty()) fail("the password is empty");
        if (!out.passwords_.emplace(name, password).second) fail("the user stands there twice");
    }
    return out;
}

users users::from_file(std::string const& path) {
    std::ifstream file(path, std::ios::binary);
    std::string text(limits::users_file_size_max + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (!file.is_open() || file.bad()) throw std::runtime_error(path + ": cannot be read");
    text.resize(static_cast<std::size_t>(file.gcount()));
    if (text.size() > limits::users_file_size_max) throw std::runtime_error(path + ": too big for a list of users");
    return from_text(text, path);
}

bool users::knows(std::string_view name) const {
    return is_name(name) && (any_.has_value() || passwords_.find(name) != passwords_.end());
}

bool users::may_login(std::string_view name, std::string_view password) const {
    auto const it = passwords_.find(name);
    bool const known = any_.has_value() || it != passwords_.end();
    std::string_view const secret = any_.has_value() ? *any_ : known ? it->second : std::string_view("no such user");
    bool const same = equal_constant_time(password, secret);
    return known && same && is_name(name);
}

}  // namespace imapd
