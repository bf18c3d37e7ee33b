// SPDX-License-Identifier: BSL-1.0
// The bytes of a message cache: a file header, then records of fields. The whole story: docs/formats/cache.md
//
// Pure functions over spans. No decoder reads beyond its span, throws on bytes or asserts on them.
#pragma once

#include <mailfs/format/crc32c.hpp>
#include <mailfs/format/endian.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/guid.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace mailfs::format {

inline constexpr std::array<unsigned char, 8> cache_magic{'m', 'f', 's', 'C', 'C', 'H', '\r', '\n'};
inline constexpr std::uint16_t cache_major = 1;                 ///< a reader takes a greater one for an empty cache
inline constexpr std::uint16_t cache_minor = 0;
inline constexpr std::uint32_t cache_record_sync = 0xd63b'9ec5;
inline constexpr std::uint32_t cache_record_size_max = 1U << 20;  ///< bytes, header included
inline constexpr std::size_t cache_alignment = 8;                 ///< of records and fields
inline constexpr std::uint64_t cache_file_size_max = std::uint64_t{1} << 34;

struct cache_file_header {
    std::array<unsigned char, 8> magic = cache_magic;
    le16 major = cache_major;
    le16 minor = cache_minor;
    le32 size = 64;                            // of this header; records begin here
    std::array<std::uint8_t, 16> object{};     // GUID of the mailbox
    le64 number;                               // n of cache.<n>, from 1
    le64 nonce;                                // random; seeds the checksums of records
    le64 created_ms;                           // milliseconds since 1970; for people
    le32 required;                             // features without which records can't be read; none is defined
    le32 checksum;                             // CRC-32C of the 60 bytes before
};
static_assert(sizeof(cache_file_header) == 64 && std::has_unique_object_representations_v<cache_file_header>);

struct cache_record_header {
    le32 sync = cache_record_sync;
    le32 size;                         // bytes of header and fields, a multiple of 8
    le32 checksum;                     // CRC-32C of size and of all behind this field, seeded with the nonce
    le32 reserved;                     // 0
    std::array<std::uint8_t, 16> id{}; // the message's guid
    le64 previous;                     // offset of an older record of the message in this file; 0: none
};
static_assert(sizeof(cache_record_header) == 40 && std::has_unique_object_representations_v<cache_record_header>);

struct cache_field_header {
    le16 id;        // never 0
    le16 reserved;  // 0
    le32 size;      // bytes of the value, which follows, with zeros up to the next multiple of 8
};
static_assert(sizeof(cache_field_header) == 8);

/// A field's value lies in the bytes it was decoded from.
struct cache_field_view {
    std::uint16_t id = 0;
    bytes_view value;
};
struct cache_record_view {
    cache_record_header header;
    bytes_view fields;
};

namespace detail {
template <class T>
bytes_view cache_bytes(T const& object) noexcept {
    return {reinterpret_cast<std::byte const*>(&object), sizeof object};
}
inline void cache_put(std::vector<std::byte>& out, bytes_view bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }
/// `record`: the whole of it.
inline std::uint32_t cache_checksum(bytes_view record, std::uint64_t nonce) noexcept {
    le64 const seed = nonce;
    auto const size_field = record.subspan(offsetof(cache_record_header, size), sizeof(le32));
    return crc32c(record.subspan(offsetof(cache_record_header, reserved)), crc32c(size_field, crc32c(cache_bytes(seed))));
}
}  // namespace detail

/// With its checksum.
inline cache_file_header make_cache_file_header(guid const& object, std::uint64_t number, std::uint64_t nonce,
                                                std::uint64_t created_ms) noexcept {
    cache_file_header h;
    h.object = object.octets;
    h.number = number;
    h.nonce = nonce;
    h.created_ms = created_ms;
    h.checksum = crc32c(detail::cache_bytes(h).first(offsetof(cache_file_header, checksum)));
    return h;
}

