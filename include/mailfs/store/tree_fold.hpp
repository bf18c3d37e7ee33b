// SPDX-License-Identifier: BSL-1.0
// The fold of mailbox trees: two trees whose histories parted, the difference that joins them, and its bytes.
//
// Pure functions of contents. All rules are in tree_folder; who applies the difference computes nothing anew. Templates so that they cost
// only who uses them (docs/decisions/compile-cost.md).
#pragma once

#include <mailfs/format/byte_reader.hpp>
#include <mailfs/format/endian.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/format/stream_codec.hpp>
#include <mailfs/log/change_order.hpp>
#include <mailfs/store/mailbox_name.hpp>
#include <mailfs/store/tree_contents.hpp>
#include <mailfs/store/tree_snapshot.hpp>
#include <mailfs/types/bytes.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace mailfs {

inline constexpr std::uint32_t tree_fold_version = 1;  ///< a reader refuses a greater one

/// All that is different in the trunk from now on.
struct tree_fold {
    struct mailbox {
        std::string name;
        mailbox_entry entry;
        std::optional<displaced_mailbox> displaced;
        friend bool operator==(mailbox const&, mailbox const&) = default;
    };
    stream_state stream;  ///< of the branch: what it has seen, its history as `past`
    std::uint32_t uid_validity_last = 0;
    std::vector<guid> removed;       ///< mailboxes, ascending
    std::vector<mailbox> mailboxes;  ///< new, renamed or displaced ones
    std::vector<std::pair<std::string, subscription_entry>> subscriptions;
    std::vector<std::pair<metadata_key, metadata_entry>> metadata;
};

namespace detail {

/// Joins two trees. One use: run() once.
template <class = void>
class tree_folder {
public:
    tree_folder(tree_contents const& trunk, tree_contents const& branch) : trunk_(trunk), branch_(branch), at_{trunk.stream.at.epoch, trunk.stream.at.n + 1} {}

    /// Nothing when they cannot be folded: another tree, or an epoch of the trunk's that is not above all of the branch's.
    std::optional<tree_fold> run() {
        auto const theirs = branch_.stream.history();
        if (trunk_.object != branch_.object || !trunk_.stream.replicated() || !branch_.stream.replicated() || trunk_.needs_newer || branch_.needs_newer ||
            (!theirs.empty() && theirs.back().epoch >= trunk_.stream.at.epoch))
            return std::nullopt;
        out_.stream.past = theirs;
        out_.stream.seen = branch_.stream.seen;
        out_.stream.retired = branch_.stream.retired;
        out_.stream.latest = branch_.stream.latest;
        out_.uid_validity_last = std::max(trunk_.uid_validity_last, branch_.uid_validity_last);
        join_mailboxes();
        give_names();
        tell_mailboxes();
        join_entries(trunk_.subscriptions, branch_.subscriptions, out_.subscriptions, subscriptions_max, [](auto const&) { return true; });
        join_entries(trunk_.metadata, branch_.metadata, out_.metadata, metadata_entries_max,
                     [&](metadata_key const& k) { return !k.mailbox || all_.count(k.mailbox) != 0; });
        return std::move(out_);
    }

private:
    struct mailbox {
        mailbox_entry entry;
        std::string wanted;  // the name it was given by people
        std::string name;    // and the one it has
        guid into;           // its messages go there, and it goes then
    };
    using mailbox_map = std::map<guid, mailbox>;

    static mailbox_map by_id(tree_contents const& c) {
        mailbox_map out;
        for (auto const& [name, entry] : c.mailboxes) {
            auto const it = c.displaced.find(entry.id);
            out.emplace(entry.id, mailbox{entry, it == c.displaced.end() ? name : it->second.wanted, {}, {}});
        }
        return out;
    }
    // Of the last change of a value in the trunk and that in the branch: whose stands.
    bool is_branchs(change_mark const& x, change_mark const& y) const {
        return replaces({y.stamp, y.dot, branch_.stream}, {x.stamp, x.dot, trunk_.stream});
    }
    bool is_trunks(change_mark const& x, change_mark const& y) const {
        return replaces({x.stamp, x.dot, trunk_.stream}, {y.stamp, y.dot, branch_.stream});
    }
    static bool has_seen(tree_contents const& c, change_mark const& m) { return c.stream.would_admit(m.dot) != admission::fresh; }

