// SPDX-License-Identifier: BSL-1.0
// Keywords of a mailbox: names by number, and sets of them by number, so that a row holds 4 bytes for any set.
#pragma once

#include <mailfs/format/endian.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/types/bytes.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs {

// A template, so that a program compiles what it uses of it.
template <class>
class basic_keyword_table;
using keyword_table = basic_keyword_table<void>;

/// Part of the state: names are numbered in the order of their first use and never forgotten (RFC 9051: compared
/// without regard to case). Sets are numbered as they come; only what they hold is part of the state.
template <class>
class basic_keyword_table {
public:
    static constexpr std::size_t names_max = 4096;    ///< keywords of one mailbox; further ones are refused by rule
    static constexpr std::size_t blob_size_max = names_max * (format::keyword_size_max + 2);

    using set = std::vector<std::uint32_t>;  // numbers of names, ascending

    basic_keyword_table() { sets_.emplace_back(); ids_.emplace(set{}, 0); }

    std::vector<std::string> const& names() const noexcept { return names_; }
    std::size_t set_count() const noexcept { return sets_.size(); }
    /// The set itself, or 0, the empty one, for a number that only a forger writes.
    std::uint32_t known(std::uint32_t id) const noexcept { return id < sets_.size() ? id : 0; }
    set const& members(std::uint32_t id) const noexcept { return sets_[known(id)]; }

    std::optional<std::uint32_t> find(std::string_view name) const {
        auto const it = numbers_.find(folded(name));
        return it == numbers_.end() ? std::nullopt : std::optional(it->second);
    }
    /// The number of a name, a new one when need be; nothing when there are names_max.
    std::optional<std::uint32_t> number(std::string_view name) {
        if (auto const known = find(name)) return known;
        if (names_.size() == names_max) return std::nullopt;
        auto const n = static_cast<std::uint32_t>(names_.size());
        names_.emplace_back(name);
        numbers_.emplace(folded(name), n);
        return n;
    }
    std::uint32_t id_of(set const& s) {
        auto const [it, is_new] = ids_.try_emplace(s, static_cast<std::uint32_t>(sets_.size()));
        if (is_new) sets_.push_back(s);
        return it->second;
    }

    void forget_sets() {
        sets_.assign(1, {});
        ids_.clear();
        ids_.emplace(set{}, 0);
    }

    /// The set that `change` makes of the set `id`; `keywords` ascending.
    std::uint32_t changed(std::uint32_t id, flag_mode mode, set const& keywords) {
        if (mode == flag_mode::replace) return id_of(keywords);
        if (keywords.empty()) return id;
        set out;
        auto const& in = members(id);
        if (mode == flag_mode::add)
            std::set_union(in.begin(), in.end(), keywords.begin(), keywords.end(), std::back_inserter(out));
        else
            std::set_difference(in.begin(), in.end(), keywords.begin(), keywords.end(), std::back_inserter(out));
        return out == in ? id : id_of(out);
    }

    void encode_names(std::vector<std::byte>& out) const {
        for (auto const& name : names_) {
            le16 const size = static_cast<std::uint16_t>(name.size());
            append(out, format::view_of(size));
            append(out, as_bytes(name));
        }
    }
    static void encode_set(std::vector<std::byte>& out, set const& s) {
        le32 const size = static_cast<std::uint32_t>(s.size());
        append(out, format::view_of(size));
        for (le32 const n : s) append(out, format::view_of(n));
    }
    /// False: these bytes are not what encode_names and a run of encode_set wrote.
    bool decode(bytes_view names, bytes_view sets) {
        while (!names.empty()) {
            if (names.size() < sizeof(le16)) return false;
            std::size_t const size = format::load<le16>(names);
            names = names.subspan(sizeof(le16));
            auto const before = names_.size();
            if (size == 0 || size > names.size() || size > format::keyword_size_max || !number(as_text(names.first(size)))) return false;
            if (names_.size() == before) return false;  // the same name twice
            names = names.subspan(size);
        }
        while (!sets.empty()) {
            if (sets.size() < sizeof(le32)) return false;
            std::size_t const size = format::load<le32>(sets);
            sets = sets.subspan(sizeof(le32));
            if (size > names_.size() || size * sizeof(le32) > sets.size()) return false;
            set s;
            for (std::size_t i = 0; i < size; ++i) s.push_back(format::load<le32>(sets.subspan(i * sizeof(le32))));
            for (std::size_t i = 0; i < size; ++i)
                if (s[i] >= names_.size() || (i > 0 && s[i] <= s[i - 1])) return false;
            if (auto const before = sets_.size(); id_of(s) != before) return false;  // a set twice, or the empty one
            sets = sets.subspan(size * sizeof(le32));
        }
        return true;
    }

private:
    static void append(std::vector<std::byte>& out, bytes_view bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }
    static std::string folded(std::string_view name) {
        std::string out(name);
        for (auto& c : out)
            if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        return out;
    }

    std::vector<std::string> names_;
    std::map<std::string, std::uint32_t> numbers_;
    std::vector<set> sets_;
    std::map<set, std::uint32_t> ids_;
};

}  // namespace mailfs
