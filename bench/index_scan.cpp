// SPDX-License-Identifier: BSL-1.0
// How fast are the flags of all messages looked through, the first time with checksums and again?
//   An octet for each message. by_row asks for one row after another, as a search that combines columns does.
#include "bench.hpp"
#include "mailbox.hpp"

namespace {

using namespace mailfs;

std::uint64_t count_unseen(std::span<std::uint8_t const> flags) {
    std::uint64_t sum = 0;
    while (!flags.empty()) {
        auto const some = flags.first(std::min<std::size_t>(flags.size(), 255));  // so few are counted in an octet
        std::uint8_t n = 0;
        for (auto const f : some) n = static_cast<std::uint8_t>(n + ((f & std::uint8_t(flag::seen)) == 0 ? 1 : 0));
        sum += n;
        flags = flags.subspan(some.size());
    }
    return sum;
}
std::uint64_t scan(mailbox_state const& state) {
    return count_unseen(state.rows().flags.mapped()) + count_unseen(state.rows().flags.added());
}
std::uint64_t scan_by_row(mailbox_state const& state) {
    std::uint64_t n = 0;
    for (std::size_t row = 0; row < state.rows().count(); ++row)
        n += has(static_cast<flag>(state.rows().flags[row]), flag::seen) ? 0U : 1U;
    return n;
}

asio::awaitable<void> measure(bench::run& run, posix_fs fs, std::uint64_t messages, std::string name) {
    bench::mailbox_index box(fs, "box", standalone{});
    co_await box.open();
    auto const& state = box.state();
    auto const rate = [&](std::uint64_t rounds, auto&& scan_once) {
        std::uint64_t found = 0;
        auto const seconds = bench::seconds([&] {
            for (std::uint64_t n = 0; n < rounds; ++n) found += scan_once(state);
        });
        run.digest(found);
        return static_cast<double>(rounds * messages) / seconds / 1e6;
    };
    auto const rounds = std::max<std::uint64_t>(1, 20'000'000 / messages);
    run.figure("index.scan." + name + ".first", rate(1, scan), "M messages/s");
    run.figure("index.scan." + name, rate(rounds, scan), "M messages/s");
    run.figure("index.scan." + name + ".by_row", rate(rounds, scan_by_row), "M messages/s");
}

void index_scan(bench::run& run) {
    for (auto const& [messages, name] : bench::mailbox_sizes(run)) {
        posix_fs fs((run.directory() / name).string());
        bench::run_to_end(bench::make_snapshot(fs, messages));
        bench::run_to_end(measure(run, fs, messages, name));
    }
}
bench::entry const here{"index.scan", "How fast are the flags of all messages looked through?", index_scan};

}  // namespace
