// SPDX-License-Identifier: BSL-1.0
// Frames: how messages follow one another on a link between two nodes. The whole story: docs/protocols/replication.md
#pragma once

#include <mailfs/error.hpp>
#include <mailfs/format/crc32c.hpp>
#include <mailfs/format/endian.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/format/peer_codec.hpp>
#include <mailfs/format/peer_message.hpp>
#include <mailfs/format/varint.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/lineage.hpp>

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::format {

inline constexpr std::uint16_t peer_version = 1;             ///< of the protocol, the only one there is
inline constexpr std::size_t peer_frame_size_max = 1U << 20; ///< bytes, all of it

struct peer_frame_header {
    le32 size;     // bytes behind this field
    std::uint8_t type = 0;
    std::uint8_t flags = 0;
    le16 version = peer_version;
    // varint channel, body, le32 CRC-32C of all before it
};
static_assert(sizeof(peer_frame_header) == 8 && alignof(peer_frame_header) == 1);
inline constexpr std::size_t peer_frame_size_min = sizeof(peer_frame_header) + 1 + sizeof(le32);

/// Bytes of operations, of a step's payload or of a piece of a snapshot that fit into a frame of their own, whatever
/// stands around them.
inline constexpr std::size_t peer_payload_max = peer_frame_size_max - 128;

/// A message, and the mailbox it is about: a number that the sender chose when it told the mailbox's name; 0: the link.
struct frame {
    std::uint64_t channel = 0;
    peer_message message;
    friend bool operator==(frame const&, frame const&) = default;
};

/// Bytes that encode_frame appends.
inline std::size_t frame_size(std::uint64_t channel, peer_message const& m) {
    return sizeof(peer_frame_header) + varint_size(channel) + body_size(m) + sizeof(le32);
}

/// How many of the steps, from the first on, fit into one push. 0: not even the first does, or there is none.
inline std::size_t steps_that_fit(std::span<stream_step const> steps) noexcept {
    constexpr std::size_t around = 64, each = 48;  // more than the fields beside the payloads can take
    std::size_t size = around, count = 0;
    for (auto const& s : steps) {
        size += s.payload.size() < peer_frame_size_max ? each + s.payload.size() : peer_frame_size_max;
        if (size > peer_frame_size_max || count == push_steps_max) break;
        ++count;
    }
    return count;
}

namespace detail {
inline bool has_room(peer_message const& m) noexcept {
    if (auto const* open = std::get_if<peer_open>(&m)) return open->name.size() <= peer_name_size_max && open->lineage.size() <= lineage_max;
    if (auto const* push = std::get_if<peer_push>(&m)) return push->steps.size() <= push_steps_max;
    if (auto const* bodies = std::get_if<peer_bodies>(&m)) return bodies->name.size() <= peer_name_size_max;
    if (auto const* body = std::get_if<peer_body>(&m)) return body->bytes.size() <= body_piece_size_max;
    if (auto const* progress = std::get_if<peer_progress>(&m)) return progress->nodes.size() <= peer_progress_nodes_max;
    return true;
}
}  // namespace detail

/// Appends one frame. Throws too_big, with nothing appended, when the message is beyond a limit: the caller splits it.
/// `channel` is 0 for what is about the link, and for nothing else.
inline void encode_frame(std::vector<std::byte>& out, std::uint64_t channel, peer_message const& m) {
    auto const type = type_of(m);
    assert(is_of_link(type) == (channel == 0));
    auto const size = frame_size(channel, m);
    if (size > peer_frame_size_max || !detail::has_room(m)) throw error(errc::too_big, "a message for other nodes", "does not fit into a frame");
    auto const begin = out.size();
    out.resize(begin + size);
    peer_frame_header h;
    h.size = static_cast<std::uint32_t>(size - sizeof h.size);
    h.type = static_cast<std::uint8_t>(type);
    h.flags = flags_of(m);
    auto* const at = out.data() + begin;
    std::memcpy(at, &h, sizeof h);
    detail::byte_sink sink(at + sizeof h);
    sink.varint(channel);
    auto* const end = encode_body(sink.at(), m);
    assert(end + sizeof(le32) == out.data() + out.size());
    le32 const checksum = crc32c({at, size - sizeof checksum});
    std::memcpy(end, &checksum, sizeof checksum);
}

/// Makes frames of bytes as they come. Holds no more than what it was fed and has not given back as frames: who calls
/// next() until there is nothing keeps it below one frame and one piece. After it threw, the stream is over.
class frame_reader {
public:
    /// `peer` is named in errors.
    explicit frame_reader(std::string peer) : peer_(std::move(peer)) {}

    void feed(bytes_view bytes) {
        if (begin_ == buffer_.size() || begin_ > keep_max) {
            buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(begin_));
            begin_ = 0;
            if (buffer_.empty() && buffer_.capacity() > keep_max) std::vector<std::byte>().swap(buffer_);
        }
        buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    }

    /// The next whole frame, past those that may be skipped. Throws corrupt or newer_version, with the peer and the offset
    /// in the stream where the frame begins.
    std::optional<frame> next() {
        for (;;) {
            auto const rest = bytes_view(buffer_).subspan(begin_);
            auto const size = size_of_first(rest);
            if (size == 0) return std::nullopt;
            auto const bytes = rest.first(size);
            if (load<le32>(bytes.last(sizeof(le32))) != crc32c(bytes.first(size - sizeof(le32)))) fail(errc::corrupt, "a frame with a wrong checksum");
            auto decoded = decode(bytes);
            begin_ += size;
            offset_ += size;
            if (decoded) return decoded;
        }
    }

    std::uint64_t offset() const noexcept { return offset_; }         ///< in the stream, behind the last frame
    std::size_t pending() const noexcept { return buffer_.size() - begin_; }  ///< bytes of what is no whole frame yet
    std::string const& peer() const noexcept { return peer_; }
    void rename(std::string peer) { peer_ = std::move(peer); }

private:
    static constexpr std::size_t keep_max = 64U << 10;

    [[noreturn]] void fail(errc e, char const* why) const { throw error(e, peer_, offset_, why); }

    // 0: not all of it is here.
    std::size_t size_of_first(bytes_view rest) const {
        if (rest.size() < sizeof(le32)) return 0;
        auto const size = std::size_t{load<le32>(rest)} + sizeof(le32);
        if (size < peer_frame_size_min || size > peer_frame_size_max) fail(errc::corrupt, "a frame of a size that cannot be");
        return size <= rest.size() ? size : 0;
    }
    std::optional<frame> decode(bytes_view bytes) const {
        auto const h = load<peer_frame_header>(bytes);
        if (h.type == 0) fail(errc::corrupt, "a frame of no type");
        if (h.type > peer_type_last) {
            if ((h.flags & peer_may_skip) != 0) return std::nullopt;
            fail(errc::newer_version, "a frame of a type that is not known here");
        }
        if (h.version > peer_version) fail(errc::newer_version, "a frame of a version that is not known here");
        if (h.version == 0) fail(errc::corrupt, "a frame of no version");
        auto const type = static_cast<peer_type>(h.type);
        detail::field_reader in(bytes.subspan(sizeof h, bytes.size() - sizeof h - sizeof(le32)));
        auto const channel = in.varint();
        if (in.ok() && is_of_link(type) != (channel == 0)) in.refuse("a channel that such a message cannot have");
        if (!in.ok()) fail(errc::corrupt, in.why());
        char const* why = nullptr;
        auto m = decode_body(type, h.flags, in.rest(), why);
        if (!m) fail(errc::corrupt, why);
        return frame{channel, std::move(*m)};
    }

    std::string peer_;
    std::vector<std::byte> buffer_;
    std::size_t begin_ = 0;
    std::uint64_t offset_ = 0;
};

}  // namespace mailfs::format
