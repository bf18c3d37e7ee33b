// SPDX-License-Identifier: BSL-1.0
// The state of a mailbox: what its stream of transactions made of it. Deterministic, no I/O.
#pragma once

#include <mailfs/format/mailbox_fold.hpp>
#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/format/replication_record.hpp>
#include <mailfs/format/snapshot.hpp>
#include <mailfs/format/stream_codec.hpp>
#include <mailfs/index/keyword_table.hpp>
#include <mailfs/index/mailbox_changes.hpp>
#include <mailfs/index/mailbox_folder.hpp>
#include <mailfs/index/mailbox_replication.hpp>
#include <mailfs/index/mailbox_rows.hpp>
#include <mailfs/index/rank_set.hpp>
#include <mailfs/index/vanished_list.hpp>
#include <mailfs/log/state_machine.hpp>
#include <mailfs/replication/detail/fold_witness.hpp>
#include <mailfs/types/durability.hpp>
#include <mailfs/types/flags.hpp>
#include <mailfs/types/uid_set.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace mailfs {

/// What the writer of a transaction learns when it has landed.
struct mailbox_outcome {
    position at;                 ///< at.modseq() is the MODSEQ of all it changed
    uid_t first_uid = 0;         ///< of the messages appended, which have consecutive UIDs
    std::uint32_t appended = 0;  ///< 0 although some were proposed: the mailbox has no UIDs left (in reserve, when it is shared)
    uid_set changed;             ///< messages whose flags or keywords are different now
    uid_set modified;            ///< left alone, for their MODSEQ was above UNCHANGEDSINCE
    uid_set expunged;
    std::uint32_t delivered_before = 0;  ///< of those proposed: their delivery ids are known. first_uid is that of the last of them,
                                         ///< 0 if it has been expunged, where nothing was appended
    bool keywords_refused = false;  ///< some were new, and the mailbox has keyword_table::names_max already
    copies_held held{};             ///< the level that was reached
};

/// Exact, and part of the state: a fold of the same stream, so that nothing can drift.
struct mailbox_counters {
    std::uint64_t messages = 0;
    std::uint64_t unseen = 0;   ///< without \Seen
    std::uint64_t deleted = 0;  ///< with \Deleted
    std::uint64_t bytes = 0;    ///< sum of RFC822.SIZE
    friend bool operator==(mailbox_counters const&, mailbox_counters const&) = default;
};

// A template, so that a program compiles what it uses of it.
template <class>
class basic_mailbox_state;
using mailbox_state = basic_mailbox_state<void>;

/// Rows are in UID order and keep their number until compacted; expunged ones stay behind in `expunged`.
template <class>
class basic_mailbox_state {
public:
    using outcome = mailbox_outcome;

    static constexpr std::size_t metadata_size_max = 64U << 10;  ///< bytes of all keys and values
    static constexpr std::size_t compact_rows_min = 1024;        ///< expunged rows, before they are swept out of memory
    static_assert(static_cast<std::uint32_t>(all_flags) <= 0xff, "a row has one octet for them");

    basic_mailbox_state() = default;
    basic_mailbox_state(basic_mailbox_state const&) = delete;
    basic_mailbox_state& operator=(basic_mailbox_state const&) = delete;

    // --- what others read ------------------------------------------------------------------------------------
    guid object() const noexcept { return object_; }
    std::uint32_t uid_validity() const noexcept { return uid_validity_; }
    uid_t uid_next() const noexcept { return uid_next_; }
    modseq_t highest_modseq() const noexcept { return stream_.at.modseq(); }
    mailbox_counters const& counters() const noexcept { return counters_; }
    std::uint64_t digest() const noexcept { return digest_; }  ///< over messages in any order; equal states have equal ones
    mailbox_rows const& rows() const noexcept { return rows_; }
    rank_set const& expunged() const noexcept { return expunged_; }
    keyword_table const& keywords() const noexcept { return keywords_; }
    vanished_list const& vanished() const noexcept { return vanished_; }
    std::map<std::string, std::string, std::less<>> const& metadata() const noexcept { return metadata_; }
    mailbox_replication const& replication() const noexcept { return shared_; }
    mailbox_changes& changes() noexcept { return changes_; }

    /// The row of a message that is there; O(log rows).
    std::optional<std::size_t> find(uid_t uid) const {
        auto const row = rows_.lower_bound(uid);
        if (row == rows_.count() || rows_.uid[row] != uid || expunged_.contains(row)) return std::nullopt;
        return row;
    }
    /// Calls f(row) for each message there is whose uid is in the range, ascending.
    template <class F>
    void for_each(uid_t first, uid_t last, F&& f) const {
        for (auto row = rows_.lower_bound(first); row < rows_.count() && rows_.uid[row] <= last; ++row)
            if (!expunged_.contains(row)) f(row);
    }

    // --- state_machine ---------------------------------------------------------------------------------------
    stream_state& stream() noexcept { return stream_; }
    stream_state const& stream() const noexcept { return stream_; }
    std::uint32_t next_id() const noexcept { return uid_next_; }
    void skip_ids(std::uint32_t n) noexcept { raise_uid_next(n > uid_max - uid_next_ ? uid_max : uid_next_ + n); }

    static std::uint32_t next_id_after(std::uint32_t next, format::record_view const& record) {
        format::for_each_operation(record.payload, [&](std::uint16_t kind, std::uint16_t, bytes_view bytes) {
            if (kind == std::uint16_t(format::mailbox_operation::append) && bytes.size() >= sizeof(format::append_operation) && next < uid_max)
                ++next;
            else if (kind == std::uint16_t(format::mailbox_operation::header))
                if (auto const v = format::view_operation<format::header_operation>(bytes)) next = std::max<std::uint32_t>(next, v->op.uid_next);
            return true;
        });
        return next;
    }

