// SPDX-License-Identifier: BSL-1.0
// Is the store found as it was promised, wherever it was stopped?
//   crash [--case ROUND:OPERATION:CALL:ENDING] [--points N] [--seed FIRST_ROUND]
// Each operation runs on a prepared store, and after random programs, and is stopped at every call on the filesystem in
// turn: the process killed, the power cut in all ways. Two processes then open everything at once, and I1 to I10 are checked
// against a journal of what was acknowledged. MAILFS_CRASH_POINTS says how many distinct states of a disk are wanted; one is
// distinct when the files that are left behind differ, or the operation or the program that led there.
#include "crash_case.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <unordered_set>

using namespace mailfs::crash;

namespace {

struct totals {
    std::unordered_set<std::uint64_t> points;
    std::uint64_t cases = 0, violations = 0;
    std::uint64_t first_case = 0;  // that found a violation
};
constexpr std::uint64_t violations_told_max = 20;
constexpr std::uint64_t calls_max = 2000;  // an operation that takes more does not end

// Whether the operation was stopped.
bool try_case(crash_case const& c, totals& all) {
    ++all.cases;
    try {
        auto const result = crash_run(c).run();
        all.points.insert(result.points.begin(), result.points.end());
        return result.stopped;
    } catch (std::exception const& e) {
        if (++all.violations == 1) all.first_case = all.cases;
        if (all.violations <= violations_told_max) fmt::print("violation: {}\n  crash --case {}\n", e.what(), c.text());
        std::fflush(stdout);
        return true;
    }
}

void try_operation(std::uint64_t round, operation what, std::uint64_t endings, std::uint64_t wanted, totals& all) {
    bool stopped = true;
    for (std::uint64_t call = 1; stopped && call <= calls_max && all.points.size() < wanted; ++call)
        for (std::uint64_t ending = 0; ending < endings; ++ending) {
            bool const was_stopped = try_case({round, what, call, ending}, all);
            if (ending == 0) stopped = was_stopped;
        }
}

std::optional<crash_case> parse(std::string_view text) {
    crash_case c;
    std::array<std::string, 4> parts;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        auto const end = text.find(':');
        if ((end == text.npos) != (i + 1 == parts.size())) return std::nullopt;
        parts[i] = text.substr(0, end);
        text.remove_prefix(std::min(text.size(), parts[i].size() + 1));
    }
    auto const at = std::find(operation_names.begin(), operation_names.end(), parts[1]);
    if (at == operation_names.end()) return std::nullopt;
    c.what = static_cast<operation>(at - operation_names.begin());
    c.round = std::strtoull(parts[0].c_str(), nullptr, 10);
    c.call = std::strtoull(parts[2].c_str(), nullptr, 10);
    c.ending = std::strtoull(parts[3].c_str(), nullptr, 10);
    return c;
}

int usage() {
    fmt::print(stderr, "crash [--case ROUND:OPERATION:CALL:ENDING] [--points N] [--seed FIRST_ROUND]\n");
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    auto const* const asked = std::getenv("MAILFS_CRASH_POINTS");
    std::uint64_t wanted = asked == nullptr ? 5000 : std::strtoull(asked, nullptr, 10);
    std::uint64_t round = 0;
    std::optional<crash_case> one;
    for (int i = 1; i < argc; i += 2) {
        std::string_view const option = argv[i];
        if (i + 1 == argc) return usage();
        if (option == "--points") wanted = std::strtoull(argv[i + 1], nullptr, 10);
        else if (option == "--seed") round = std::strtoull(argv[i + 1], nullptr, 10);
        else if (option == "--case") one = parse(argv[i + 1]);
        if (option == "--case" && !one) return usage();
    }
    totals all;
    auto const begin = std::chrono::steady_clock::now();
    tracing = one.has_value();
    if (one) try_case(*one, all);
    for (; !one && all.points.size() < wanted && all.violations <= violations_told_max; ++round)
        for (std::size_t what = 0; what < operation_count && all.points.size() < wanted; ++what)
            try_operation(round, static_cast<operation>(what), round == 0 ? 10 : 8, wanted, all);
    std::chrono::duration<double> const took = std::chrono::steady_clock::now() - begin;
    if (all.violations > 0 && !one) fmt::print("the first violation came with case {}\n", all.first_case);
    fmt::print("{} distinct crash points, {} violations, {:.1f} seconds ({} cases)\n", all.points.size(), all.violations, took.count(), all.cases);
    return all.violations == 0 && (one || all.points.size() >= wanted) ? 0 : 1;
}
