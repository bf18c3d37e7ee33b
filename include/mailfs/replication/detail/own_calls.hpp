// SPDX-License-Identifier: BSL-1.0
// The transactions that a node's own callers wait for.
#pragma once

#include <mailfs/error.hpp>
#include <mailfs/types/stamp.hpp>
#include <mailfs/types/uid.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// In the order of their counters, which follow one another without a gap: so what a state has seen of an origin tells
/// exactly which of its transactions took effect there. One whose caller was sent away stays as an empty one until it has a place.
template <class Outcome>
class own_calls {
public:
    struct call {
        dot id;
        stamp when;
        std::vector<std::byte> operations;
        bool stored = false;
        bool given_up = false;           ///< its caller has gone
        bool was_sent = false;           ///< to another node, or ordered here
        std::uint32_t sent = 0;          ///< how often, to a master or to be ordered here
        std::uint32_t sent_away = 0;     ///< of these, to another node
        std::uint64_t due_ms = 0;        ///< steady; its caller is sent away then
        std::optional<Outcome> outcome;  ///< it took effect at outcome->at
    };

    bool empty() const noexcept { return calls_.empty(); }
    std::deque<call>& all() noexcept { return calls_; }
    call& add(call c) { return calls_.emplace_back(std::move(c)); }
    call* find(dot const& id) noexcept {
        for (auto& c : calls_)
            if (c.id == id) return &c;
        return nullptr;
    }
    void erase(dot const& id) {
        std::erase_if(calls_, [&](call const& c) { return c.id == id; });
    }
    void clear() noexcept { calls_.clear(); }
    /// Those whose callers have waited long enough.
    std::vector<dot> due(std::uint64_t now_ms) const {
        std::vector<dot> out;
        for (auto const& c : calls_)
            if (!c.given_up && c.due_ms <= now_ms) out.push_back(c.id);
        return out;
    }
    std::uint64_t next_due_ms() const noexcept {
        auto due = ~std::uint64_t{0};
        for (auto const& c : calls_)
            if (!c.given_up && c.due_ms < due) due = c.due_ms;
        return due;
    }

private:
    std::deque<call> calls_;
};

}  // namespace mailfs::detail
