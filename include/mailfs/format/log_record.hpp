// SPDX-License-Identifier: BSL-1.0
// The log's bytes: file header and records. The whole story: docs/formats/log.md
#pragma once

#include <mailfs/format/crc32c.hpp>
#include <mailfs/format/endian.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/stamp.hpp>
#include <mailfs/types/uid.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace mailfs::format {

inline constexpr std::string_view log_magic = "mfsLOG\r\n";
inline constexpr std::uint16_t log_major = 1;                  ///< a reader refuses a greater one
inline constexpr std::uint16_t log_minor = 0;                  ///< a reader reads a greater one
inline constexpr std::uint64_t log_features_known = 0;         ///< required features that a reader of logs that nodes do not share has
inline constexpr std::uint64_t log_feature_replicated = 1;     ///< one node's log of a replicated stream: records tell their position
inline constexpr std::uint64_t log_feature_shared = 2;         ///< the log of a store that all nodes reach: files are made whole, never appended to
inline constexpr std::uint32_t record_sync = 0xe24c'4da7;      ///< no text in any common charset has these bytes
inline constexpr std::uint32_t record_end = 0xa594'c3d2;       ///< ends a record; no byte of it is 0, see docs/formats/log.md
inline constexpr std::uint32_t record_size_max = 16U << 20;    ///< bytes, header included
inline constexpr std::uint64_t log_size_max = 1U << 30;        ///< bytes; a writer seals long before

enum class record_kind : std::uint8_t {
    transaction = 1,  ///< operations for the state machine; all else is for the log itself
    seal = 2,         ///< ends the file
    scar = 3,         ///< names damage that was there before a sync
    restart = 4,      ///< the first writer after a boot: voids what a power cut left in doubt
    epoch = 5,        ///< of a replicated stream: a master's reign begins (docs/protocols/replication.md)
    ids = 6,          ///< of a replicated stream: more ids are reserved
    fold = 7,         ///< of a replicated stream: another history joins
    settle = 8,       ///< of a replicated stream: every node has what came before a position
};
inline constexpr std::uint8_t record_may_skip = 1;  ///< flag: a reader that does not know the kind goes on

struct log_header {
    char magic[8] = {'m', 'f', 's', 'L', 'O', 'G', '\r', '\n'};
    le16 major = log_major;
    le16 minor = log_minor;
    le32 size = 128;             // bytes of this header; records begin here
    std::uint8_t object[16]{};   // GUID of the mailbox or tree
    le64 number;                 // n of log.<n>, from 1
    le64 nonce;                  // random; seeds every checksum in the file
    le64 features_required;      // bits a reader must know
    le64 features_optional;      // bits a reader may ignore
    std::uint8_t boot[16]{};     // boot identity that the state has at the start of the file
    le32 epoch;                  // stream position at the start
    le32 n;
    le64 chain;                  // chain hash at the start
    le32 next_id;                // UIDNEXT at the start
    le32 node;                   // who made the file
    le32 seal_offset;            // of the seal in log.<n-1>; 0 for the first file
    le64 created_ms;             // wall clock of the maker; for people
    le32 opens;                  // of a shared store: the epoch that begins in the file; 0: none does
    le32 reserved;               // 0
    le32 checksum;               // CRC-32C of all before it; at this place in every version, so that damage does not pass for a new one
};
static_assert(sizeof(log_header) == 128 && alignof(log_header) == 1 && offsetof(log_header, checksum) == 124);
static_assert(std::has_unique_object_representations_v<log_header>);

