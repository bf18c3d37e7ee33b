// SPDX-License-Identifier: BSL-1.0
// The bytes of a mailbox snapshot: a header, a table of columns, their block checksums, the columns. docs/formats/snapshot.md
#pragma once

#include <mailfs/error.hpp>
#include <mailfs/format/crc32c.hpp>
#include <mailfs/format/endian.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/types/bytes.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs::format {

inline constexpr std::string_view snapshot_magic = "mfsIDX\r\n";
inline constexpr std::uint16_t snapshot_major = 1;
inline constexpr std::uint16_t snapshot_minor = 0;
inline constexpr std::uint64_t snapshot_feature_replicated = 2;  ///< several nodes share the mailbox: column `replication` is there
inline constexpr std::uint64_t snapshot_features_known = snapshot_feature_replicated;
inline constexpr std::size_t snapshot_block = 64U << 10;       ///< bytes under one checksum, at most
inline constexpr std::size_t snapshot_alignment = 64;          ///< of each column in the file
inline constexpr std::uint32_t snapshot_columns_max = 256;

struct snapshot_header {
    char magic[8] = {'m', 'f', 's', 'I', 'D', 'X', '\r', '\n'};
    le16 major = snapshot_major;
    le16 minor = snapshot_minor;
    le32 size = 192;  // of this header; the table follows
    std::uint8_t object[16]{};
    le64 file_size;
    le64 features_required;
    le64 features_optional;
    le64 rows;  // messages, in UID order
    le32 uid_validity;
    le32 uid_next;
    le64 unseen;
    le64 deleted;
    le64 bytes;
    le64 digest;
    le64 vanished_floor;  // modseq up to which the vanished list is not complete
    le32 column_count;
    le32 reserved;
    std::uint8_t reserved2[64]{};
    le32 table_checksum;  // CRC-32C of the table and the block checksums behind it
    le32 checksum;        // of all before it; at this place in every version, so that damage does not pass for a new one
};
static_assert(sizeof(snapshot_header) == 192 && offsetof(snapshot_header, checksum) == 188);
static_assert(std::has_unique_object_representations_v<snapshot_header>);

enum class column_id : std::uint32_t {
    uid = 1, flags = 2, modseq = 3, keyword_set = 4, size = 5, received = 6, saved = 7, guid = 8, location = 9, cache = 10, dot = 11,
    location_base = 12, dot_base = 13, vanished = 16, keywords = 17, keyword_sets = 18, stream = 19, metadata = 20,
    replication = 21,  // of a replicated stream alone
};

/// A location without its low 24 bits, which rows have.
struct location_base_layout {
    le64 file;
    le64 offset;
};
struct location_layout {
    le32 base;  // the how-manieth element of column location_base, from 0
    le24 offset;
};
/// A dot without the low 16 bits of its counter and the low 8 of its part, which rows have.
struct dot_base_layout {
    le32 node;
    le32 part;
    le64 incarnation;
    le64 counter;
};
struct dot_layout {
    le32 base;  // the how-manieth element of column dot_base, from 0
    std::uint8_t part = 0;
    le16 counter;
};
static_assert(sizeof(location_base_layout) == 16 && sizeof(location_layout) == 7 && sizeof(dot_base_layout) == 24 && sizeof(dot_layout) == 7);

struct snapshot_column {
    le32 id;
    le32 element_size;  // bytes
    le64 offset;        // in the file, a multiple of snapshot_alignment
    le64 count;         // elements
    le32 first_block;   // index of its first block checksum
    le32 block_count;
};
static_assert(sizeof(snapshot_column) == 32);

/// Elements in one block of a column: whole elements only.
constexpr std::size_t block_elements(std::size_t element_size) noexcept { return std::max<std::size_t>(1, snapshot_block / element_size); }

/// Puts a snapshot together; columns are copied in once, at the end.
class snapshot_writer {
public:
    /// The parts of a column, one behind the other; they must live until finish().
    void add(column_id id, std::size_t element_size, std::vector<bytes_view> parts) {
        columns_.push_back({id, element_size, std::move(parts)});
    }

