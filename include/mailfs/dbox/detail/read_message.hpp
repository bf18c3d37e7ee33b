// SPDX-License-Identifier: BSL-1.0
// Reads one message out of an open dbox file and lets nothing through that is not that message.
#pragma once

#include <mailfs/dbox/detail/unpack_message.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/format/dbox_message.hpp>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// Where a message can begin; any other offset comes from a damaged index.
constexpr bool is_message_offset(std::uint64_t offset) noexcept {
    return offset >= sizeof(dbox_file_header) && offset % dbox_alignment == 0 && offset < std::uint64_t{1} << 62;
}

/// A checked header and the bytes that came along with it.
struct begun_message {
    dbox_message_header header;
    std::vector<std::byte> head;  ///< the first bytes of the stored body, perhaps all
};

template <append_file File>
asio::awaitable<std::vector<std::byte>> read_up_to(File& file, std::uint64_t offset, std::uint64_t size) {
    std::vector<std::byte> bytes(size);
    auto const got = co_await file.read(offset, bytes);
    bytes.resize(got);
    co_return bytes;
}

/// The nonce that a file's first bytes tell; nothing where they are damaged, which alone costs no message: a message's
/// place is known from the index and its guid is checked. Throws newer_version.
inline std::optional<std::uint64_t> nonce_told_by(bytes_view file, std::string const& path) {
    dbox_file_header header;
    auto const fault = decode(file, header);
    if (fault && fault->code == errc::newer_version) throw error(fault->code, path, 0, fault->why);
    return fault ? std::nullopt : std::optional<std::uint64_t>(header.nonce);
}

/// The header of this very message, which `bytes` begin with. Throws what is wrong with it.
inline dbox_message_header header_of(bytes_view bytes, std::optional<std::uint64_t> nonce, message_place const& place) {
    dbox_message_header header;
    auto fault = decode(bytes, nonce, header);
    if (!fault) fault = check_is_message(header, place.id);
    if (fault) throw error(fault->code, place.path, place.offset, fault->why);
    return header;
}

/// `bytes` begin where the message should.
inline begun_message begin_message(std::vector<std::byte> bytes, std::optional<std::uint64_t> nonce,
                                   message_place const& place) {
    begun_message begun;
    begun.header = header_of(bytes, nonce, place);
    auto const body = bytes.begin() + sizeof begun.header;
    auto const body_size = std::min<std::uint64_t>(bytes.size() - sizeof begun.header, begun.header.stored_size);
    bytes.erase(std::copy(body, body + static_cast<std::ptrdiff_t>(body_size), bytes.begin()), bytes.end());
    begun.head = std::move(bytes);
    return begun;
}

/// Bytes [begin, begin + size) of the body as it is stored, of which the head may hold some. Nothing is allocated for bytes
/// that the file does not have.
template <append_file File>
asio::awaitable<std::vector<std::byte>> read_stored(File& file, begun_message begun, message_place const& place,
                                                    std::uint64_t begin, std::uint64_t size) {
    begin = std::min<std::uint64_t>(begin, begun.header.stored_size);
    size = std::min<std::uint64_t>(size, begun.header.stored_size - begin);
    auto& head = begun.head;
    head.erase(head.begin(), head.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(begin, head.size())));
    if (head.size() < size) {
        auto const from = place.offset + sizeof begun.header + begin;
        auto const had = head.size();
        auto const file_size = co_await file.size();
        bool const there = from <= file_size && size <= file_size - from;
        if (there) head.resize(size);
        auto const got = there ? co_await file.read(from + had, std::span(head).subspan(had)) : 0;
        if (had + got < size) throw error(errc::body_missing, place.path, place.offset, "the file ends within the message");
    }
    head.resize(size);
    co_return std::move(head);
}

/// Throws corrupt. Takes time with the body's size.
inline void check_body(dbox_message_header const& header, bytes_view body, message_place const& place) {
    if (dbox_body_checksum(header, body) != header.body_checksum)
        throw error(errc::corrupt, place.path, place.offset, "the message's body is damaged");
}

/// The whole body, its checksum verified.
template <append_file File>
asio::awaitable<std::vector<std::byte>> read_body(File& file, begun_message begun, message_place const& place, body_compression const* how) {
    auto const header = begun.header;
    auto stored = co_await read_stored(file, std::move(begun), place, 0, header.stored_size);
    check_body(header, stored, place);
    if (!is_packed(header)) co_return stored;
    co_return unpacked(header, stored, place, how);
}

/// Bytes [begin, begin + size) of the message. Of one that is compressed all before them is read, too, a piece at a time.
template <append_file File>
asio::awaitable<std::vector<std::byte>> read_range(File& file, begun_message begun, message_place const& place,
                                                   std::uint64_t begin, std::uint64_t size, body_compression const* how) {
    if (!is_packed(begun.header)) co_return co_await read_stored(file, std::move(begun), place, begin, size);
    auto const header = begun.header;
    begin = std::min<std::uint64_t>(begin, header.size);
    unpacked_range<> range(header, place, begin, std::min<std::uint64_t>(size, header.size - begin), how);
    auto had = begun.head.size();
    range.take(begun.head);
    while (!range.is_whole()) {
        auto const more = std::min<std::uint64_t>(header.stored_size - had, unpack_piece_size);
        auto const piece = co_await read_up_to(file, place.offset + sizeof header + had, more);
        if (piece.size() < more) throw error(errc::body_missing, place.path, place.offset, "the file ends within the message");
        if (piece.empty()) range.fail();
        had += piece.size();
        range.take(piece);
    }
    co_return range.bytes();
}

/// Bytes of body to read along with a header.
inline std::uint64_t read_ahead(std::uint64_t hint) noexcept {
    return std::min(hint == size_unknown ? dbox_read_ahead_default : hint, dbox_read_ahead_max);
}
/// The same for a part, whose bytes may be a little longer when they are compressed; a part that begins far in is read by a call of its own.
inline std::uint64_t read_ahead(std::uint64_t begin, std::uint64_t size, body_compression const* how) noexcept {
    return begin <= dbox_read_ahead_max && size <= dbox_read_ahead_max - begin ? begin + size + (how == nullptr ? 0 : packing_overhead_max) : 0;
}

}  // namespace mailfs::detail
