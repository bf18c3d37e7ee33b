// SPDX-License-Identifier: BSL-1.0
// The mailbox tree of an account as a state machine: names, subscriptions and metadata by replay of one log.
//
// A transaction is a list of operations, done in order; the first whose condition fails ends it, and what stands
// before that one stays done. So a writer puts the operation that decides first. No I/O, no clock; one executor.
#pragma once

#include <mailfs/error.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/format/replication_record.hpp>
#include <mailfs/format/tree_operations.hpp>
#include <mailfs/log/state_machine.hpp>
#include <mailfs/store/mailbox_name.hpp>
#include <mailfs/store/tree_contents.hpp>
#include <mailfs/store/tree_fold.hpp>
#include <mailfs/store/tree_snapshot.hpp>
#include <mailfs/types/durability.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace mailfs {

inline constexpr std::size_t tree_operations_max = 2048;  ///< in one transaction; one of them may be a rename

/// What became of a transaction.
enum class tree_verdict : std::uint8_t {
    none,        ///< not decided
    applied,     ///< all of it
    name_taken,  ///< by a mailbox, or (as the target of a rename) by names below it; or the guid is in use
    not_found,   ///< no such mailbox, or no longer under that name
    denied,      ///< INBOX cannot be removed or renamed, nor a mailbox go below itself
    bad_name,    ///< not canonical, or (in a rename) a name below it would grow too long
    stale,       ///< uid_validity is not above the tree's last: take a greater one
    full,        ///< a bound of the tree is reached
    malformed,   ///< operations that no writer of ours makes
    newer,       ///< beyond this version
};
struct tree_outcome {
    tree_verdict verdict = tree_verdict::none;
    std::uint32_t done = 0;  ///< operations before the one that was refused; all when none was
    position at;             ///< its place in the stream, set by the log
    copies_held held{};      ///< the level that was reached
};