    std::vector<std::byte> finish(snapshot_header h) const {
        std::vector<snapshot_column> table;
        std::uint32_t blocks = 0;
        for (auto const& c : columns_) {
            snapshot_column entry;
            entry.id = static_cast<std::uint32_t>(c.id);
            entry.element_size = static_cast<std::uint32_t>(c.element_size);
            entry.count = c.size() / c.element_size;
            entry.first_block = blocks;
            entry.block_count = static_cast<std::uint32_t>((entry.count + block_elements(c.element_size) - 1) / block_elements(c.element_size));
            blocks += entry.block_count;
            table.push_back(entry);
        }
        auto const table_end = sizeof h + table.size() * sizeof(snapshot_column) + blocks * sizeof(le32);
        auto at = table_end;
        for (std::size_t i = 0; i < table.size(); ++i) {
            at = (at + snapshot_alignment - 1) / snapshot_alignment * snapshot_alignment;
            table[i].offset = at;
            at += columns_[i].size();
        }
        std::vector<std::byte> out(at);
        h.file_size = at;
        h.column_count = static_cast<std::uint32_t>(table.size());
        auto* checksums = out.data() + sizeof h + table.size() * sizeof(snapshot_column);
        for (std::size_t i = 0; i < table.size(); ++i) {
            std::memcpy(out.data() + sizeof h + i * sizeof(snapshot_column), &table[i], sizeof(snapshot_column));
            checksums = columns_[i].write(std::span(out).subspan(table[i].offset, columns_[i].size()), checksums);
        }
        h.table_checksum = crc32c(bytes_view(out).subspan(sizeof h, table_end - sizeof h));
        h.checksum = header_checksum(h);
        std::memcpy(out.data(), &h, sizeof h);
        return out;
    }

    static std::uint32_t header_checksum(snapshot_header const& h) noexcept {
        return crc32c(view_of(h).first(offsetof(snapshot_header, checksum)));
    }

private:
    struct source {
        column_id id;
        std::size_t element_size;
        std::vector<bytes_view> parts;

        std::size_t size() const noexcept {
            std::size_t n = 0;
            for (auto p : parts) n += p.size();
            return n;
        }
        std::byte* write(std::span<std::byte> to, std::byte* checksums) const {
            auto* next = to.data();
            for (auto p : parts)
                if (!p.empty()) next = std::copy(p.begin(), p.end(), next);
            auto const step = block_elements(element_size) * element_size;
            for (std::size_t at = 0; at < to.size(); at += step, checksums += sizeof(le32)) {
                le32 const sum = crc32c(bytes_view(to).subspan(at, std::min(step, to.size() - at)));
                std::memcpy(checksums, &sum, sizeof sum);
            }
            return checksums;
        }
    };
    std::vector<source> columns_;
};

/// A snapshot whose head was checked: every column lies inside the file, and has its checksums.
class snapshot_reader {
public:
    struct found {
        std::span<std::byte> bytes;
        std::vector<std::uint32_t> checksums;
        std::uint64_t offset = 0;
        std::size_t element_size = 0;
    };

    /// Throws corrupt or newer_version, naming file and offset. Reads the head alone.
    snapshot_reader(std::span<std::byte> file, std::string_view name) : file_(file), name_(name) {
        if (file.size() < sizeof header_) fail(errc::corrupt, file.size(), "ends inside the snapshot header");
        header_ = load<snapshot_header>(file);
        if (std::memcmp(header_.magic, snapshot_magic.data(), sizeof header_.magic) != 0) fail(errc::corrupt, 0, "is not a mailfs snapshot");
        if (header_.checksum != snapshot_writer::header_checksum(header_)) fail(errc::corrupt, 0, "the snapshot header fails its checksum");
        if (header_.major > snapshot_major) fail(errc::newer_version, 8, "snapshot format " + std::to_string(header_.major));
        if ((header_.features_required & ~snapshot_features_known) != 0) fail(errc::newer_version, 40, "snapshot features that this version lacks");
        if (header_.size != sizeof header_ || header_.file_size != file.size() || header_.column_count > snapshot_columns_max)
            fail(errc::corrupt, 12, "the snapshot header contradicts the file's size");
        read_table();
    }