    // A mailbox that one side alone has was removed by the other, if that had it. A name is a register.
    void join_mailboxes() {
        auto mine = by_id(trunk_), theirs = by_id(branch_);
        for (auto& [id, m] : mine) {
            auto const it = theirs.find(id);
            if (it == theirs.end()) {
                if (!has_seen(branch_, m.entry.created)) all_.emplace(id, std::move(m));
                continue;
            }
            auto const &x = m.entry.named, &y = it->second.entry.named;
            bool const lost = is_branchs(x, y) || (!is_trunks(x, y) && m.wanted < it->second.wanted);
            auto const uid_validity = std::max(m.entry.uid_validity, it->second.entry.uid_validity);
            auto const created = std::max(m.entry.created, it->second.entry.created);  // one may have made it again
            auto& joined = all_.emplace(id, std::move(lost ? it->second : m)).first->second;
            joined.entry.uid_validity = uid_validity;
            joined.entry.created = created;
        }
        for (auto& [id, m] : theirs)
            if (mine.count(id) == 0 && !has_seen(trunk_, m.entry.created) && all_.size() < mailboxes_max) all_.emplace(id, std::move(m));
    }

    static bool is_as_created(mailbox const& m) { return m.entry.named == m.entry.created; }
    void give_names() {
        std::map<std::string_view, std::vector<mailbox*>> wanted;
        for (auto& [id, m] : all_) wanted[m.wanted].push_back(&m);
        std::set<std::string, std::less<>> taken;
        for (auto const& [name, those] : wanted) taken.emplace(name);
        for (auto& [name, those] : wanted) {
            auto* const first = winner(those);
            first->name = name;
            for (auto* m : those) {
                if (m == first) continue;
                m->name = other_name(name, m->entry.id, taken);
                if (is_as_created(*m) && is_as_created(*first)) m->into = first->entry.id;
            }
        }
    }
    // Of those that were all made with this name the one with the greatest UIDVALIDITY has it; else who was given it last.
    static mailbox* winner(std::vector<mailbox*> const& those) {
        bool const made = std::all_of(those.begin(), those.end(), [](mailbox* m) { return is_as_created(*m); });
        return *std::max_element(those.begin(), those.end(), [made](mailbox* a, mailbox* b) {
            auto const &x = a->entry, &y = b->entry;
            return made ? std::tie(x.uid_validity, x.id) < std::tie(y.uid_validity, y.id) : std::tie(x.named, x.id) < std::tie(y.named, y.id);
        });
    }
    // `name (xxxx)`, and more digits where that is taken.
    static std::string other_name(std::string_view name, guid const& id, std::set<std::string, std::less<>>& taken) {
        auto const hex = id.hex();
        for (std::size_t n = 0;; ++n) {
            auto const addition = " (" + hex.substr(0, std::size_t{4} << std::min<std::size_t>(n, 3)) + (n > 3 ? "-" + std::to_string(n) : "") + ")";
            auto base = name.substr(0, std::min(name.size(), mailbox_name_size_max - addition.size()));
            while (!is_mailbox_name(base)) base.remove_suffix(1);  // not within a character
            std::string candidate = std::string(base) + addition;
            if (taken.insert(candidate).second) return candidate;
        }
    }

