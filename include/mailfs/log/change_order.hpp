// SPDX-License-Identifier: BSL-1.0
// Of two changes of one value, on two sides that parted: which one stands.
#pragma once

#include <mailfs/log/stream_state.hpp>
#include <mailfs/types/stamp.hpp>

#include <tuple>

namespace mailfs {

/// A change, and the side on which it was the last one of its value. A dot of zero: nobody knows which change it was.
struct last_change {
    mailfs::stamp stamp;
    mailfs::dot dot;
    stream_state const& side;
};

/// Whether `y` takes the place of `x`. A side that has both of them made the one behind the other; where just one side has, that
/// decides. (Two masters may order one change, each behind others, and so with stamps of its own: a later change, made by who knew
/// it from one of them, need not have a stamp above the other's.) Else the later stamp, then the dot.
/// Cost: O(stream_state::origins_max).
inline bool replaces(last_change const& y, last_change const& x) noexcept {
    auto const has = [](stream_state const& side, mailfs::dot const& d) { return side.would_admit(d) != admission::fresh; };
    bool const known = x.dot.counter != 0 && y.dot.counter != 0 && x.dot != y.dot;
    bool const over_x = known && has(y.side, x.dot), over_y = known && has(x.side, y.dot);
    if (over_x != over_y) return over_x;
    return std::tie(x.stamp, x.dot) < std::tie(y.stamp, y.dot);
}

}  // namespace mailfs
