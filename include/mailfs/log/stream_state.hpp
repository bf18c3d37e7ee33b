// SPDX-License-Identifier: BSL-1.0
// What every state machine keeps of its stream: where it stands, what it has seen, and of which boot.
#pragma once

#include <mailfs/format/log_record.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/stamp.hpp>
#include <mailfs/types/uid.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace mailfs {

/// Whether a transaction takes effect.
enum class admission : std::uint8_t {
    fresh,    ///< yes
    repeat,   ///< no: its origin's counter has been seen, so it took effect before, or was given up
    retired,  ///< no: its origin was forgotten; the writer takes a new incarnation and proposes again
};

/// Part of the state: equal on all that applied the same stream.
class stream_state {
public:
    static constexpr std::size_t origins_max = 256;  ///< live origins remembered; the least recently used is retired
    static constexpr std::size_t nodes_max = 64;     ///< nodes whose retired incarnations are told apart

    struct seen_entry {
        mailfs::origin origin;
        std::uint64_t counter = 0;
        friend bool operator==(seen_entry const&, seen_entry const&) = default;
    };
    /// All incarnations of a node up to this one are finished, but for those in seen.
    struct retired_entry {
        std::uint32_t node = 0;
        std::uint64_t incarnation = 0;
        friend bool operator==(retired_entry const&, retired_entry const&) = default;
    };

    guid boot;
    position at;
    std::uint64_t chain = 0;
    mailfs::stamp latest;  ///< greatest stamp seen
    std::vector<seen_entry> seen;        ///< least recently used first
    std::vector<retired_entry> retired;

    /// What admit() would answer, without effect.
    admission would_admit(mailfs::dot const& d) const noexcept {
        if (auto const it = find(d.origin); it != seen.end()) return d.counter > it->counter ? admission::fresh : admission::repeat;
        for (auto const& r : retired)
            if (r.node == d.origin.node && d.origin.incarnation <= r.incarnation) return admission::retired;
        return admission::fresh;
    }

    /// Decides over a transaction and counts it: position, chain and stamp move on when it is fresh. O(1) for the
    /// latest writer, O(origins_max) else.
    admission admit(format::record_view const& record) {
        auto const d = record.dot();
        if (seen.empty() || seen.back().origin != d.origin) {
            auto const it = find(d.origin);
            if (it == seen.end()) {
                if (auto const verdict = would_admit(d); verdict != admission::fresh) return verdict;
                remember(d.origin);
            } else if (d.counter <= it->counter) {
                return admission::repeat;
            } else {
                auto const latest_writer = *it;
                std::move(it + 1, seen.end(), it);
                seen.back() = latest_writer;
            }
        } else if (d.counter <= seen.back().counter) {
            return admission::repeat;
        }
        seen.back().counter = d.counter;
        advance();
        chain = format::chain_hash(chain, record);
        latest = std::max(latest, record.stamp());
        return admission::fresh;
    }

    /// A power cut may have taken what clients saw: a new epoch leaves all of it behind.
    void restart(guid const& new_boot) noexcept {
        boot = new_boot;
        open_epoch();
    }

    /// Makes up for transactions that damage took.
    void skip(std::uint32_t transactions) noexcept {
        at.n = transactions > 0xffff'ffffU - at.n ? 0xffff'ffffU : at.n + transactions;
    }

    friend bool operator==(stream_state const&, stream_state const&) = default;

private:
    std::vector<seen_entry>::const_iterator find(mailfs::origin const& o) const noexcept {
        return std::find_if(seen.begin(), seen.end(), [&](seen_entry const& e) { return e.origin == o; });
    }
    std::vector<seen_entry>::iterator find(mailfs::origin const& o) noexcept {
        return std::find_if(seen.begin(), seen.end(), [&](seen_entry const& e) { return e.origin == o; });
    }
    void remember(mailfs::origin const& o) {
        if (seen.size() == origins_max) {
            retire(seen.front().origin);
            seen.erase(seen.begin());
        }
        seen.push_back({o, 0});
    }
    void retire(mailfs::origin const& o) {
        for (auto& r : retired)
            if (r.node == o.node) {
                r.incarnation = std::max(r.incarnation, o.incarnation);
                return;
            }
        if (retired.size() == nodes_max) retired.erase(retired.begin());
        retired.push_back({o.node, o.incarnation});
    }
    void advance() noexcept {
        if (at.n == 0xffff'ffffU) open_epoch();
        if (at.n < 0xffff'ffffU) ++at.n;
    }
    // In the last one, which only a forger reaches, positions stand still rather than fall.
    void open_epoch() noexcept {
        if (at.epoch > epoch_max - 16) return;
        at.epoch += 16;  // the counter stands above the four bits of the slot
        at.n = 0;
    }
};

}  // namespace mailfs
