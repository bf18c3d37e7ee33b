// SPDX-License-Identifier: BSL-1.0
// Replay of one log file onto a state machine: seals, scars, restarts, damage and what it took. Pure, no I/O.
// The rules are those of docs/formats/log.md; each has its test in tests/unit/log/log_replay.cpp.
#pragma once

#include <mailfs/format/log_record.hpp>
#include <mailfs/log/log_cut.hpp>
#include <mailfs/log/log_options.hpp>
#include <mailfs/log/state_machine.hpp>

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <vector>

namespace mailfs {

/// Bytes first..last-1 of a log file that are no record although a record follows.
struct log_damage {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    friend bool operator==(log_damage const&, log_damage const&) = default;
};

/// Why replay stopped.
enum class replay_halt : std::uint8_t {
    end,       ///< all that is there was applied; a partial record at the end is not there yet
    sealed,    ///< the file has ended
    doubt,     ///< damage that a power cut may have made, and no restart of this boot: nothing behind it counts yet
    id_limit,  ///< the next transaction would pass the bound on unsynced ids: sync, then feed again
    voided,    ///< a restart voids what was applied: load the state anew
    newer,     ///< a record that only a newer version understands
    cut,       ///< what comes next lies behind the moment that stop_at() told
};

template <state_machine M>
class log_replay {
public:
    using outcome_type = typename M::outcome;

    /// `boot`: the present boot; `begin`: offset of the first record. `machine` stands at the start of the file.
    log_replay(M& machine, std::uint32_t seed, guid const& boot, std::uint64_t begin)
        : machine_(&machine), seed_(seed), boot_(boot), begin_(begin), position_(begin), safe_id_(machine.next_id()) {}

    /// All before it is applied, void, or lost.
    std::uint64_t position() const noexcept { return position_; }
    bool sealed() const noexcept { return sealed_; }
    std::uint64_t seal_offset() const noexcept { return seal_offset_; }
    /// Records say that all before it is on stable storage.
    std::uint64_t attested() const noexcept { return attested_; }
    /// Behind the last restart in this file that counts, or 0.
    std::uint64_t restart_end() const noexcept { return restart_end_; }
    /// What a restart written now must void.
    std::uint64_t void_from() const noexcept { return doubt_.value_or(position_); }
    /// To be named by a scar before a sync.
    std::vector<log_damage> const& open_damage() const noexcept { return open_damage_; }
    /// In damage seen so far, for reports.
    std::uint64_t bytes_lost() const noexcept { return bytes_lost_; }
    /// That damage: passed by, and not void.
    std::vector<log_damage> const& lost() const noexcept { return lost_; }
    /// Ids below this may be given away now: unsynced_ids_max beyond those known to be on stable storage.
    std::uint64_t id_limit() const noexcept { return std::uint64_t{safe_id_} + unsynced_ids_max; }

    /// The next file says where this one's seal stands: it holds though the seal itself be damaged.
    void ends_at(std::uint64_t seal_offset) noexcept { end_at_ = seal_offset; }

    /// Nothing behind this moment is applied.
    void stop_at(log_cut const& moment) noexcept { cut_ = moment; }

    /// All that was applied when next_id was `ids` is on stable storage, and damage before it is named by scars.
    void durable(std::uint32_t ids) noexcept { safe_id_ = std::max(safe_id_, ids); }
    /// The file was synced when it was `size` bytes long. What has not been applied yet is safe up to the next damage.
    void covered(std::uint64_t size) noexcept { covered_ = std::max(covered_, size); }

    /// From now on replay tells what became of this transaction.
    void watch(dot const& d) noexcept {
        watched_ = d;
        verdict_.reset();
        outcome_ = outcome_type{};
    }
    std::optional<admission> verdict() const noexcept { return verdict_; }
    outcome_type& outcome() noexcept { return outcome_; }

