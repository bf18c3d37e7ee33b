// SPDX-License-Identifier: BSL-1.0
// What a checker says when an invariant does not hold.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace mailfs::sim {

class violation : public std::runtime_error {
public:
    violation(std::string_view rule, std::string const& what) : std::runtime_error(fmt::format("{}: {}", rule, what)), rule_(rule) {}
    std::string const& rule() const noexcept { return rule_; }  ///< such as "R4"

private:
    std::string rule_;
};

template <class... Args>
void require(bool holds, std::string_view rule, fmt::format_string<Args...> text, Args&&... args) {
    if (!holds) throw violation(rule, fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace mailfs::sim
