// SPDX-License-Identifier: BSL-1.0
// What every state machine keeps of its stream: where it stands, what it has seen, of which boot, and who ordered it.
#pragma once

#include <mailfs/format/log_record.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/lineage.hpp>
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
    mailfs::lineage past;        ///< epochs before this one, ascending; of a replicated stream alone
    mailfs::origin owner;        ///< of this epoch; none where the stream is not replicated
    std::uint32_t ids_last = 0;  ///< the last id that was reserved in this epoch

    bool replicated() const noexcept { return owner.incarnation != 0; }
    /// All epochs of this history.
    mailfs::lineage history() const {
        auto all = past;
        if (at != position{}) all.push_back({at.epoch, at.n, ids_last});
        return all;
    }

    /// Where the next epoch begins. In the last one, which only a forger reaches, positions stand still rather than fall.
    position next_epoch() const noexcept {
        return at.epoch > epoch_max - 16 ? at : position{at.epoch + 16, 0};  // the counter stands above the four bits of the slot
    }

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
        note(record);
        return admission::fresh;
    }

    /// The chain hash behind any step of a replicated stream, and behind a transaction of any.
    static std::uint64_t chain_after(std::uint64_t chain, format::record_view const& record) noexcept {
        bool const transaction = record.kind() == format::record_kind::transaction;
        return format::chain_hash(transaction ? chain : chain ^ record.header.kind, record);
    }

    /// A power cut may have taken what clients saw: a new epoch leaves all of it behind.
    void restart(guid const& new_boot) noexcept {
        boot = new_boot;
        open_epoch();
    }

    /// A record of kind epoch: a master's reign begins. `start.epoch` is greater than the present one.
    void begin_epoch(epoch_start const& start, format::record_view const& record) {
        if (at != position{}) past.push_back({at.epoch, at.n, ids_last});
        bound_past();
        at = {start.epoch, 0};
        owner = start.owner;
        ids_last = start.ids_last;
        note(record);
    }
    /// One of kind ids, fold or settle: counted like a transaction that takes effect.
    void count(format::record_view const& record) {
        advance();
        note(record);
    }
    /// Another history has joined this one: what either has seen counts, and no epoch of either is foreign.
    void join(stream_state const& other) {
        auto const theirs = other.history();
        for (auto const& e : theirs) join_epoch(e);
        bound_past();
        for (auto const& e : other.seen) join_seen(e);
        for (auto const& r : other.retired) retire({r.node, r.incarnation});
        latest = std::max(latest, other.latest);
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
    void note(format::record_view const& record) noexcept {
        chain = chain_after(chain, record);
        latest = std::max(latest, record.stamp());
    }
    void join_epoch(lineage_entry const& e) {
        if (e.epoch == at.epoch) return;
        auto const it = std::lower_bound(past.begin(), past.end(), e.epoch, [](lineage_entry const& l, std::uint32_t epoch) { return l.epoch < epoch; });
        if (it == past.end() || it->epoch != e.epoch) {
            past.insert(it, e);
            return;
        }
        it->n = std::max(it->n, e.n);
        it->ids_last = std::max(it->ids_last, e.ids_last);
    }
    void bound_past() {
        if (past.size() >= lineage_max) past.erase(past.begin(), past.end() - (lineage_max - 1));
    }
    // Behind all that were used here: the order is part of the state, and both sides' is the trunk's.
    void join_seen(seen_entry const& e) {
        if (auto const it = find(e.origin); it != seen.end()) {
            it->counter = std::max(it->counter, e.counter);
            return;
        }
        if (would_admit({e.origin, e.counter}) == admission::retired) return;
        remember(e.origin);
        seen.back().counter = e.counter;
    }
    void advance() noexcept {
        if (at.n == 0xffff'ffffU) open_epoch();
        if (at.n < 0xffff'ffffU) ++at.n;
    }
    void open_epoch() noexcept { at = next_epoch(); }
};

}  // namespace mailfs
