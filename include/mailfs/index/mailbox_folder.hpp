// SPDX-License-Identifier: BSL-1.0
// The fold: two states of one mailbox, whose histories parted, to the one step that joins them. docs/protocols/fold.md
//
// Pure: it reads both states and changes neither. All rules are here; who applies the step computes nothing anew.
#pragma once

#include <mailfs/format/mailbox_fold.hpp>
#include <mailfs/index/keyword_table.hpp>
#include <mailfs/index/mailbox_replication.hpp>
#include <mailfs/index/row_columns.hpp>
#include <mailfs/index/vanished_list.hpp>
#include <mailfs/log/change_order.hpp>
#include <mailfs/replication/detail/coverage.hpp>
#include <mailfs/replication/detail/mutant.hpp>
#include <mailfs/types/flags.hpp>
#include <mailfs/types/lineage.hpp>
#include <mailfs/types/uid_blocks.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// What flags, keywords and registers of one message are; keywords as the trunk numbers them from now on.
struct folded_values {
    std::uint32_t flags = 0;
    keyword_table::set keywords;
    message_registers registers;
};

/// One register of each side becomes one.
struct register_join {
    register_mark const* mark = nullptr;  // null: nobody changed it since the side's cut
    bool on = false;
};

/// UIDs that stood for a message on some side, and do not after the fold, or not with the MODSEQ that each side knows.
template <class = void>
class vanished_ranges {
public:
    void add(uid_t first, uid_t last) { ranges_.push_back({first, last}); }
    void add(uid_t uid) { add(uid, uid); }
    std::size_t count() const noexcept { return ranges_.size(); }
    /// All that is not the same in both lists.
    void add_unequal(std::vector<vanished_list::entry> const& a, std::vector<vanished_list::entry> const& b, modseq_t floor) {
        auto const [from_a, from_b] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
        auto const left = by_uid({from_a, a.end()}, floor), right = by_uid({from_b, b.end()}, floor);
        auto x = left.begin(), y = right.begin();
        for (vanished_list::entry p, q; (p.first != 0 || x != left.end()) || (q.first != 0 || y != right.end());) {
            if (p.first == 0 && x != left.end()) p = *x++;
            if (q.first == 0 && y != right.end()) q = *y++;
            step(p, q);
        }
    }
    /// Ascending, apart.
    std::vector<uid_range> take() {
        std::sort(ranges_.begin(), ranges_.end(), [](uid_range a, uid_range b) { return a.first < b.first; });
        std::vector<uid_range> out;
        for (auto r : ranges_) {
            if (out.empty() || r.first > out.back().last + 1) out.push_back(r);
            else out.back().last = std::max(out.back().last, r.last);
        }
        return out;
    }

private:
    using entry = vanished_list::entry;

    static std::vector<entry> by_uid(std::vector<entry> list, modseq_t floor) {
        std::erase_if(list, [&](entry const& e) { return e.modseq <= floor; });
        std::sort(list.begin(), list.end(), [](entry const& a, entry const& b) { return a.first < b.first; });
        return list;
    }
    // Takes what lies first off one of them, or off both; one that is used up has first 0.
    void step(entry& p, entry& q) {
        if (p.first == 0) std::swap(p, q);
        if (q.first != 0 && std::tie(q.first, q.last) < std::tie(p.first, p.last)) std::swap(p, q);
        if (q.first == 0 || p.last < q.first) return take_front(p, p.last);
        if (p.first < q.first) return take_front(p, q.first - 1);
        auto const end = std::min(p.last, q.last);
        if (p.modseq != q.modseq) add(p.first, end);
        skip(p, end);
        skip(q, end);
    }
    void take_front(entry& e, uid_t last) {
        add(e.first, last);
        skip(e, last);
    }
    static void skip(entry& e, uid_t last) {
        if (last >= e.last) e = {};
        else e.first = last + 1;
    }

    std::vector<uid_range> ranges_;
};

/// One use: run() once.
template <class State>
class mailbox_folder {
public:
    mailbox_folder(State const& trunk, State const& branch) : trunk_(trunk), branch_(branch) {}

