// SPDX-License-Identifier: BSL-1.0
// How many records a second go into a log, one after another, and into a file by one bare write() each?
//   The log does all its work: identity, stamp, base, checksums, one append, where it landed, admission, chain hash, answer.
//   The machine behind it only counts; what a mailbox makes of such a record is the question of mailbox.flags. Both write
//   as many bytes as a flag change has into files of one directory, in turns of a millisecond; the middle turn counts, so
//   that other programs' work falls out.
#include "bench.hpp"
#include "mailbox.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace {

using namespace mailfs;

constexpr std::uint64_t turn_records = 1000;
constexpr std::size_t record_size = format::record_size(sizeof(format::flags_operation) + sizeof(format::range_layout));

/// The least a state can be.
class tally {
public:
    struct outcome {
        position at;
        std::uint64_t count = 0;
    };

    void reset(guid const& object) { object_ = object; }
    guid object() const noexcept { return object_; }
    stream_state& stream() noexcept { return stream_; }
    stream_state const& stream() const noexcept { return stream_; }
    admission apply(format::record_view const& record, outcome* out) {
        auto const verdict = stream_.admit(record);
        if (verdict == admission::fresh) ++count_;
        if (out != nullptr) out->count = count_;
        return verdict;
    }
    std::uint32_t next_id() const noexcept { return 0; }
    static std::uint32_t next_id_after(std::uint32_t next, format::record_view const&) noexcept { return next; }
    void skip_ids(std::uint32_t) noexcept {}
    std::vector<std::byte> dump() const { return {}; }
    void load(std::span<std::byte>, std::string_view) {}

private:
    guid object_;
    stream_state stream_;
    std::uint64_t count_ = 0;
};
using log = lockless_log::on<posix_fs, system_host, tally>;

class bare_file {
public:
    explicit bare_file(std::string const& path)
        : fd_(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600)) {
        if (fd_ < 0) throw std::runtime_error("cannot open a file to append to");
    }
    ~bare_file() { ::close(fd_); }
    bare_file(bare_file const&) = delete;
    bare_file& operator=(bare_file const&) = delete;

    void write(std::uint64_t records) const {
        std::array<char, record_size> const record{};
        for (std::uint64_t n = 0; n < records; ++n)
            if (::write(fd_, record.data(), record.size()) != static_cast<ssize_t>(record.size()))
                throw std::runtime_error("a write was cut short");
    }

private:
    int fd_;
};

asio::awaitable<void> make(log& records) {
    bool const made = co_await records.create(guid::from_words(1, 2), {}, {}, {});
    bool const there = made && co_await records.open();
    if (!there) throw std::runtime_error("cannot make a log");
}

asio::awaitable<void> append(log& records, bytes_view operations, std::uint64_t begin, std::uint64_t count) {
    origin const writer{1, 1};
    for (std::uint64_t n = begin; n < begin + count; ++n) {
        dot const id{writer, n + 1};
        auto done = records.append_at_once(id, stamp{n + 1}, operations);
        if (!done) done = co_await records.append(id, stamp{n + 1}, operations);
        if (done->outcome.count != n + 1) throw std::runtime_error("a record was refused");
    }
}

void log_append(bench::run& run) {
    auto const count = run.size(200'000);
    log records(posix_fs(run.directory().string()), system_host(), "box", {.rotate_size_min = format::log_size_max});
    bench::run_to_end(make(records));
    format::mailbox_transaction change;
    change.change_flags(uid_set::one(1), {flag_mode::add, flag::flagged, {}, {}});
    bare_file const bare((run.directory() / "bare").string());
    bench::figure logged, written;  // records a second, turn by turn
    for (std::uint64_t n = 0; n < count; n += turn_records) {
        auto const turn = std::min(turn_records, count - n);
        auto const rate = [&](auto&& work) { return static_cast<double>(turn) / bench::seconds(work); };
        written.runs.push_back(rate([&] { bare.write(turn); }));
        logged.runs.push_back(rate([&] { bench::run_to_end(append(records, change.bytes(), n, turn)); }));
    }
    run.figure("log.append.records", logged.median(), "records/s");
    run.figure("log.append.bare_write", written.median(), "records/s");
    run.figure("log.append.ratio", logged.median() / written.median(), "of a bare write");
    run.digest(records.machine().stream().chain);
}
bench::entry const here{"log.append", "How many records a second go into a log, and into a file by bare write()?",
                        log_append};

}  // namespace