struct record_header {
    le32 sync = record_sync;
    le32 size;              // bytes of header, payload (a multiple of 8) and record_end
    le32 header_checksum;   // CRC-32C of size and of what follows payload_checksum, seeded with the nonce
    le32 payload_checksum;  // CRC-32C of the payload, seeded with header_checksum
    std::uint8_t kind = 0;
    std::uint8_t flags = 0;
    le16 reserved;
    le32 node;              // origin of the transaction
    le64 incarnation;
    le64 counter;
    le64 stamp;
    le32 base_offset;       // the writer had read this file up to here,
    le32 base_next_id;      // where UIDNEXT was this
    le32 base_n;            // and the stream's count this
    le32 synced;            // the writer knew all before this offset to be on stable storage, damage named by scars
};
static_assert(sizeof(record_header) == 64 && alignof(record_header) == 1);
static_assert(offsetof(record_header, kind) == 16 && offsetof(record_header, base_offset) == 48);
static_assert(std::has_unique_object_representations_v<record_header>);

struct scar_range {
    le32 first;  // offset of the first damaged byte
    le32 last;   // offset behind the last
};
static_assert(sizeof(scar_range) == 8);

struct restart_payload {
    std::uint8_t previous[16]{};  // the boot it follows: it counts only if that is the state's
    std::uint8_t boot[16]{};
    le32 void_from;               // all from here to this record is void
    le32 margin;                  // by how much UIDNEXT rises
};
static_assert(sizeof(restart_payload) == 40);

/// Copies a trivially copyable layout out of bytes that are known to be long enough.
template <class T>
T load(bytes_view bytes) noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}
template <class T>
bytes_view view_of(T const& value) noexcept {
    static_assert(std::has_unique_object_representations_v<T>);
    return {reinterpret_cast<std::byte const*>(&value), sizeof value};  // a span of T costs each T compile time
}

inline void put_guid(std::uint8_t (&field)[16], guid const& g) noexcept { std::memcpy(field, g.octets.data(), 16); }
inline guid get_guid(std::uint8_t const (&field)[16]) noexcept {
    guid g;
    std::memcpy(g.octets.data(), field, 16);
    return g;
}

inline std::uint32_t log_header_checksum(log_header const& h) noexcept {
    return crc32c(view_of(h).first(offsetof(log_header, checksum)));
}

/// The seed of all record checksums in a file with this nonce.
inline std::uint32_t record_seed(std::uint64_t nonce) noexcept {
    le64 const word = nonce;
    return crc32c(view_of(word));
}

inline std::uint32_t record_header_checksum(record_header const& h, std::uint32_t seed) noexcept {
    auto const bytes = view_of(h);
    return crc32c(bytes.subspan(16), crc32c(bytes.subspan(4, 4), seed));
}

/// Bytes of a record with such a payload.
constexpr std::size_t record_size(std::size_t payload) noexcept {
    return sizeof(record_header) + ((payload + 7) & ~std::size_t{7}) + sizeof record_end;
}
/// Bytes of the largest payload whose record has no more than `size` bytes.
constexpr std::size_t payload_size_max(std::size_t size) noexcept { return (size - record_size(0)) & ~std::size_t{7}; }
/// The padded payload of a whole record.
inline bytes_view payload_of(bytes_view record) noexcept { return record.subspan(sizeof(record_header), record.size() - record_size(0)); }

/// Writes the finished record to `out`, which has record_size(payload.size()) bytes: size, checksums and padding are
/// filled in here, in `header` too.
inline void encode_record(std::span<std::byte> out, record_header& header, bytes_view payload, std::uint32_t seed) noexcept {
    header.size = static_cast<std::uint32_t>(out.size());
    header.header_checksum = record_header_checksum(header, seed);
    le32 const end = record_end;
    auto const body = out.subspan(sizeof header, out.size() - record_size(0));
    if (!payload.empty()) std::memcpy(body.data(), payload.data(), payload.size());
    if (payload.size() < body.size()) std::memset(body.data() + payload.size(), 0, body.size() - payload.size());
    header.payload_checksum = crc32c(body, header.header_checksum);
    std::memcpy(out.data(), &header, sizeof header);
    std::memcpy(out.data() + out.size() - sizeof end, &end, sizeof end);
}
/// Appends it to `out`.
inline void encode_record(std::vector<std::byte>& out, record_header header, bytes_view payload, std::uint32_t seed) {
    auto const at = out.size();
    out.resize(at + record_size(payload.size()));
    encode_record(std::span(out).subspan(at), header, payload, seed);
}