    std::vector<std::byte> run() {
        if (!can_fold()) return {};
        head();
        name_keywords();
        match_deliveries();
        pair_messages();
        std::stable_sort(out_.messages.begin(), out_.messages.end(), [](auto const& a, auto const& b) {
            return (a.from == 0) != (b.from == 0) ? b.from == 0 : a.from < b.from;
        });
        give_uids();
        std::stable_sort(first_adopted(), out_.messages.end(), [](auto const& a, auto const& b) { return a.uid < b.uid; });
        out_.vanished_floor = std::max(trunk_.vanished().floor(), branch_.vanished().floor());
        auto const before = vanished_.count();
        if (!mutated(mutant::vanished_lists_not_joined)) vanished_.add_unequal(trunk_.vanished().entries(), branch_.vanished().entries(), out_.vanished_floor);
        if (vanished_.count() != before) hit(reached::fold_vanished);
        out_.vanished = vanished_.take();
        join_metadata();
        return format::encode_mailbox_fold(out_);
    }

private:
    using message = format::folded_message;
    static constexpr std::uint32_t unknown = ~std::uint32_t{0};
    static constexpr uid_t wanted = uid_max;  // the UID of a message that is to get a new one

    bool can_fold() const {
        auto const theirs = branch_.stream().history();
        return trunk_.stream().replicated() && branch_.stream().replicated() && trunk_.object() == branch_.object() &&
               (theirs.empty() || theirs.back().epoch < trunk_.stream().at.epoch);
    }

    void head() {
        auto const& theirs = branch_.stream();
        if (!mutated(mutant::lineage_of_branch_forgotten)) out_.stream.past = theirs.history();
        if (!mutated(mutant::fold_without_seen_union)) out_.stream.seen = theirs.seen;
        out_.stream.retired = theirs.retired;
        out_.stream.latest = theirs.latest;
        at_ = {trunk_.stream().at.epoch, trunk_.stream().at.n + 1};
        out_.uid_validity = std::max(trunk_.uid_validity(), branch_.uid_validity());
        out_.uid_next = std::max(trunk_.uid_next(), branch_.uid_next());
        bool const nothing_new = std::all_of(theirs.seen.begin(), theirs.seen.end(), [&](auto const& e) {
            return trunk_.stream().would_admit({e.origin, e.counter}) != admission::fresh;
        });
        if (nothing_new) hit(reached::fold_of_nothing);
        auto const& a = trunk_.replication();
        auto const& b = branch_.replication();
        out_.settled = std::max(a.settled, b.settled);
        out_.cut = std::max(a.cut, b.cut);
        // A side that never had what the other has settled was away too long: the cut stands for each change that was forgotten.
        if (!contains(theirs.history(), a.settled) && a.settled != position{}) trunk_floor_.stamp = a.cut;
        if (!contains(trunk_.stream().history(), b.settled) && b.settled != position{}) branch_floor_.stamp = b.cut;
    }

    // --- deliveries ----------------------------------------------------------------------------------------------
    // One that was made on both sides is the message with the lower dot; the other goes. Who knows another message of that delivery, or
    // none, may have seen the transaction, passed over or given up: it expunged nothing.
    void match_deliveries() {
        auto const& mine = trunk_.replication().deliveries;
        auto const& theirs = branch_.replication().deliveries;
        out_.deliveries = theirs.all();
        for (auto const& d : mine.all())
            if (theirs.find(d.id) == nullptr && !theirs.may_have_forgotten(d)) first_.push_back(d.order());
        for (auto const& d : theirs.all()) {
            auto const* const other = mine.find(d.id);
            if (other == nullptr && !mine.may_have_forgotten(d)) first_.push_back(d.order());
            if (other == nullptr || other->order() == d.order()) continue;
            first_.push_back(std::min(other->order(), d.order()));
            second_.push_back(std::max(other->order(), d.order()));
        }
        std::sort(first_.begin(), first_.end());
        std::sort(second_.begin(), second_.end());
    }
    bool is_first(message_dot const& d) const { return std::binary_search(first_.begin(), first_.end(), order(d)); }
    bool is_second(message_dot const& d) const {
        if (!std::binary_search(second_.begin(), second_.end(), order(d)) || mutated(mutant::fold_keeps_both_deliveries)) return false;
        hit(reached::fold_same_delivery);
        return true;
    }

