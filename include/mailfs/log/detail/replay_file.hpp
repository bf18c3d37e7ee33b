// SPDX-License-Identifier: BSL-1.0
// Replay of one whole log file by who only reads: up to a moment, its end, or doubt.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/log/log_cut.hpp>
#include <mailfs/log/log_replay.hpp>
#include <mailfs/log/state_machine.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/guid.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace mailfs::detail {

struct replayed_file {
    replay_halt halt = replay_halt::end;
    std::uint64_t position = 0;  // all before it was applied, void, or lost
    std::uint64_t seal_offset = 0;
    std::vector<log_damage> lost;
    std::uint64_t bytes_lost = 0;
};

/// `bytes`: of the file, header included; `machine` has entered it. `end`: where the next file says that this one's seal
/// stands. The state is shown to nobody else, so the bound on unsynced ids asks for no more than a sync.
template <append_file File, state_machine M>
asio::awaitable<replayed_file> replay_file(File& file, bytes_view bytes, format::log_header const& header, M& machine,
                                           guid const& boot, std::optional<std::uint64_t> end, log_cut cut) {
    log_replay<M> replay(machine, format::record_seed(header.nonce), boot, sizeof header);
    replay.stop_at(cut);
    if (end) replay.ends_at(*end);
    replayed_file out;
    while (true) {
        auto const done = std::min<std::uint64_t>(replay.position(), bytes.size());
        out.halt = replay.feed(bytes.subspan(static_cast<std::size_t>(done)));
        if (out.halt != replay_halt::id_limit) break;
        co_await file.sync();
        replay.durable(machine.next_id());
        replay.covered(bytes.size());
    }
    out.position = replay.position();
    out.seal_offset = replay.seal_offset();
    out.lost = replay.lost();
    out.bytes_lost = replay.bytes_lost();
    co_return out;
}

}  // namespace mailfs::detail
