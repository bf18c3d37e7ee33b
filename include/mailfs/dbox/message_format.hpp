// SPDX-License-Identifier: BSL-1.0
// The message_format concept: how mail bodies lie in files.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/body_compression.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/host/host.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/durability.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/mail_location.hpp>
#include <mailfs/types/shared_bytes.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace mailfs {

/// One body on its way to disk. `bytes` must stay until write() has returned.
struct mail_to_write {
    guid id;                    ///< new and unique; what reading is checked against
    std::uint64_t received_ms;  ///< milliseconds since 1970
    bytes_view bytes;           ///< as received, of any content
    guid mailbox{};             ///< where it is delivered to: a hint for rebuilding a lost index. 0: not told
    std::uint64_t written_ms = 0;  ///< when it was first written, for one that moves to another file; 0: now
    std::optional<bool> compress{};  ///< whatever dbox_options::compression says of new mail: for one that moves. It must be there where it is true
};

/// One of several messages that are read together.
struct mail_to_read {
    guid id;
    mail_location where;
    std::uint64_t size;  ///< of the message, as its row tells: a hint
};
/// What came of it: the bytes, checked as read() does, or why there are none.
struct mail_bytes {
    shared_bytes bytes;
    std::exception_ptr failure;
};

/// One file that a mail format has written.
struct mail_file {
    std::string path;
    std::uint64_t number;  ///< names the file in its directory: see message_format's file_number()
    friend bool operator==(mail_file const&, mail_file const&) = default;
};

struct byte_range {
    std::uint64_t offset;
    std::uint64_t size;
    friend bool operator==(byte_range const&, byte_range const&) = default;
};

/// A message that was found in a file.
struct stored_mail {
    guid id;
    mail_location where;
    std::uint64_t extent;       ///< bytes that it takes in the file
    std::uint64_t size;         ///< RFC822.SIZE
    std::uint64_t received_ms;
    std::uint64_t written_ms;   ///< by the clock of the host that wrote it; 0: not told
    guid mailbox;               ///< where it was delivered to first; 0: not told
    bool sound;                 ///< read(id, where) yields it; else its header alone is sound
    bool compressed = false;
    friend bool operator==(stored_mail const&, stored_mail const&) = default;
};

/// All that is left of a file.
struct mail_file_contents {
    std::uint64_t size = 0;        ///< bytes
    std::uint64_t created_ms = 0;  ///< 0 where the file's header is damaged
    std::vector<stored_mail> mails;   ///< in file order
    std::vector<byte_range> damage;   ///< what belongs to no message that was found
};

struct dbox_options {
    std::uint64_t file_size_max = std::uint64_t{8} << 20;       ///< a multi_dbox file longer than this gets no more messages
    std::uint64_t message_size_max = std::uint64_t{256} << 20;  ///< a longer message is refused: errc::too_big
    std::uint64_t append_size_max = std::uint64_t{1} << 20;     ///< bytes gathered in memory for one append
    std::uint64_t idle_ms_max = 1'800'000;                      ///< a multi_dbox file that got nothing for so long gets no more: who
                                                                ///< purges may take it for one that nobody writes to
    std::uint64_t shared_size_min = std::uint64_t{64} << 10;    ///< a body delivered to several accounts that is as long is stored once,
                                                                ///< where a file of its own is not the rule (multi_dbox)
    std::size_t open_files_max = 16;                            ///< files that multi_dbox keeps open for reading
    std::shared_ptr<body_compression const> compression{};      ///< see dbox/zstd.hpp; null: bodies stay as they are, and those that
                                                                ///< were compressed cannot be read: errc::not_supported
};

/// No size hint: a first read takes dbox_read_ahead_default bytes.
inline constexpr std::uint64_t size_unknown = ~std::uint64_t{0};
inline constexpr std::uint64_t dbox_read_ahead_default = std::uint64_t{16} << 10;
/// No hint makes a first read longer than this: memory follows the file's true size, never a number alone.
inline constexpr std::uint64_t dbox_read_ahead_max = std::uint64_t{256} << 10;

