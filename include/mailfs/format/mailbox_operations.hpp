// SPDX-License-Identifier: BSL-1.0
// The operations of a mailbox, as transactions carry them. The table of bytes: docs/formats/log.md
#pragma once

#include <mailfs/format/endian.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/flags.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/mail_location.hpp>
#include <mailfs/types/uid.hpp>
#include <mailfs/types/uid_set.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mailfs {

/// A message to be put into a mailbox; its UID comes from where the transaction lands.
struct message_entry {
    guid id;                          ///< names the body (EMAILID, RFC 8474)
    mail_location where;
    std::uint32_t size = 0;           ///< RFC822.SIZE, bytes
    std::uint64_t received_ms = 0;    ///< INTERNALDATE, milliseconds since 1970; the index keeps whole seconds
    flag flags = flag::none;
    std::vector<std::string> keywords;
    std::optional<guid> delivery{};   ///< the deliverer's name for it, the same at each try: a mailbox that nodes share takes it once
};

enum class flag_mode : std::uint8_t { add, remove, replace };

struct flag_change {
    flag_mode mode = flag_mode::add;
    flag flags = flag::none;
    std::vector<std::string> keywords;
    std::optional<modseq_t> unchanged_since;  ///< messages with a greater MODSEQ stay as they are (RFC 7162)
};

namespace format {

inline constexpr std::size_t keyword_size_max = 255;  ///< bytes of a keyword's name

enum class mailbox_operation : std::uint16_t { append = 1, flags = 2, expunge = 3, header = 4, metadata = 5, cache = 6, relocate = 7 };
inline constexpr std::uint16_t operation_may_skip = 1;  ///< flag: a reader that does not know the kind goes on

struct operation_header {
    le16 kind;
    le16 flags;
    le32 size;  // bytes of the operation, this header included, a multiple of 8
};
struct append_operation {
    operation_header head;
    std::uint8_t id[16]{};
    le64 received_ms;
    le64 file;
    le64 offset;
    le32 size;
    le32 flags;
    le16 keyword_count;  // names follow: le16 length, bytes
    le16 has_delivery;   // 1: behind them, from the next multiple of 8 on, 16 bytes delivery id
    le32 reserved;
};
struct flags_operation {
    operation_header head;
    le32 mode;
    le32 flags;
    le64 unchanged_since;  // all ones: no condition
    le32 range_count;      // uid ranges follow
    le16 keyword_count;    // then names
    le16 reserved;
};
struct expunge_operation {
    operation_header head;
    le32 only_deleted;  // 1: only messages with \Deleted
    le32 range_count;
};
struct header_operation {
    operation_header head;
    le32 uid_validity;  // takes effect when greater
    le32 uid_next;      // takes effect when greater
};
struct metadata_operation {
    operation_header head;
    le16 key_size;  // key, then value
    le16 reserved;
    le32 value_size;  // all ones: remove
};
struct cache_operation {
    operation_header head;
    le32 uid;
    le32 reserved;
    le64 where;  // position of the newest cache record
};
struct relocate_operation {
    operation_header head;
    le32 uid;
    le32 reserved;
    std::uint8_t id[16]{};  // takes effect when the message still has this body
    le64 file;
    le64 offset;
};
struct range_layout {
    le32 first, last;
};
static_assert(sizeof(append_operation) == 64 && sizeof(flags_operation) == 32 && sizeof(expunge_operation) == 16);
static_assert(sizeof(header_operation) == 16 && sizeof(metadata_operation) == 16 && sizeof(cache_operation) == 24);
static_assert(sizeof(relocate_operation) == 48 && sizeof(range_layout) == 8);

inline constexpr std::uint64_t no_condition = std::numeric_limits<std::uint64_t>::max();

/// Builds the operations of one transaction.
class mailbox_transaction {
public:
    mailbox_transaction& append(message_entry const& m) {
        append_operation op;
        put_guid(op.id, m.id);
        op.received_ms = m.received_ms;
        op.file = m.where.file;
        op.offset = m.where.offset;
        op.size = m.size;
        op.flags = static_cast<std::uint32_t>(m.flags);
        op.keyword_count = static_cast<std::uint16_t>(m.keywords.size());
        op.has_delivery = m.delivery ? 1 : 0;
        auto const at = begin(mailbox_operation::append, op);
        finish(at, m.keywords);
        if (!m.delivery) return *this;
        std::uint8_t id[16];
        put_guid(id, *m.delivery);
        put(std::as_bytes(std::span(id)));
        return finish(at, {});
    }
    mailbox_transaction& change_flags(uid_set const& uids, flag_change const& c) {
        flags_operation op;
        op.mode = static_cast<std::uint32_t>(c.mode);
        op.flags = static_cast<std::uint32_t>(c.flags);
        op.unchanged_since = c.unchanged_since.value_or(no_condition);
        op.range_count = static_cast<std::uint32_t>(uids.ranges().size());
        op.keyword_count = static_cast<std::uint16_t>(c.keywords.size());
        auto const at = begin(mailbox_operation::flags, op);
        put_ranges(uids);
        return finish(at, c.keywords);
    }
    mailbox_transaction& expunge(uid_set const& uids, bool only_deleted) {
        expunge_operation op;
        op.only_deleted = only_deleted;
        op.range_count = static_cast<std::uint32_t>(uids.ranges().size());
        auto const at = begin(mailbox_operation::expunge, op);
        put_ranges(uids);
        return finish(at, {});
    }
    /// Both only ever rise; 0 leaves as it is.
    mailbox_transaction& raise(std::uint32_t uid_validity, uid_t uid_next) {
        header_operation op;
        op.uid_validity = uid_validity;
        op.uid_next = uid_next;
        return finish(begin(mailbox_operation::header, op), {});
    }
    /// Nothing as a value removes the entry.
    mailbox_transaction& metadata(std::string_view key, std::optional<std::string_view> value) {
        metadata_operation op;
        op.key_size = static_cast<std::uint16_t>(key.size());
        op.value_size = value ? static_cast<std::uint32_t>(value->size()) : std::numeric_limits<std::uint32_t>::max();
        auto const at = begin(mailbox_operation::metadata, op);
        put(as_bytes(key));
        if (value) put(as_bytes(*value));
        return finish(at, {});
    }
    mailbox_transaction& cache(uid_t uid, std::uint64_t where) {
        cache_operation op;
        op.uid = uid;
        op.where = where;
        return finish(begin(mailbox_operation::cache, op), {});
    }
    mailbox_transaction& relocate(uid_t uid, guid const& id, mail_location where) {
        relocate_operation op;
        op.uid = uid;
        put_guid(op.id, id);
        op.file = where.file;
        op.offset = where.offset;
        return finish(begin(mailbox_operation::relocate, op), {});
    }