/// UIDVALIDITY that a mailbox made now should ask for: 28 bits of time, 4 bits of slot, above the tree's last.
constexpr std::uint32_t next_uid_validity(std::uint64_t now_ms, std::uint32_t last, std::uint32_t slot = 0) noexcept {
    constexpr std::uint64_t start_ms = 1'704'067'200'000;  // 2024-01-01T00:00:00Z
    auto const eights = std::min<std::uint64_t>(now_ms > start_ms ? (now_ms - start_ms) / 8000 : 0, 0x0fff'ffff);
    auto const clock = static_cast<std::uint32_t>(eights) << 4 | slot;
    auto const after = last > 0xffff'ffffU - 16 ? 0xffff'ffffU : last + 16;
    return std::max({clock, after, 16U | slot});
}

// A template, so that a program compiles what it uses of it.
template <class>
class basic_tree_state;
using tree_state = basic_tree_state<void>;

template <class>
class basic_tree_state {
public:
    using outcome = tree_outcome;

    // What a log asks of a state machine.
    void reset(guid const& object) {
        contents_ = {};
        contents_.object = object;
        names_.clear();
    }
    guid object() const noexcept { return contents_.object; }
    stream_state& stream() noexcept { return contents_.stream; }
    stream_state const& stream() const noexcept { return contents_.stream; }
    std::uint32_t next_id() const noexcept { return 0; }  // guids come from the writer: nothing is allocated by replay
    static std::uint32_t next_id_after(std::uint32_t, format::record_view const&) noexcept { return 0; }
    void skip_ids(std::uint32_t) noexcept {}
    std::vector<std::byte> dump() const { return encode_tree(contents_); }
    void load(std::span<std::byte> bytes, std::string_view name) {
        contents_ = decode_tree(bytes, name);
        index_names();
    }

    /// O(log mailboxes) for each operation; a rename also O(names below). `told` may be null.
    admission apply(format::record_view const& record, outcome* told) {
        auto const verdict = contents_.stream.admit(record);
        if (verdict != admission::fresh) return verdict;
        mark_ = {record.stamp(), record.dot()};
        outcome mine;
        mine.verdict = run(record.payload, mine.done);
        if (told != nullptr) *told = mine;
        return verdict;
    }

    // What several nodes that share the tree ask of it, as mailbox_state: replicated_machine.
    admission apply_step(format::record_view const& step, outcome* told) {
        switch (step.kind()) {
            case format::record_kind::transaction: return apply(step, told);
            case format::record_kind::epoch: open_epoch(step); break;
            case format::record_kind::settle: settle(step); break;
            case format::record_kind::fold: join(step); break;
            default: contents_.stream.count(step); break;
        }
        return admission::fresh;
    }
    std::uint32_t ids_left() const noexcept { return 0; }
    static std::uint32_t ids_wanted(bytes_view) noexcept { return 0; }
    static bool wants_room(bytes_view operations) noexcept {
        while (auto const operation = format::take_tree_operation(operations))
            if (!std::holds_alternative<format::tree_remove>(*operation)) return true;
        return false;
    }
    bool is_unsettled() const noexcept {
        return std::any_of(contents_.displaced.begin(), contents_.displaced.end(), [](auto const& d) { return !d.second.into; });
    }
    /// That it was applied is all that the state still knows.
    std::optional<outcome> recall(mailfs::dot const& d, bytes_view) const {
        outcome out;
        if (contents_.stream.would_admit(d) != admission::fresh) out.verdict = tree_verdict::applied;
        return out;
    }
    /// As mailbox_state::fold(). O(entries of both).
    std::vector<std::byte> fold(basic_tree_state const& branch) const {
        auto const joined = detail::tree_folder(contents_, branch.contents_).run();
        return joined ? encode_tree_fold(*joined) : std::vector<std::byte>{};
    }

    // Reading. Pointers are good until the next change.
    bool needs_newer() const noexcept { return contents_.needs_newer; }
    tree_contents const& contents() const noexcept { return contents_; }
    mailbox_entry const* find(std::string_view name) const {
        auto const it = contents_.mailboxes.find(name);
        return it == contents_.mailboxes.end() ? nullptr : &it->second;
    }
    std::string const* name_of(guid const& id) const {
        auto const it = names_.find(id);
        return it == names_.end() ? nullptr : &it->second;
    }
    bool has_children(std::string_view name) const {
        auto const it = first_below(name);
        return it != contents_.mailboxes.end() && is_below(it->first, name);
    }
    bool subscribed(std::string_view name) const {
        auto const it = contents_.subscriptions.find(name);
        return it != contents_.subscriptions.end() && it->second.on;
    }
    std::string const* metadata(guid const& mailbox, std::string const& key) const {
        auto const it = contents_.metadata.find({mailbox, key});
        return it == contents_.metadata.end() || !it->second.present ? nullptr : &it->second.value;
    }

    friend bool operator==(tree_state const& a, tree_state const& b) { return a.contents_ == b.contents_; }

private:
    using mailbox_map = decltype(tree_contents::mailboxes);

    tree_verdict run(bytes_view operations, std::uint32_t& done) {
        if (contents_.needs_newer) return tree_verdict::newer;
        std::size_t renames = 0;
        for (; auto const operation = format::take_tree_operation(operations); ++done) {
            if (std::holds_alternative<format::tree_rename>(*operation)) ++renames;
            if (done == tree_operations_max || renames > 1) return tree_verdict::malformed;
            auto const verdict = std::visit([this](auto const& o) { return this->act(o); }, *operation);
            if (verdict != tree_verdict::applied) return verdict;
        }
        return tree_verdict::applied;
    }

    // The mark of a change to what `before` had changed: where histories can part, what follows another change in one of them wins
    // over it for ever, whatever the clocks said.
    change_mark mark_after(change_mark const& before) const {
        auto mark = mark_;
        bool const behind = before.stamp >= mark.stamp && before.dot != mark.dot && before.stamp.value != ~std::uint64_t{0};
        if (contents_.stream.replicated() && behind) mark.stamp.value = before.stamp.value + 1;
        if (before.dot == mark.dot) mark.stamp = std::max(mark.stamp, before.stamp);
        return mark;
    }

    void open_epoch(format::record_view const& step) {
        auto const start = format::decode_epoch_start(step.payload);
        if (!start || start->epoch <= contents_.stream.at.epoch) return contents_.stream.count(step);
        contents_.stream.begin_epoch(*start, step);
    }
    void settle(format::record_view const& step) {
        contents_.stream.count(step);
        auto const end = format::decode_settle(step.payload);
        if (!end || !contents_.stream.replicated() || !contains(contents_.stream.history(), *end)) return;
        std::erase_if(contents_.displaced, [&](auto const& d) { return d.second.at <= *end && !d.second.into; });  // the name is its own now
    }
    void join(format::record_view const& step) {
        if (step.payload.size() >= sizeof(le32) && format::load<le32>(step.payload) > tree_fold_version)
            throw error(errc::newer_version, "tree", "a fold of a later version");
        auto const fold = decode_tree_fold(step.payload);
        auto joined = fold ? joined_with(*fold) : std::nullopt;
        contents_.stream.count(step);
        if (!joined) return;
        joined->stream = std::move(contents_.stream);
        contents_ = std::move(*joined);
        contents_.stream.join(fold->stream);
        index_names();
    }
    // Nothing when that would not be a tree.
    std::optional<tree_contents> joined_with(tree_fold const& f) const {
        auto const& past = f.stream.past;
        if (!contents_.stream.replicated() || (!past.empty() && past.back().epoch >= contents_.stream.at.epoch)) return std::nullopt;
        auto c = contents_;
        c.uid_validity_last = std::max(c.uid_validity_last, f.uid_validity_last);
        for (auto const& id : f.removed) forget(c, id);
        for (auto const& m : f.mailboxes) {
            if (auto const it = names_.find(m.entry.id); it != names_.end()) c.mailboxes.erase(it->second);
            c.displaced.erase(m.entry.id);
        }
        for (auto const& m : f.mailboxes) {
            if (!is_canonical_mailbox_name(m.name) || !m.entry.id || m.entry.uid_validity == 0 || m.entry.uid_validity > c.uid_validity_last) return std::nullopt;
            if (!c.mailboxes.emplace(m.name, m.entry).second) return std::nullopt;
            if (m.displaced) c.displaced.insert_or_assign(m.entry.id, *m.displaced);
        }
        for (auto const& [name, entry] : f.subscriptions) {
            if (!is_canonical_mailbox_name(name)) return std::nullopt;
            c.subscriptions.insert_or_assign(name, entry);
        }
        for (auto const& [key, entry] : f.metadata) {
            if (key.key.empty() || key.key.size() > metadata_key_size_max || entry.value.size() > metadata_value_size_max || (!entry.present && !entry.value.empty()))
                return std::nullopt;
            c.metadata.insert_or_assign(key, entry);
        }
        return is_tree(c, {contents_.stream.at.epoch, contents_.stream.at.n + 1}) ? std::optional(std::move(c)) : std::nullopt;
    }
    static bool is_tree(tree_contents const& c, position end) {
        if (c.mailboxes.size() > mailboxes_max || c.subscriptions.size() > subscriptions_max || c.metadata.size() > metadata_entries_max) return false;
        std::set<guid> ids;
        for (auto const& [name, entry] : c.mailboxes)
            if (!ids.insert(entry.id).second) return false;
        for (auto const& [id, d] : c.displaced)
            if (ids.count(id) == 0 || (d.into && (ids.count(d.into) == 0 || d.into == id)) || !is_canonical_mailbox_name(d.wanted) || d.at > end) return false;
        for (auto const& [key, entry] : c.metadata)
            if (key.mailbox && ids.count(key.mailbox) == 0) return false;
        return true;
    }
    void forget(tree_contents& c, guid const& id) const {
        if (auto const it = names_.find(id); it != names_.end()) c.mailboxes.erase(it->second);
        auto const first = c.metadata.lower_bound({id, {}});
        auto last = first;
        while (last != c.metadata.end() && last->first.mailbox == id) ++last;
        c.metadata.erase(first, last);
        c.displaced.erase(id);
        for (auto& [other, d] : c.displaced)
            if (d.into == id) d.into = {};
    }
    void index_names() {
        names_.clear();
        for (auto const& [name, entry] : contents_.mailboxes) names_.emplace(entry.id, name);
    }

    tree_verdict act(format::tree_malformed const&) { return tree_verdict::malformed; }
    tree_verdict act(format::tree_unknown const& o) {
        if (o.may_skip) return tree_verdict::applied;
        contents_.needs_newer = true;
        return tree_verdict::newer;
    }
    tree_verdict act(format::tree_create const& o) {
        if (!is_canonical_mailbox_name(o.name)) return tree_verdict::bad_name;
        if (find(o.name) != nullptr) return o.if_absent ? tree_verdict::applied : tree_verdict::name_taken;
        if (!o.id) return tree_verdict::malformed;
        if (names_.count(o.id) != 0) return tree_verdict::name_taken;
        bool const ascends = o.uid_validity > contents_.uid_validity_last;
        if (o.uid_validity == 0 || ascends == o.restored) return tree_verdict::stale;
        if (names_.size() >= mailboxes_max) return tree_verdict::full;
        contents_.uid_validity_last = std::max(contents_.uid_validity_last, o.uid_validity);
        contents_.mailboxes.emplace(o.name, mailbox_entry{o.id, o.uid_validity, special_use{o.use}, mark_, mark_});
        names_.emplace(o.id, o.name);
        return tree_verdict::applied;
    }
    tree_verdict act(format::tree_remove const& o) {
        auto const it = names_.find(o.id);
        if (it == names_.end()) return tree_verdict::not_found;
        if (it->second == inbox_name) return tree_verdict::denied;
        forget(contents_, o.id);
        names_.erase(it);
        return tree_verdict::applied;
    }
    tree_verdict act(format::tree_rename const& o) {
        if (!is_canonical_mailbox_name(o.from) || !is_canonical_mailbox_name(o.to)) return tree_verdict::bad_name;
        auto const* source = find(o.from);
        if (source != nullptr ? source->id != o.id : o.id || !has_children(o.from)) return tree_verdict::not_found;
        if (o.from == inbox_name || is_below(o.to, o.from)) return tree_verdict::denied;
        if (find(o.to) != nullptr || has_children(o.to)) return tree_verdict::name_taken;
        return move_names(o.from, o.to);
    }
    tree_verdict act(format::tree_subscribe const& o) {
        if (!is_canonical_mailbox_name(o.name)) return tree_verdict::bad_name;
        auto& all = contents_.subscriptions;
        if (auto const it = all.find(o.name); it != all.end())
            it->second = {o.on, mark_after(it->second.changed)};
        else if (!o.on)
            return tree_verdict::applied;
        else if (all.size() >= subscriptions_max)
            return tree_verdict::full;
        else
            all.emplace(o.name, subscription_entry{true, mark_});
        if (!o.on) bound_tombstones(all, [](subscription_entry const& e) { return !e.on; });
        return tree_verdict::applied;
    }
    tree_verdict act(format::tree_metadata const& o) {
        if (o.key.empty() || o.key.size() > metadata_key_size_max || o.value.size() > metadata_value_size_max)
            return tree_verdict::full;
        if (o.id && names_.count(o.id) == 0) return tree_verdict::not_found;
        auto& all = contents_.metadata;
        metadata_key key{o.id, std::string(o.key)};
        metadata_entry entry{o.present, o.present ? std::string(o.value) : std::string{}, mark_};
        if (auto const it = all.find(key); it != all.end()) {
            entry.changed = mark_after(it->second.changed);
            it->second = std::move(entry);
        } else if (!o.present)
            return tree_verdict::applied;
        else if (all.size() >= metadata_entries_max)
            return tree_verdict::full;
        else
            all.emplace(std::move(key), std::move(entry));
        if (!o.present) bound_tombstones(all, [](metadata_entry const& e) { return !e.present; });
        return tree_verdict::applied;
    }

    mailbox_map::const_iterator first_below(std::string_view name) const {
        return contents_.mailboxes.lower_bound(std::string(name) + mailbox_separator);
    }

    // Names that share a prefix stand together. All conditions are checked before the first name moves.
    tree_verdict move_names(std::string_view from, std::string_view to) {
        std::vector<std::string> moving;
        if (find(from) != nullptr) moving.emplace_back(from);
        for (auto it = first_below(from); it != contents_.mailboxes.end() && is_below(it->first, from); ++it) {
            if (it->first.size() - from.size() + to.size() > mailbox_name_size_max) return tree_verdict::bad_name;
            moving.push_back(it->first);
        }
        for (auto& name : moving) {
            auto node = contents_.mailboxes.extract(name);
            name.replace(0, from.size(), to);
            node.key() = name;
            node.mapped().named = mark_after(node.mapped().named);
            contents_.displaced.erase(node.mapped().id);
            names_[node.mapped().id] = std::move(name);
            contents_.mailboxes.insert(std::move(node));
        }
        return tree_verdict::applied;
    }

    // O(entries), once more tombstones than the bound are there.
    template <class Map, class Dead>
    static void bound_tombstones(Map& all, Dead dead) {
        auto oldest = all.end();
        std::size_t count = 0;
        for (auto it = all.begin(); it != all.end(); ++it) {
            if (!dead(it->second)) continue;
            ++count;
            if (oldest == all.end() || it->second.changed < oldest->second.changed) oldest = it;
        }
        if (count > tree_tombstones_max) all.erase(oldest);
    }

    tree_contents contents_;
    std::map<guid, std::string> names_;  // the names of contents_.mailboxes, found the other way round
    change_mark mark_;                   // of the transaction that is being applied
};
static_assert(replicated_machine<tree_state>);

}  // namespace mailfs