    void reset(guid const& object) {
        changes_.abandon(*this);
        object_ = object;
        stream_ = {};
        uid_validity_ = 0;
        uid_next_ = 1;
        counters_ = {};
        digest_ = 0;
        rows_ = {};
        source_ = {};
        expunged_.clear();
        keywords_ = {};
        vanished_ = {};
        metadata_.clear();
        shared_ = {};
    }

    /// Throws newer_version for an operation that this version must not pass over, corrupt when it needs rows that
    /// are damaged; nothing is applied then.
    admission apply(format::record_view const& record, outcome* out) {
        prepare(record);
        auto const verdict = stream_.admit(record);
        if (verdict != admission::fresh) return verdict;
        std::uint32_t part = 0;
        bool const room = !stream_.replicated() || ids_wanted(record.payload) <= ids_left();
        format::for_each_operation(record.payload, [&](std::uint16_t kind, std::uint16_t, bytes_view bytes) {
            using enum format::mailbox_operation;
            switch (static_cast<format::mailbox_operation>(kind)) {
                case append:
                    if (room) append_message(record, bytes, part, out);
                    ++part;
                    break;
                case flags: change_flags(record, bytes, out); break;
                case expunge: expunge_messages(bytes, out); break;
                case header: raise(bytes); break;
                case metadata: change_metadata(record, bytes); break;
                case cache: set_cache(bytes); break;
                case relocate: relocate_message(bytes); break;
                default: break;
            }
            return true;
        });
        sweep();
        return verdict;
    }

    std::vector<std::byte> dump() const;
    void load(std::span<std::byte> bytes, std::string_view name);

    // --- replicated_machine ----------------------------------------------------------------------------------
    /// Applies any step of a replicated stream. One whose payload makes no sense moves the position and changes nothing else. Throws
    /// as apply() does.
    admission apply_step(format::record_view const& step, outcome* out) {
        switch (step.kind()) {
            case format::record_kind::transaction: return apply(step, out);
            case format::record_kind::epoch: open_epoch(step); break;
            case format::record_kind::ids: reserve_ids(step); break;
            case format::record_kind::settle: settle(step); break;
            case format::record_kind::fold: join(step); break;
            default: stream_.count(step); break;
        }
        return admission::fresh;
    }
    /// UIDs in reserve. A transaction that wants more gets none: what orders them puts a step of kind ids before it.
    std::uint32_t ids_left() const noexcept { return shared_.ids_left(); }
    /// Something is kept for a fold that a step of kind settle would let go.
    bool is_unsettled() const noexcept { return !shared_.registers.empty() || !shared_.metadata.empty(); }
    static std::uint32_t ids_wanted(bytes_view operations) {
        std::uint32_t wanted = 0;
        format::for_each_operation(operations, [&](std::uint16_t kind, std::uint16_t, bytes_view bytes) {
            if (kind == std::uint16_t(format::mailbox_operation::append) && bytes.size() >= sizeof(format::append_operation)) ++wanted;
            return true;
        });
        return wanted;
    }
    /// Flags are to be changed of those messages alone that nobody has changed since.
    static bool has_condition(bytes_view operations) {
        bool has = false;
        format::for_each_operation(operations, [&](std::uint16_t kind, std::uint16_t, bytes_view bytes) {
            if (kind == std::uint16_t(format::mailbox_operation::flags) && bytes.size() >= sizeof(format::flags_operation))
                has = format::load<format::flags_operation>(bytes).unchanged_since != format::no_condition;
            return !has;
        });
        return has;
    }
    /// More than expunges are in it.
    static bool wants_room(bytes_view operations) {
        bool wants = false;
        format::for_each_operation(operations, [&](std::uint16_t kind, std::uint16_t, bytes_view) {
            wants = kind != std::uint16_t(format::mailbox_operation::expunge);
            return !wants;
        });
        return wants;
    }
    /// What a transaction appended: for a node that was given the state, not the stream. Nothing where it is not all there any more, or where some
    /// of it was to be done on a condition, for how that turned out is not kept. O(messages).
    std::optional<outcome> recall(mailfs::dot const& d, bytes_view operations) const;
    /// The payload of the fold step that joins the branch's history to this one: this is the trunk, in a new epoch whose number is
    /// above all of the branch's, before its first transaction. Empty when that is not so, or when they are not the same mailbox. Pure. Cost:
    /// O(messages of both), and O(log) for each difference. Throws corrupt when rows that it needs are damaged.
    std::vector<std::byte> fold(basic_mailbox_state const& branch) const {
        auto out = detail::mailbox_folder<basic_mailbox_state>(*this, branch).run();
        detail::tell_witness(*this, branch, out);
        return out;
    }

    // --- mendable_machine ------------------------------------------------------------------------------------
    bool damaged() const noexcept { return source_ && source_->damaged; }
    void mend(std::span<std::byte> good, std::string_view name);

