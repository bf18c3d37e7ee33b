// SPDX-License-Identifier: BSL-1.0
// How long does it take to open a mailbox of many messages from a fresh snapshot, and how much memory of its own?
//   Opened: a session can list it. Memory is what becomes private to the process (smaps_rollup): pages that it wrote, and
//   pages of the snapshot that it looked at and nobody else has mapped.
#include "bench.hpp"
#include "mailbox.hpp"

#include <fstream>
#include <memory>

namespace {

using namespace mailfs;

constexpr int opens = 15;  // the middle one counts

std::uint64_t private_kib() {
    std::ifstream file("/proc/self/smaps_rollup");
    std::uint64_t sum = 0;
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("Private_Clean:") || line.starts_with("Private_Dirty:"))
            sum += std::stoull(line.substr(line.find(':') + 1));
    return sum;
}

asio::awaitable<void> open(bench::run& run, posix_fs fs, std::string name) {
    std::vector<double> times;
    std::uint64_t memory = 0;
    for (int n = 0; n < opens; ++n) {
        auto const before = private_kib();
        auto const begin = std::chrono::steady_clock::now();
        auto const box = std::make_unique<bench::mailbox_index>(fs, "box", standalone{});
        bool const there = co_await box->open();
        auto const view = box->make_view();
        times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
        if (n == 0) memory = private_kib() - before;
        run.digest(there ? view.messages() + box->state().digest() : 0);
    }
    std::sort(times.begin(), times.end());
    run.figure("index.open." + name, times[opens / 2] * 1e3, "ms");
    run.figure("index.open." + name + ".memory", static_cast<double>(memory), "KiB");
}

void index_open(bench::run& run) {
    for (auto const& [messages, name] : bench::mailbox_sizes(run)) {
        posix_fs fs((run.directory() / name).string());
        bench::run_to_end(bench::make_snapshot(fs, messages));
        bench::run_to_end(open(run, fs, name));
    }
}
bench::entry const here{"index.open", "How long does a mailbox of many messages take to open, and how much memory?",
                        index_open};

}  // namespace