    void tell_mailboxes() {
        std::set<guid> known;
        for (auto const& [name, entry] : trunk_.mailboxes) {
            auto const it = all_.find(entry.id);
            if (it == all_.end()) {
                out_.removed.push_back(entry.id);
                continue;
            }
            known.insert(entry.id);
            auto const was = trunk_.displaced.find(entry.id);
            auto now = told(it->second);
            if (now.displaced && was != trunk_.displaced.end() && now.displaced->wanted == was->second.wanted && now.displaced->into == was->second.into)
                now.displaced->at = was->second.at;
            tree_fold::mailbox const before{name, entry, was == trunk_.displaced.end() ? std::nullopt : std::optional(was->second)};
            if (now != before) out_.mailboxes.push_back(std::move(now));
        }
        std::sort(out_.removed.begin(), out_.removed.end());
        for (auto const& [id, m] : all_)
            if (known.count(id) == 0) out_.mailboxes.push_back(told(m));
    }
    tree_fold::mailbox told(mailbox const& m) const {
        tree_fold::mailbox t{m.name, m.entry, {}};
        if (m.name != m.wanted) t.displaced = displaced_mailbox{m.wanted, m.into, at_};
        return t;
    }

    template <class Map, class List, class Wanted>
    void join_entries(Map const& mine, Map const& theirs, List& out, std::size_t most, Wanted wanted) const {
        auto count = mine.size();
        for (auto const& [key, entry] : theirs) {
            auto const it = mine.find(key);
            if (!wanted(key) || (it != mine.end() && !is_branchs(it->second.changed, entry.changed))) continue;
            if (it == mine.end() && count++ >= most) break;
            out.emplace_back(key, entry);
        }
    }

    tree_contents const& trunk_;
    tree_contents const& branch_;
    position at_;  // of the fold
    mailbox_map all_;
    tree_fold out_;
};

struct tree_fold_header {
    le32 version = tree_fold_version;
    le32 uid_validity_last;
    le64 latest;
    le32 lineage_count;  // then these, one list behind the other
    le32 seen_count;
    le32 retired_count;
    le32 removed_count;
    le32 mailbox_count;
    le32 subscription_count;
    le32 metadata_count;
    le32 reserved;
};
struct tree_fold_mailbox {
    mailbox_record entry;     // its name follows,
    std::uint8_t displaced = 0;  // and if this is 1 a displaced_record and the name that was wanted
    std::uint8_t reserved[7]{};
};
static_assert(sizeof(tree_fold_header) == 48 && sizeof(tree_fold_mailbox) == 88);

template <class = void>
class tree_fold_writer {
public:
    std::vector<std::byte> write(tree_fold const& f) {
        auto const count = [](auto const& list) { return static_cast<std::uint32_t>(list.size()); };
        tree_fold_header h;
        h.uid_validity_last = f.uid_validity_last;
        h.latest = f.stream.latest.value;
        h.lineage_count = count(f.stream.past);
        h.seen_count = count(f.stream.seen);
        h.retired_count = count(f.stream.retired);
        h.removed_count = count(f.removed);
        h.mailbox_count = count(f.mailboxes);
        h.subscription_count = count(f.subscriptions);
        h.metadata_count = count(f.metadata);
        put(h);
        format::encode_lineage(out_, f.stream.past);
        for (auto const& e : f.stream.seen) put(format::seen_record{e.origin.node, 0, e.origin.incarnation, e.counter});
        for (auto const& e : f.stream.retired) put(format::retired_record{e.node, 0, e.incarnation});
        for (auto const& id : f.removed) put(id.octets);
        for (auto const& m : f.mailboxes) put_mailbox(m);
        for (auto const& [name, e] : f.subscriptions) {
            put(subscription_record{std::uint16_t{e.on}, size16(name), to_record(e.changed)});
            put_text(name);
        }
        for (auto const& [key, e] : f.metadata) {
            put(metadata_record{key.mailbox.octets, std::uint16_t{e.present}, size16(key.key), static_cast<std::uint32_t>(e.value.size()), to_record(e.changed)});
            put_text(key.key);
            put_text(e.value);
        }
        out_.resize((out_.size() + 7) & ~std::size_t{7});
        return std::move(out_);
    }

private:
    static std::uint16_t size16(std::string const& text) noexcept { return static_cast<std::uint16_t>(text.size()); }
    template <class T>
    void put(T const& layout) {
        auto const bytes = format::view_of(layout);
        out_.insert(out_.end(), bytes.begin(), bytes.end());
    }
    void put_text(std::string_view text) { out_.insert(out_.end(), as_bytes(text).begin(), as_bytes(text).end()); }
    void put_mailbox(tree_fold::mailbox const& m) {
        auto const& e = m.entry;
        tree_fold_mailbox l;
        l.entry = {e.id.octets, e.uid_validity, std::uint16_t(e.use), size16(m.name), to_record(e.created), to_record(e.named)};
        l.displaced = m.displaced ? 1 : 0;
        put(l);
        put_text(m.name);
        if (!m.displaced) return;
        put(displaced_record{e.id.octets, m.displaced->into.octets, m.displaced->at.epoch, m.displaced->at.n, size16(m.displaced->wanted), 0, 0});
        put_text(m.displaced->wanted);
    }