    // --- keywords ------------------------------------------------------------------------------------------------
    void name_keywords() {
        auto count = trunk_.keywords().names().size();
        for (auto const& name : branch_.keywords().names()) {
            auto number = trunk_.keywords().find(name);
            if (!number && count < keyword_table::names_max) {
                number = static_cast<std::uint32_t>(count++);
                out_.keywords.push_back(name);
            }
            number_of_.push_back(number.value_or(unknown));
        }
    }
    keyword_table::set in_trunk(keyword_table::set const& branch) const {
        keyword_table::set out;
        for (auto k : branch)
            if (number_of_[k] != unknown) out.push_back(mutated(mutant::keyword_numbers_of_branch) ? k : number_of_[k]);
        std::sort(out.begin(), out.end());
        return out;
    }
    bool same_keywords(std::uint32_t trunk_set, std::uint32_t branch_set) {
        if (trunk_set == 0 && branch_set == 0) return true;
        if (last_sets_ != std::pair(trunk_set, branch_set)) {  // neighbours mostly have the same ones
            last_sets_ = {trunk_set, branch_set};
            last_same_ = trunk_.keywords().members(trunk_set) == in_trunk(branch_.keywords().members(branch_set));
        }
        return last_same_;
    }

    // --- values --------------------------------------------------------------------------------------------------
    folded_values trunk_values(std::size_t row) const {
        folded_values v{trunk_.rows().flags[row], trunk_.keywords().members(trunk_.rows().keyword_set[row]), {}};
        if (auto const* r = trunk_.replication().registers.find(trunk_.rows().uid[row])) v.registers = *r;
        return v;
    }
    folded_values branch_values(std::size_t row) const {
        folded_values v{branch_.rows().flags[row], in_trunk(branch_.keywords().members(branch_.rows().keyword_set[row])), {}};
        auto const* registers = branch_.replication().registers.find(branch_.rows().uid[row]);
        if (registers == nullptr) return v;
        for (auto const& r : *registers) {
            if (!r.is_keyword()) put_registers(v.registers, r.what, {}, r.mark);
            else if (auto const k = number_of_[r.keyword()]; k != unknown) put_registers(v.registers, 0, {&k, 1}, r.mark);
        }
        return v;
    }
    static register_join find_register(folded_values const& v, std::uint32_t what) {
        register_join out;
        bool const keyword = (what & flag_register::keyword_bit) != 0;
        auto const number = what & ~flag_register::keyword_bit;
        out.on = keyword ? std::binary_search(v.keywords.begin(), v.keywords.end(), number) : (v.flags & what) != 0;
        for (auto const& r : v.registers)
            if (keyword ? r.what == what : !r.is_keyword() && (r.what & what) != 0) out.mark = &r.mark;
        return out;
    }
    // Of the last change in the trunk and that in the branch: whose stands.
    bool is_branchs(register_mark const& x, register_mark const& y) const {
        return replaces({y.stamp, y.dot, branch_.stream()}, {x.stamp, x.dot, trunk_.stream()});
    }
    bool is_trunks(register_mark const& x, register_mark const& y) const {
        return replaces({x.stamp, x.dot, trunk_.stream()}, {y.stamp, y.dot, branch_.stream()});
    }
    // Of two that are the same change, or both forgotten, what is set stays set.
    void join_register(std::uint32_t what, folded_values const& t, folded_values const& b, folded_values& out) const {
        auto const mine = find_register(t, what), theirs = find_register(b, what);
        auto const& x = mine.mark != nullptr ? *mine.mark : trunk_floor_;
        auto const& y = theirs.mark != nullptr ? *theirs.mark : branch_floor_;
        bool const earlier = mutated(mutant::fold_earlier_stamp_wins);
        bool const lost = (earlier ? is_trunks(x, y) : is_branchs(x, y)) && !mutated(mutant::fold_keeps_only_trunk_flags);
        bool const won = earlier ? is_branchs(x, y) : is_trunks(x, y) || mutated(mutant::fold_keeps_only_trunk_flags);
        bool const on = lost ? theirs.on : won ? mine.on : mine.on || theirs.on;
        std::uint32_t const keyword = what & ~flag_register::keyword_bit;
        bool const is_keyword = what != keyword;
        if (on && is_keyword) out.keywords.push_back(keyword);
        if (on && !is_keyword) out.flags |= what;
        if (mine.mark == nullptr && theirs.mark == nullptr) return;
        auto mark = lost ? y : x;
        if (lost || mine.mark == nullptr) mark.at = at_;
        if (is_keyword) put_registers(out.registers, 0, {&keyword, 1}, mark);
        else put_registers(out.registers, what, {}, mark);
    }
    folded_values join_values(folded_values const& t, folded_values const& b) const {
        folded_values out;
        for (std::uint32_t bit = 1; bit <= static_cast<std::uint32_t>(all_flags); bit <<= 1) join_register(bit, t, b, out);
        keyword_table::set all;
        std::set_union(t.keywords.begin(), t.keywords.end(), b.keywords.begin(), b.keywords.end(), std::back_inserter(all));
        for (auto const* registers : {&t.registers, &b.registers})
            for (auto const& r : *registers)
                if (r.is_keyword()) all.push_back(r.keyword());
        std::sort(all.begin(), all.end());
        all.erase(std::unique(all.begin(), all.end()), all.end());
        for (auto k : all) join_register(k | flag_register::keyword_bit, t, b, out);
        return out;
    }

