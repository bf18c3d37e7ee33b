// SPDX-License-Identifier: BSL-1.0
// Runs every input that was kept, without a fuzzer: FOLDER/corpus/TARGET/* and FOLDER/regressions/TARGET/*.
//   fuzz_replay FOLDER [TARGET FILE...]
#include "fuzz.hpp"

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace {

using namespace mailfs::fuzz;

std::string present;  // the input being run

void tell(int) {
    std::fprintf(stderr, "in %s\n", present.c_str());
    std::_Exit(1);
}

std::vector<std::byte> bytes_of(std::filesystem::path const& file) {
    std::ifstream in(file, std::ios::binary);
    std::vector<char> const chars((std::istreambuf_iterator<char>(in)), {});
    auto const* data = reinterpret_cast<std::byte const*>(chars.data());
    return {data, data + chars.size()};
}

std::size_t replay(named_target const& t, std::filesystem::path const& folder) {
    std::size_t count = 0;
    if (!std::filesystem::is_directory(folder)) return 0;
    for (auto const& entry : std::filesystem::directory_iterator(folder)) {
        present = entry.path();
        t.run(bytes_of(entry.path()));
        ++count;
    }
    return count;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    std::signal(SIGABRT, tell);
    std::signal(SIGSEGV, tell);
    std::filesystem::path const folder = argv[1];
    std::size_t inputs = 0, empty = 0;
    for (auto const& t : targets) {
        if (argc > 2 && t.name != argv[2]) continue;
        for (int i = 3; i < argc; ++i) t.run(bytes_of(argv[i]));
        if (argc > 3) return 0;
        auto const kept = replay(t, folder / "corpus" / t.name);
        inputs += kept + replay(t, folder / "regressions" / t.name);
        empty += kept == 0 ? 1U : 0U;
    }
    std::printf("%zu inputs replayed, %zu targets without any\n", inputs, empty);
    return empty == 0 ? 0 : 1;
}
