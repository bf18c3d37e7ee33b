// SPDX-License-Identifier: BSL-1.0
// A schedule: a seed and a list of choices, which can be replayed, shortened and printed.
#pragma once

#include <mailfs/fs/detail/seeded_random.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs::sim {

/// What is done to, or by, a node. Each is whole: what begins something also says when it ends.
enum class deed : std::uint8_t {
    // clients
    append,
    append_stored,
    deliver,  ///< one mail to two nodes, by a deliverer who has not heard from the first
    add_flag,
    remove_flag,
    replace_flags,
    add_keyword,
    remove_keyword,
    conditional,
    expunge,
    expunge_stored,
    set_metadata,
    append_many,  ///< in one transaction, so that a block of UIDs comes to its end
    look,  ///< a client asks for news, or goes to another node and asks there
    // network
    cut,
    cut_one_way,
    isolate,
    flap,
    break_links,
    stall,
    clog,         ///< the links of a node, one after another; they are freed in another order
    heals_late,   ///< a node comes back from a split, and one link a while later
    slow_way,
    // processes
    crash,
    crash_in_step,
    crash_in_call,
    power_cut,
    pause,
    long_pause,
    sleep,        ///< all nodes, up to a day
    newer_node,   ///< it knows the next version of the protocol, too
    other_version, ///< it knows that one alone
    // clocks
    clock_jump,
    clock_stands,
    // disks
    disk_full,
    sync_fails,
    append_fails,
    answer_lost,  ///< of a create, append or sync that was done
    slow_disk,
    old_disk,     ///< restored from a backup
    // a store that all reach
    store_cut,    ///< the node does not reach it
    store_late,   ///< create() fails, and takes effect later, or has taken effect
    store_lags,   ///< listings tell what was there a while ago
    count
};
inline constexpr std::size_t deed_count = static_cast<std::size_t>(deed::count);
inline constexpr std::array<std::string_view, deed_count> deed_names{
    "append",     "append_stored",  "deliver",      "add_flag",     "remove_flag", "replace_flags", "add_keyword", "remove_keyword", "conditional", "expunge",
    "expunge_stored", "set_metadata", "append_many", "look",       "cut",         "cut_one_way",   "isolate",     "flap",           "break_links", "stall",
    "clog",       "heals_late",     "slow_way",     "crash",       "crash_in_step", "crash_in_call", "power_cut",    "pause",       "long_pause",
    "sleep",      "newer_node",     "other_version", "clock_jump", "clock_stands",  "disk_full",   "sync_fails",     "append_fails", "answer_lost",
    "slow_disk",  "old_disk",
    "store_cut",   "store_late",    "store_lags",
};
static_assert(!deed_names.back().empty());
constexpr std::string_view name_of(deed d) noexcept { return deed_names[static_cast<std::size_t>(d)]; }
inline constexpr std::size_t power_cut_count = 7;
/// What becomes of what was not synced, in the order of mailfs::power_cut.
inline constexpr std::array<std::string_view, power_cut_count> power_cut_names{"lose_all", "keep_all", "cut", "appends", "pages", "garbage", "any"};
constexpr bool is_fault(deed d) noexcept { return d > deed::look; }
/// Of a store that all reach.
constexpr bool is_of_shared_store(deed d) noexcept { return d >= deed::store_cut; }
/// What nodes say to each other gets there soon. Not so when a process ends: links are made again after a while, and whoever meets first goes on.
constexpr bool leaves_links(deed d) noexcept {
    return d == deed::clock_jump || d == deed::clock_stands;
}

/// Who arbitrates: nobody, over disks of their own; or one store.
enum class storage : std::uint8_t { own, shared, strict };

struct choice {
    std::uint32_t at_ms = 0;
    deed what = deed::append;
    std::uint32_t node = 1;     ///< of `look`: the client
    std::uint32_t other = 0;
    std::uint32_t arg = 0;      ///< whatever else is to be chosen follows from it
    std::uint32_t time_ms = 0;  ///< how long it lasts
    friend bool operator==(choice const&, choice const&) = default;
};