    /// Checks all there is: each block, and that rows, counters and digest agree. Throws corrupt and names the place. Cost:
    /// one read of the snapshot.
    void verify() const {
        mailbox_rows::each(rows_, [](format::column_id, auto const& c) { c.mapped(); });
        mailbox_rows::each_table(rows_, [](format::column_id, auto const& c) { c.mapped(); });
        mailbox_counters sums;
        std::uint64_t digest = 0;
        for (std::size_t row = 0; row < rows_.count(); ++row) {
            auto const uid = rows_.uid[row];
            if (uid == 0 || uid >= uid_next_ || (row > 0 && uid <= rows_.uid[row - 1])) fail(rows_.uid, row, "a UID out of order");
            if ((rows_.flags[row] & ~static_cast<std::uint32_t>(all_flags)) != 0) fail(rows_.flags, row, "flags that there are not");
            if (rows_.modseq[row] > highest_modseq()) fail(rows_.modseq, row, "a MODSEQ from beyond the stream");
            if (rows_.keyword_set[row] >= keywords_.set_count()) fail(rows_.keyword_set, row, "a set of keywords that is not there");
            if (!rows_.where.is_sound(row)) fail(rows_.where.rows, row, "a location whose file is not there");
            if (!rows_.dot.is_sound(row)) fail(rows_.dot.rows, row, "a dot whose origin is not there");
            if (!expunged_.contains(row)) count(sums, digest, row, true);
        }
        for (auto const& [uid, all] : shared_.registers.all())
            if (!find(uid)) fail(rows_.uid, rows_.lower_bound(uid), "registers of a message that is not there");
        if (sums != counters_ || digest != digest_) fail(rows_.uid, 0, "the counters are not those of the rows");
    }

private:
    template <class T>
    [[noreturn]] void fail(column<T> const& c, std::size_t row, std::string_view why) const {
        throw error(errc::corrupt, source_ ? source_->name : "mailbox " + object_.hex(), c.offset_of(row), why);
    }

    // Whatever can fail, fails here.
    void prepare(format::record_view const& record) const {
        format::for_each_operation(record.payload, [&](std::uint16_t kind, std::uint16_t flags, bytes_view bytes) {
            if (kind > std::uint16_t(format::mailbox_operation::relocate) && (flags & format::operation_may_skip) == 0)
                throw error(errc::newer_version, "mailbox " + object_.hex(), "operation " + std::to_string(kind));
            if (source_) touch_rows_of(kind, bytes);
            return true;
        });
    }
    // What the operation needs of the mapped rows is checked, or throws.
    void touch_rows_of(std::uint16_t kind, bytes_view bytes) const {
        using enum format::mailbox_operation;
        auto const& r = rows_;
        auto const counted = [&](uid_t first, uid_t last) { touch(first, last, r.uid, r.flags, r.modseq, r.size, r.id); };
        auto const changed = [&](uid_t first, uid_t last) { touch(first, last, r.uid, r.flags, r.modseq, r.id, r.keyword_set); };
        switch (static_cast<format::mailbox_operation>(kind)) {
            case flags:
                if (auto v = format::view_operation<format::flags_operation>(bytes))
                    format::for_each_range(v->rest, v->op.range_count, changed);
                break;
            case expunge:
                if (auto v = format::view_operation<format::expunge_operation>(bytes))
                    format::for_each_range(v->rest, v->op.range_count, counted);
                break;
            case cache:
                if (auto const v = format::view_operation<format::cache_operation>(bytes)) touch(v->op.uid, v->op.uid, r.uid, r.cache.units);
                break;
            case relocate:
                if (auto const v = format::view_operation<format::relocate_operation>(bytes))
                    touch(v->op.uid, v->op.uid, r.uid, r.id, r.where.rows);
                break;
            default: break;
        }
    }
    template <class... Columns>
    void touch(uid_t first, uid_t last, Columns const&... columns) const {
        auto const begin = rows_.lower_bound(first);
        auto const end = first == last     ? std::min(begin + 1, rows_.count())
                         : last == uid_max ? rows_.count()
                                           : rows_.lower_bound(last + 1);
        (columns.touch(begin, end), ...);
    }

    // A message's part of the digest: who it is, its uid, flags, modseq. A sum, so that order does not matter.
    static std::uint64_t mix(std::uint64_t h, std::uint64_t word) noexcept {
        h = (h ^ word) * 0x9e37'79b9'7f4a'7c15U;
        return h ^ h >> 29;
    }
    std::uint64_t identity(std::size_t row) const {
        auto const bytes = std::as_bytes(std::span(rows_.id[row].octets));
        return mix(format::load<le64>(bytes), format::load<le64>(bytes.subspan(8)));
    }
    static std::uint64_t part_of_digest(std::uint64_t identity, uid_t uid, std::uint32_t flags, modseq_t modseq) noexcept {
        return mix(mix(identity, std::uint64_t{uid} << 32 | flags), modseq) * 0xbf58'476d'1ce4'e5b9U;
    }
    // Takes a message out of counters and digest, or puts it in.
    void count(std::size_t row, bool in) { count(counters_, digest_, row, in); }
    void count(mailbox_counters& counters, std::uint64_t& digest, std::size_t row, bool in) const {
        auto const step = [in](std::uint64_t& n, std::uint64_t by) { n = in ? n + by : n - by; };
        auto const flags = static_cast<flag>(rows_.flags[row]);
        step(counters.messages, 1);
        step(counters.unseen, has(flags, flag::seen) ? 0 : 1);
        step(counters.deleted, has(flags, flag::deleted) ? 1 : 0);
        step(counters.bytes, rows_.size[row]);
        step(digest, part_of_digest(identity(row), rows_.uid[row], rows_.flags[row], rows_.modseq[row]));
    }
    // The same for a message that stays and has other flags or keywords now.
    void recount(std::size_t row, std::uint32_t old_flags, std::uint32_t flags, modseq_t old_modseq, modseq_t modseq) {
        auto const both = [&](flag f) { return std::uint64_t{has(static_cast<flag>(flags), f)} - std::uint64_t{has(static_cast<flag>(old_flags), f)}; };
        counters_.unseen -= both(flag::seen);
        counters_.deleted += both(flag::deleted);
        auto const who = identity(row);
        auto const uid = rows_.uid[row];
        digest_ += part_of_digest(who, uid, flags, modseq) - part_of_digest(who, uid, old_flags, old_modseq);
    }

