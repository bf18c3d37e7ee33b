// SPDX-License-Identifier: BSL-1.0
// A set of UIDs kept as ascending, disjoint, non-adjacent ranges.
#pragma once

#include <mailfs/types/uid.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs {

/// first..last, both included.
struct uid_range {
    uid_t first = 0;
    uid_t last = 0;
    friend constexpr bool operator==(uid_range const&, uid_range const&) = default;
};

/// A set of one range, the commonest by far, takes no memory of its own.
class uid_set {
public:
    uid_set() = default;
    uid_set(uid_set&&) noexcept = default;
    uid_set& operator=(uid_set&&) noexcept = default;
    uid_set(uid_set const& other) : single_(other.single_), many_(other.many_ ? std::make_unique<list>(*other.many_) : nullptr) {}
    uid_set& operator=(uid_set const& other) { return *this = uid_set(other); }
    ~uid_set() = default;
    uid_set(std::initializer_list<uid_range> ranges) {
        for (auto r : ranges) add(r.first, r.last);
    }
    static uid_set one(uid_t uid) { return uid_set{{uid, uid}}; }

    /// Adds first..last. Amortised O(1) when it lies at or behind the end, else O(ranges).
    void add(uid_t first, uid_t last) {
        if (first > last) std::swap(first, last);
        auto* const back = last_range();
        if (back == nullptr) {
            single_ = {first, last};
        } else if (first < back->first) {
            insert(first, last);
        } else if (first <= back->last || first - 1 == back->last) {
            back->last = std::max(back->last, last);
        } else {
            if (!many_) many_ = std::make_unique<list>(1, std::exchange(single_, none));
            many_->push_back({first, last});
        }
    }
    void add(uid_t uid) { add(uid, uid); }
    void clear() noexcept {
        many_.reset();
        single_ = none;
    }

    bool empty() const noexcept { return ranges().empty(); }
    /// Valid until the set is changed.
    std::span<uid_range const> ranges() const noexcept {
        if (many_) return *many_;
        return {&single_, single_ == none ? 0U : 1U};
    }
    std::uint64_t size() const noexcept {  ///< how many UIDs, not how many ranges
        std::uint64_t n = 0;
        for (auto r : ranges()) n += std::uint64_t{r.last} - r.first + 1;
        return n;
    }
    /// O(log ranges).
    bool contains(uid_t uid) const noexcept {
        auto const all = ranges();
        auto it = std::upper_bound(all.begin(), all.end(), uid, [](uid_t u, uid_range r) { return u < r.first; });
        return it != all.begin() && std::prev(it)->last >= uid;
    }
    /// Calls f(uid) for each, ascending.
    template <class F>
    void for_each(F&& f) const {
        for (auto r : ranges())
            for (std::uint64_t u = r.first; u <= r.last; ++u) f(static_cast<uid_t>(u));
    }

    /// As in IMAP: "1:4,7".
    std::string text() const {
        std::string out;
        for (auto r : ranges()) {
            if (!out.empty()) out += ',';
            out += std::to_string(r.first);
            if (r.last != r.first) out += ':' + std::to_string(r.last);
        }
        return out;
    }
    /// The inverse of text(); `star` stands for "*" (RFC 9051, seq-number), 0 of an empty mailbox for 1. Nothing when it is
    /// not a sequence set.
    static std::optional<uid_set> parse(std::string_view text, uid_t star) {
        std::vector<uid_range> raw;
        while (true) {
            auto const comma = text.find(',');
            auto const item = text.substr(0, comma);
            auto const colon = item.find(':');
            auto const first = number(item.substr(0, colon), star);
            auto const last = colon == item.npos ? first : number(item.substr(colon + 1), star);
            if (!first || !last) return std::nullopt;
            raw.push_back({std::min(*first, *last), std::max(*first, *last)});
            if (comma == text.npos) break;
            text.remove_prefix(comma + 1);
        }
        std::sort(raw.begin(), raw.end(), [](uid_range a, uid_range b) { return a.first < b.first; });
        uid_set set;
        for (auto r : raw) set.add(r.first, r.last);
        return set;
    }

    friend bool operator==(uid_set const& a, uid_set const& b) noexcept { return std::ranges::equal(a.ranges(), b.ranges()); }

private:
    using list = std::vector<uid_range>;
    static constexpr uid_range none{1, 0};

    uid_range* last_range() noexcept {
        if (many_) return &many_->back();
        return single_ == none ? nullptr : &single_;
    }
    static std::optional<uid_t> number(std::string_view text, uid_t star) {
        if (text == "*") return std::max<uid_t>(star, 1);
        uid_t value = 0;
        auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (ec != std::errc{} || end != text.data() + text.size() || value == 0) return std::nullopt;
        return value;
    }
    void insert(uid_t first, uid_t last) {
        list out;
        out.reserve(ranges().size() + 1);
        for (auto r : ranges()) {
            if (std::uint64_t{r.last} + 1 < first)
                out.push_back(r);
            else if (std::uint64_t{last} + 1 < r.first) {
                out.push_back({first, last});
                first = r.first;
                last = r.last;
            } else {
                first = std::min(first, r.first);
                last = std::max(last, r.last);
            }
        }
        out.push_back({first, last});
        many_ = std::make_unique<list>(std::move(out));
        single_ = none;
    }

    // All ranges are in many_; but a first one waits in single_ until a second comes. Small, since outcomes carry sets.
    uid_range single_ = none;
    std::unique_ptr<list> many_;
};

}  // namespace mailfs
