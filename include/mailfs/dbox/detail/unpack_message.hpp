// SPDX-License-Identifier: BSL-1.0
// Takes a message out of its compressed form.
#pragma once

#include <mailfs/dbox/body_compression.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/dbox_message.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// What is wanted, and where it should be. `path` is what errors name; it outlives the read.
struct message_place {
    std::string const& path;
    std::uint64_t offset;  ///< of the message's header
    guid id;
};

/// Bytes that are read, and unpacked, at once.
inline constexpr std::uint64_t unpack_piece_size = std::uint64_t{128} << 10;
/// By so many bytes a part of a message may grow when it is compressed: what frames and blocks are told by.
inline constexpr std::uint64_t packing_overhead_max = 64;

inline bool is_packed(dbox_message_header const& header) noexcept {
    return header.compression != static_cast<unsigned char>(dbox_compression::none);
}

/// Throws not_supported.
inline void check_unpackable(dbox_message_header const& header, message_place const& place, body_compression const* how) {
    if (!is_packed(header) || (how != nullptr && static_cast<unsigned char>(how->kind()) == header.compression)) return;
    throw error(errc::not_supported, place.path, place.offset, "the body is compressed, and dbox_options::compression cannot read that");
}
/// The same, and of the first stored bytes. A message that is merely not to be read here may not be taken for lost.
inline void check_unpackable(dbox_message_header const& header, bytes_view stored, message_place const& place, body_compression const* how) {
    check_unpackable(header, place, how);
    if (is_packed(header) && !how->reads(stored))
        throw error(errc::not_supported, place.path, place.offset, "the body is compressed with a dictionary that was not given");
}
inline std::unique_ptr<body_unpacker> unpacker_for(dbox_message_header const& header, message_place const& place, body_compression const* how) {
    check_unpackable(header, place, how);
    return how->unpacker();
}

/// Bytes [begin, begin + size) of a message, out of stored bytes that come one piece after the other. A template so that it costs only who
/// uses it (docs/decisions/compile-cost.md).
template <class = void>
class unpacked_range {
public:
    /// Both within the message. Throws not_supported.
    unpacked_range(dbox_message_header const& header, message_place const& place, std::uint64_t begin, std::uint64_t size, body_compression const* how)
        : place_(place),
          unpacker_(unpacker_for(header, place, how)),
          wanted_(size),
          skip_(size == 0 ? 0 : begin),
          passed_(std::min(skip_, unpack_piece_size)) {}

    bool is_whole() const noexcept { return skip_ == 0 && filled_ == wanted_; }
    /// The stored bytes behind those that were given before. Throws corrupt. Answers how many are left when it is whole.
    std::size_t take(bytes_view stored) {
        while (!is_whole()) {
            if (skip_ == 0 && filled_ == bytes_.size()) bytes_.resize(std::min(wanted_, std::max(2 * filled_, unchecked_size_max)));
            auto room = skip_ > 0 ? std::span(passed_).first(std::min<std::uint64_t>(skip_, passed_.size())) : std::span(bytes_).subspan(filled_);
            auto const wanted = room.size();
            if (auto const fault = unpacker_->unpack(stored, room)) throw error(fault->code, place_.path, place_.offset, fault->why);
            auto const made = wanted - room.size();
            if (made == 0) break;
            if (skip_ > 0) skip_ -= made;
            else filled_ += made;
        }
        return stored.size();
    }
    [[noreturn]] void fail() const { throw error(errc::corrupt, place_.path, place_.offset, "the compressed body is not as long as its header tells"); }
    std::vector<std::byte> bytes() { return std::move(bytes_); }

private:
    // Memory follows what there is, not what a header tells: it doubles from here on.
    static constexpr std::uint64_t unchecked_size_max = std::uint64_t{1} << 20;

    message_place place_;
    std::unique_ptr<body_unpacker> unpacker_;
    std::uint64_t wanted_;
    std::uint64_t skip_;             // bytes that are not wanted, up to the first that is
    std::vector<std::byte> passed_;  // where they go
    std::vector<std::byte> bytes_;
    std::uint64_t filled_ = 0;
};

/// The message, out of all of its stored bytes, whose checksum was right. Throws not_supported, corrupt.
template <class = void>
std::vector<std::byte> unpacked(dbox_message_header const& header, bytes_view stored, message_place const& place, body_compression const* how) {
    unpacked_range<> all(header, place, 0, header.size, how);
    auto const left = all.take(stored);
    if (!all.is_whole() || left > 0) all.fail();
    return all.bytes();
}

}  // namespace mailfs::detail