    keyword_table::set numbers_of(std::vector<std::string_view> const& names, bool make, outcome* out) {
        keyword_table::set numbers;
        for (auto name : names) {
            auto const n = make ? keywords_.number(name) : keywords_.find(name);
            if (n) numbers.push_back(*n);
            else if (make && out != nullptr) out->keywords_refused = true;
        }
        std::sort(numbers.begin(), numbers.end());
        numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
        return numbers;
    }

    void raise_uid_next(uid_t next) noexcept {
        uid_next_ = std::max(uid_next_, next);
        shared_.raise_ids(uid_next_);
    }
    // 0: there is none.
    uid_t take_uid() noexcept {
        if (uid_next_ == uid_max) return 0;
        if (!stream_.replicated()) return uid_next_++;
        auto const uid = shared_.take_id();
        if (uid != 0) uid_next_ = uid + 1;
        return uid;
    }
    register_mark mark_of(format::record_view const& record) const noexcept { return {stream_.at, record.stamp(), record.dot()}; }

    void open_epoch(format::record_view const& step) {
        auto const start = format::decode_epoch_start(step.payload);
        if (!start || start->epoch <= stream_.at.epoch) return stream_.count(step);
        stream_.begin_epoch(*start, step);
        shared_.ids = {};
        raise_uid_next(start->id_next);
        if (start->ids_first != 0) shared_.reserve({start->ids_first, start->ids_last}, uid_next_);
    }
    void reserve_ids(format::record_view const& step) {
        stream_.count(step);
        auto const ids = format::decode_ids(step.payload);
        if (!ids || !stream_.replicated() || ids->first <= shared_.ids.last) return;
        shared_.reserve(*ids, uid_next_);
        stream_.ids_last = std::max(stream_.ids_last, ids->last);
    }
    void settle(format::record_view const& step) {
        stream_.count(step);
        auto const end = format::decode_settle(step.payload);
        if (end && stream_.replicated() && contains(stream_.history(), *end)) shared_.settle(*end);
    }

    // --- a fold step: all is checked before anything changes --------------------------------------------------
    void join(format::record_view const& step) {
        if (auto const v = format::version_of_mailbox_fold(step.payload); v != 0 && v != format::mailbox_fold_version)
            throw error(errc::newer_version, "mailbox " + object_.hex(), "a fold of another version");
        auto const fold = format::decode_mailbox_fold(step.payload);
        auto keywords = fold ? keywords_with(fold->keywords) : std::nullopt;
        bool const sound = keywords && is_sound(*fold, keywords->names().size());
        stream_.count(step);
        if (!sound) return;
        stream_.join(fold->stream);
        stream_.ids_last = std::max(stream_.ids_last, fold->ids_reserved);
        keywords_ = std::move(*keywords);
        uid_validity_ = fold->uid_validity;
        uid_next_ = fold->uid_next;
        shared_.ids = fold->ids;
        shared_.settled = fold->settled;
        shared_.cut = fold->cut;
        for (auto const& d : fold->deliveries) shared_.deliveries.add(d);
        vanished_.join(fold->vanished, stream_.at.modseq(), fold->vanished_floor);
        join_messages(fold->messages);
        join_metadata(fold->metadata);
        if (keywords_.set_count() > 2 * rows_.count() + compact_rows_min) compact_keyword_sets();
        sweep();
    }
    // Nothing when they are not new ones, or too many.
    std::optional<keyword_table> keywords_with(std::vector<std::string> const& names) const {
        keyword_table table = keywords_;
        for (auto const& name : names) {
            auto const before = table.names().size();
            if (name.empty() || name.size() > format::keyword_size_max || table.number(name) != before) return std::nullopt;
        }
        return table;
    }
    bool is_sound(format::mailbox_fold const& f, std::size_t keyword_count) const {
        bool const no_ids = f.ids.first > f.ids.last;
        if (f.settled > position{stream_.at.epoch, stream_.at.n + 1}) return false;
        if (!stream_.replicated() || f.uid_next < uid_next_ || f.uid_validity < uid_validity_ || f.settled < shared_.settled || f.cut < shared_.cut) return false;
        if (!no_ids && (f.ids.first < f.uid_next || f.ids.last == uid_max)) return false;
        if (!f.stream.past.empty() && f.stream.past.back().epoch >= stream_.at.epoch) return false;
        if (!f.vanished.empty() && f.vanished.back().last >= f.uid_next) return false;
        if (f.vanished_floor < vanished_.floor() || f.vanished_floor > highest_modseq()) return false;
        std::vector<uid_t> arrived;
        uid_t last = 0;
        mailbox_rows::each_table(rows_, [](format::column_id, auto const& c) { c.mapped(); });
        for (auto const& m : f.messages) {
            if (m.from == 0) last = uid_max;  // adopted ones stand at the end
            else if (m.from <= last || !has_readable(m.from)) return false;
            else last = m.from;
            if (m.from == 0 || (m.uid != m.from && m.uid != 0)) arrived.push_back(m.uid);
            if (!is_sound(m, keyword_count)) return false;
        }
        std::sort(arrived.begin(), arrived.end());  // nobody may miss them: they stand above what was announced
        return arrived.empty() || (arrived.front() >= uid_next_ && arrived.back() < f.uid_next && std::adjacent_find(arrived.begin(), arrived.end()) == arrived.end());
    }
    bool is_sound(format::folded_message const& m, std::size_t keyword_count) const {
        for (std::size_t i = 0; i < m.keywords.size(); ++i)
            if (m.keywords[i] >= keyword_count || (i > 0 && m.keywords[i] <= m.keywords[i - 1])) return false;
        position const end{stream_.at.epoch, stream_.at.n + 1};
        return (m.flags & ~static_cast<std::uint32_t>(all_flags)) == 0 && are_sound(m.registers, static_cast<std::uint32_t>(all_flags), keyword_count, end);
    }
    // Whether there is such a message; throws when its row is damaged.
    bool has_readable(uid_t uid) const {
        if (source_) mailbox_rows::each(rows_, [&](format::column_id, auto const& c) { this->touch(uid, uid, c); });
        return find(uid).has_value();
    }
    void join_messages(std::vector<format::folded_message> const& messages) {
        std::vector<std::pair<mailbox_row, format::folded_message const*>> arrived;
        for (auto const& m : messages) {
            if (m.from == 0) {
                arrived.emplace_back(adopted(m), &m);
                continue;
            }
            auto const row = *find(m.from);
            if (m.uid == m.from) {
                join_message(row, m);
                continue;
            }
            if (m.uid != 0) arrived.emplace_back(rows_.get(row), &m);
            remove_row(row);
        }
        std::sort(arrived.begin(), arrived.end(), [](auto const& a, auto const& b) { return a.second->uid < b.second->uid; });
        for (auto& [r, m] : arrived) {
            r.uid = m->uid;
            r.flags = m->flags;
            r.modseq = stream_.at.modseq();
            r.keyword_set = keywords_.id_of(m->keywords);
            rows_.push_back(r);
            count(rows_.count() - 1, true);
            shared_.registers.set(m->uid, m->registers);
        }
    }
    static mailbox_row adopted(format::folded_message const& m) {
        mailbox_row r;
        r.size = m.row.size;
        r.received_ms = m.row.received_ms;
        r.saved_ms = m.row.saved_ms;
        r.id = m.row.id;
        r.where = m.row.where;
        r.dot = {m.row.dot.origin.node, m.row.part, m.row.dot.origin.incarnation, m.row.dot.counter};
        return r;
    }
    void join_message(std::size_t row, format::folded_message const& m) {
        shared_.registers.set(m.uid, m.registers);
        if (!m.touched) return;
        auto& modseq = rows_.modseq.at(row);
        auto& flags = rows_.flags.at(row);
        recount(row, flags, m.flags, modseq, stream_.at.modseq());
        flags = m.flags;
        if (!detail::mutated(detail::mutant::changed_below_m)) modseq = stream_.at.modseq();
        rows_.keyword_set.at(row) = keywords_.id_of(m.keywords);
        changes_.changed(row);
    }
    void join_metadata(std::vector<format::folded_metadata> const& entries) {
        for (auto const& e : entries)
            if (!e.value) set_metadata(e.key, std::nullopt);
        for (auto const& e : entries) {
            if (e.value && !set_metadata(e.key, *e.value)) continue;
            if (e.mark && e.mark->at <= stream_.at) shared_.set_metadata_mark(e.key, *e.mark);
        }
    }