    // --- messages ------------------------------------------------------------------------------------------------
    static auto order(message_dot const& d) noexcept { return std::tuple(d.node, d.incarnation, d.counter, d.part); }
    static void hit_outcome(bool gone, bool stays, bool changed) noexcept {
        hit(gone ? reached::fold_expunged : stays ? reached::fold_kept : reached::fold_renumbered);
        if (gone && changed) hit(reached::fold_expunge_beats_flag);
    }
    // A message that is on one side only keeps its UID where the other's clients still look for it.
    static bool may_keep(uid_t uid, uid_t announced) noexcept { return uid >= announced + (mutated(mutant::renumber_bound_off_by_one) ? 1 : 0) || mutated(mutant::renumber_nothing); }
    static bool has_seen(State const& s, message_dot const& d) {
        if (mutated(mutant::fold_expunged_returns)) return false;
        return s.stream().would_admit({{d.node, d.incarnation}, d.counter}) != admission::fresh;
    }
    static std::size_t next_row(State const& s, std::size_t row) {
        while (row < s.rows().count() && s.expunged().contains(row)) ++row;
        return row;
    }
    static bool registered(flag_registers::map::const_iterator& at, flag_registers::map const& all, uid_t uid) {
        while (at != all.end() && at->first < uid) ++at;
        return at != all.end() && at->first == uid;
    }

    // Both sides by UID; what has not the same UID on both is matched by its dot.
    void pair_messages() {
        auto const& t = trunk_.rows();
        auto const& b = branch_.rows();
        auto const& t_marks = trunk_.replication().registers.all();
        auto const& b_marks = branch_.replication().registers.all();
        auto t_mark = t_marks.begin(), b_mark = b_marks.begin();
        std::vector<std::size_t> mine, theirs;
        auto i = next_row(trunk_, 0), j = next_row(branch_, 0);
        while (i < t.count() || j < b.count()) {
            auto const x = i < t.count() ? t.uid[i] : uid_max, y = j < b.count() ? b.uid[j] : uid_max;
            if (x == y && x != uid_max && t.dot[i] == b.dot[j]) {
                bool const equal = t.flags[i] == b.flags[j] && t.modseq[i] == b.modseq[j] && same_keywords(t.keyword_set[i], b.keyword_set[j]);
                bool const mine_marked = registered(t_mark, t_marks, x), theirs_marked = registered(b_mark, b_marks, x);
                if (!equal || mine_marked || theirs_marked) in_both(i, j);
            } else {
                if (x == y && x != uid_max) hit(reached::fold_same_uid);
                if (x <= y && i < t.count()) mine.push_back(i);
                if (y <= x && j < b.count()) theirs.push_back(j);
            }
            if (x <= y && i < t.count()) i = next_row(trunk_, i + 1);
            if (y <= x && j < b.count()) j = next_row(branch_, j + 1);
        }
        match(mine, theirs);
    }
    void match(std::vector<std::size_t>& mine, std::vector<std::size_t>& theirs) {
        auto const by_dot = [](State const& s) {
            return [&rows = s.rows()](std::size_t a, std::size_t b) {
                return std::pair(order(rows.dot[a]), a) < std::pair(order(rows.dot[b]), b);
            };
        };
        std::sort(mine.begin(), mine.end(), by_dot(trunk_));
        std::sort(theirs.begin(), theirs.end(), by_dot(branch_));
        auto x = mine.begin();
        for (auto j : theirs) {
            auto const dot = order(branch_.rows().dot[j]);
            for (; x != mine.end() && order(trunk_.rows().dot[*x]) < dot; ++x) only_here(*x);
            if (x != mine.end() && order(trunk_.rows().dot[*x]) == dot) with_two_uids(*x++, j);
            else only_there(j);
        }
        for (; x != mine.end(); ++x) only_here(*x);
    }

