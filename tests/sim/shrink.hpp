// SPDX-License-Identifier: BSL-1.0
// Makes a schedule that fails shorter, as long as it still fails in the same way.
#pragma once

#include "schedule.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

namespace mailfs::sim {

/// `fails(schedule)` runs it; true: it breaks the same rule. At most `runs_max` runs.
template <class Fails>
class shrinker {
public:
    shrinker(schedule s, Fails fails, std::uint64_t runs_max) : best_(std::move(s)), fails_(std::move(fails)), left_(runs_max) {}

    schedule shrink() {
        cut_end();
        for (bool better = true; better && left_ > 0;) {
            better = drop_choices();
            better = drop_nodes() || better;
            better = simplify() || better;
        }
        return best_;
    }

private:
    bool take(schedule s) {
        if (left_ == 0) return false;
        --left_;
        if (!fails_(s)) return false;
        best_ = std::move(s);
        return true;
    }
    // Nothing behind the last choice that matters.
    void cut_end() {
        std::size_t low = 0, high = best_.choices.size();
        while (low < high && left_ > 0) {
            auto const middle = (low + high) / 2;
            auto s = best_;
            s.choices.resize(middle);
            if (take(std::move(s))) high = middle;
            else low = middle + 1;
        }
        if (best_.choices.empty()) return;
        auto s = best_;
        s.length_ms = best_.choices.back().at_ms + 1;
        take(std::move(s));
    }
    bool drop_choices() {
        bool any = false;
        for (auto size = std::max<std::size_t>(1, best_.choices.size() / 2); size > 0 && left_ > 0; size /= 2)
            for (std::size_t at = 0; at < best_.choices.size() && left_ > 0;) {
                auto s = best_;
                auto const from = std::next(s.choices.begin(), static_cast<std::ptrdiff_t>(at));
                s.choices.erase(from, std::next(from, static_cast<std::ptrdiff_t>(std::min(size, s.choices.size() - at))));
                if (take(std::move(s))) any = true;
                else at += size;
            }
        return any;
    }
    bool drop_nodes() {
        bool any = false;
        while (best_.nodes > 2 && left_ > 0) {
            auto s = best_;
            auto const last = s.nodes--;
            std::erase_if(s.choices, [&](choice const& c) { return is_fault(c.what) && (c.node == last || c.other == last); });
            if (!take(std::move(s))) break;
            any = true;
        }
        return any;
    }
    // Fewer clients, clocks that are right, shorter times, rounder moments.
    bool simplify() {
        bool any = false;
        auto const attempt = [&](auto change) {
            auto s = best_;
            change(s);
            if (take(std::move(s))) any = true;
        };
        if (best_.clients > 1) attempt([](schedule& s) { s.clients = 1; });
        if (best_.clock_offset_ms != 0) attempt([](schedule& s) { s.clock_offset_ms = 0; });
        if (best_.clock_drift_ppm != 0) attempt([](schedule& s) { s.clock_drift_ppm = 0; });
        if (best_.tuned != tuning()) attempt([](schedule& s) { s.tuned = {}; });
        for (std::size_t n = 0; n < best_.choices.size() && best_.choices.size() <= 40; ++n) {
            auto const& c = best_.choices[n];
            auto const before = n == 0 ? 0 : best_.choices[n - 1].at_ms;
            if (c.at_ms > before + 1000) attempt([&](schedule& s) {
                auto const by = c.at_ms - before - 1000;
                for (auto later = n; later < s.choices.size(); ++later) s.choices[later].at_ms -= by;
                s.length_ms -= std::min(by, s.length_ms - 1);
            });
            if (c.arg != 0 && c.arg > 100) attempt([&](schedule& s) { s.choices[n].arg %= 100; });
            if (c.time_ms > 1000) attempt([&](schedule& s) { s.choices[n].time_ms /= 2; });
        }
        return any;
    }

    schedule best_;
    Fails fails_;
    std::uint64_t left_;
};

template <class Fails>
schedule shrink(schedule s, Fails fails, std::uint64_t runs_max = 2000) {
    return shrinker<Fails>(std::move(s), std::move(fails), runs_max).shrink();
}

}  // namespace mailfs::sim