    /// `region`: the file from position() on, as far as it was read. Unless ends_at() was called no later file exists.
    replay_halt feed(bytes_view region) {
        if (sealed_) return replay_halt::sealed;
        split(region);
        collect_scars();
        if (!find_restarts()) return replay_halt::voided;
        doubt_.reset();
        for (std::size_t i = 0; i < items_.size(); ++i) {
            if (items_[i].first >= end_at_) break;
            auto const halt = items_[i].damage ? pass_damage(i) : pass_record(items_[i]);
            if (halt != replay_halt::end) return halt;
        }
        return position_ >= end_at_ ? end_file(end_at_, end_at_) : replay_halt::end;
    }

    /// The writer's short cut: its own transaction lies exactly at position().
    void apply_own(format::record_view const& record) {
        apply_transaction(record);
        position_ += record.header.size;
    }
    /// The same, told at once: for a transaction that is not watched.
    admission apply_own(format::record_view const& record, outcome_type& outcome) {
        auto const verdict = machine_->apply(record, &outcome);
        outcome.at = machine_->stream().at;
        position_ += record.header.size;
        return verdict;
    }

    /// A scar of ours is in the file.
    void scarred() {
        scars_.insert(scars_.end(), open_damage_.begin(), open_damage_.end());
        open_damage_.clear();
        merge_scars();
    }

private:
    struct item {
        std::uint64_t first = 0, last = 0;  // offsets in the file
        bool damage = false;
        bool torn = false;  // damage that is the head of a record, so that it never took anything
        format::record_view record{};
    };

    // Cuts the region into records and damage. What follows the last record is damage whose end is the end of the region.
    void split(bytes_view region) {
        items_.clear();
        region_end_ = position_ + region.size();
        for (std::size_t at = 0; at < region.size();) {
            auto const record = format::decode_record(region.subspan(at), seed_);
            if (record) {
                items_.push_back({position_ + at, position_ + at + record->header.size, false, false, *record});
                attested_ = std::max(attested_, std::min<std::uint64_t>(record->header.synced, position_ + at));
                at += record->header.size;
                continue;
            }
            auto const next = format::find_record(region, at + 1, seed_);
            add_damage(position_ + at, position_ + next, format::is_torn(region.subspan(at, next - at), seed_));
            at = next;
        }
    }
    // What is lost of the seal, when its place is known, is apart from what is lost before it.
    void add_damage(std::uint64_t first, std::uint64_t last, bool torn) {
        bool const across = first < end_at_ && last > end_at_;
        if (across) items_.push_back({first, end_at_, true, false, {}});
        items_.push_back({across ? end_at_ : first, last, true, torn && !across, {}});
    }

    void collect_scars() {
        auto const known = scars_.size();
        for (auto const& it : items_) {
            if (it.damage || it.record.kind() != format::record_kind::scar) continue;
            constexpr auto step = sizeof(format::scar_range);
            for (auto rest = it.record.payload; rest.size() >= step; rest = rest.subspan(step)) {
                auto const range = format::load<format::scar_range>(rest);
                if (range.first < range.last) scars_.push_back({range.first, range.last});
            }
        }
        if (scars_.size() > known) merge_scars();
    }
    // Ascending, and apart from each other: reading the same scars again adds nothing.
    void merge_scars() {
        std::sort(scars_.begin(), scars_.end(), [](log_damage const& a, log_damage const& b) { return a.first < b.first; });
        std::size_t count = 0;
        for (auto const& s : scars_) {
            if (count > 0 && s.first <= scars_[count - 1].last) scars_[count - 1].last = std::max(scars_[count - 1].last, s.last);
            else scars_[count++] = s;
        }
        scars_.resize(count);
    }
    // The range that holds the offset; ranges are ascending and apart.
    static log_damage const* find_range(std::vector<log_damage> const& ranges, std::uint64_t offset) noexcept {
        auto const next = std::upper_bound(ranges.begin(), ranges.end(), offset,
                                           [](std::uint64_t o, log_damage const& r) { return o < r.first; });
        return next != ranges.begin() && offset < std::prev(next)->last ? &*std::prev(next) : nullptr;
    }
    // The first byte of d that no scar names.
    std::optional<std::uint64_t> unscarred(log_damage d) const noexcept {
        if (auto const* s = find_range(scars_, d.first)) d.first = s->last;
        return d.first < d.last ? std::optional(d.first) : std::nullopt;
    }