    message from_values(folded_values&& v) const {
        message m;
        m.flags = static_cast<std::uint8_t>(v.flags);
        m.keywords = std::move(v.keywords);
        m.registers = std::move(v.registers);
        return m;
    }
    // In the trunk as this row, and as UID `uid` from now on.
    void change(std::size_t row, uid_t uid, bool touched, folded_values&& v) {
        auto m = from_values(std::move(v));
        m.uid = uid;
        m.from = trunk_.rows().uid[row];
        m.touched = touched;
        out_.messages.push_back(std::move(m));
    }
    void in_both(std::size_t i, std::size_t j) {
        auto const t = trunk_values(i), b = branch_values(j);
        hit(reached::fold_same);
        if (t.flags != b.flags || t.keywords != b.keywords) hit(reached::fold_registers);
        if (t.keywords != b.keywords) hit(reached::fold_keyword);
        auto v = join_values(t, b);
        bool const touched = v.flags != t.flags || v.keywords != t.keywords || trunk_.rows().modseq[i] != branch_.rows().modseq[j];
        if (touched || v.registers != t.registers) change(i, trunk_.rows().uid[i], touched, std::move(v));
    }
    // Each side renumbered it, or it was ordered on both: the higher UID, if nobody on the other side may miss it there.
    void with_two_uids(std::size_t i, std::size_t j) {
        hit(reached::fold_two_uids);
        auto const x = trunk_.rows().uid[i], y = branch_.rows().uid[j];
        auto const uid = x > y && x >= branch_.uid_next() ? x : y > x && y >= trunk_.uid_next() ? y : wanted;
        if (uid != y) vanished_.add(y);
        change(i, uid, true, join_values(trunk_values(i), branch_values(j)));
    }
    void only_here(std::size_t i) {
        auto const uid = trunk_.rows().uid[i];
        bool const gone = (has_seen(branch_, trunk_.rows().dot[i]) && !is_first(trunk_.rows().dot[i])) || is_second(trunk_.rows().dot[i]);
        bool const stays = !gone && may_keep(uid, branch_.uid_next());
        hit_outcome(gone, stays, trunk_.replication().registers.find(uid) != nullptr);
        change(i, gone ? 0 : stays ? uid : wanted, true, gone ? folded_values{} : trunk_values(i));
    }
    void only_there(std::size_t j) {
        auto const& rows = branch_.rows();
        auto const uid = rows.uid[j];
        auto const dot = rows.dot[j];
        bool const gone = (has_seen(trunk_, dot) && !is_first(dot)) || is_second(dot);
        bool const stays = !gone && may_keep(uid, trunk_.uid_next());
        hit_outcome(gone, stays, branch_.replication().registers.find(uid) != nullptr);
        if (!stays && !mutated(mutant::vanished_below_m)) vanished_.add(uid);
        if (gone) return;
        auto m = from_values(branch_values(j));
        m.registers = standing_at_fold(m.registers);
        m.uid = stays ? uid : wanted;
        m.touched = true;
        m.row = {rows.id[j], rows.where[j], rows.received[j], rows.saved[j], {{dot.node, dot.incarnation}, dot.counter}, dot.part, rows.size[j]};
        out_.messages.push_back(std::move(m));
    }

    // What came from elsewhere came with the fold. Registers of one change are one then.
    message_registers standing_at_fold(message_registers const& from) const {
        message_registers out;
        for (auto const& r : from) {
            auto const mark = register_mark{at_, r.mark.stamp, r.mark.dot};
            auto const keyword = r.keyword();
            if (r.is_keyword()) put_registers(out, 0, {&keyword, 1}, mark);
            else put_registers(out, r.what, {}, mark);
        }
        return out;
    }