    void append_message(format::record_view const& record, bytes_view bytes, std::uint32_t part, outcome* out) {
        auto const v = format::view_operation<format::append_operation>(bytes);
        if (!v) return;
        auto const delivery = stream_.replicated() ? format::delivery_of(*v) : std::nullopt;
        if (auto const* const known = delivery ? shared_.deliveries.find(*delivery) : nullptr) return tell_delivered({known->dot.origin.node, known->part, known->dot.origin.incarnation, known->dot.counter}, out);
        auto const uid = take_uid();
        if (uid == 0) return;
        mailbox_row r;
        r.uid = uid;
        r.flags = v->op.flags & static_cast<std::uint32_t>(all_flags);
        r.modseq = stream_.at.modseq();
        r.keyword_set = v->op.keyword_count == 0 ? 0 : keywords_.id_of(numbers_of(format::names_of(v->rest, v->op.keyword_count), true, out));
        r.size = v->op.size;
        r.received_ms = v->op.received_ms;
        r.saved_ms = record.stamp().milliseconds();
        r.id = format::get_guid(v->op.id);
        r.where = {v->op.file, v->op.offset};
        r.dot = {record.header.node, part, record.header.incarnation, record.header.counter};
        if (delivery) shared_.deliveries.add({*delivery, record.stamp(), record.dot(), part});
        rows_.push_back(r);
        count(rows_.count() - 1, true);
        if (out != nullptr && out->appended++ == 0) out->first_uid = r.uid;
    }

    // O(messages), on the node whose caller asks.
    void tell_delivered(message_dot const& dot, outcome* out) const {
        if (out == nullptr) return;
        ++out->delivered_before;
        if (out->appended > 0) return;
        out->first_uid = 0;
        for_each(1, uid_max, [&](std::size_t row) {
            if (rows_.dot[row] == dot) out->first_uid = rows_.uid[row];
        });
    }

