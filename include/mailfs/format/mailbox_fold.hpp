// SPDX-License-Identifier: BSL-1.0
// The payload of a fold step of a mailbox: all that joining two histories came to. docs/protocols/fold.md
//
// Templates so that they cost only who uses them (docs/decisions/compile-cost.md).
#pragma once

#include <mailfs/format/byte_reader.hpp>
#include <mailfs/format/delivery_codec.hpp>
#include <mailfs/format/endian.hpp>
#include <mailfs/format/flag_register.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/format/stream_codec.hpp>
#include <mailfs/log/stream_state.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/flag_register.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/mail_location.hpp>
#include <mailfs/types/stamp.hpp>
#include <mailfs/types/uid.hpp>
#include <mailfs/types/uid_blocks.hpp>
#include <mailfs/types/uid_set.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::format {

inline constexpr std::uint32_t mailbox_fold_version = 2;  ///< a reader refuses any other

struct mailbox_fold_header {
    le32 version = mailbox_fold_version;
    le32 uid_validity;
    le32 uid_next;   // as announced afterwards
    le32 ids_first;  // in reserve afterwards; 0, 0: none
    le32 ids_last;
    le32 ids_reserved;  // the last that was reserved in this epoch
    le32 settled_epoch;
    le32 settled_n;
    le64 cut;
    le64 latest;
    le64 vanished_floor;
    le32 lineage_count;  // then these, one list behind the other
    le32 seen_count;
    le32 retired_count;
    le32 keyword_count;
    le32 message_count;
    le32 vanished_count;
    le32 metadata_count;
    le32 delivery_count;
};
struct folded_message_layout {
    le32 uid;    // from now on; 0: it is gone
    le32 from;   // in the trunk; 0: adopted, and a row follows
    std::uint8_t flags = 0;
    std::uint8_t touched = 0;  // 1: its MODSEQ is the fold's
    le16 reserved;
    le32 keyword_count;   // then le32 numbers, ascending
    le32 register_count;  // then registers
    le32 reserved2;
};
struct folded_row_layout {
    std::uint8_t id[16]{};
    le64 file;
    le64 offset;
    le64 received_ms;
    le64 saved_ms;
    le32 node;  // of the dot
    le32 part;
    le64 incarnation;
    le64 counter;
    le32 size;
    le32 reserved;
};
struct folded_metadata_layout {
    register_layout mark;  // what: the size of the key
    le32 is_marked;        // 0: `mark` tells no change
    le32 value_size;       // all ones: removed; key and value follow
};
struct folded_range_layout {
    le32 first, last;
};
static_assert(sizeof(mailbox_fold_header) == 88 && sizeof(folded_message_layout) == 24 && sizeof(folded_row_layout) == 80);
static_assert(sizeof(folded_metadata_layout) == 48 && sizeof(folded_range_layout) == 8);

/// A message that is different in the trunk from now on. Ascending by `from`, adopted ones behind all others.
struct folded_message {
    uid_t uid = 0;   ///< 0: it is gone
    uid_t from = 0;  ///< 0: adopted, and `row` tells what it is
    std::uint8_t flags = 0;
    bool touched = false;  ///< clients are told: flags, keywords, UID or MODSEQ are others than some side showed
    std::vector<std::uint32_t> keywords;
    std::vector<flag_register> registers;
    struct {
        guid id;
        mail_location where;
        std::uint64_t received_ms = 0;
        std::uint64_t saved_ms = 0;
        mailfs::dot dot;
        std::uint32_t part = 0;
        std::uint32_t size = 0;
    } row;
};
struct folded_metadata {
    std::string key;
    std::optional<std::string> value;  ///< nothing: the entry is removed
    std::optional<register_mark> mark;
};
struct mailbox_fold {
    std::uint32_t uid_validity = 0;
    uid_t uid_next = 0;
    uid_block ids;
    std::uint32_t ids_reserved = 0;
    position settled;
    mailfs::stamp cut;
    modseq_t vanished_floor = 0;
    stream_state stream;  ///< of the branch: what it has seen, its history as `past`
    std::vector<std::string> keywords;  ///< new in the trunk, numbered behind those it has
    std::vector<folded_message> messages;
    std::vector<uid_range> vanished;  ///< UIDs that stand for nothing, of which some client may not know; ascending
    std::vector<folded_metadata> metadata;
    std::vector<known_delivery> deliveries;  ///< that the branch knows of, ascending by id
};