    // --- new UIDs ------------------------------------------------------------------------------------------------
    auto first_adopted() {
        return std::find_if(out_.messages.begin(), out_.messages.end(), [](message const& m) { return m.from == 0; });
    }
    auto birth(message const& m) const {
        if (m.from == 0) return std::pair(m.row.saved_ms, std::tuple(m.row.dot.origin.node, m.row.dot.origin.incarnation, m.row.dot.counter, m.row.part));
        auto const row = trunk_.rows().lower_bound(m.from);
        return std::pair(trunk_.rows().saved[row], order(trunk_.rows().dot[row]));
    }
    // Above all that either side announced, out of the trunk's own blocks, in the order in which the messages came.
    void give_uids() {
        auto const& mine = trunk_.stream();
        mailbox_replication pool;
        pool.ids = trunk_.replication().ids;
        pool.raise_ids(out_.uid_next);
        auto known = std::max({out_.uid_next - 1, mine.ids_last, pool.ids.last});  // up to there UIDs may have been used
        for (auto const& history : {mine.history(), branch_.stream().history()})
            for (auto const& e : history) known = std::max(known, e.ids_last);
        std::vector<std::pair<decltype(birth(message{})), message*>> all;
        for (auto& m : out_.messages)
            if (m.uid == wanted) all.emplace_back(birth(m), &m);
        std::sort(all.begin(), all.end(), [](auto const& a, auto const& b) { return mutated(mutant::renumber_out_of_order) ? b.first < a.first : a.first < b.first; });
        out_.ids_reserved = mine.ids_last;
        for (auto& [key, m] : all) {
            if (pool.ids_left() == 0) {
                pool.ids = next_uid_block(slot_of(mine.at.epoch), known);
                known = std::max(known, pool.ids.last);
                out_.ids_reserved = std::max(out_.ids_reserved, pool.ids.last);
            }
            m->uid = pool.take_id();
            if (m->uid != 0) out_.uid_next = m->uid + 1;
            else m->uid = m->from;  // a mailbox at the end of its UIDs, which only a forger reaches, takes no more messages
        }
        out_.ids = pool.ids;
        std::erase_if(out_.messages, [](message const& m) { return m.uid == 0 && m.from == 0; });
        for (auto const& m : out_.messages)
            if (m.from != 0 && m.uid != m.from) vanished_.add(m.from);
    }

    // --- metadata ------------------------------------------------------------------------------------------------
    void join_metadata() {
        std::vector<std::string_view> keys;
        for (auto const* s : {&trunk_, &branch_}) {
            for (auto const& [key, value] : s->metadata()) keys.push_back(key);
            for (auto const& [key, mark] : s->replication().metadata) keys.push_back(key);
        }
        std::sort(keys.begin(), keys.end());
        keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
        for (auto key : keys) join_entry(key);
    }
    static std::optional<std::string> value_of(State const& s, std::string_view key) {
        auto const it = s.metadata().find(key);
        return it == s.metadata().end() ? std::nullopt : std::optional(it->second);
    }
    static register_mark const* mark_of(State const& s, std::string_view key) {
        auto const it = s.replication().metadata.find(key);
        return it == s.replication().metadata.end() ? nullptr : &it->second;
    }
    void join_entry(std::string_view key) {
        auto const mine = value_of(trunk_, key), theirs = value_of(branch_, key);
        auto const* const x = mark_of(trunk_, key);
        auto const* const y = mark_of(branch_, key);
        auto const& p = x != nullptr ? *x : trunk_floor_;
        auto const& q = y != nullptr ? *y : branch_floor_;
        bool const lost = is_branchs(p, q) || (!is_trunks(p, q) && mine < theirs);
        if (!lost && (x != nullptr || y == nullptr)) return;
        format::folded_metadata m{std::string(key), lost ? theirs : mine, std::nullopt};
        if ((x != nullptr || y != nullptr)) {
            m.mark = lost ? q : p;
            m.mark->at = at_;
        }
        hit(reached::fold_metadata);
        out_.metadata.push_back(std::move(m));
    }

    State const& trunk_;
    State const& branch_;
    position at_;                // of the fold
    register_mark trunk_floor_;  // stands for a change that the trunk does not remember
    register_mark branch_floor_;
    format::mailbox_fold out_;
    vanished_ranges<> vanished_;
    std::vector<std::tuple<std::uint32_t, std::uint64_t, std::uint64_t, std::uint32_t>> first_, second_;  // dots, ascending
    std::vector<std::uint32_t> number_of_;  // of the branch's keywords, in the trunk from now on
    std::pair<std::uint32_t, std::uint32_t> last_sets_{0, 0};
    bool last_same_ = true;
};

}  // namespace mailfs::detail