    // What a change addresses is marked, also where it changes nothing: it stands against another side's.
    void mark_flags(std::size_t row, flag_mode mode, std::uint32_t mask, keyword_table::set const& numbers, register_mark const& mark) {
        if (mode != flag_mode::replace) return shared_.registers.mark(rows_.uid[row], mask, numbers, mark, shared_.cut);
        auto const& had = keywords_.members(rows_.keyword_set[row]);
        keyword_table::set all;
        std::set_union(had.begin(), had.end(), numbers.begin(), numbers.end(), std::back_inserter(all));
        shared_.registers.mark(rows_.uid[row], static_cast<std::uint32_t>(all_flags), all, mark, shared_.cut);
    }
    void change_flags(format::record_view const& record, bytes_view bytes, outcome* out) {
        auto v = format::view_operation<format::flags_operation>(bytes);
        if (!v || v->op.mode > std::uint32_t(flag_mode::replace)) return;
        auto const mode = static_cast<flag_mode>(std::uint32_t{v->op.mode});
        auto const mask = v->op.flags & static_cast<std::uint32_t>(all_flags);
        auto const ranges_size = std::size_t{v->op.range_count} * sizeof(format::range_layout);
        if (ranges_size > v->rest.size()) return;
        keyword_table::set numbers;
        if (v->op.keyword_count > 0)
            numbers = numbers_of(format::names_of(v->rest.subspan(ranges_size), v->op.keyword_count), mode != flag_mode::remove, out);
        std::optional<std::uint32_t> last_set;  // neighbours mostly have the same keywords
        std::uint32_t makes = 0;
        auto const set_from = [&](std::uint32_t set) {
            if (set != last_set) makes = keywords_.changed(set, mode, numbers);
            last_set = set;
            return makes;
        };
        format::for_each_range(v->rest, v->op.range_count, [&](uid_t first, uid_t last) {
            for_each(first, last, [&](std::size_t row) {
                auto& modseq = rows_.modseq.at(row);
                if (modseq > v->op.unchanged_since) {
                    if (out != nullptr) out->modified.add(rows_.uid[row]);
                    return;
                }
                if (stream_.replicated()) mark_flags(row, mode, mask, numbers, mark_of(record));
                auto& flags = rows_.flags.at(row);
                auto& keyword_set = rows_.keyword_set.at(row);
                auto const now = mode == flag_mode::add ? flags | mask : mode == flag_mode::remove ? flags & ~mask : mask;
                auto const set_before = keywords_.known(keyword_set);
                auto const set = set_from(set_before);
                if (now == flags && set == set_before) return;
                recount(row, flags, now, modseq, stream_.at.modseq());
                flags = static_cast<std::uint8_t>(now);
                keyword_set = set;
                modseq = stream_.at.modseq();
                changes_.changed(row);
                if (out != nullptr) out->changed.add(rows_.uid[row]);
            });
        });
        if (keywords_.set_count() > 2 * rows_.count() + compact_rows_min) compact_keyword_sets();
    }

    void expunge_messages(bytes_view bytes, outcome* out) {
        auto v = format::view_operation<format::expunge_operation>(bytes);
        if (!v) return;
        bool const only_deleted = v->op.only_deleted != 0;
        format::for_each_range(v->rest, v->op.range_count, [&](uid_t first, uid_t last) {
            for_each(first, last, [&](std::size_t row) {
                if (only_deleted && !has(static_cast<flag>(rows_.flags[row]), flag::deleted)) return;
                auto const uid = rows_.uid[row];
                remove_row(row);
                vanished_.add(uid, stream_.at.modseq());
                if (out != nullptr) out->expunged.add(uid);
            });
        });
    }

    void remove_row(std::size_t row) {
        count(row, false);
        expunged_.insert(row);
        changes_.expunged(row);
        shared_.registers.erase(rows_.uid[row]);
    }

    void raise(bytes_view bytes) {
        auto const v = format::view_operation<format::header_operation>(bytes);
        if (!v) return;
        uid_validity_ = std::max<std::uint32_t>(uid_validity_, v->op.uid_validity);
        raise_uid_next(v->op.uid_next);
    }

    void change_metadata(format::record_view const& record, bytes_view bytes) {
        auto const v = format::view_operation<format::metadata_operation>(bytes);
        if (!v || v->op.key_size == 0 || v->op.key_size > v->rest.size()) return;
        auto const key = as_text(v->rest.first(v->op.key_size));
        auto const rest = v->rest.subspan(v->op.key_size);
        bool const removed = v->op.value_size == std::numeric_limits<std::uint32_t>::max();
        if (!removed && v->op.value_size > rest.size()) return;
        auto const value = removed ? std::nullopt : std::optional(as_text(rest.first(v->op.value_size)));
        if (set_metadata(key, value) && stream_.replicated()) shared_.mark_metadata(key, mark_of(record));
    }
    // False: there is no room.
    bool set_metadata(std::string_view key, std::optional<std::string_view> value) {
        if (!value) {
            if (auto const it = metadata_.find(key); it != metadata_.end()) metadata_.erase(it);
            return true;
        }
        std::size_t total = key.size() + value->size();
        for (auto const& [k, held] : metadata_) total += k == key ? 0 : k.size() + held.size();
        if (total > metadata_size_max) return false;
        metadata_.insert_or_assign(std::string(key), std::string(*value));
        return true;
    }
    // Nothing when it is not what dump() writes.
    static std::optional<std::map<std::string, std::string, std::less<>>> decode_metadata(bytes_view rest) {
        std::map<std::string, std::string, std::less<>> entries;
        if (rest.size() > metadata_size_max * 9) return std::nullopt;  // two sizes and one byte for each entry at least
        while (!rest.empty()) {
            if (rest.size() < 8) return std::nullopt;
            std::size_t const key = format::load<le32>(rest), value = format::load<le32>(rest.subspan(4));
            if (key == 0 || key > rest.size() - 8 || value > rest.size() - 8 - key) return std::nullopt;
            entries.emplace_hint(entries.end(), as_text(rest.subspan(8, key)), as_text(rest.subspan(8 + key, value)));
            rest = rest.subspan(8 + key + value);
        }
        return entries;
    }