/// Options of the nodes that are not always the usual ones: what happens rarely under those shall happen often.
struct tuning {
    std::uint32_t use_ms = 10'000, use_min = 20;
    std::uint32_t quiet_ms = 1000;
    std::uint32_t call_ms = 5000;
    std::uint32_t ring_size = 256U << 10;
    std::uint32_t unflushed_max = 1U << 20;
    friend bool operator==(tuning const&, tuning const&) = default;
};

struct schedule {
    std::uint64_t seed = 1;  ///< of all chance but the choices
    std::uint32_t nodes = 3;
    std::uint32_t clients = 4;
    std::uint32_t length_ms = 10'000;
    std::uint32_t copies_in_memory = 2, copies_on_disk = 2;
    std::uint32_t clock_offset_ms = 0;   ///< each node's is within it
    std::uint32_t clock_drift_ppm = 0;
    tuning tuned;
    storage store = storage::own;
    std::uint32_t ids_reserved = 1024, unflushed_max = 1U << 20, files_max = 64;  ///< of a shared store; then
    std::uint32_t unflushed_node_max = 256U << 20;
    std::uint32_t late_ms = 3000;        ///< a create() is late, and a listing, by less than this
    std::vector<choice> choices;         ///< ascending by time
};

/// How much a schedule holds, before chance has its say.
struct schedule_size {
    std::uint32_t nodes = 0;  ///< 0: 2 to 5
    std::uint32_t operations = 200;
    std::uint32_t faults = 30;
    enum class stores : std::uint8_t { own, shared, both } store = stores::own;
};