/// A record as it lies in a buffer; valid as long as that is.
struct record_view {
    record_header header;
    bytes_view payload;

    record_kind kind() const noexcept { return static_cast<record_kind>(header.kind); }
    mailfs::dot dot() const noexcept { return {{header.node, header.incarnation}, header.counter}; }
    mailfs::stamp stamp() const noexcept { return {header.stamp}; }
};

/// The record that begins with the first byte, if a whole and valid one does. Never reads beyond `bytes`.
inline std::optional<record_view> decode_record(bytes_view bytes, std::uint32_t seed) noexcept {
    if (bytes.size() < record_size(0)) return std::nullopt;
    auto const h = load<record_header>(bytes);
    if (h.sync != record_sync || h.size < record_size(0) || h.size > record_size_max || (h.size - record_size(0)) % 8 != 0 || h.kind == 0)
        return std::nullopt;
    if (h.header_checksum != record_header_checksum(h, seed) || h.size > bytes.size()) return std::nullopt;
    auto const payload = payload_of(bytes.first(h.size));
    if (crc32c(payload, h.header_checksum) != h.payload_checksum || load<le32>(bytes.subspan(h.size - sizeof record_end)) != record_end)
        return std::nullopt;
    return record_view{h, payload};
}

namespace detail {
inline bool is_head_of_record(bytes_view bytes, std::uint32_t seed) noexcept {
    if (bytes.size() < record_size(1)) return true;  // a transaction is longer
    auto const h = load<record_header>(bytes);
    return h.header_checksum == record_header_checksum(h, seed) && h.size > bytes.size();
}
}  // namespace detail

/// These bytes, in front of a record or of the end, are heads of records that were never whole: what killed writers left.
inline bool is_torn(bytes_view bytes, std::uint32_t seed) noexcept {
    le32 const word = record_sync;
    auto const sync = view_of(word);
    while (!bytes.empty()) {
        auto const next = std::search(bytes.begin() + 1, bytes.end(), sync.begin(), sync.end());
        auto const piece = static_cast<std::size_t>(next - bytes.begin());
        if (!detail::is_head_of_record(bytes.first(piece), seed)) return false;
        bytes = bytes.subspan(piece);
    }
    return true;
}

/// Offset of the next valid record at or after `from`, at any byte; bytes.size() when there is none. Linear: a
/// candidate costs its own length only when its header passes a checksum that strangers cannot make.
inline std::size_t find_record(bytes_view bytes, std::size_t from, std::uint32_t seed) noexcept {
    constexpr auto first = static_cast<unsigned char>(record_sync & 0xff);
    while (from < bytes.size()) {
        auto const* hit = std::memchr(bytes.data() + from, first, bytes.size() - from);
        if (hit == nullptr) break;
        from = static_cast<std::size_t>(static_cast<std::byte const*>(hit) - bytes.data());
        if (decode_record(bytes.subspan(from), seed)) return from;
        ++from;
    }
    return bytes.size();
}

/// The chain hash behind a transaction: over what all replicas of the stream share (origin, stamp, operations).
inline std::uint64_t chain_hash(std::uint64_t chain, record_view const& r) noexcept {
    auto mix = [&chain](std::uint64_t word) {
        chain = std::rotl((chain ^ word) * 0x9e37'79b9'7f4a'7c15U, 29) * 0xbf58'476d'1ce4'e5b9U;
    };
    mix(r.header.node);
    mix(r.header.incarnation);
    mix(r.header.counter);
    mix(r.header.stamp);
    for (std::size_t i = 0; i + 8 <= r.payload.size(); i += 8) mix(load<le64>(r.payload.subspan(i)));
    return chain ^ chain >> 32;
}

}  // namespace mailfs::format