    bool is_void(std::uint64_t offset) const noexcept { return find_range(voids_, offset) != nullptr; }
    // Each void ends behind all that were added before.
    void add_void(std::uint64_t first, std::uint64_t last) {
        while (!voids_.empty() && voids_.back().first >= first) voids_.pop_back();
        if (!voids_.empty()) first = std::max(first, voids_.back().last);
        if (first < last) voids_.push_back({first, last});
    }

    // A restart counts when it follows the state's boot and no seal that it does not void stands before it.
    bool find_restarts() {
        voids_.clear();
        restarts_.clear();
        final_boot_ = machine_->stream().boot;
        auto seal = no_end;  // the first that is not void
        for (auto const& it : items_) {
            if (it.first >= end_at_) break;
            if (it.damage) continue;
            // Where the next file says which seal ends this one, pass_record() goes beyond any other.
            if (it.record.kind() == format::record_kind::seal && is_last()) seal = std::min(seal, it.first);
            if (it.record.kind() != format::record_kind::restart) continue;
            if (it.record.payload.size() < sizeof(format::restart_payload)) continue;
            auto const p = format::load<format::restart_payload>(it.record.payload);
            if (format::get_guid(p.previous) != final_boot_ || format::get_guid(p.boot) == final_boot_ ||
                p.void_from < begin_ || p.void_from > it.first || seal < p.void_from)
                continue;
            if (p.void_from < position_) return false;
            seal = no_end;
            add_void(p.void_from, it.first);
            restarts_.push_back(it.first);
            final_boot_ = format::get_guid(p.boot);
        }
        return true;
    }
    bool is_restart(std::uint64_t offset) const noexcept {
        return std::binary_search(restarts_.begin(), restarts_.end(), offset);
    }
    bool behind_restarts(std::uint64_t offset) const noexcept { return restarts_.empty() || offset > restarts_.back(); }
    bool is_last() const noexcept { return end_at_ == no_end; }

    // The first byte of damage that no scar names. A restart settles all before it: what lies there is void, or was on
    // stable storage, and a scar that came now would vouch for what the power cut did.
    std::optional<std::uint64_t> open_from(item const& it) const noexcept {
        return behind_restarts(it.first) ? unscarred({it.first, it.last}) : std::nullopt;
    }
    // Was it whole on stable storage once? Else the last power cut may have taken it.
    bool is_doubtful(item const& it) const noexcept {
        return it.damage && it.last > attested_ && is_last() && final_boot_ != boot_ && open_from(it);
    }

    replay_halt pass_damage(std::size_t i) {
        auto const& it = items_[i];
        log_damage const d{it.first, it.last};
        bool const tail = d.last == region_end_;
        auto const open = open_from(it);
        if (is_doubtful(it)) {
            doubt_ = open;
            return replay_halt::doubt;
        }
        if (tail && d.last != end_at_) return replay_halt::end;
        if (!is_void(d.first)) {
            if (!it.torn) make_up(i);
            if (open) {
                open_damage_.push_back(d);
                covered_ = 0;
            }
            bytes_lost_ += d.last - d.first;
            lost_.push_back(d);
        }
        position_ = d.last;
        return replay_halt::end;
    }

    replay_halt pass_record(item const& it) {
        auto const& record = it.record;
        bool const safe = it.last <= std::max(attested_, covered_);
        if (!is_void(it.first)) {
            switch (record.kind()) {
                case format::record_kind::transaction:
                    if (cut_ && !cut_->admits(machine_->stream(), record)) return replay_halt::cut;
                    if (!safe && M::next_id_after(machine_->next_id(), record) > id_limit()) return replay_halt::id_limit;
                    apply_transaction(record);
                    break;
                case format::record_kind::seal:
                    if (is_last() || it.first == end_at_) return end_file(it.first, it.last);
                    break;  // a restart that was lost had voided it: the next file knows better
                case format::record_kind::restart:
                    if (!is_restart(it.first)) break;
                    if (cut_ && !cut_->admits_restart(machine_->stream())) return replay_halt::cut;
                    apply_restart(record, it.last);
                    break;
                case format::record_kind::scar: break;
                default:
                    if ((record.header.flags & format::record_may_skip) == 0) return replay_halt::newer;
            }
        }
        position_ = it.last;
        if (safe) durable(machine_->next_id());
        return replay_halt::end;
    }

