// SPDX-License-Identifier: BSL-1.0
// The bytes of a dbox file: a file header, then messages that describe themselves. The whole story: docs/formats/dbox.md
//
// Pure functions over spans. No decoder reads beyond its span, throws on bytes or asserts on them.
#pragma once

#include <mailfs/error.hpp>
#include <mailfs/format/crc32c.hpp>
#include <mailfs/format/endian.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/guid.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace mailfs {

/// Why bytes were refused. `code` is body_missing where bytes end too soon or a hole stands in their place.
struct dbox_fault {
    errc code;
    std::string_view why;
};

inline constexpr std::uint16_t dbox_major = 1;
inline constexpr std::uint16_t dbox_minor = 0;
inline constexpr std::uint32_t dbox_feature_compression = 1;  ///< of the mask `required`: bodies may be compressed
inline constexpr std::uint32_t dbox_known_features = dbox_feature_compression;
inline constexpr std::uint64_t dbox_stored_size_max = std::uint64_t{1} << 40;
inline constexpr std::size_t dbox_alignment = 8;         ///< of messages and trailers, from the start of the file

/// At offset 0. The places of magic, major and checksum, and the size, are the same in every version.
struct dbox_file_header {
    std::array<unsigned char, 8> magic;      // 89 "mdbox" 0d 0a: no text file begins so, and a text-mode copy breaks it
    le16 major;                              // a reader refuses a greater one
    le16 minor;                              // a reader goes on with any
    le32 required;                           // features without which the file can't be read: an unknown bit refuses it
    le32 optional;                           // features that may be ignored
    le32 reserved_a;                         // 0
    le64 file_id;                            // as in the file's name; 0 in single_dbox
    le64 nonce;                              // random; neither 0 nor all ones
    le64 created_ms;                         // milliseconds since 1970
    std::array<unsigned char, 12> reserved;  // 0
    le32 checksum;                           // CRC-32C of the 60 bytes before
};
static_assert(sizeof(dbox_file_header) == 64 && offsetof(dbox_file_header, nonce) == 32);
static_assert(std::has_unique_object_representations_v<dbox_file_header>);

enum class dbox_kind : std::uint8_t { message = 1 };
enum class dbox_compression : std::uint8_t { none = 0, zstd = 1 };

/// Before each body. Aligned to dbox_alignment in the file.
struct dbox_message_header {
    le64 sync;                               // the file's nonce
    std::array<unsigned char, 4> magic;      // "mail"
    unsigned char kind;                      // dbox_kind; never 0
    unsigned char compression;               // dbox_compression
    le16 reserved_a;                         // 0
    std::array<unsigned char, 16> id;        // the message's guid
    le64 stored_size;                        // bytes of the body as it stands in the file
    le64 size;                               // bytes of the message: RFC822.SIZE
    le64 received_ms;                        // milliseconds since 1970
    std::array<unsigned char, 16> mailbox;   // guid of the mailbox it was first delivered to; 0: not told
    le32 body_checksum;                      // CRC-32C of the stored body, seeded with nonce and id
    le64 written_ms;                         // when it was written, by the host's clock; 0: not told
    std::array<unsigned char, 8> reserved;   // 0
    le32 checksum;                           // CRC-32C of the 92 bytes before, seeded with the nonce
};
static_assert(sizeof(dbox_message_header) == 96 && offsetof(dbox_message_header, body_checksum) == 72 &&
              offsetof(dbox_message_header, written_ms) == 76);
static_assert(std::has_unique_object_representations_v<dbox_message_header>);

/// Behind each body, after 0 to 7 zero octets that align it: the message is whole.
struct dbox_trailer {
    le64 sync;                         // all bits of the nonce inverted
    std::array<unsigned char, 16> id;  // as in the header, like the next two
    le64 stored_size;
    le32 body_checksum;
    le32 checksum;                     // CRC-32C of the 36 bytes before, seeded with the nonce
};
static_assert(sizeof(dbox_trailer) == 40);
static_assert(std::has_unique_object_representations_v<dbox_trailer>);

