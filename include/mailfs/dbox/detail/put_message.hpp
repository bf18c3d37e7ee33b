// SPDX-License-Identifier: BSL-1.0
// What the writers of both formats share.
#pragma once

#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/dbox_message.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace mailfs::detail {

inline void put(std::vector<std::byte>& bytes, bytes_view more) { bytes.insert(bytes.end(), more.begin(), more.end()); }

/// Aligns, and ends the message that `header` begins.
inline void put_trailer(std::vector<std::byte>& bytes, dbox_message_header const& header) {
    bytes.insert(bytes.end(), dbox_padding(header.stored_size), std::byte{0});
    put(bytes, as_bytes(make_dbox_trailer(header)));
}

inline void check_size(mail_to_write const& mail, dbox_options const& options, std::string const& directory) {
    if (mail.bytes.size() <= std::min(options.message_size_max, dbox_stored_size_max)) return;
    throw error(errc::too_big, directory,
                "a message of " + std::to_string(mail.bytes.size()) + " bytes, where " +
                    std::to_string(options.message_size_max) + " are allowed");
}

/// A body as it goes into a file. What `body` spans are the mail's bytes, or `own`.
struct packed_body {
    std::vector<std::byte> own;
    dbox_body body;
};
template <class = void>
packed_body packed(mail_to_write const& mail, dbox_options const& options) {
    packed_body p{{}, {mail.bytes, mail.bytes.size()}};
    if (options.compression == nullptr || !mail.compress.value_or(options.compression->packs())) return p;
    p.own = options.compression->pack(mail.bytes);
    if (!p.own.empty() && p.own.size() < mail.bytes.size()) p.body = {p.own, mail.bytes.size(), options.compression->kind()};
    return p;
}
/// What who reads a file with this body in it must know.
inline std::uint32_t features_of(dbox_body const& body) noexcept {
    return body.compression != dbox_compression::none ? dbox_feature_compression : 0;
}

inline std::uint64_t written_ms(mail_to_write const& mail, std::uint64_t now_ms) noexcept {
    return mail.written_ms == 0 ? now_ms : mail.written_ms;
}

/// A whole file with that one message.
template <class = void>
std::vector<std::byte> file_of_one(std::uint64_t file_id, std::uint64_t nonce, std::uint64_t now_ms, mail_to_write const& mail, packed_body const& packed) {
    std::vector<std::byte> bytes;
    bytes.reserve(sizeof(dbox_file_header) + dbox_extent(packed.body.stored.size()));
    put(bytes, as_bytes(make_dbox_file_header(file_id, nonce, now_ms, features_of(packed.body))));
    auto const header = make_dbox_message_header(nonce, mail.id, mail.received_ms, mail.mailbox, written_ms(mail, now_ms), packed.body);
    put(bytes, as_bytes(header));
    put(bytes, packed.body.stored);
    put_trailer(bytes, header);
    return bytes;
}

/// Unpredictable, so that no one can mail us the header of a message.
template <host Host>
std::uint64_t new_nonce(Host& from) {
    auto const nonce = from.random();
    return is_dbox_nonce(nonce) ? nonce : nonce ^ 1;
}

}  // namespace mailfs::detail