namespace detail {
template <class M>
concept made_alone = std::constructible_from<M, typename M::fs_type, std::string, typename M::host_type, dbox_options>;
/// By one whose bodies other nodes keep, too.
template <class M>
concept made_among_nodes =
    std::constructible_from<M, typename M::fs_type, std::string, typename M::host_type, dbox_options, typename M::set_type&>;
template <class M>
concept can_be_made = made_alone<M> || made_among_nodes<M>;
}  // namespace detail

/// An object belongs to one executor; several calls may be under way at once; it must not be moved or destroyed meanwhile.
/// All calls throw mailfs::error, which names file and offset.
template <class M>
concept message_format =
    std::movable<M> && filesystem<typename M::fs_type> && host<typename M::host_type> && detail::can_be_made<M> &&
    requires(M m, std::span<mail_to_write const> mails, durability d, guid id, mail_location at, std::uint64_t number,
             mail_file file) {
        // Where each mail stands, in order. `stored`: all are on stable storage before it returns. On an error none
        // counts as written (bytes may lie orphaned), and the next call works if the cause is gone. Throws too_big,
        // no_space, io, ...
        { m.write(mails, d) } -> awaitable_of<std::vector<mail_location>>;
        // The very message, checked by guid and checksum. Throws body_missing: the file or the bytes are not there;
        // corrupt: they are damaged, or another message's; newer_version: by a later mailfs.
        { m.read(id, at) } -> awaitable_of<std::vector<std::byte>>;
        // The same; one read call where the hint (the message's size) is right and not above dbox_read_ahead_max.
        { m.read(id, at, number) } -> awaitable_of<std::vector<std::byte>>;
        // Bytes from an offset within the message on, fewer at its end. Its header is checked, its bytes are not.
        { m.read_part(id, at, number, number) } -> awaitable_of<std::vector<std::byte>>;

        // What the message's header says of it; its bytes are neither read nor checked (`sound` is true). Throws as read.
        { m.look(id, at) } -> awaitable_of<stored_mail>;

        // Scanning, for who purges, verifies or rebuilds: what is there whatever an index says.
        // All files, ascending by number; other names are passed by. Files that come or go meanwhile may be in it or not.
        { m.files() } -> awaitable_of<std::vector<mail_file>>;
        // Everything that is left of a file, checksums verified. Reads all of it, and holds it meanwhile. Throws
        // not_found: it went; newer_version; too_big: longer than a file of this format can be.
        { m.scan(file) } -> awaitable_of<mail_file_contents>;
        // The number of the file in which a message stands; equal for all messages of one file. Two files may have one
        // number by chance (as likely as two equal 64-bit words): who removes must take both for one.
        { m.file_number(id, at) } -> std::same_as<std::uint64_t>;
        // Removes a file for good, for who knows that no index refers to it; false: it was not there. Who has it open
        // reads on.
        { m.remove(file) } -> awaitable_of<bool>;
        // Whether several messages share a file, so that moving some gives the space of others back.
        requires std::same_as<decltype(M::shares_files), bool const>;
    };

/// A format in which one body may lie in several directories, and takes its space once. On a linking_filesystem.
template <class M>
concept sharing_format = message_format<M> && requires(M m, mail_to_write const& mail, guid id, mail_location at, durability d) {
    // As write(), into a file of its own, which gets nothing else. Its `mailbox` hint should be 0, for it is one of many's.
    { m.write_apart(mail, d) } -> awaitable_of<mail_location>;
    // The message that `m`, over another directory of the same filesystem, wrote apart and as durable as `d` is, is at the same
    // place here, too. false: nothing was done, and who asked writes it anew. What removes it in one directory leaves the others'.
    { m.share(m, id, at, d) } -> awaitable_of<bool>;
};

/// A format in which messages that lie one behind the other are read by one call.
template <class M>
concept run_format = message_format<M> && requires(M m, std::span<mail_to_read const> run, mail_to_read const& mail) {
    // Whether `next` comes along where one call reads from `first` to `last`.
    { M::reads_on(mail, mail, mail) } -> std::same_as<bool>;
    // Each of a run that reads_on() has joined, in order. What is wrong with one of them is told in it alone.
    { m.read_run(run) } -> awaitable_of<std::vector<mail_bytes>>;
};

}  // namespace mailfs
