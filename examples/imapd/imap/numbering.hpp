// SPDX-License-Identifier: BSL-1.0
// Message numbers as the client counts them while EXPUNGE responses are held back (RFC 3501 section 7.4.1).
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

namespace imapd::imap {

/// The mailbox's view forgets an expunged message at refresh(); the client does so when it is told. Between the two,
/// the client's numbers are the view's with the untold ones counted in. Untold ones only leave all at once, and new
/// messages only come at the end, so an untold message keeps its number.
class numbering {
public:
    /// Messages that the view has just lost: its own numbers from before the loss, each valid when applied in order.
    void hold(std::vector<std::uint32_t> const& view_numbers) {
        std::vector<std::uint32_t> lost(view_numbers.rbegin(), view_numbers.rend());  // to be: numbers from before the loss
        if (std::adjacent_find(lost.begin(), lost.end(), std::greater_equal<>()) != lost.end()) {  // not descending
            lost.clear();
            for (auto n : view_numbers) {
                auto const at = lost_before(lost, n);
                lost.insert(lost.begin() + static_cast<std::ptrdiff_t>(at), n + static_cast<std::uint32_t>(at));
            }
        }
        for (auto& n : lost) n = to_client(n);
        auto const middle = static_cast<std::ptrdiff_t>(untold_.size());
        untold_.insert(untold_.end(), lost.begin(), lost.end());
        std::inplace_merge(untold_.begin(), untold_.begin() + middle, untold_.end());
    }

    /// The client's number of the view's n-th message. O(log untold).
    std::uint32_t to_client(std::uint32_t n) const noexcept {
        return n + static_cast<std::uint32_t>(lost_before(untold_, n));
    }

    /// The view's number of the client's n-th message; nothing when it is gone. O(log untold).
    std::optional<std::uint32_t> to_view(std::uint32_t n) const noexcept {
        auto const it = std::lower_bound(untold_.begin(), untold_.end(), n);
        if (it != untold_.end() && *it == n) return std::nullopt;
        return n - static_cast<std::uint32_t>(it - untold_.begin());
    }

    /// The view's messages among the client's first..last, as the view's numbers; empty when first > last.
    std::pair<std::uint32_t, std::uint32_t> to_view(std::uint32_t first, std::uint32_t last) const noexcept {
        auto const below = [&](std::uint32_t n) {  // untold ones before the client's number n
            return static_cast<std::uint32_t>(std::lower_bound(untold_.begin(), untold_.end(), n) - untold_.begin());
        };
        return {first - below(first), last == UINT32_MAX ? last : last - below(last + 1)};
    }

    std::uint32_t untold() const noexcept { return static_cast<std::uint32_t>(untold_.size()); }

    /// What to tell the client, in this order (descending, so that each number is still the client's own).
    std::vector<std::uint32_t> release() {
        std::reverse(untold_.begin(), untold_.end());
        return std::exchange(untold_, {});
    }

private:
    /// How many of the ascending `gone` (numbers that count themselves in) stand before the n-th of what is left.
    static std::size_t lost_before(std::vector<std::uint32_t> const& gone, std::uint32_t n) noexcept {
        std::size_t low = 0, high = gone.size();  // gone[i] - i - 1 messages that are left stand before gone[i]
        while (low < high) {
            auto const middle = (low + high) / 2;
            if (gone[middle] - middle <= n)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }

    std::vector<std::uint32_t> untold_;  // ascending client numbers
};

}  // namespace imapd::imap