    snapshot_header const& header() const noexcept { return header_; }

    /// The column, which must have elements of this size; throws corrupt when it is not there.
    found get(column_id id, std::size_t element_size) const {
        for (std::size_t i = 0; i < table_.size(); ++i) {
            auto const& c = table_[i];
            if (c.id != static_cast<std::uint32_t>(id)) continue;
            if (c.element_size != element_size) fail(errc::corrupt, entry_offset(i), "a column has elements of another size");
            found f{file_.subspan(c.offset, c.count * c.element_size), {}, c.offset, element_size};
            for (std::uint32_t b = 0; b < c.block_count; ++b)
                f.checksums.push_back(load<le32>(bytes_view(file_).subspan(checksums_offset() + (std::size_t{c.first_block} + b) * sizeof(le32))));
            return f;
        }
        fail(errc::corrupt, sizeof header_, "the snapshot lacks column " + std::to_string(static_cast<std::uint32_t>(id)));
    }
    /// The same, all of it checked now: for what is small.
    bytes_view get_checked(column_id id) const {
        auto const f = get(id, 1);
        for (std::size_t b = 0; b < f.checksums.size(); ++b) {
            auto const at = b * snapshot_block;
            auto const block = bytes_view(f.bytes).subspan(at, std::min(snapshot_block, f.bytes.size() - at));
            if (crc32c(block) != f.checksums[b]) fail(errc::corrupt, f.offset + at, "a block of the snapshot fails its checksum");
        }
        return f.bytes;
    }

    [[noreturn]] void fail(errc e, std::uint64_t offset, std::string_view why) const { throw error(e, name_, offset, why); }

private:
    std::size_t entry_offset(std::size_t i) const noexcept { return sizeof header_ + i * sizeof(snapshot_column); }
    std::size_t checksums_offset() const noexcept { return entry_offset(header_.column_count); }

    void read_table() {
        auto const size = file_.size();
        if (checksums_offset() > size) fail(errc::corrupt, sizeof header_, "ends inside the table of columns");
        std::uint64_t blocks = 0, behind = checksums_offset();  // columns lie one behind the other
        for (std::size_t i = 0; i < header_.column_count; ++i) {
            auto const c = load<snapshot_column>(bytes_view(file_).subspan(entry_offset(i)));
            bool const sane = c.element_size > 0 && c.element_size <= snapshot_block && c.offset % snapshot_alignment == 0 && c.offset >= behind && c.offset <= size &&
                              c.count <= (size - c.offset) / c.element_size && c.first_block == blocks &&
                              c.block_count == (c.count + block_elements(c.element_size) - 1) / block_elements(c.element_size);
            if (!sane) fail(errc::corrupt, entry_offset(i), "a column does not lie where one can");
            blocks += c.block_count;
            behind = c.offset + c.count * c.element_size;
            table_.push_back(c);
        }
        auto const end = checksums_offset() + blocks * sizeof(le32);
        if (end > size || (!table_.empty() && end > table_.front().offset))
            fail(errc::corrupt, checksums_offset(), "the block checksums do not end before the first column");
        auto const table = bytes_view(file_).subspan(sizeof header_, static_cast<std::size_t>(end) - sizeof header_);
        if (crc32c(table) != header_.table_checksum) fail(errc::corrupt, sizeof header_, "the table of columns fails its checksum");
    }

    std::span<std::byte> file_;
    std::string name_;
    snapshot_header header_;
    std::vector<snapshot_column> table_;
};

}  // namespace mailfs::format
