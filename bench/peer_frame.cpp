// SPDX-License-Identifier: BSL-1.0
// What does a flag change cost on the wire, and how fast are frames made and read?
//   Bytes are those of one flag change to one member, all that travels for it there: operations, step, its share of the
//   frame. `beside` is what of that is not the operations.
#include "bench.hpp"

#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/format/peer_frame.hpp>

#include <fmt/format.h>

#include <string>
#include <vector>

namespace {

using namespace mailfs;

std::vector<format::stream_step> flag_changes(std::uint32_t count) {
    std::vector<format::stream_step> steps;
    stamp when = stamp::at(1'760'000'000'000);
    origin const us{2, std::uint64_t{1'750'000'000'123} << 16 | 0xabcd};
    for (std::uint32_t n = 1; n <= count; ++n) {
        format::mailbox_transaction t;
        t.change_flags(uid_set::one(1 + n % 1000), {n % 2 == 0 ? flag_mode::add : flag_mode::remove, flag::seen, {}, {}});
        auto const bytes = t.bytes();
        when = when.next(when.milliseconds() + n % 3);
        steps.push_back({format::record_kind::transaction, {0x121, 5000 + n}, {us, 70'000 + n}, when, {bytes.begin(), bytes.end()}});
    }
    return steps;
}

void batches_of(bench::run& run, std::uint32_t batch) {
    format::peer_message const push = format::peer_push{{0x121, 5000}, 0x1234'5678'9abc'def0, false, flag_changes(batch)};
    auto const operations = std::get<format::peer_push>(push).steps.front().payload.size();
    auto const rounds = 1 + run.size(400'000) / batch;
    std::vector<std::byte> bytes;
    auto const made = bench::seconds([&] {
        for (std::uint64_t n = 0; n < rounds; ++n) {
            bytes.clear();
            format::encode_frame(bytes, 1 + n % 100, push);
            run.digest(bytes.size());
        }
    });
    auto const each = static_cast<double>(bytes.size()) / batch;
    format::frame_reader reader("peer");
    auto const read = bench::seconds([&] {
        for (std::uint64_t n = 0; n < rounds; ++n) {
            reader.feed(bytes);
            while (auto const f = reader.next()) run.digest(f->channel + std::get<format::peer_push>(f->message).steps.size());
        }
    });
    auto const name = [&](char const* what) { return fmt::format("peer_frame.{}.{}", batch, what); };
    run.figure(name("bytes"), each, "B");
    run.figure(name("bytes.beside"), each - static_cast<double>(operations), "B");
    run.figure(name("made"), static_cast<double>(rounds) / made / 1e6, "M frames/s");
    run.figure(name("read"), static_cast<double>(rounds) / read / 1e6, "M frames/s");
    run.figure(name("changes"), static_cast<double>(rounds * batch) / (made + read) / 1e6, "M changes/s");
}

void frames(bench::run& run) {
    for (auto const batch : {1U, 16U, 256U}) batches_of(run, batch);
}
bench::entry const here{"peer_frame", "What does a flag change cost on the wire between nodes?", frames};

}  // namespace
