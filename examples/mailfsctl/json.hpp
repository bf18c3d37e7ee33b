// SPDX-License-Identifier: BSL-1.0
// JSON objects put together in the order in which a reader wants them.
#pragma once

#include "text.hpp"

#include <concepts>
#include <string>
#include <string_view>
#include <vector>

namespace mailfsctl {

class json_object {
public:
    json_object& add(std::string_view key, std::string_view text) { return raw(key, json_string(text)); }
    json_object& add(std::string_view key, char const* text) { return add(key, std::string_view(text)); }
    json_object& add(std::string_view key, bool value) { return raw(key, value ? "true" : "false"); }
    template <std::integral T>
    json_object& add(std::string_view key, T value) {
        return raw(key, std::to_string(value));
    }
    json_object& add(std::string_view key, std::vector<std::string> const& texts) {
        std::vector<std::string> quoted;
        for (auto const& text : texts) quoted.push_back(json_string(text));
        return list(key, quoted);
    }
    /// Values that are JSON already.
    json_object& list(std::string_view key, std::vector<std::string> const& values) {
        return raw(key, '[' + joined(values, ",") + ']');
    }
    json_object& raw(std::string_view key, std::string_view value) {
        if (!fields_.empty()) fields_ += ',';
        ((fields_ += json_string(key)) += ':') += value;
        return *this;
    }

    std::string str() const { return '{' + fields_ + '}'; }

private:
    std::string fields_;
};

}  // namespace mailfsctl
