// SPDX-License-Identifier: BSL-1.0
// The figures as JSON and as a picture.
#include "bench.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace bench {

namespace {

std::string xml(std::string_view text) {
    std::string out;
    for (char const c : text) {
        switch (c) {
            case '&': out += "&amp;"; break;
            case '<': out += "&lt;"; break;
            case '>': out += "&gt;"; break;
            default: out += c;
        }
    }
    return out;
}

// The picture's measures, in pixels.
constexpr int width = 900, name_width = 260, value_width = 130, row_height = 24, bar_height = 14, group_gap = 34,
              margin = 20;
constexpr int bar_width_max = width - name_width - value_width - 2 * margin;

void bar(std::string& out, figure const& f, double largest, int y) {
    auto const x = [&](double value) { return margin + name_width + bar_width_max * value / largest; };
    auto const [low, high] = std::ranges::minmax(f.runs);
    int const middle = y + bar_height / 2;
    fmt::format_to(std::back_inserter(out),
                   "<text x='{}' y='{}' text-anchor='end'>{}</text>\n"
                   "<rect x='{:.1f}' y='{}' width='{:.1f}' height='{}' rx='2' fill='#4878a8'/>\n"
                   "<line x1='{:.1f}' x2='{:.1f}' y1='{}' y2='{}' stroke='#222' stroke-width='1.5'/>\n"
                   "<text x='{:.1f}' y='{}'>{} {}</text>\n",
                   margin + name_width - 8, middle + 4, xml(f.name), x(0), y, std::max(1.0, x(f.median()) - x(0)),
                   bar_height, x(low), x(high), middle, middle, x(std::max(high, f.median())) + 8, middle + 4,
                   plain(f.median()), xml(f.unit));
}

std::vector<std::string> units(results const& all) {
    std::vector<std::string> out;
    for (auto const& f : all.figures)
        if (std::ranges::find(out, f.unit) == out.end()) out.push_back(f.unit);
    return out;
}

}  // namespace

std::string plain(double value) {
    return std::abs(value) < 1000 ? fmt::format("{:.4g}", value) : fmt::format("{:.0f}", value);
}

std::string as_json(results const& all) {
    std::string out = "{\n  \"figures\": [";
    for (auto const& f : all.figures)
        fmt::format_to(std::back_inserter(out),
                       "{}\n    {{\"name\": \"{}\", \"value\": {}, \"unit\": \"{}\", \"runs\": [{}]}}",
                       &f == all.figures.data() ? "" : ",", f.name, f.median(), f.unit, fmt::join(f.runs, ", "));
    out += "\n  ],\n  \"digests\": {";
    for (auto const& [name, digest] : all.digests)
        fmt::format_to(std::back_inserter(out), "{}\n    \"{}\": \"{:016x}\"", name == all.digests.begin()->first ? "" : ",",
                       name, digest);
    return out + "\n  }\n}\n";
}

std::string as_svg(results const& all) {
    std::string body;
    int y = margin + row_height;
    for (auto const& unit : units(all)) {
        double largest = 0;
        for (auto const& f : all.figures)
            if (f.unit == unit) largest = std::max(largest, std::ranges::max(f.runs));
        fmt::format_to(std::back_inserter(body), "<text x='{}' y='{}' font-weight='bold'>{}</text>\n", margin + name_width,
                       y + 4, xml(unit));
        y += row_height / 2;
        for (auto const& f : all.figures) {
            if (f.unit != unit) continue;
            bar(body, f, largest > 0 ? largest : 1, y);
            y += row_height;
        }
        y += group_gap;
    }
    return fmt::format(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{0}' height='{1}' viewBox='0 0 {0} {1}' "
        "font-family='sans-serif' font-size='12'>\n<title>mailfs-bench</title>\n"
        "<rect width='{0}' height='{1}' fill='white'/>\n<text x='{2}' y='{3}' fill='#555'>mailfs-bench: medians, "
        "with a line from the lowest run to the highest; a scale for each unit</text>\n{4}</svg>\n",
        width, y, margin, margin, body);
}

}  // namespace bench
