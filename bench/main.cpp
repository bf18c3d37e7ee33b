// SPDX-License-Identifier: BSL-1.0
// mailfs-bench: lists benches, runs them by name, and prints one line for each figure.
#include "bench.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <fnmatch.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <stdexcept>

namespace {

struct options {
    std::vector<std::string> names;
    bool list = false;
    unsigned runs = 5;
    std::uint64_t size = 0;
    std::string directory = std::filesystem::temp_directory_path().string();
    std::string json, svg;
};

/// Removed with all that is in it.
struct scratch {
    explicit scratch(std::string const& where) : path(where + "/mailfs-bench-XXXXXX") {
        if (::mkdtemp(path.data()) == nullptr) throw std::runtime_error("cannot make a directory in " + where);
    }
    ~scratch() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    scratch(scratch const&) = delete;
    scratch& operator=(scratch const&) = delete;
    std::string path;
};

bool wanted(options const& chosen, bench::entry const& entry) {
    auto const matches = [&](std::string const& glob) {
        return ::fnmatch(glob.c_str(), std::string(entry.name).c_str(), 0) == 0;
    };
    return chosen.names.empty() || std::ranges::any_of(chosen.names, matches);
}

void run_one(options const& chosen, bench::entry const& entry, bench::results& all) {
    std::vector<bench::figure> figures;
    std::uint64_t digest = 0;
    for (unsigned n = 0; n < chosen.runs; ++n) {
        scratch const directory(chosen.directory);
        bench::run run(chosen.size, directory.path, figures);
        entry.function(run);
        if (n > 0 && run.digest() != digest)
            throw std::runtime_error(fmt::format("{}: run {} gave other answers than run 1", entry.name, n + 1));
        digest = run.digest();
    }
    for (auto& figure : figures) {
        fmt::print("{} {} {}\n", figure.name, bench::plain(figure.median()), figure.unit);
        all.figures.push_back(std::move(figure));
    }
    std::fflush(stdout);
    all.digests.emplace(entry.name, digest);
}

void write_file(std::string const& path, std::string const& text) {
    std::ofstream file(path);
    if (!(file << text).flush()) throw std::runtime_error("cannot write " + path);
}

int run_all(options const& chosen) {
    bench::results all;
    bool any = false;
    for (auto const* entry : bench::entries()) {
        if (!wanted(chosen, *entry)) continue;
        any = true;
        if (chosen.list)
            fmt::print("{:<20} {}\n", entry->name, entry->question);
        else
            run_one(chosen, *entry, all);
    }
    if (!any) throw std::runtime_error("no bench has such a name; --list shows all");
    if (!chosen.json.empty()) write_file(chosen.json, bench::as_json(all));
    if (!chosen.svg.empty()) write_file(chosen.svg, bench::as_svg(all));
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    options chosen;
    CLI::App app("Runs benches and prints one line `figure value unit` for each figure: the median of several runs.",
                 "mailfs-bench");
    app.add_option("names", chosen.names, "Benches to run, as names or globs such as 'log.*'; all without any");
    app.add_flag("--list", chosen.list, "Name the benches and their questions instead of running them");
    app.add_option("--runs", chosen.runs, "How often each bench runs")->check(CLI::Range(1U, 1000U))->capture_default_str();
    app.add_option("--size", chosen.size,
                   "How much each run does (records, messages, ...); without it what the bench thinks right");
    app.add_option("--directory", chosen.directory, "Where files are made: on the filesystem that is to be measured")
        ->check(CLI::ExistingDirectory)
        ->capture_default_str();
    app.add_option("--json", chosen.json, "Write all figures, run by run, to this file");
    app.add_option("--svg", chosen.svg, "Draw all figures into this file");
    CLI11_PARSE(app, argc, argv);
    try {
        return run_all(chosen);
    } catch (std::exception const& error) {
        fmt::print(stderr, "mailfs-bench: {}\n", error.what());
        return 1;
    }
}