    bool empty() const noexcept { return bytes_.empty(); }
    bytes_view bytes() const noexcept { return bytes_; }

private:
    template <class Op>
    std::size_t begin(mailbox_operation kind, Op& op) {
        op.head.kind = static_cast<std::uint16_t>(kind);
        auto const at = bytes_.size();
        put(view_of(op));
        return at;
    }
    mailbox_transaction& finish(std::size_t at, std::vector<std::string> const& names) {
        for (auto const& name : names) {
            le16 const size = static_cast<std::uint16_t>(name.size());
            put(view_of(size));
            put(as_bytes(name));
        }
        bytes_.resize((bytes_.size() + 7) & ~std::size_t{7});
        le32 const size = static_cast<std::uint32_t>(bytes_.size() - at);
        std::memcpy(bytes_.data() + at + offsetof(operation_header, size), &size, sizeof size);
        return *this;
    }
    void put_ranges(uid_set const& uids) {
        for (auto r : uids.ranges()) put(view_of(range_layout{r.first, r.last}));
    }
    void put(bytes_view bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }

    std::vector<std::byte> bytes_;
};

/// The fixed part of an operation and what follows it.
template <class Op>
struct operation_view {
    Op op;
    bytes_view rest;
};
template <class Op>
std::optional<operation_view<Op>> view_operation(bytes_view bytes) noexcept {
    if (bytes.size() < sizeof(Op)) return std::nullopt;
    return operation_view<Op>{load<Op>(bytes), bytes.subspan(sizeof(Op))};
}

/// Calls f(kind, flags, bytes of the operation) for each until f answers false. Bytes that are no operation end the list.
template <class F>
void for_each_operation(bytes_view payload, F&& f) {
    while (payload.size() >= sizeof(operation_header)) {
        auto const h = load<operation_header>(payload);
        if (h.size < sizeof h || h.size % 8 != 0 || h.size > payload.size() || h.kind == 0) return;
        if (!f(std::uint16_t{h.kind}, std::uint16_t{h.flags}, payload.first(h.size))) return;
        payload = payload.subspan(h.size);
    }
}

/// `count` ranges from the front of `rest`, as f(first, last); consumes them. Left out is what is no range or does not lie
/// behind all before it: no message is met twice, and the work is bounded by the mailbox, not by the bytes.
template <class F>
void for_each_range(bytes_view& rest, std::uint32_t count, F&& f) {
    uid_t done = 0;
    for (; count > 0 && rest.size() >= sizeof(range_layout); --count, rest = rest.subspan(sizeof(range_layout))) {
        auto const r = load<range_layout>(rest);
        if (r.first <= done || r.first > r.last) continue;
        f(uid_t{r.first}, uid_t{r.last});
        done = r.last;
    }
}

/// The delivery id of an append, if it has one.
inline std::optional<guid> delivery_of(operation_view<append_operation> const& v) noexcept {
    if (v.op.has_delivery != 1) return std::nullopt;
    auto rest = v.rest;
    for (std::uint32_t n = 0; n < v.op.keyword_count; ++n) {
        if (rest.size() < sizeof(le16)) return std::nullopt;
        auto const size = sizeof(le16) + load<le16>(rest);
        if (size > rest.size()) return std::nullopt;
        rest = rest.subspan(size);
    }
    auto const begin = (v.rest.size() - rest.size() + 7) & ~std::size_t{7};
    if (begin + 16 > v.rest.size()) return std::nullopt;
    std::uint8_t id[16];
    std::memcpy(id, v.rest.data() + begin, sizeof id);
    return get_guid(id);
}

/// `count` names from the front of `rest`; names that are empty or too long are left out.
inline std::vector<std::string_view> names_of(bytes_view rest, std::uint16_t count) {
    std::vector<std::string_view> names;
    while (count-- > 0 && rest.size() >= sizeof(le16)) {
        std::size_t const size = load<le16>(rest);
        rest = rest.subspan(sizeof(le16));
        if (size > rest.size()) break;
        if (size > 0 && size <= keyword_size_max) names.push_back(as_text(rest.first(size)));
        rest = rest.subspan(size);
    }
    return names;
}

}  // namespace format
}  // namespace mailfs
