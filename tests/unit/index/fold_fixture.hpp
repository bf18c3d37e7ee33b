// SPDX-License-Identifier: BSL-1.0
// Nodes that share a mailbox, without a network: streams of steps, splits, and folds.
#pragma once

#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/format/replication_record.hpp>
#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/types/lineage.hpp>
#include <mailfs/types/uid_blocks.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::test {

/// A mailbox on a node; a message's GUID is the number it was appended with.
class replica {
public:
    explicit replica(std::uint32_t slot = 1) : state(std::make_unique<mailbox_state>()), slot_(slot) { state->reset(guid::from_words(1, 2)); }
    /// As a node that takes the snapshot.
    static replica copy(mailbox_state const& of, std::uint32_t slot) {
        replica r(slot);
        r.take(of);
        return r;
    }
    void take(mailbox_state const& of) {
        auto bytes = std::make_unique<std::vector<std::byte>>(of.dump());
        state->load(*bytes, "snapshot");
        snapshots_.push_back(std::move(bytes));
        for (auto const& e : state->stream().seen)
            if (e.origin == mailfs::origin{slot_, 7}) counter_ = std::max(counter_, e.counter);
    }

    admission step(format::record_kind kind, bytes_view payload, std::uint64_t stamp = 0, mailfs::dot const& d = {}, mailbox_outcome* out = nullptr) {
        format::record_view record;
        record.header.kind = static_cast<std::uint8_t>(kind);
        record.header.node = d.origin.node;
        record.header.incarnation = d.origin.incarnation;
        record.header.counter = d.counter;
        record.header.stamp = stamp;
        record.payload = payload;
        return state->apply_step(record, out);
    }
    /// A transaction of this node, or of another.
    mailbox_outcome apply(format::mailbox_transaction const& t, std::uint64_t stamp, std::optional<mailfs::dot> d = {}) {
        mailbox_outcome out;
        if (!d) d = {{slot_, 7}, ++counter_};
        step(format::record_kind::transaction, t.bytes(), stamp, *d, &out);
        return out;
    }
    /// Becomes master: an epoch above all in sight, with the rest of its present block or the next one.
    void reign(std::uint32_t counter, std::optional<uid_block> ids = {}) {
        auto const next = state->uid_next();
        auto const known = std::max(next - 1, known_ids());
        auto block = ids ? *ids : next_uid_block(slot_, known);
        auto const own = next / uid_block_size;
        if (!ids && own % uid_slots == slot_ && next % uid_block_size != 0) block = {next, own * uid_block_size + uid_block_size - 1};
        epoch_start const e{counter << 4 | slot_, {slot_, 7}, block.first, block.last, next};
        step(format::record_kind::epoch, format::encode_epoch_start(e));
    }
    void fold(mailbox_state const& branch) {
        auto const payload = state->fold(branch);
        REQUIRE(!payload.empty());
        step(format::record_kind::fold, payload);
    }

    uid_t append(std::uint64_t number, std::uint64_t stamp, flag flags = flag::none, std::vector<std::string> keywords = {}) {
        format::mailbox_transaction t;
        t.append({guid::from_words(0, number), {number, 0}, 100, 1000 * number, flags, std::move(keywords)});
        return apply(t, stamp).first_uid;
    }
    mailbox_outcome store(uid_set const& uids, flag_mode mode, flag flags, std::uint64_t stamp, std::vector<std::string> keywords = {},
                          std::optional<modseq_t> unchanged_since = {}) {
        format::mailbox_transaction t;
        t.change_flags(uids, {mode, flags, std::move(keywords), unchanged_since});
        return apply(t, stamp);
    }
    mailbox_outcome set(uid_t uid, flag f, std::uint64_t stamp) { return store(uid_set::one(uid), flag_mode::add, f, stamp); }
    mailbox_outcome clear(uid_t uid, flag f, std::uint64_t stamp) { return store(uid_set::one(uid), flag_mode::remove, f, stamp); }
    mailbox_outcome expunge(uid_t uid, std::uint64_t stamp) {
        format::mailbox_transaction t;
        t.expunge(uid_set::one(uid), false);
        return apply(t, stamp);
    }

    std::unique_ptr<mailbox_state> state;

private:
    std::uint32_t known_ids() const {
        std::uint32_t known = 0;
        for (auto const& e : state->stream().history()) known = std::max(known, e.ids_last);
        return known;
    }

    std::uint32_t slot_;
    std::uint64_t counter_ = 0;
    std::vector<std::unique_ptr<std::vector<std::byte>>> snapshots_;
};

/// What a client is shown of a message.
struct shown_message {
    std::uint64_t number = 0;
    std::uint32_t flags = 0;
    std::set<std::string> keywords;
    friend auto operator<=>(shown_message const&, shown_message const&) = default;
};
using listing = std::map<uid_t, shown_message>;

inline shown_message message_at(mailbox_state const& s, std::size_t row) {
    auto const& rows = s.rows();
    shown_message m{0, rows.flags[row], {}};
    for (std::size_t i = 8; i < 16; ++i) m.number = m.number << 8 | rows.id[row].octets[i];
    for (auto k : s.keywords().members(rows.keyword_set[row])) m.keywords.insert(s.keywords().names()[k]);
    return m;
}
inline listing list(mailbox_state const& s) {
    listing out;
    s.for_each(1, uid_max, [&](std::size_t row) { out.emplace(s.rows().uid[row], message_at(s, row)); });
    return out;
}
/// Which messages, with which flags, whatever their numbers.
inline std::set<shown_message> content(mailbox_state const& s) {
    std::set<shown_message> out;
    for (auto const& [uid, m] : list(s)) out.insert(m);
    return out;
}

/// What a client knows that was shown everything, once.
struct client {
    listing known;
    uid_t uid_next = 0;
    position at;

    explicit client(mailbox_state const& s) : known(list(s)), uid_next(s.uid_next()), at(s.stream().at) {}

    /// VANISHED and FETCH since its MODSEQ (RFC 7162).
    listing follow_qresync(mailbox_state const& s) const {
        if (!contains(s.stream().history(), at) || at.modseq() < s.vanished().floor()) return list(s);  // all is told
        auto now = known;
        s.vanished().since(at.modseq()).for_each([&](uid_t u) { now.erase(u); });
        follow_modseq(s, now);
        return now;
    }
    /// FETCH CHANGEDSINCE, and who is gone by a search for all UIDs.
    listing follow_condstore(mailbox_state const& s) const {
        if (!contains(s.stream().history(), at)) return list(s);
        auto now = known;
        std::erase_if(now, [&](auto const& m) { return !s.find(m.first); });
        follow_modseq(s, now);
        return now;
    }
    /// The flags of what it knows, and what came at or above its UIDNEXT.
    listing follow_plain(mailbox_state const& s) const {
        listing now;
        for (auto const& [uid, m] : list(s)) {
            auto const old = known.find(uid);
            if (old == known.end() && uid < uid_next) continue;  // it never looks there
            now.emplace(uid, m);
            if (old != known.end()) now[uid].number = old->second.number;  // and has the body already
        }
        return now;
    }

private:
    void follow_modseq(mailbox_state const& s, listing& now) const {
        s.for_each(1, uid_max, [&](std::size_t row) {
            if (s.rows().modseq[row] <= at.modseq()) return;
            auto const uid = s.rows().uid[row];
            auto m = message_at(s, row);
            if (auto const old = known.find(uid); old != known.end()) m.number = old->second.number;
            now[uid] = m;
        });
    }
};

}  // namespace mailfs::test
