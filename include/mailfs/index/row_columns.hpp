// SPDX-License-Identifier: BSL-1.0
// Columns that keep less than they show: times in seconds, places in units, what neighbours share in a table beside the rows.
#pragma once

#include <mailfs/format/snapshot.hpp>
#include <mailfs/index/column.hpp>
#include <mailfs/types/mail_location.hpp>

#include <algorithm>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace mailfs {

/// The identity of a message: which transaction appended it, and as the how-manieth of that.
struct message_dot {
    std::uint32_t node = 0;
    std::uint32_t part = 0;
    std::uint64_t incarnation = 0;
    std::uint64_t counter = 0;
    friend constexpr auto operator<=>(message_dot const&, message_dot const&) = default;
};

/// Milliseconds since 1970, kept as whole seconds of 32 bits: IMAP has no finer ones. What lies outside (before 1970, which
/// is negative, or after February 2106) is kept as the nearest second inside.
struct time_column {
    column<std::uint32_t> seconds;

    static constexpr std::uint32_t kept(std::uint64_t ms) noexcept {
        if (ms >> 63 != 0) return 0;
        return static_cast<std::uint32_t>(std::min<std::uint64_t>(ms / 1000, 0xffff'ffffU));
    }
    std::uint64_t operator[](std::size_t row) const { return std::uint64_t{seconds[row]} * 1000; }
    void push_back(std::uint64_t ms) { seconds.push_back(kept(ms)); }
};

/// Positions in a cache, kept in units of 8 bytes: below 32 GiB. Any other one is kept as 0, none: a cache can do without.
struct cache_column {
    column<std::uint32_t> units;

    static constexpr std::uint32_t kept(std::uint64_t where) noexcept {
        return where % 8 != 0 || where >> 35 != 0 ? 0 : static_cast<std::uint32_t>(where / 8);
    }
    std::uint64_t operator[](std::size_t row) const { return std::uint64_t{units[row]} * 8; }
    void set(std::size_t row, std::uint64_t where) { units.at(row) = kept(where); }
    void push_back(std::uint64_t where) { units.push_back(kept(where)); }
};

/// How a location is told in two pieces: the greater part, which mails in one file share, and 24 bits.
struct location_split {
    using value_type = mail_location;
    using base_type = format::location_base_layout;
    using row_type = format::location_layout;

    static constexpr std::uint64_t low = 0xff'ffff;
    static base_type base_of(mail_location const& w) noexcept { return {w.file, w.offset & ~low}; }
    static row_type row_of(mail_location const& w, std::uint32_t base) noexcept {
        return {base, static_cast<std::uint32_t>(w.offset & low)};
    }
    static mail_location join(base_type const& b, row_type const& r) noexcept { return {b.file, (b.offset & ~low) | r.offset}; }
};

/// The same for a dot: transactions of one process have counters near each other.
struct dot_split {
    using value_type = message_dot;
    using base_type = format::dot_base_layout;
    using row_type = format::dot_layout;

    static constexpr std::uint64_t counter_low = 0xffff;
    static constexpr std::uint32_t part_low = 0xff;
    static base_type base_of(message_dot const& d) noexcept {
        return {d.node, d.part & ~part_low, d.incarnation, d.counter & ~counter_low};
    }
    static row_type row_of(message_dot const& d, std::uint32_t base) noexcept {
        return {base, static_cast<std::uint8_t>(d.part & part_low), static_cast<std::uint16_t>(d.counter & counter_low)};
    }
    static message_dot join(base_type const& b, row_type const& r) noexcept {
        return {b.node, (b.part & ~part_low) | r.part, b.incarnation, (b.counter & ~counter_low) | r.counter};
    }
};

/// Rows that share the greater part of their values by number: any value comes back as it went in, in O(1).
/// In memory the table may have a part twice, or one that no row uses; write() leaves both out.
template <class Split>
struct based_column {
    using value_type = typename Split::value_type;
    using base_type = typename Split::base_type;
    using row_type = typename Split::row_type;

    column<row_type> rows;
    column<base_type> bases;

    /// Both have been mapped just now.
    void settle() noexcept { rows.refer_to(bases.size()); }

    /// A number beyond the table, which only a forger writes, stands for no value, also when the table has grown.
    value_type operator[](std::size_t row) const {
        auto const r = rows[row];
        return r.base < bases.size() ? Split::join(bases[r.base], r) : value_type{};
    }
    void push_back(value_type const& v) { rows.push_back(kept(v)); }
    /// The row's block was checked before.
    void set(std::size_t row, value_type const& v) {
        rows.at(row) = kept(v);
        if (bases.size() - bases.mapped_size() > 2 * rows.size() + 1024 && rows.readable()) tidy();
    }

    /// Whether the row's number is one of the table's.
    bool is_sound(std::size_t row) const { return rows[row].base < bases.size(); }

    /// Appends rows first..last-1 of each run to `rows_out`, and what they share, in the order of first use, to `bases_out`.
    template <class Runs>
    void write(Runs const& runs, std::vector<std::byte>& rows_out, std::vector<std::byte>& bases_out) const {
        runs([&](std::size_t first, std::size_t last) { rows.copy(first, last, rows_out); });
        unique_bases table(bases_out);
        std::vector<std::uint32_t> numbers(bases.size() + 1, unknown);  // the last: of those beyond the table
        for (std::size_t at = 0; at < rows_out.size(); at += sizeof(row_type)) {
            auto r = format::load<row_type>(bytes_view(rows_out).subspan(at));
            auto const old = std::min<std::size_t>(r.base, bases.size());
            auto& number = numbers[old];
            if (number == unknown) number = table.number(old < bases.size() ? Split::base_of(Split::join(bases[old], {})) : base_type{});
            r = old < bases.size() ? r : row_type{};
            r.base = number;
            std::memcpy(rows_out.data() + at, &r, sizeof r);
        }
    }

private:
    static constexpr std::uint32_t unknown = ~std::uint32_t{0};
    static constexpr std::size_t look_back = 8;  // so many writers may take turns without the table growing

    row_type kept(value_type const& v) {
        auto const base = Split::base_of(v);
        auto const added = bases.added();
        auto const oldest = added.size() - std::min(look_back, added.size());
        auto n = added.size();
        while (n > oldest && std::memcmp(&added[n - 1], &base, sizeof base) != 0) --n;
        if (n > oldest) return Split::row_of(v, static_cast<std::uint32_t>(bases.mapped_size() + n - 1));
        auto const number = static_cast<std::uint32_t>(bases.size());
        bases.push_back(base);
        return Split::row_of(v, number);
    }
    // Forgets what was added to the table and is used no more.
    void tidy() {
        auto const first = bases.mapped_size();
        std::vector<base_type> const old(bases.added().begin(), bases.added().end());
        std::vector<std::uint32_t> numbers(old.size(), unknown);
        bases.drop_added();
        for (std::size_t row = 0; row < rows.size(); ++row) {
            auto const before = std::size_t{rows[row].base};
            if (before < first || before - first >= old.size()) continue;
            auto& number = numbers[before - first];
            if (number == unknown) {
                number = static_cast<std::uint32_t>(bases.size());
                bases.push_back(old[before - first]);
            }
            rows.at(row).base = number;
        }
    }

    /// Bases in a buffer, each once: an open hash table of their numbers.
    class unique_bases {
    public:
        explicit unique_bases(std::vector<std::byte>& out) : out_(out), slots_(64, unknown) {}

        std::uint32_t number(base_type const& base) {
            if (2 * count_ >= slots_.size()) grow();
            auto const slot = find(base);
            if (slots_[slot] == unknown) {
                auto const bytes = format::view_of(base);
                out_.insert(out_.end(), bytes.begin(), bytes.end());
                slots_[slot] = count_++;
            }
            return slots_[slot];
        }

    private:
        std::byte const* at(std::size_t n) const noexcept { return out_.data() + n * sizeof(base_type); }
        std::size_t find(base_type const& base) const noexcept {
            std::uint64_t words[sizeof(base_type) / 8], hash = 0;
            std::memcpy(words, &base, sizeof base);
            for (auto const w : words) hash = std::rotl((hash ^ w) * 0x9e37'79b9'7f4a'7c15U, 29);
            auto slot = static_cast<std::size_t>(hash ^ hash >> 32) & (slots_.size() - 1);
            while (slots_[slot] != unknown && std::memcmp(at(slots_[slot]), &base, sizeof base) != 0) slot = (slot + 1) & (slots_.size() - 1);
            return slot;
        }
        void grow() {
            slots_.assign(4 * slots_.size(), unknown);
            for (std::uint32_t n = 0; n < count_; ++n) slots_[find(format::load<base_type>({at(n), sizeof(base_type)}))] = n;
        }

        std::vector<std::byte>& out_;
        std::vector<std::uint32_t> slots_;
        std::uint32_t count_ = 0;
    };
};

}  // namespace mailfs
