// SPDX-License-Identifier: BSL-1.0
// A moment in a stream of transactions, told by time or by position.
#pragma once

#include <mailfs/format/log_record.hpp>
#include <mailfs/log/stream_state.hpp>
#include <mailfs/types/uid.hpp>

#include <cstdint>

namespace mailfs {

/// What came after it does not count. By default all counts.
struct log_cut {
    std::uint64_t time_ms = ~std::uint64_t{0};  ///< the first transaction with a later stamp, and all behind it, are out
    position at{~0U, ~0U};                      ///< so are the first that would take a later position, and all behind it

    /// Milliseconds since 1970, by the stamps that writers gave.
    static constexpr log_cut of_time(std::uint64_t ms) noexcept { return {ms, {~0U, ~0U}}; }
    /// The state in which HIGHESTMODSEQ was this.
    static constexpr log_cut of_modseq(modseq_t m) noexcept {
        return {~std::uint64_t{0}, {static_cast<std::uint32_t>(m >> 32), static_cast<std::uint32_t>(m)}};
    }
    friend constexpr bool operator==(log_cut const&, log_cut const&) = default;

    /// Whether this state lies before the moment, or at it.
    bool admits(stream_state const& s) const noexcept { return s.latest.milliseconds() <= time_ms && s.at <= at; }
    /// Whether the transaction still counts, in this state.
    bool admits(stream_state const& s, format::record_view const& r) const noexcept {
        if (r.stamp().milliseconds() <= time_ms && s.at < at) return true;
        return s.would_admit(r.dot()) != admission::fresh;
    }
    /// Whether a restart in this state does: it opens the next epoch.
    bool admits_restart(stream_state const& s) const noexcept { return s.next_epoch() <= at; }
};

}  // namespace mailfs