namespace detail {

inline constexpr std::array<unsigned char, 8> dbox_file_magic{0x89, 'm', 'd', 'b', 'o', 'x', 0x0d, 0x0a};
inline constexpr std::array<unsigned char, 4> dbox_message_magic{'m', 'a', 'i', 'l'};

template <class T>
bytes_view object_bytes(T const& object) noexcept {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) == 1);
    return {reinterpret_cast<std::byte const*>(&object), sizeof object};  // a span of T costs each T compile time
}
template <class T>
T object_at(bytes_view bytes) noexcept {
    T object;
    std::memcpy(static_cast<void*>(&object), bytes.data(), sizeof object);
    return object;
}
/// The checksum of all but the last field, which is the checksum.
template <class T>
std::uint32_t own_checksum(T const& object, std::uint32_t seed) noexcept {
    return crc32c(object_bytes(object).first(sizeof(T) - sizeof(le32)), seed);
}
inline std::uint32_t dbox_seed(le64 nonce) noexcept { return crc32c(object_bytes(nonce)); }
inline bool all_zero(bytes_view bytes) noexcept {
    return std::all_of(bytes.begin(), bytes.end(), [](std::byte octet) { return octet == std::byte{0}; });
}

}  // namespace detail

inline bytes_view as_bytes(dbox_file_header const& header) noexcept { return detail::object_bytes(header); }
inline bytes_view as_bytes(dbox_message_header const& header) noexcept { return detail::object_bytes(header); }
inline bytes_view as_bytes(dbox_trailer const& trailer) noexcept { return detail::object_bytes(trailer); }

constexpr bool is_dbox_nonce(std::uint64_t nonce) noexcept { return nonce != 0 && ~nonce != 0; }

/// Zero octets between a body and its trailer.
constexpr std::size_t dbox_padding(std::uint64_t stored_size) noexcept {
    return static_cast<std::size_t>((dbox_alignment - stored_size % dbox_alignment) % dbox_alignment);
}
/// Bytes of a whole message in the file. stored_size is at most dbox_stored_size_max.
constexpr std::uint64_t dbox_extent(std::uint64_t stored_size) noexcept {
    return sizeof(dbox_message_header) + stored_size + dbox_padding(stored_size) + sizeof(dbox_trailer);
}

/// What the body's checksum must be. Takes time with the body's size.
inline std::uint32_t dbox_body_checksum(dbox_message_header const& header, bytes_view stored_body) noexcept {
    return crc32c(stored_body, crc32c(detail::object_bytes(header.id), detail::dbox_seed(header.sync)));
}

inline dbox_file_header make_dbox_file_header(std::uint64_t file_id, std::uint64_t nonce, std::uint64_t created_ms,
                                              std::uint32_t required = 0) noexcept {
    dbox_file_header header{};
    header.magic = detail::dbox_file_magic;
    header.major = dbox_major;
    header.minor = dbox_minor;
    header.required = required;
    header.file_id = file_id;
    header.nonce = nonce;
    header.created_ms = created_ms;
    header.checksum = detail::own_checksum(header, 0);
    return header;
}

/// A body as it stands in a file.
struct dbox_body {
    bytes_view stored;
    std::uint64_t size;  ///< of the message
    dbox_compression compression = dbox_compression::none;
};

/// Reads the whole body, for its checksum.
inline dbox_message_header make_dbox_message_header(std::uint64_t nonce, guid const& id, std::uint64_t received_ms,
                                                    guid const& mailbox, std::uint64_t written_ms,
                                                    dbox_body const& body) noexcept {
    dbox_message_header header{};
    header.sync = nonce;
    header.magic = detail::dbox_message_magic;
    header.kind = static_cast<unsigned char>(dbox_kind::message);
    header.compression = static_cast<unsigned char>(body.compression);
    header.id = id.octets;
    header.stored_size = body.stored.size();
    header.size = body.size;
    header.received_ms = received_ms;
    header.mailbox = mailbox.octets;
    header.written_ms = written_ms;
    header.body_checksum = dbox_body_checksum(header, body.stored);
    header.checksum = detail::own_checksum(header, detail::dbox_seed(header.sync));
    return header;
}
/// The same, of a message that is not compressed.
inline dbox_message_header make_dbox_message_header(std::uint64_t nonce, guid const& id, std::uint64_t received_ms,
                                                    guid const& mailbox, std::uint64_t written_ms, bytes_view body) noexcept {
    return make_dbox_message_header(nonce, id, received_ms, mailbox, written_ms, dbox_body{body, body.size()});
}

