// SPDX-License-Identifier: BSL-1.0
// Gives a journal that no log can open a new generation, beside all that is there.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/host/host.hpp>
#include <mailfs/log/detail/log_file.hpp>
#include <mailfs/log/log_directory.hpp>
#include <mailfs/log/log_walker.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/durability.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/stamp.hpp>
#include <mailfs/types/uid.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// UIDs left behind for files that are gone, as for a log that went missing.
inline constexpr std::uint32_t rebuilt_ids_margin = 1U << 20;

/// Applies transactions to a state in memory, as records of a writer of its own.
template <class M, host Host>
class offline_writer {
public:
    offline_writer(M& machine, Host& host)
        : machine_(machine),
          host_(host),
          origin_{host.node(), std::uint64_t{host.now_ms()} << 16 | (host.random() & 0xffff)} {}

    typename M::outcome apply(bytes_view operations) {
        for (auto const& e : machine_.stream().retired)  // the clock may have been ahead once: see seen-is-bounded.md
            if (e.node == origin_.node && e.incarnation >= origin_.incarnation) origin_.incarnation = e.incarnation + 1;
        format::record_view r{};
        r.header.kind = static_cast<std::uint8_t>(format::record_kind::transaction);
        r.header.node = origin_.node;
        r.header.incarnation = origin_.incarnation;
        r.header.counter = ++counter_;
        r.header.stamp = machine_.stream().latest.next(host_.now_ms()).value;
        r.payload = operations;
        typename M::outcome out;
        machine_.apply(r, &out);
        return out;
    }

private:
    M& machine_;
    Host& host_;
    origin origin_;
    std::uint64_t counter_ = 0;
};

/// Ends the newest log, so that a process that still holds it open looks for a newer one. Nothing when its header is
/// damaged, for then it is unknown what a record of it looks like.
template <filesystem Fs>
asio::awaitable<void> seal_newest(Fs& fs, std::string directory, std::uint64_t number) {
    if (number == 0) co_return;
    std::optional<opened_log<Fs>> log;
    try {
        log = co_await open_log(fs, directory, number);
    } catch (error const& e) {
        if (e.code() != errc::corrupt) throw;
    }
    if (!log) co_return;
    auto const bytes = co_await read_log(log->file, directory + '/' + log_name(number));
    log_walker walk(bytes, log->header);
    while (auto const e = walk.next())
        if (e->record && e->record->kind() == format::record_kind::seal) co_return;
    format::record_header seal;
    seal.kind = static_cast<std::uint8_t>(format::record_kind::seal);
    std::vector<std::byte> record;
    format::encode_record(record, seal, {}, format::record_seed(log->header.nonce));
    co_await log->file.append(record);
    co_await log->file.sync();
}

/// The state as the start of a new log, two numbers above all that is there: so nobody who knows an older file takes it for
/// the next one, and goes on with another state. The snapshot comes first; the log is the commit, and a crash before it
/// leaves all as it was. False: someone else made files meanwhile.
template <filesystem Fs, host Host, class M>
asio::awaitable<bool> write_generation(Fs& fs, Host& host, std::string const& directory, M const& machine,
                                       log_names const& seen) {
    auto const newest = std::max(seen.newest_log(), seen.snapshots.empty() ? 0 : seen.snapshots.back());
    if (newest > std::numeric_limits<std::uint64_t>::max() - 2)
        throw error(errc::too_big, directory, "a file's number leaves no room for another");
    auto const number = newest + 2;
    auto const snapshot = machine.dump();
    auto const snapshot_path = directory + '/' + snapshot_name(number);
    bool const first = co_await fs.create(snapshot_path, snapshot, durability::stored);
    if (!first) co_return false;
    auto now = co_await list_logs(fs, directory);
    std::erase(now.snapshots, number);
    if (now != seen) {
        co_await fs.remove(snapshot_path);
        co_return false;
    }
    format::log_header h;
    auto const& stream = machine.stream();
    format::put_guid(h.object, machine.object());
    format::put_guid(h.boot, stream.boot);
    h.number = number;
    h.nonce = host.random();
    h.node = host.node();
    h.created_ms = host.now_ms();
    h.epoch = stream.at.epoch;
    h.n = stream.at.n;
    h.chain = stream.chain;
    h.next_id = machine.next_id();
    h.seal_offset = sizeof h;  // of no file: there is none before it
    h.checksum = format::log_header_checksum(h);
    auto const log_path = directory + '/' + log_name(number);
    auto const bytes = format::view_of(h);
    co_return co_await fs.create(log_path, bytes, durability::stored);
}

}  // namespace mailfs::detail