namespace detail {

class schedule_maker {
public:
    schedule_maker(std::uint64_t seed, schedule_size size) : chance_(seed ^ 0x7363'6865'6475'6c65U), size_(size) { made_.seed = seed; }

    schedule make() {
        auto& s = made_;
        s.nodes = size_.nodes != 0 ? size_.nodes : 2 + pick(4);
        s.clients = 2 + pick(5);
        s.length_ms = 2000 + pick(one_in(8) ? 60'000 : 10'000);
        s.copies_in_memory = one_in(4) ? 1 + pick(s.nodes) : std::min(2U, s.nodes);
        s.copies_on_disk = one_in(4) ? 1 + pick(s.nodes) : std::min(2U, s.nodes);
        if (one_in(2)) s.clock_offset_ms = one_in(2) ? 2000 : 3'600'000;
        if (one_in(2)) s.clock_drift_ppm = 10'000;
        choose_store();
        choose_swarm();
        tune();
        auto const operations = size_.operations / 4 + pick(size_.operations);
        for (std::uint32_t i = 0; i < operations; ++i) add_operation();
        for (std::uint32_t i = one_in(16) ? 3 : 0; i > 0; --i) add_operation(deed::append_many);
        auto const faults = one_in(8) || faults_.empty() ? 0 : 1 + pick(size_.faults * 2);
        for (std::uint32_t i = 0; i < faults; ++i) add_fault();
        std::stable_sort(s.choices.begin(), s.choices.end(), [](choice const& a, choice const& b) { return a.at_ms < b.at_ms; });
        wait_for_sleepers();
        return std::move(s);
    }

private:
    std::uint32_t pick(std::uint32_t n) { return n == 0 ? 0 : static_cast<std::uint32_t>(chance_.up_to(n - 1)); }
    bool one_in(std::uint32_t n) { return pick(n) == 0; }
    std::uint32_t word() { return static_cast<std::uint32_t>(chance_() >> 32); }

    // By chance of its own, so that the schedules of nodes with their own disks do not depend on it.
    void choose_store() {
        mailfs::detail::seeded_random chance(made_.seed ^ 0x7374'6f72'6564U);
        auto const some = [&](std::uint64_t n) { return static_cast<std::uint32_t>(chance.up_to(n - 1)); };
        bool const shared = some(3) == 0;
        if (size_.store == schedule_size::stores::own || (size_.store == schedule_size::stores::both && !shared)) return;
        auto& s = made_;
        s.store = some(5) == 0 ? storage::strict : storage::shared;
        if (some(2) == 0) s.ids_reserved = 4 + some(60);
        if (some(4) == 0) s.unflushed_max = 1000 + some(5000);
        if (some(2) == 0) s.files_max = 2 + some(12);
        s.late_ms = 200 + some(3000);
        auto const every = 1 + some(3);
        for (auto d = static_cast<std::size_t>(deed::store_cut); d < deed_count; ++d)
            if (some(every) == 0) faults_.insert(faults_.end(), 1 + some(4), static_cast<deed>(d));
        if (some(4) == 0) s.unflushed_node_max = 1000 + some(5000);
    }
    // Some kinds of operations and faults, and how often each.
    void choose_swarm() {
        operations_ = {deed::append, deed::append, deed::look, deed::look};
        for (auto d = std::size_t{0}; d < static_cast<std::size_t>(deed::append_many); ++d)
            if (!one_in(3)) operations_.insert(operations_.end(), 1 + pick(3), static_cast<deed>(d));
        auto const some = one_in(4) ? 12 : 1 + pick(4);  // in some one or two kinds alone
        for (auto d = static_cast<std::size_t>(deed::cut); d < static_cast<std::size_t>(deed::store_cut); ++d)
            if (one_in(some)) faults_.insert(faults_.end(), 1 + pick(4), static_cast<deed>(d));
        busy_node_ = one_in(2) ? 1 + pick(made_.nodes) : 0;
        in_bursts_ = one_in(2);
        burst_ms_ = pick(made_.length_ms);
        fault_ms_ = 1U << (4 + pick(10));  // 16 ms to 8 s
    }
    void tune() {
        auto& t = made_.tuned;
        if (one_in(2)) t.use_ms = 500 + pick(2000), t.use_min = 4 + pick(8);
        if (one_in(2)) t.quiet_ms = 100 + pick(400);
        if (one_in(4)) t.call_ms = 1000;
        if (one_in(2)) t.ring_size = 500 + pick(8000);
        if (one_in(2)) t.unflushed_max = pick(400);
    }
    // What comes behind a sleep comes when it is over.
    void wait_for_sleepers() {
        std::uint32_t slept = 0;
        for (auto& c : made_.choices) {
            c.at_ms += slept;
            if (c.what == deed::sleep) slept += c.time_ms;
        }
        made_.length_ms += slept;
    }
    std::uint32_t node() { return busy_node_ != 0 && !one_in(4) ? busy_node_ : 1 + pick(made_.nodes); }
    std::uint32_t moment() {
        if (!in_bursts_) return pick(made_.length_ms);
        if (one_in(12)) burst_ms_ = pick(made_.length_ms);
        return std::min(made_.length_ms - 1, burst_ms_ + pick(200));
    }
    void add_operation() { add_operation(operations_[pick(static_cast<std::uint32_t>(operations_.size()))]); }
    void add_operation(deed what) {
        choice c;
        c.what = what;
        c.at_ms = moment();
        c.node = c.what == deed::look ? pick(made_.clients) : node();
        c.arg = word();
        made_.choices.push_back(c);
    }
    void add_fault() {
        choice c;
        c.what = faults_[pick(static_cast<std::uint32_t>(faults_.size()))];
        c.at_ms = moment();
        c.node = 1 + pick(made_.nodes);
        c.other = 1 + (c.node + pick(made_.nodes - 1)) % made_.nodes;
        c.arg = word();
        c.time_ms = 1 + pick(fault_ms_ * 2);
        if (c.what == deed::long_pause) c.time_ms = 1000 + pick(60'000);
        if (c.what == deed::heals_late) c.time_ms += 700;  // so that one that follows asks to be the master
        if (c.what == deed::sleep || c.what == deed::old_disk) {
            if (std::exchange(c.what == deed::sleep ? sleeps_ : restores_, true)) return;
        }
        if (c.what == deed::sleep) c.time_ms = 1000 + pick(one_in(2) ? 86'400'000 : 600'000);
        made_.choices.push_back(c);
    }

    mailfs::detail::seeded_random chance_;
    schedule_size size_;
    schedule made_;
    std::vector<deed> operations_, faults_;
    std::uint32_t busy_node_ = 0, burst_ms_ = 0, fault_ms_ = 0;
    bool in_bursts_ = false, sleeps_ = false, restores_ = false;
};

}  // namespace detail

/// The same for the same seed and size. A schedule in which time stands for less than its longest pause goes on until that ends.
inline schedule make_schedule(std::uint64_t seed, schedule_size size = {}) { return detail::schedule_maker(seed, size).make(); }

/// As a test that replays it.
std::string as_test(schedule const& s, std::string_view violation);

}  // namespace mailfs::sim
