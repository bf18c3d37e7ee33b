// SPDX-License-Identifier: BSL-1.0
// Which call of a faulty_fs goes wrong, and how; and the count of calls that a test goes through one by one.
#pragma once

#include <mailfs/error.hpp>
#include <mailfs/fs/detail/seeded_random.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

namespace mailfs {

enum class fs_verb : std::uint8_t { open, create, list, remove, watch, append, read, size, sync, map };
inline constexpr std::size_t fs_verb_count = 10;

/// From any thread. In all that takes an `nth`, 1 is the next call of that verb.
class fault_control {
public:
    static constexpr std::uint64_t no_limit = std::numeric_limits<std::uint64_t>::max();

    /// The call does nothing and throws.
    void fail(fs_verb verb, std::uint64_t nth, errc why = errc::io) { plan(verb, nth, {why, 0, false, no_limit}); }
    /// The call does all it should, and throws all the same: its answer was lost.
    void lose_answer(fs_verb verb, std::uint64_t nth, errc why = errc::may_have_happened) {
        plan(verb, nth, {why, no_limit, true, no_limit});
    }
    /// The append leaves its first `size` bytes, and throws.
    void tear(std::uint64_t nth, std::uint64_t size, errc why = errc::no_space) {
        plan(fs_verb::append, nth, {why, size, false, no_limit});
    }
    /// The read finds no more than `size` bytes, as one does that sees the head of an append under way.
    void shorten(std::uint64_t nth, std::uint64_t size) { plan(fs_verb::read, nth, {std::nullopt, no_limit, true, size}); }

    /// From now on there is room for this many bytes of append and create. The append that does not fit leaves its head.
    void disk_full_after(std::uint64_t bytes) { locked([&] { room_ = bytes; }); }
    void disk_has_room() { disk_full_after(no_limit); }

    /// Kills the process in its `nth` call, counted from the start as calls() does: an append leaves what of its head the
    /// seed says, a create or remove happens or not; that call and all later ones throw errc::closed and reach nothing.
    void stop_at(std::uint64_t nth, std::uint64_t seed = 0) {
        locked([&] {
            stop_at_ = nth;
            random_ = detail::seeded_random(seed);
            ending_.reset();
        });
    }
    /// The same with an ending of the test's own choice: an append leaves `reach` bytes, what has no parts is done or not.
    void stop_at(std::uint64_t nth, std::uint64_t reach, bool done) {
        locked([&] {
            stop_at_ = nth;
            ending_ = verdict{errc::closed, reach, done, no_limit};
        });
    }
    /// Kills the process between two calls.
    void stop() {
        locked([&] { stopped_ = true; });
    }
    /// Nothing more goes wrong, but what has: a process that was killed stays so.
    void calm() {
        locked([&] {
            plan_.clear();
            stop_at_ = 0;
            room_ = no_limit;
        });
    }
    bool stopped() const {
        return locked([&] { return stopped_; });
    }

    /// Calls of all verbs, or of one, since the start.
    std::uint64_t calls() const {
        return locked([&] { return calls_; });
    }
    std::uint64_t calls(fs_verb verb) const {
        return locked([&] { return by_verb_[static_cast<std::size_t>(verb)]; });
    }

    /// What becomes of one call. For the filesystem that asks.
    struct verdict {
        std::optional<errc> why;         ///< what it throws in the end
        std::uint64_t reach = no_limit;  ///< bytes of an append that get through
        bool done = true;                ///< what cannot be done in part is done
        std::uint64_t found = no_limit;  ///< bytes that a read may find
    };

    /// Counts a call that would write `bytes`; `whole_only`: all of them or none.
    verdict next(fs_verb verb, std::uint64_t bytes = 0, bool whole_only = false) {
        return locked([&]() -> verdict {
            if (stopped_) return {errc::closed, 0, false, no_limit};
            ++calls_;
            auto const count = ++by_verb_[static_cast<std::size_t>(verb)];
            if (calls_ == stop_at_) {
                stopped_ = true;
                if (ending_) return *ending_;
                return {errc::closed, random_.up_to(bytes), random_.up_to(1) == 1, no_limit};
            }
            if (auto const planned = plan_.extract({verb, count})) return planned.mapped();
            if (bytes <= room_) {
                if (room_ != no_limit) room_ -= bytes;
                return {};
            }
            return {errc::no_space, whole_only ? 0 : std::exchange(room_, 0), false, no_limit};
        });
    }

private:
    void plan(fs_verb verb, std::uint64_t nth, verdict const& v) {
        locked([&] { plan_[{verb, by_verb_[static_cast<std::size_t>(verb)] + nth}] = v; });
    }

    template <class Work>
    std::invoke_result_t<Work&> locked(Work work) const {
        std::scoped_lock const lock(mutex_);
        return work();
    }

    mutable std::mutex mutex_;
    std::map<std::pair<fs_verb, std::uint64_t>, verdict> plan_;
    std::array<std::uint64_t, fs_verb_count> by_verb_{};
    std::uint64_t calls_ = 0, stop_at_ = 0, room_ = no_limit;
    bool stopped_ = false;
    detail::seeded_random random_{0};
    std::optional<verdict> ending_;  // of the call that the process is killed in, where the seed does not choose it
};

}  // namespace mailfs
