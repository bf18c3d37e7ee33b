// SPDX-License-Identifier: BSL-1.0
#include "schedule.hpp"

#include <fmt/format.h>

#include <iterator>

namespace mailfs::sim {

std::string as_test(schedule const& s, std::string_view violation) {
    std::string out;
    auto at = std::back_inserter(out);
    fmt::format_to(at, "// {}\nTEST_CASE(\"sim: seed {}\") {{\n    schedule s;\n", violation, s.seed);
    fmt::format_to(at, "    s.seed = {};\n    s.nodes = {};\n    s.clients = {};\n    s.length_ms = {};\n", s.seed, s.nodes, s.clients, s.length_ms);
    fmt::format_to(at, "    s.copies_in_memory = {};\n    s.copies_on_disk = {};\n", s.copies_in_memory, s.copies_on_disk);
    if (s.clock_offset_ms != 0) fmt::format_to(at, "    s.clock_offset_ms = {};\n", s.clock_offset_ms);
    if (s.clock_drift_ppm != 0) fmt::format_to(at, "    s.clock_drift_ppm = {};\n", s.clock_drift_ppm);
    if (auto const& t = s.tuned; t != tuning())
        fmt::format_to(at, "    s.tuned = {{{}, {}, {}, {}, {}, {}}};\n", t.use_ms, t.use_min, t.quiet_ms, t.call_ms, t.ring_size, t.unflushed_max);
    if (s.store != storage::own) {
        fmt::format_to(at, "    s.store = storage::{};\n", s.store == storage::strict ? "strict" : "shared");
        fmt::format_to(at, "    s.ids_reserved = {};\n    s.unflushed_max = {};\n    s.files_max = {};\n    s.late_ms = {};\n", s.ids_reserved, s.unflushed_max, s.files_max, s.late_ms);
        fmt::format_to(at, "    s.unflushed_node_max = {};\n", s.unflushed_node_max);
    }
    fmt::format_to(at, "    s.choices = {{  // at ms, what, node, other, argument, for ms\n");
    for (auto const& c : s.choices)
        fmt::format_to(at, "        {{{}, deed::{}, {}, {}, {}, {}}},\n", c.at_ms, name_of(c.what), c.node, c.other, c.arg, c.time_ms);
    fmt::format_to(at, "    }};\n    CHECK(violation_of(s) == \"\");\n}}\n");
    return out;
}

}  // namespace mailfs::sim
