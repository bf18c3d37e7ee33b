// SPDX-License-Identifier: BSL-1.0
// Who may log in and who gets mail.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace imapd {

/// Either a list of names with their passwords, or any name with one password. Immutable once made: any thread may ask.
class users {
public:
    static users any(std::string password);

    /// One "name:password" or "name:{PLAIN}password" a line; empty lines and lines that begin with "#" do not count.
    /// Throws std::runtime_error that names file and line.
    static users from_file(std::string const& path);
    static users from_text(std::string_view text, std::string const& path);

    /// Whether mail for this user is taken.
    bool knows(std::string_view name) const;

    /// Takes as long for a wrong password as for the right one, and for an unknown user as for a known one.
    bool may_login(std::string_view name, std::string_view password) const;

private:
    std::map<std::string, std::string, std::less<>> passwords_;
    std::optional<std::string> any_;
};

/// Compares without telling by its time where two texts differ; only the size of `given` shows.
bool equal_constant_time(std::string_view given, std::string_view secret) noexcept;

}  // namespace imapd
