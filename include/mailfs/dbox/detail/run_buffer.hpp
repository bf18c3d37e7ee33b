// SPDX-License-Identifier: BSL-1.0
// The bytes of messages that one call reads.
#pragma once

#include <mailfs/dbox/detail/read_buffers.hpp>
#include <mailfs/dbox/detail/unpack_message.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/format/dbox_message.hpp>
#include <mailfs/types/shared_bytes.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace mailfs::detail {

/// Bytes of one read: what the processor's cache holds while checksums are computed.
inline constexpr std::uint64_t read_run_size_max = std::uint64_t{256} << 10;
/// Bytes that are read for nothing rather than with a call of their own.
inline constexpr std::uint64_t read_gap_max = std::uint64_t{4} << 10;

/// From the first message's header to the end of the last one's body.
class run_buffer {
public:
    /// Offsets ascend, and span read_run_size_max at most.
    explicit run_buffer(std::span<mail_to_read const> run)
        : begin_(run.front().where.offset),
          size_(run.back().where.offset - begin_ + sizeof(dbox_message_header) + std::min(run.back().size, read_run_size_max)),
          bytes_(read_buffers<>::take(size_)) {}

    std::span<std::byte> room() const noexcept { return {bytes_.get(), size_}; }

    /// The message's body, if it is whole and sound in the first `got` bytes. Throws not_supported, corrupt where it cannot be unpacked.
    template <class = void>
    std::optional<shared_bytes> find(mail_to_read const& mail, std::size_t got, std::optional<std::uint64_t> nonce, std::string const& path,
                                     body_compression const* how) const {
        auto const at = mail.where.offset - begin_;
        if (at >= got) return std::nullopt;
        auto const bytes = bytes_view(bytes_.get(), got).subspan(at);
        dbox_message_header header;
        if (decode(bytes, nonce, header) || check_is_message(header, mail.id)) return std::nullopt;
        if (header.stored_size > bytes.size() - sizeof header) return std::nullopt;
        auto const body = bytes.subspan(sizeof header, header.stored_size);
        if (dbox_body_checksum(header, body) != header.body_checksum) return std::nullopt;
        if (is_packed(header)) return shared_bytes(unpacked(header, body, message_place{path, mail.where.offset, mail.id}, how));
        return shared_bytes(bytes_, body);
    }

private:
    std::uint64_t begin_;
    std::size_t size_;
    std::shared_ptr<std::byte[]> bytes_;
};

}  // namespace mailfs::detail
