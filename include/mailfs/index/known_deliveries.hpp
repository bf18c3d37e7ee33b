// SPDX-License-Identifier: BSL-1.0
// Which deliveries a mailbox has taken lately: so that a deliverer may try again, on another node too, and the mail is there once.
#pragma once

#include <mailfs/format/delivery_codec.hpp>
#include <mailfs/index/row_columns.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/known_delivery.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <vector>

namespace mailfs {

/// The latest, by stamp; which ones follows from all that ever came, in whatever order. Ascending by id.
class known_deliveries {
public:
    static constexpr std::size_t count_max = format::deliveries_max;

    /// Null: it is not known, or not any more. O(log count).
    known_delivery const* find(guid const& id) const noexcept {
        auto const at = place_of(id);
        return at != all_.end() && at->id == id ? &*at : nullptr;
    }
    /// It is not known, and may have been: so many came that are later.
    bool may_have_forgotten(known_delivery const& d) const noexcept {
        return all_.size() == count_max && is_older(d, *std::min_element(all_.begin(), all_.end(), is_older));
    }
    /// Of two messages of one delivery the lower dot counts.
    void add(known_delivery const& d) {
        auto const at = place_of(d.id);
        if (at != all_.end() && at->id == d.id) {
            auto& there = all_[static_cast<std::size_t>(at - all_.begin())];
            if (d.order() < there.order()) there = d;
        } else {
            all_.insert(at, d);
        }
        if (all_.size() <= count_max) return;
        all_.erase(std::min_element(all_.begin(), all_.end(), is_older));
    }
    std::vector<known_delivery> const& all() const noexcept { return all_; }
    bool empty() const noexcept { return all_.empty(); }

    friend bool operator==(known_deliveries const&, known_deliveries const&) = default;

private:
    static bool is_older(known_delivery const& a, known_delivery const& b) noexcept { return std::tuple(a.when, a.id) < std::tuple(b.when, b.id); }
    std::vector<known_delivery>::const_iterator place_of(guid const& id) const noexcept {
        return std::lower_bound(all_.begin(), all_.end(), id, [](known_delivery const& a, guid const& b) { return a.id < b; });
    }

    std::vector<known_delivery> all_;
};

/// The delivery id of what a move puts into the mailbox `target`: follows from the message, so that a move that is tried again, or
/// made on both sides of a split, is one. Never use it for a copy: two copies are two messages.
inline guid delivery_of_move(message_dot const& source, guid const& target) noexcept {
    auto const mix = [](std::uint64_t h, std::uint64_t word) {
        h = (h ^ word) * 0x9e37'79b9'7f4a'7c15U;
        h = (h ^ (h >> 29)) * 0xbf58'476d'1ce4'e5b9U;
        return h ^ (h >> 32);
    };
    auto const hash = [&](std::uint64_t h) {
        for (auto const octet : target.octets) h = mix(h, octet);
        for (auto const word : {std::uint64_t{source.node} << 32 | source.part, source.incarnation, source.counter}) h = mix(h, word);
        return h;
    };
    return guid::from_words(hash(1), hash(2));
}

}  // namespace mailfs