    void set_cache(bytes_view bytes) {
        auto const v = format::view_operation<format::cache_operation>(bytes);
        if (!v) return;
        if (auto const row = find(v->op.uid)) rows_.cache.set(*row, v->op.where);
    }
    void relocate_message(bytes_view bytes) {
        auto const v = format::view_operation<format::relocate_operation>(bytes);
        if (!v) return;
        auto const row = find(v->op.uid);
        if (row && rows_.id[*row] == format::get_guid(v->op.id)) rows_.where.set(*row, {v->op.file, v->op.offset});
    }

    void sweep() {
        if (expunged_.size() >= compact_rows_min && expunged_.size() > rows_.count() / 2) compact();
    }
    // Sweeps expunged rows out of memory. What is stored, and what views show, stays as it is. Damaged rows wait until they
    // are mended.
    void compact() {
        if (!rows_.readable()) return;
        changes_.abandon(*this);
        mailbox_rows kept;
        for (std::size_t row = 0; row < rows_.count(); ++row)
            if (!expunged_.contains(row)) kept.push_back(rows_.get(row));
        rows_ = std::move(kept);
        expunged_.clear();
    }
    void compact_keyword_sets() {
        if (!rows_.keyword_set.readable()) return;
        keyword_table kept = keywords_;
        kept.forget_sets();
        for (std::size_t row = 0; row < rows_.count(); ++row) {
            auto& set = rows_.keyword_set.at(row);
            set = kept.id_of(keywords_.members(set));
        }
        keywords_ = std::move(kept);
    }

    guid object_;
    stream_state stream_;
    std::uint32_t uid_validity_ = 0;
    uid_t uid_next_ = 1;
    mailbox_counters counters_;
    std::uint64_t digest_ = 0;
    mailbox_rows rows_;
    std::shared_ptr<snapshot_source> source_;  // of rows_, when they are mapped
    rank_set expunged_;
    keyword_table keywords_;
    vanished_list vanished_;
    std::map<std::string, std::string, std::less<>> metadata_;
    mailbox_changes changes_;
    mailbox_replication shared_;  // used when the stream is replicated
};

/// Canonical: expunged rows are left out, keyword sets and what else rows share are numbered as rows use them. Cost: the size of the snapshot.
template <class Void>
std::vector<std::byte> basic_mailbox_state<Void>::dump() const {
    format::snapshot_header h;
    format::put_guid(h.object, object_);
    h.rows = counters_.messages;
    h.uid_validity = uid_validity_;
    h.uid_next = uid_next_;
    h.unseen = counters_.unseen;
    h.deleted = counters_.deleted;
    h.bytes = counters_.bytes;
    h.digest = digest_;
    h.vanished_floor = vanished_.floor();
    h.features_required = stream_.replicated() ? format::snapshot_feature_replicated : 0;

    std::vector<std::vector<std::byte>> buffers;  // what columns without a contiguous source are built in
    buffers.reserve(21);
    format::snapshot_writer writer;
    auto add = [&](format::column_id id, std::size_t element_size, std::vector<std::byte> bytes) {
        buffers.push_back(std::move(bytes));
        writer.add(id, element_size, {buffers.back()});
    };

    keyword_table sets;
    for (auto const& name : keywords_.names()) sets.number(name);
    std::vector<std::uint32_t> renumbered(keywords_.set_count(), ~0U);
    std::vector<std::byte> set_bytes;
    auto const runs = [&](auto&& f) { expunged_.for_each_absent_run(rows_.count(), f); };
    std::vector<std::byte> location_bases, dot_bases;
    mailbox_rows::each(rows_, [&]<class T>(format::column_id id, column<T> const& c) {
        bool const renumber = id == format::column_id::keyword_set || id == format::column_id::location || id == format::column_id::dot;
        if (!renumber && expunged_.empty()) {
            writer.add(id, sizeof(T), {std::as_bytes(c.mapped()), std::as_bytes(c.added())});
            return;
        }
        std::vector<std::byte> bytes;
        bytes.reserve(counters_.messages * sizeof(T));
        if (id == format::column_id::location) rows_.where.write(runs, bytes, location_bases);
        else if (id == format::column_id::dot) rows_.dot.write(runs, bytes, dot_bases);
        else runs([&](std::size_t first, std::size_t last) { c.copy(first, last, bytes); });
        if (id == format::column_id::keyword_set)
            for (std::size_t at = 0; at < bytes.size(); at += sizeof(std::uint32_t)) {
                auto const old = format::load<std::uint32_t>(bytes_view(bytes).subspan(at));
                auto& to = renumbered[keywords_.known(old)];
                if (to == ~0U) to = sets.id_of(keywords_.members(old));
                std::memcpy(bytes.data() + at, &to, sizeof to);
            }
        add(id, sizeof(T), std::move(bytes));
    });
    add(format::column_id::location_base, sizeof(format::location_base_layout), std::move(location_bases));
    add(format::column_id::dot_base, sizeof(format::dot_base_layout), std::move(dot_bases));
    for (std::uint32_t s = 1; s < sets.set_count(); ++s) keyword_table::encode_set(set_bytes, sets.members(s));
    std::vector<std::byte> names, stream, entries;
    keywords_.encode_names(names);
    format::encode_stream(stream, stream_);
    for (auto const& [key, value] : metadata_) {
        le32 const sizes[2] = {static_cast<std::uint32_t>(key.size()), static_cast<std::uint32_t>(value.size())};
        for (bytes_view const part : {bytes_view(std::as_bytes(std::span(sizes))), as_bytes(key), as_bytes(value)}) entries.insert(entries.end(), part.begin(), part.end());
    }
    writer.add(format::column_id::vanished, sizeof(vanished_list::entry), {std::as_bytes(std::span(vanished_.entries()))});
    add(format::column_id::keywords, 1, std::move(names));
    add(format::column_id::keyword_sets, 1, std::move(set_bytes));
    add(format::column_id::stream, 1, std::move(stream));
    add(format::column_id::metadata, 1, std::move(entries));
    if (stream_.replicated()) {
        std::vector<std::byte> shared;
        format::encode_replicated_stream(shared, stream_);
        format::encode_mailbox_replication(shared, shared_);
        add(format::column_id::replication, 1, std::move(shared));
    }
    return writer.finish(h);
}