inline dbox_trailer make_dbox_trailer(dbox_message_header const& header) noexcept {
    dbox_trailer trailer{};
    trailer.sync = ~std::uint64_t{header.sync};
    trailer.id = header.id;
    trailer.stored_size = header.stored_size;
    trailer.body_checksum = header.body_checksum;
    trailer.checksum = detail::own_checksum(trailer, detail::dbox_seed(header.sync));
    return trailer;
}

/// The header of the file that `bytes` begin. On a fault `into` is unspecified.
inline std::optional<dbox_fault> decode(bytes_view bytes, dbox_file_header& into) noexcept {
    if (bytes.size() < sizeof into) return dbox_fault{errc::body_missing, "the file ends within its header"};
    into = detail::object_at<dbox_file_header>(bytes);
    if (detail::all_zero(as_bytes(into)))
        return dbox_fault{errc::body_missing, "a hole stands where the file's header should be"};
    if (into.magic != detail::dbox_file_magic) return dbox_fault{errc::corrupt, "not a dbox file"};
    if (into.checksum != detail::own_checksum(into, 0)) return dbox_fault{errc::corrupt, "the file's header is damaged"};
    if (into.major > dbox_major) return dbox_fault{errc::newer_version, "a dbox file of a greater major version"};
    if (into.major < 1) return dbox_fault{errc::corrupt, "a dbox file of version 0"};
    if (into.required & ~dbox_known_features)
        return dbox_fault{errc::newer_version, "a dbox file that needs a feature unknown here"};
    if (!is_dbox_nonce(into.nonce)) return dbox_fault{errc::corrupt, "the file's nonce is not random"};
    return std::nullopt;
}

/// The message header that `bytes` begin. Without a nonce the header's own is taken: only for bytes at a place that is
/// known to hold a header, never for one found by searching. stored_size is then bounded, but not checked against the file.
inline std::optional<dbox_fault> decode(bytes_view bytes, std::optional<std::uint64_t> nonce,
                                        dbox_message_header& into) noexcept {
    if (bytes.size() < sizeof into) return dbox_fault{errc::body_missing, "the file ends within the message's header"};
    into = detail::object_at<dbox_message_header>(bytes);
    if (detail::all_zero(as_bytes(into))) return dbox_fault{errc::body_missing, "a hole stands where the message should be"};
    if (into.magic != detail::dbox_message_magic) return dbox_fault{errc::corrupt, "no message begins here"};
    if (into.sync != nonce.value_or(into.sync) || !is_dbox_nonce(into.sync))
        return dbox_fault{errc::corrupt, "the message's header is damaged or of another file"};
    if (into.checksum != detail::own_checksum(into, detail::dbox_seed(into.sync)))
        return dbox_fault{errc::corrupt, "the message's header is damaged"};
    if (into.kind == 0) return dbox_fault{errc::corrupt, "a record of kind 0"};
    if (into.stored_size > dbox_stored_size_max) return dbox_fault{errc::corrupt, "the message's size is beyond all bounds"};
    return std::nullopt;
}

/// What a reader of mail asks beyond a valid header: that it is a message, this message, and in a form known here.
inline std::optional<dbox_fault> check_is_message(dbox_message_header const& header, guid const& id) noexcept {
    if (header.id != id.octets) return dbox_fault{errc::corrupt, "another message stands here"};
    if (header.kind != static_cast<unsigned char>(dbox_kind::message))
        return dbox_fault{errc::newer_version, "a record of a kind unknown here"};
    if (header.compression > static_cast<unsigned char>(dbox_compression::zstd))
        return dbox_fault{errc::newer_version, "the body is compressed in a way unknown here"};
    bool const plain = header.compression == static_cast<unsigned char>(dbox_compression::none);
    if (plain ? header.size != header.stored_size : header.size <= header.stored_size || header.size > dbox_stored_size_max)
        return dbox_fault{errc::corrupt, "the message's sizes contradict each other"};
    return std::nullopt;
}

/// Whether `bytes` begin with the very trailer that belongs to this header.
inline bool is_trailer_of(bytes_view bytes, dbox_message_header const& header) noexcept {
    auto const expected = make_dbox_trailer(header);
    return bytes.size() >= sizeof expected && std::memcmp(bytes.data(), &expected, sizeof expected) == 0;
}

}  // namespace mailfs