    std::vector<std::byte> out_;
};

template <class = void>
tree_fold::mailbox take_folded_mailbox(format::byte_reader& in) {
    auto const l = in.take<tree_fold_mailbox>();
    tree_fold::mailbox m;
    m.entry = {guid{l.entry.id}, l.entry.uid_validity, special_use{std::uint16_t{l.entry.use}}, from_record(l.entry.created), from_record(l.entry.named)};
    m.name = in.text(l.entry.name_size);
    if (l.displaced != 0) {
        auto const d = in.take<displaced_record>();
        m.displaced = displaced_mailbox{std::string(in.text(d.name_size)), guid{d.into}, {d.epoch, d.n}};
    }
    return m;
}

}  // namespace detail

/// Whole words of 8 bytes, as a record's payload.
template <class = void>
std::vector<std::byte> encode_tree_fold(tree_fold const& f) { return detail::tree_fold_writer<>{}.write(f); }

/// Nothing when the bytes are not what encode_tree_fold wrote. Whether it makes sense for a tree is for that to say.
template <class = void>
std::optional<tree_fold> decode_tree_fold(bytes_view payload) {
    format::byte_reader in(payload);
    auto const h = in.take<detail::tree_fold_header>();
    if (!in.good() || h.version != tree_fold_version || h.seen_count > stream_state::origins_max || h.retired_count > stream_state::nodes_max) return std::nullopt;
    tree_fold f;
    f.uid_validity_last = h.uid_validity_last;
    f.stream.latest = {h.latest};
    auto past = format::decode_lineage(in.rest(), h.lineage_count);
    if (!past) return std::nullopt;
    f.stream.past = std::move(*past);
    for (std::uint32_t i = 0; i < h.seen_count; ++i) {
        auto const r = in.take<format::seen_record>();
        f.stream.seen.push_back({{r.node, r.incarnation}, r.counter});
    }
    for (std::uint32_t i = 0; i < h.retired_count; ++i) {
        auto const r = in.take<format::retired_record>();
        f.stream.retired.push_back({r.node, r.incarnation});
    }
    for (std::uint32_t i = 0; i < h.removed_count && in.good(); ++i) f.removed.push_back(guid{in.take<std::array<std::uint8_t, 16>>()});
    for (std::uint32_t i = 0; i < h.mailbox_count && in.good(); ++i) f.mailboxes.push_back(detail::take_folded_mailbox(in));
    for (std::uint32_t i = 0; i < h.subscription_count && in.good(); ++i) {
        auto const r = in.take<subscription_record>();
        f.subscriptions.emplace_back(in.text(r.name_size), subscription_entry{r.on == 1, detail::from_record(r.changed)});
    }
    for (std::uint32_t i = 0; i < h.metadata_count && in.good(); ++i) {
        auto const r = in.take<metadata_record>();
        metadata_key key{guid{r.mailbox}, std::string(in.text(r.key_size))};
        f.metadata.emplace_back(std::move(key), metadata_entry{r.present == 1, std::string(in.text(r.value_size)), detail::from_record(r.changed)});
    }
    if (!in.good() || in.rest().size() >= 8) return std::nullopt;
    return f;
}

}  // namespace mailfs
