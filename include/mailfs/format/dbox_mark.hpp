// SPDX-License-Identifier: BSL-1.0
// The bytes of a mark: what a look at an account found that nothing refers to. The whole story: docs/formats/dbox.md
//
// Pure functions over spans. No decoder reads beyond its span, throws on bytes or asserts on them.
#pragma once

#include <mailfs/format/crc32c.hpp>
#include <mailfs/format/dbox_message.hpp>
#include <mailfs/format/endian.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/guid.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <vector>

namespace mailfs {

inline constexpr std::uint16_t dbox_mark_major = 1;
inline constexpr std::size_t dbox_mark_files_max = std::size_t{1} << 20;  ///< what is found beyond that waits for a later mark
inline constexpr std::size_t dbox_mark_mailboxes_max = std::size_t{1} << 16;

/// A mail file of which something can be given back, or whose mail is compressed.
struct marked_file {
    std::uint64_t number = 0;  ///< mail_file::number
    std::uint64_t size = 0;    ///< bytes, when it was looked at
    std::uint64_t live = 0;    ///< of those: bytes of messages that a mailbox refers to, about so many where it is compressed; 0: the file can go
    std::uint64_t whole = 0;   ///< bytes that all its messages would take if none were compressed; 0: not known
    friend bool operator==(marked_file const&, marked_file const&) = default;
};

struct dbox_mark {
    std::uint64_t taken_ms = 0;    ///< when the look was over: milliseconds since 1970
    guid account;                  ///< the object of the account's mailbox tree
    std::vector<marked_file> files;
    std::vector<guid> mailboxes;   ///< directories of mailboxes that no tree names
    friend bool operator==(dbox_mark const&, dbox_mark const&) = default;
};

struct dbox_mark_header {
    std::array<unsigned char, 8> magic;  // 89 "mmark" 0d 0a
    le16 major;                          // a reader refuses a greater one
    le16 minor;                          // a reader goes on with any
    le32 file_count;
    le32 mailbox_count;
    le32 reserved_a;                     // 0
    le64 taken_ms;
    std::array<unsigned char, 16> account;
    std::array<unsigned char, 12> reserved;  // 0
    le32 checksum;                       // CRC-32C of the 60 bytes before, then of all behind
};
static_assert(sizeof(dbox_mark_header) == 64);
static_assert(std::has_unique_object_representations_v<dbox_mark_header>);

struct dbox_mark_entry {
    le64 number, size, live, whole;
};
static_assert(sizeof(dbox_mark_entry) == 32);

namespace detail {
inline constexpr std::array<unsigned char, 8> dbox_mark_magic{0x89, 'm', 'm', 'a', 'r', 'k', 0x0d, 0x0a};
inline std::uint32_t dbox_mark_checksum(bytes_view all) noexcept {
    return crc32c(all.subspan(sizeof(dbox_mark_header)), crc32c(all.first(sizeof(dbox_mark_header) - sizeof(le32))));
}
}  // namespace detail

/// `mark` is within the bounds above.
inline std::vector<std::byte> encode(dbox_mark const& mark) {
    dbox_mark_header h{};
    h.magic = detail::dbox_mark_magic;
    h.major = dbox_mark_major;
    h.file_count = static_cast<std::uint32_t>(mark.files.size());
    h.mailbox_count = static_cast<std::uint32_t>(mark.mailboxes.size());
    h.taken_ms = mark.taken_ms;
    h.account = mark.account.octets;
    std::vector<std::byte> bytes;
    bytes.reserve(sizeof h + mark.files.size() * sizeof(dbox_mark_entry) + mark.mailboxes.size() * sizeof(guid));
    auto const put = [&](bytes_view more) { bytes.insert(bytes.end(), more.begin(), more.end()); };
    put(detail::object_bytes(h));
    for (auto const& f : mark.files) put(detail::object_bytes(dbox_mark_entry{f.number, f.size, f.live, f.whole}));
    for (auto const& id : mark.mailboxes) put(detail::object_bytes(id.octets));
    h.checksum = detail::dbox_mark_checksum(bytes);
    auto const sealed = detail::object_bytes(h);
    std::copy(sealed.begin(), sealed.end(), bytes.begin());
    return bytes;
}

/// On a fault `into` is unspecified. Takes memory for what the bytes hold, never for what they claim.
inline std::optional<dbox_fault> decode(bytes_view bytes, dbox_mark& into) {
    if (bytes.size() < sizeof(dbox_mark_header)) return dbox_fault{errc::corrupt, "the mark ends within its header"};
    auto const h = detail::object_at<dbox_mark_header>(bytes);
    if (h.magic != detail::dbox_mark_magic) return dbox_fault{errc::corrupt, "not a mark"};
    if (h.major > dbox_mark_major) return dbox_fault{errc::newer_version, "a mark of a greater major version"};
    auto const size = sizeof h + std::uint64_t{h.file_count} * sizeof(dbox_mark_entry) + std::uint64_t{h.mailbox_count} * sizeof(guid);
    bool const fits = h.file_count <= dbox_mark_files_max && h.mailbox_count <= dbox_mark_mailboxes_max && bytes.size() == size;
    if (!fits || h.checksum != detail::dbox_mark_checksum(bytes)) return dbox_fault{errc::corrupt, "the mark is damaged"};
    into = {h.taken_ms, guid{h.account}, {}, {}};
    auto rest = bytes.subspan(sizeof h);
    for (auto n = std::uint32_t{h.file_count}; n > 0; --n, rest = rest.subspan(sizeof(dbox_mark_entry))) {
        auto const e = detail::object_at<dbox_mark_entry>(rest);
        into.files.push_back({e.number, e.size, e.live, e.whole});
    }
    for (; !rest.empty(); rest = rest.subspan(sizeof(guid)))
        into.mailboxes.push_back(guid{detail::object_at<std::array<unsigned char, 16>>(rest)});
    return std::nullopt;
}

}  // namespace mailfs
