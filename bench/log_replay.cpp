// SPDX-License-Identifier: BSL-1.0
// How long does it take to replay a log of flag changes when a mailbox is opened?
//   It decides how long a log may grow: docs/decisions/when-a-log-is-sealed.md
#include "bench.hpp"
#include "mailbox.hpp"

namespace {

using namespace mailfs;

constexpr std::uint64_t messages = 1000;
constexpr int opens = 5;  // the middle one counts

asio::awaitable<void> fill(bench::mailbox_index& box, std::uint64_t changes) {
    co_await bench::make(box);
    format::mailbox_transaction all;
    for (std::uint64_t n = 0; n < messages; ++n) all.append(bench::message(n));
    co_await box.propose(all.bytes(), durability::none);
    for (std::uint64_t n = 0; n < changes; ++n) {
        format::mailbox_transaction t;
        auto const mode = n / messages % 2 == 0 ? flag_mode::add : flag_mode::remove;
        t.change_flags(uid_set::one(static_cast<uid_t>(1 + n % messages)), {mode, flag::flagged, {}, {}});
        co_await box.propose(t.bytes(), durability::none);
    }
}

void log_replay(bench::run& run) {
    auto const changes = run.size(100'000);
    posix_fs const fs(run.directory().string());
    log_options options;
    options.rotate_size_min = options.rotate_size_max = format::log_size_max;
    bench::mailbox_index writer(fs, "box", standalone{}, options);
    bench::run_to_end(fill(writer, changes));
    std::vector<double> times;
    for (int n = 0; n < opens; ++n) {
        bench::mailbox_index reader(fs, "box", standalone{}, options);
        times.push_back(bench::seconds([&] {
            bench::run_to_end([](bench::mailbox_index& box) -> asio::awaitable<void> { co_await box.open(); }(reader));
        }));
        run.digest(reader.state().digest());
    }
    std::sort(times.begin(), times.end());
    auto const seconds = times[opens / 2];
    run.figure("log.replay", static_cast<double>(changes) / seconds / 1e6, "M records/s");
    run.figure("log.replay.2MiB", seconds / static_cast<double>(writer.log().offset()) * (2 << 20) * 1e3, "ms");
}
bench::entry const here{"log.replay", "How long does it take to replay a log when a mailbox is opened?", log_replay};

}  // namespace
