// SPDX-License-Identifier: BSL-1.0
// The columns of a mailbox snapshot that may be damaged or cut: what can be read of them, and whether it is vouched for.
#pragma once

#include <mailfs/format/snapshot.hpp>
#include <mailfs/types/bytes.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace mailfsctl {

struct damaged_block {
    mailfs::format::column_id column;
    std::uint64_t first, last;  // offsets in the file
    bool absent;                // the file ends before it
};

/// Never reads beyond the file, whatever its header and table say.
class lenient_columns {
public:
    /// `file` begins with a snapshot header, and outlives this.
    explicit lenient_columns(mailfs::bytes_view file)
        : file_(file), header_(mailfs::format::load<mailfs::format::snapshot_header>(file)) {
        auto const count = std::min<std::size_t>(header_.column_count, mailfs::format::snapshot_columns_max);
        checksums_at_ = sizeof header_ + count * sizeof(mailfs::format::snapshot_column);
        for (std::size_t i = 0;
             i < count && sizeof header_ + (i + 1) * sizeof(mailfs::format::snapshot_column) <= file.size(); ++i)
            add(mailfs::format::load<mailfs::format::snapshot_column>(
                file.subspan(sizeof header_ + i * sizeof(mailfs::format::snapshot_column))));
    }

    mailfs::format::snapshot_header const& header() const noexcept { return header_; }
    /// The table of columns and the checksums of their blocks are as they were written.
    bool table_is_sound() const noexcept {
        std::uint64_t blocks = 0;
        for (auto const& c : columns_) blocks += c.entry.block_count;
        auto const end = checksums_at_ + blocks * sizeof(mailfs::le32);
        if (columns_.size() != header_.column_count || end > file_.size() || end < checksums_at_) return false;
        auto const table = file_.subspan(sizeof header_, static_cast<std::size_t>(end) - sizeof header_);
        return mailfs::crc32c(table) == header_.table_checksum;
    }
    std::vector<mailfs::format::snapshot_column> entries() const {
        std::vector<mailfs::format::snapshot_column> out;
        for (auto const& c : columns_) out.push_back(c.entry);
        return out;
    }
    std::vector<damaged_block> const& damage() const noexcept { return damage_; }

    /// Rows that at least one of the row columns has in the file.
    std::uint64_t rows() const noexcept {
        std::uint64_t rows = 0;
        for (auto const& c : columns_)
            if (c.entry.id <= static_cast<std::uint32_t>(mailfs::format::column_id::dot)) rows = std::max(rows, c.there);
        return rows;
    }

    template <class T>
    struct value {
        T what;
        bool sound;
    };
    template <class T>
    std::optional<value<T>> get(mailfs::format::column_id id, std::uint64_t row) const {
        auto const* c = find(id);
        if (c == nullptr || c->entry.element_size != sizeof(T) || row >= c->there) return std::nullopt;
        auto const at = c->entry.offset + row * sizeof(T);
        return value<T>{mailfs::format::load<T>(file_.subspan(at, sizeof(T))),
                        c->sound[row / mailfs::format::block_elements(sizeof(T))]};
    }
    /// A column of bytes, as far as it is there and vouched for.
    mailfs::bytes_view bytes(mailfs::format::column_id id) const {
        auto const* c = find(id);
        if (c == nullptr || c->entry.element_size != 1) return {};
        bool const sound = std::all_of(c->sound.begin(), c->sound.end(), [](bool s) { return s; });
        return sound ? file_.subspan(c->entry.offset, c->there) : mailfs::bytes_view{};
    }
    /// Of an element, from the start of the file; 0 where the column is not there.
    std::uint64_t offset_of(mailfs::format::column_id id, std::uint64_t row) const noexcept {
        auto const* c = find(id);
        return c == nullptr ? 0 : c->entry.offset + row * c->entry.element_size;
    }
    std::uint64_t count(mailfs::format::column_id id) const noexcept {
        auto const* c = find(id);
        return c == nullptr ? 0 : c->there;
    }

private:
    struct column {
        mailfs::format::snapshot_column entry;
        std::uint64_t there = 0;  // elements that lie in the file
        std::vector<bool> sound;  // its blocks
    };

    column const* find(mailfs::format::column_id id) const noexcept {
        for (auto const& c : columns_)
            if (c.entry.id == static_cast<std::uint32_t>(id)) return &c;
        return nullptr;
    }
    void add(mailfs::format::snapshot_column const& entry) {
        column c{entry, 0, {}};
        std::size_t const size = entry.element_size;
        if (size > 0 && size <= mailfs::format::snapshot_block && entry.offset < file_.size())
            c.there = std::min<std::uint64_t>(entry.count, (file_.size() - entry.offset) / size);
        if (size > 0 && size <= mailfs::format::snapshot_block) check(c);
        columns_.push_back(std::move(c));
    }
    void check(column& c) {
        auto const id = static_cast<mailfs::format::column_id>(std::uint32_t{c.entry.id});
        std::size_t const size = c.entry.element_size, step = mailfs::format::block_elements(size);
        for (std::uint64_t row = 0, block = c.entry.first_block; row < c.there; row += step, ++block) {
            auto const rows = std::min<std::uint64_t>(step, c.entry.count - row);
            auto const at = c.entry.offset + row * size, end = at + rows * size;
            bool const whole = end <= file_.size();
            auto const checksum_at = checksums_at_ + block * sizeof(mailfs::le32);
            bool const told = checksum_at + sizeof(mailfs::le32) <= file_.size();
            bool const sound = whole && told &&
                               mailfs::crc32c(file_.subspan(at, rows * size)) ==
                                   mailfs::format::load<mailfs::le32>(file_.subspan(checksum_at));
            c.sound.push_back(sound);
            if (!sound) damage_.push_back({id, at, std::min<std::uint64_t>(end, file_.size()), false});
        }
        if (c.there < c.entry.count) damage_.push_back({id, c.entry.offset + c.there * size, file_.size(), true});
    }

    mailfs::bytes_view file_;
    mailfs::format::snapshot_header header_;
    std::uint64_t checksums_at_ = 0;
    std::vector<column> columns_;
    std::vector<damaged_block> damage_;
};

}  // namespace mailfsctl
