// SPDX-License-Identifier: BSL-1.0
// How many records a second go into a file by one bare write() each? What a log can be measured against.
#include "bench.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

namespace {

constexpr std::size_t record_size = 128;  // bytes: about what one flag change or one delivery takes

double bare_writes_a_second(bench::run& run, std::uint64_t records) {
    int const fd = ::open((run.directory() / "bare").c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) throw std::runtime_error("cannot open a file to append to");
    std::array<char, record_size> record{};
    std::uint64_t written = 0;
    auto const seconds = bench::seconds([&] {
        for (std::uint64_t n = 0; n < records; ++n)
            written += static_cast<std::uint64_t>(::write(fd, record.data(), record.size()));
    });
    ::close(fd);
    if (written != records * record_size) throw std::runtime_error("a write was cut short");
    return static_cast<double>(records) / seconds;
}

void log_append(bench::run& run) {
    auto const records = run.size(100'000);
    run.figure("log.append.bare_write", bare_writes_a_second(run, records), "records/s");
    run.digest(records);
}
bench::entry const here{"log.append", "How many records a second go into a log, and into a file by bare write()?",
                        log_append};

}  // namespace
