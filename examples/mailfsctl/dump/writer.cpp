// SPDX-License-Identifier: BSL-1.0
#include "dump/writer.hpp"

#include <fmt/format.h>

#include <cstdio>

namespace mailfsctl {

dump_entry& dump_entry::children(std::string_view key, std::vector<dump_entry> const& entries) {
    std::vector<std::string> values;
    for (auto const& e : entries) {
        values.push_back(e.json());
        below_.push_back(e.line());
        for (auto const& line : e.lines_below()) below_.push_back("  " + line);
    }
    json_.list(key, values);
    return *this;
}

void dump_writer::title(std::string_view kind, std::uint64_t size) {
    if (json_)
        fmt::print("{}\n", json_object().add("type", "file").add("file", file_).add("kind", kind).add("size", size).str());
    else
        fmt::print("{}: {}, {}\n", printable(file_), kind, counted(size, "byte"));
}

void dump_writer::entry(std::uint64_t offset, dump_entry const& e) {
    if (json_) {
        auto const fields = e.json();
        fmt::print("{{\"file\":{},\"offset\":{},{}\n", json_string(file_), offset, std::string_view(fields).substr(1));
        return;
    }
    fmt::print("{:>10}  {}\n", offset, e.line());
    for (auto const& line : e.lines_below()) fmt::print("{:>14}{}\n", "", line);
}

void dump_writer::damage(std::uint64_t first, std::uint64_t last, std::string_view why) {
    damaged_ = true;
    dump_entry e("damage");
    e.number("end", last, fmt::format("up to {} ({})", last, counted(last - first, "byte")))
        .text("why", why, std::string(why));
    entry(first, e);
}

}  // namespace mailfsctl