    replay_halt end_file(std::uint64_t seal, std::uint64_t behind) noexcept {
        sealed_ = true;
        seal_offset_ = seal;
        position_ = behind;
        return replay_halt::sealed;
    }
    void apply_transaction(format::record_view const& record) {
        bool const mine = watched_ && record.dot() == *watched_ && !verdict_;
        auto const verdict = machine_->apply(record, mine ? &outcome_ : nullptr);
        if (!mine) return;
        verdict_ = verdict;
        outcome_.at = machine_->stream().at;
    }
    void apply_restart(format::record_view const& record, std::uint64_t end) {
        auto const p = format::load<format::restart_payload>(record.payload);
        machine_->stream().restart(format::get_guid(p.boot));
        machine_->skip_ids(p.margin);
        restart_end_ = end;
    }

    // How much did the damage take? The first later record whose writer had read beyond it tells; else nothing does.
    void make_up(std::size_t i) {
        struct boundary {
            std::uint64_t offset;
            std::uint32_t next_id, n;
        };
        std::vector<boundary> known;
        auto stream = machine_->stream();
        auto next_id = machine_->next_id();
        bool same_epoch = true;
        auto const end = std::min(items_.size(), i + 1 + look_ahead_max);
        for (auto k = i + 1; k < end; ++k) {
            auto const& it = items_[k];
            known.push_back({it.first, next_id, stream.at.n});
            if (is_doubtful(it)) return;  // what stands behind it is about to be void
            if (it.damage || is_void(it.first)) continue;
            auto const& h = it.record.header;
            if (h.base_offset >= items_[i].last) {
                auto const at = std::lower_bound(known.begin(), known.end(), std::uint64_t{h.base_offset},
                                                 [](boundary const& b, std::uint64_t o) { return b.offset < o; });
                if (at == known.end() || at->offset != h.base_offset) continue;
                if (h.base_next_id > at->next_id) machine_->skip_ids(h.base_next_id - at->next_id);
                if (same_epoch && h.base_n > at->n) machine_->stream().skip(h.base_n - at->n);
                return;
            }
            if (it.record.kind() == format::record_kind::seal) return;
            if (it.record.kind() == format::record_kind::transaction && stream.admit(it.record) == admission::fresh)
                next_id = M::next_id_after(next_id, it.record);
            if (is_restart(it.first)) {
                auto const p = format::load<format::restart_payload>(it.record.payload);
                stream.restart(format::get_guid(p.boot));
                next_id = p.margin > ~std::uint32_t{0} - next_id ? ~std::uint32_t{0} : next_id + p.margin;
                same_epoch = false;
            }
        }
    }

    static constexpr std::uint64_t no_end = ~std::uint64_t{0};
    // Records that writers unaware of the damage may have appended; bounds the work on a file full of it.
    static constexpr std::size_t look_ahead_max = 256;

    M* machine_;
    std::uint32_t seed_;
    guid boot_;
    std::uint64_t begin_;
    std::uint64_t position_;
    std::uint64_t region_end_ = 0;
    bool sealed_ = false;
    std::uint64_t seal_offset_ = 0;
    std::uint64_t end_at_ = no_end;
    std::uint64_t attested_ = 0;
    std::uint64_t covered_ = 0;
    std::uint32_t safe_id_;
    std::uint64_t restart_end_ = 0;
    std::uint64_t bytes_lost_ = 0;
    std::vector<log_damage> lost_;
    std::optional<log_cut> cut_;
    std::optional<std::uint64_t> doubt_;
    std::vector<log_damage> open_damage_;
    std::vector<log_damage> scars_, voids_;  // ascending, apart
    std::vector<std::uint64_t> restarts_;    // ascending
    std::vector<item> items_;
    guid final_boot_;
    std::optional<dot> watched_;
    std::optional<admission> verdict_;
    outcome_type outcome_{};
};

}  // namespace mailfs