namespace detail {

inline constexpr std::uint32_t removed = 0xffff'ffff;

inline void put_bytes(std::vector<std::byte>& out, bytes_view bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

template <class = void>
void put_message(std::vector<std::byte>& out, folded_message const& m) {
    put(out, folded_message_layout{m.uid, m.from, m.flags, m.touched, 0, static_cast<std::uint32_t>(m.keywords.size()),
                                   static_cast<std::uint32_t>(m.registers.size()), 0});
    if (m.from == 0) {
        folded_row_layout l{{}, m.row.where.file, m.row.where.offset, m.row.received_ms, m.row.saved_ms, m.row.dot.origin.node, m.row.part,
                            m.row.dot.origin.incarnation, m.row.dot.counter, m.row.size, 0};
        put_guid(l.id, m.row.id);
        put(out, l);
    }
    for (le32 const k : m.keywords) put(out, k);
    encode_registers(out, m.registers);
}
template <class = void>
folded_message take_message(byte_reader& in) {
    auto const l = in.take<folded_message_layout>();
    folded_message m;
    m.uid = l.uid;
    m.from = l.from;
    m.flags = l.flags;
    m.touched = l.touched != 0;
    if (m.from == 0) {
        auto const r = in.take<folded_row_layout>();
        m.row = {get_guid(r.id), {r.file, r.offset}, r.received_ms, r.saved_ms, {{r.node, r.incarnation}, r.counter}, r.part, r.size};
    }
    if (!in.has(l.keyword_count, sizeof(le32))) return m;
    for (std::uint32_t i = 0; i < l.keyword_count; ++i) m.keywords.push_back(in.take<le32>());
    m.registers = decode_registers(in, l.register_count);
    return m;
}

template <class = void>
void put_metadata(std::vector<std::byte>& out, folded_metadata const& m) {
    put(out, folded_metadata_layout{to_layout({static_cast<std::uint32_t>(m.key.size()), m.mark.value_or(register_mark{})}), m.mark ? 1U : 0U,
                                    m.value ? static_cast<std::uint32_t>(m.value->size()) : removed});
    put_bytes(out, as_bytes(m.key));
    if (m.value) put_bytes(out, as_bytes(*m.value));
}
template <class = void>
folded_metadata take_metadata(byte_reader& in) {
    auto const l = in.take<folded_metadata_layout>();
    auto const mark = from_layout(l.mark);
    folded_metadata m;
    m.key = in.text(mark.what);
    if (l.value_size != removed) m.value = in.text(l.value_size);
    if (l.is_marked != 0) m.mark = mark.mark;
    if (m.key.empty()) in.fail();
    return m;
}

template <class = void>
void put_keywords(std::vector<std::byte>& out, std::vector<std::string> const& names) {
    for (auto const& name : names) {
        le16 const size = static_cast<std::uint16_t>(name.size());
        put(out, size);
        put_bytes(out, as_bytes(name));
    }
}

template <class = void>
void take_stream(byte_reader& in, mailbox_fold_header const& h, stream_state& s) {
    s.latest = {h.latest};
    if (h.seen_count > stream_state::origins_max || h.retired_count > stream_state::nodes_max) return in.fail();
    auto past = decode_lineage(in.rest(), h.lineage_count);
    if (!past) return in.fail();
    s.past = std::move(*past);
    for (std::uint32_t i = 0; i < h.seen_count; ++i) {
        auto const r = in.take<seen_record>();
        s.seen.push_back({{r.node, r.incarnation}, r.counter});
    }
    for (std::uint32_t i = 0; i < h.retired_count; ++i) {
        auto const r = in.take<retired_record>();
        s.retired.push_back({r.node, r.incarnation});
    }
}

}  // namespace detail

/// Whole words of 8 bytes, as a record's payload.
template <class = void>
std::vector<std::byte> encode_mailbox_fold(mailbox_fold const& f) {
    auto const count = [](auto const& list) { return static_cast<std::uint32_t>(list.size()); };
    std::vector<std::byte> out;
    mailbox_fold_header h;
    h.uid_validity = f.uid_validity;
    h.uid_next = f.uid_next;
    h.ids_first = f.ids.first > f.ids.last ? 0 : f.ids.first;
    h.ids_last = f.ids.last;
    h.ids_reserved = f.ids_reserved;
    h.settled_epoch = f.settled.epoch;
    h.settled_n = f.settled.n;
    h.cut = f.cut.value;
    h.latest = f.stream.latest.value;
    h.vanished_floor = f.vanished_floor;
    h.lineage_count = count(f.stream.past);
    h.seen_count = count(f.stream.seen);
    h.retired_count = count(f.stream.retired);
    h.keyword_count = count(f.keywords);
    h.message_count = count(f.messages);
    h.vanished_count = count(f.vanished);
    h.metadata_count = count(f.metadata);
    h.delivery_count = count(f.deliveries);
    detail::put(out, h);
    encode_lineage(out, f.stream.past);
    for (auto const& e : f.stream.seen) detail::put(out, seen_record{e.origin.node, 0, e.origin.incarnation, e.counter});
    for (auto const& e : f.stream.retired) detail::put(out, retired_record{e.node, 0, e.incarnation});
    detail::put_keywords(out, f.keywords);
    for (auto const& m : f.messages) detail::put_message(out, m);
    for (auto const& r : f.vanished) detail::put(out, folded_range_layout{r.first, r.last});
    for (auto const& m : f.metadata) detail::put_metadata(out, m);
    encode_deliveries(out, f.deliveries);
    out.resize((out.size() + 7) & ~std::size_t{7});
    return out;
}

/// The version that the payload says it has; 0 when it is too short to say.
inline std::uint32_t version_of_mailbox_fold(bytes_view payload) noexcept {
    return payload.size() < sizeof(le32) ? 0 : std::uint32_t{load<le32>(payload)};
}

/// Nothing when the bytes are not what encode_mailbox_fold wrote. Whether it makes sense for a mailbox is for that to say.
template <class = void>
std::optional<mailbox_fold> decode_mailbox_fold(bytes_view payload) {
    byte_reader in(payload);
    auto const h = in.take<mailbox_fold_header>();
    if (!in.good() || h.version != mailbox_fold_version) return std::nullopt;
    mailbox_fold f;
    f.uid_validity = h.uid_validity;
    f.uid_next = h.uid_next;
    if (h.ids_first != 0) f.ids = {h.ids_first, h.ids_last};
    f.ids_reserved = h.ids_reserved;
    f.settled = {h.settled_epoch, h.settled_n};
    f.cut = {h.cut};
    f.vanished_floor = h.vanished_floor;
    detail::take_stream(in, h, f.stream);
    if (in.has(h.keyword_count, sizeof(le16)))
        for (std::uint32_t i = 0; i < h.keyword_count && in.good(); ++i) {
            std::size_t const size = in.take<le16>();
            f.keywords.emplace_back(in.text(size));
        }
    for (std::uint32_t i = 0; i < h.message_count && in.good(); ++i) f.messages.push_back(detail::take_message(in));
    if (in.has(h.vanished_count, sizeof(folded_range_layout)))
        for (std::uint32_t i = 0; i < h.vanished_count; ++i) {
            auto const r = in.take<folded_range_layout>();
            if (r.first == 0 || r.first > r.last || (!f.vanished.empty() && r.first <= f.vanished.back().last)) in.fail();
            f.vanished.push_back({r.first, r.last});
        }
    for (std::uint32_t i = 0; i < h.metadata_count && in.good(); ++i) f.metadata.push_back(detail::take_metadata(in));
    if (in.good()) f.deliveries = decode_deliveries(in, h.delivery_count);
    if (!in.good() || in.rest().size() >= 8) return std::nullopt;
    return f;
}

}  // namespace mailfs::format
