// SPDX-License-Identifier: BSL-1.0
// The lines of a dump: each is made once, and comes out for people or as a JSON object.
#pragma once

#include "json.hpp"
#include "text.hpp"

#include <mailfs/types/guid.hpp>

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfsctl {

/// One line, or an entry of one: what it is, then fields in order. A field may have another wording for people.
class dump_entry {
public:
    explicit dump_entry(std::string_view what) : what_(what) { json_.add("type", what); }

    /// For people "KEY NUMBER".
    template <std::integral T>
    dump_entry& number(std::string_view key, T value) {
        json_.add(key, value);
        return say(std::string(key) + ' ' + std::to_string(value));
    }
    template <std::integral T>
    dump_entry& number(std::string_view key, T value, std::string words) {
        json_.add(key, value);
        return say(std::move(words));
    }
    dump_entry& truth(std::string_view key, bool value, std::string words) {
        json_.add(key, value);
        return say(std::move(words));
    }
    /// For people "KEY TEXT".
    dump_entry& text(std::string_view key, std::string_view value) {
        json_.add(key, value);
        return say(std::string(key) + ' ' + printable(value));
    }
    dump_entry& text(std::string_view key, std::string_view value, std::string words) {
        json_.add(key, value);
        return say(std::move(words));
    }
    dump_entry& id(std::string_view key, mailfs::guid const& value) { return text(key, value.hex()); }
    dump_entry& time(std::string_view key, std::uint64_t milliseconds) {
        auto const t = utc(milliseconds);
        json_.add(key, t);
        return say(std::string(key) + ' ' + t);
    }
    dump_entry& texts(std::string_view key, std::vector<std::string> const& values, std::string words) {
        json_.add(key, values);
        return say(std::move(words));
    }
    /// Words for people alone.
    dump_entry& say(std::string words) {
        if (!words.empty()) words_.push_back(std::move(words));
        return *this;
    }
    /// Entries below this one: lines of their own for people.
    dump_entry& children(std::string_view key, std::vector<dump_entry> const& entries);

    std::string json() const { return json_.str(); }
    std::string line() const { return words_.empty() ? what_ : what_ + "  " + joined(words_, ", "); }
    std::vector<std::string> const& lines_below() const noexcept { return below_; }

private:
    std::string what_;
    json_object json_;
    std::vector<std::string> words_, below_;
};

class dump_writer {
public:
    /// `file`: the name that JSON lines carry.
    dump_writer(std::string file, bool json) : file_(std::move(file)), json_(json) {}

    /// What the file is; comes first.
    void title(std::string_view kind, std::uint64_t size);
    /// Of bytes that begin at `offset`.
    void entry(std::uint64_t offset, dump_entry const& e);
    /// first..last-1 can't be read, or not be trusted.
    void damage(std::uint64_t first, std::uint64_t last, std::string_view why);

    bool found_damage() const noexcept { return damaged_; }
    std::string const& file() const noexcept { return file_; }

private:
    std::string file_;
    bool json_;
    bool damaged_ = false;
};

}  // namespace mailfsctl