/// Takes the mapped columns as they are; checks the head and the small parts now, columns block by block when they
/// are used. Throws corrupt or newer_version and stays as it was.
template <class Void>
void basic_mailbox_state<Void>::load(std::span<std::byte> bytes, std::string_view name) {
    format::snapshot_reader const in(bytes, name);
    auto const& h = in.header();
    auto const source = std::make_shared<snapshot_source>(std::string(name));
    auto rows = mailbox_rows::map(in, source);

    keyword_table keywords;
    if (!keywords.decode(in.get_checked(format::column_id::keywords), in.get_checked(format::column_id::keyword_sets)))
        in.fail(errc::corrupt, in.get(format::column_id::keywords, 1).offset, "the keywords make no sense");
    rows.keyword_set.refer_to(keywords.set_count());
    auto stream_bytes = in.get_checked(format::column_id::stream);
    auto stream = format::decode_stream(stream_bytes);
    if (!stream) in.fail(errc::corrupt, in.get(format::column_id::stream, 1).offset, "the stream position makes no sense");
    vanished_list vanished;
    auto const list = in.get(format::column_id::vanished, sizeof(vanished_list::entry));
    column<vanished_list::entry> const checked(list, source);
    if (!vanished.decode(checked.mapped(), h.vanished_floor) || !vanished.is_before(stream->at.modseq()))
        in.fail(errc::corrupt, list.offset, "the vanished list makes no sense");
    auto metadata = decode_metadata(in.get_checked(format::column_id::metadata));
    if (!metadata) in.fail(errc::corrupt, in.get(format::column_id::metadata, 1).offset, "the metadata make no sense");

    mailbox_replication shared;
    if ((h.features_required & format::snapshot_feature_replicated) != 0) {
        auto rest = in.get_checked(format::column_id::replication);
        auto found = format::decode_replicated_stream(rest, *stream)
                         ? format::decode_mailbox_replication(rest, stream->at, static_cast<std::uint32_t>(all_flags), keywords.names().size(), h.uid_next)
                         : std::nullopt;
        if (!found) in.fail(errc::corrupt, in.get(format::column_id::replication, 1).offset, "what the nodes share makes no sense");
        shared = std::move(*found);
    }

    changes_.abandon(*this);
    if (stream->replicated()) changes_.go_back_to(common_position(stream_.history(), stream->history()).modseq());
    object_ = format::get_guid(h.object);
    stream_ = std::move(*stream);
    uid_validity_ = h.uid_validity;
    uid_next_ = h.uid_next;
    counters_ = {h.rows, h.unseen, h.deleted, h.bytes};
    digest_ = h.digest;
    rows_ = std::move(rows);
    source_ = source;
    expunged_.clear();
    keywords_ = std::move(keywords);
    vanished_ = std::move(vanished);
    metadata_ = std::move(*metadata);
    shared_ = std::move(shared);
}

template <class Void>
std::optional<mailbox_outcome> basic_mailbox_state<Void>::recall(mailfs::dot const& d, bytes_view operations) const {
    outcome out;
    std::map<std::uint32_t, uid_t> parts;
    expunged_.for_each_absent_run(rows_.count(), [&](std::size_t row, std::size_t last) {
        for (; row < last; ++row)
            if (auto const m = rows_.dot[row]; m.counter == d.counter && m.node == d.origin.node && m.incarnation == d.origin.incarnation)
                parts.emplace(m.part, rows_.uid[row]);
    });
    // They are told by the first UID: what has gone between them had one, too, and what a fold moved away is left out.
    for (auto const& [part, uid] : parts) {
        if (out.appended == 0 && uid > part) out.first_uid = uid - part;
        if (uid - part == out.first_uid) out.appended = part + 1;
    }
    if (out.appended < ids_wanted(operations) || has_condition(operations)) return std::nullopt;
    return out;
}

/// `good`: the snapshot that load() was given, as it was before it was damaged. What was read from it, or written to it in
/// memory, stays. Throws corrupt when it is another one.
template <class Void>
void basic_mailbox_state<Void>::mend(std::span<std::byte> good, std::string_view name) {
    format::snapshot_reader const in(good, name);
    auto const each = [&](auto&& f) {
        auto const one = [&]<class T>(format::column_id id, column<T>& c) { f(c, in.get(id, sizeof(T))); };
        mailbox_rows::each(rows_, one);
        mailbox_rows::each_table(rows_, one);
    };
    each([&](auto& c, auto const& found) {
        if (!c.is_like(found)) in.fail(errc::corrupt, found.offset, "a damaged snapshot was made again, and came out different");
    });
    each([&](auto& c, auto const& found) {
        if (!c.mend(found)) in.fail(errc::corrupt, found.offset, "a damaged snapshot was made again, and came out damaged");
    });
    if (source_) source_->damaged = false;
}

static_assert(mendable_machine<mailbox_state> && replicated_machine<mailbox_state>);

}  // namespace mailfs