/// Why a file is not one that this version can use; nothing when it is.
inline std::optional<std::string_view> check(cache_file_header const& h, guid const& object, std::uint64_t number) noexcept {
    if (h.magic != cache_magic) return "is not a message cache";
    if (h.checksum != crc32c(detail::cache_bytes(h).first(offsetof(cache_file_header, checksum)))) return "the header is damaged";
    if (h.major != cache_major || h.required != 0) return "was written by another version";
    if (h.size != sizeof h || h.number != number || h.object != object.octets) return "belongs elsewhere";
    return std::nullopt;
}

/// Appends the record to `out`. The fields' ids are not 0; the record is not longer than cache_record_size_max.
inline void encode_cache_record(std::vector<std::byte>& out, guid const& id, std::uint64_t previous,
                                std::span<cache_field_view const> fields, std::uint64_t nonce) {
    auto const begin = out.size();
    cache_record_header h;
    h.id = id.octets;
    h.previous = previous;
    detail::cache_put(out, detail::cache_bytes(h));
    for (auto const& field : fields) {
        cache_field_header f;
        f.id = field.id;
        f.size = static_cast<std::uint32_t>(field.value.size());
        detail::cache_put(out, detail::cache_bytes(f));
        detail::cache_put(out, field.value);
        out.resize((out.size() - begin + cache_alignment - 1) / cache_alignment * cache_alignment + begin);
    }
    h.size = static_cast<std::uint32_t>(out.size() - begin);
    std::memcpy(out.data() + begin, &h, sizeof h);
    h.checksum = detail::cache_checksum(bytes_view(out).subspan(begin), nonce);
    std::memcpy(out.data() + begin, &h, sizeof h);
}

/// Bytes that a record of these fields takes.
inline std::size_t cache_record_size(std::span<cache_field_view const> fields) noexcept {
    auto size = sizeof(cache_record_header);
    for (auto const& f : fields)
        size += sizeof(cache_field_header) + (f.value.size() + cache_alignment - 1) / cache_alignment * cache_alignment;
    return size;
}

/// How long the record is that `bytes` begin, by its unchecked header; 0: none begins here.
inline std::size_t cache_record_extent(bytes_view bytes) noexcept {
    if (bytes.size() < sizeof(cache_record_header)) return 0;
    cache_record_header h;
    std::memcpy(&h, bytes.data(), sizeof h);
    bool const sound = h.sync == cache_record_sync && h.size >= sizeof h && h.size <= cache_record_size_max && h.size % cache_alignment == 0;
    return sound ? std::size_t{h.size} : 0;
}

/// The record that `bytes` begin, or nothing.
inline std::optional<cache_record_view> decode_cache_record(bytes_view bytes, std::uint64_t nonce) noexcept {
    auto const size = cache_record_extent(bytes);
    if (size == 0 || size > bytes.size()) return std::nullopt;
    auto const record = bytes.first(size);
    cache_record_view view;
    std::memcpy(&view.header, record.data(), sizeof view.header);
    if (view.header.checksum != detail::cache_checksum(record, nonce)) return std::nullopt;
    view.fields = record.subspan(sizeof view.header);
    return view;
}

/// Takes the next field off `fields`; nothing when there is none, or none that could have been written.
inline std::optional<cache_field_view> take_cache_field(bytes_view& fields) noexcept {
    cache_field_header f;
    auto const all = std::exchange(fields, {});
    if (all.size() < sizeof f) return std::nullopt;
    std::memcpy(&f, all.data(), sizeof f);
    auto const rest = all.subspan(sizeof f);
    auto const extent = (std::size_t{f.size} + cache_alignment - 1) / cache_alignment * cache_alignment;
    if (f.id == 0 || extent > rest.size()) return std::nullopt;
    fields = rest.subspan(extent);
    return cache_field_view{f.id, rest.first(f.size)};
}

}  // namespace mailfs::format
