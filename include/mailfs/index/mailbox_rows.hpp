// SPDX-License-Identifier: BSL-1.0
// The messages of a mailbox as columns: hot ones apart from cold ones, so that a scan of flags touches nothing else.
#pragma once

#include <mailfs/format/snapshot.hpp>
#include <mailfs/index/column.hpp>
#include <mailfs/index/row_columns.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/mail_location.hpp>
#include <mailfs/types/uid.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace mailfs {

/// One row in one piece; as it goes in.
struct mailbox_row {
    uid_t uid = 0;
    std::uint32_t flags = 0;
    modseq_t modseq = 0;
    std::uint32_t keyword_set = 0;
    std::uint32_t size = 0;
    std::uint64_t received_ms = 0;
    std::uint64_t saved_ms = 0;
    guid id;
    mail_location where;
    std::uint64_t cache = 0;
    message_dot dot;
};

struct mailbox_rows {
    column<uid_t> uid;
    column<std::uint8_t> flags;  // all there are have room: see mailbox_state
    column<modseq_t> modseq;
    column<std::uint32_t> keyword_set;
    column<std::uint32_t> size;
    time_column received;
    time_column saved;
    column<guid> id;
    based_column<location_split> where;
    cache_column cache;
    based_column<dot_split> dot;

    /// Calls f(column_id, column) for each that has an element for each row.
    template <class Self, class F>
    static void each(Self& self, F&& f) {
        using format::column_id;
        f(column_id::uid, self.uid);
        f(column_id::flags, self.flags);
        f(column_id::modseq, self.modseq);
        f(column_id::keyword_set, self.keyword_set);
        f(column_id::size, self.size);
        f(column_id::received, self.received.seconds);
        f(column_id::saved, self.saved.seconds);
        f(column_id::guid, self.id);
        f(column_id::location, self.where.rows);
        f(column_id::cache, self.cache.units);
        f(column_id::dot, self.dot.rows);
    }
    /// The same for the tables beside the rows.
    template <class Self, class F>
    static void each_table(Self& self, F&& f) {
        f(format::column_id::location_base, self.where.bases);
        f(format::column_id::dot_base, self.dot.bases);
    }

    std::size_t count() const noexcept { return uid.size(); }

    void push_back(mailbox_row const& r) {
        uid.push_back(r.uid);
        flags.push_back(static_cast<std::uint8_t>(r.flags));
        modseq.push_back(r.modseq);
        keyword_set.push_back(r.keyword_set);
        size.push_back(r.size);
        received.push_back(r.received_ms);
        saved.push_back(r.saved_ms);
        id.push_back(r.id);
        where.push_back(r.where);
        cache.push_back(r.cache);
        dot.push_back(r.dot);
    }
    mailbox_row get(std::size_t row) const {
        return {uid[row], flags[row], modseq[row], keyword_set[row], size[row], received[row],
                saved[row], id[row], where[row], cache[row], dot[row]};
    }

    /// The first row whose uid is not less; count() when there is none. O(log rows), and O(1) where no uid is missing
    /// between the first row and the one that is looked for.
    std::size_t lower_bound(uid_t wanted) const {
        if (count() == 0 || wanted <= uid[0]) return 0;
        auto const far = std::min<std::size_t>(count(), wanted - uid[0]);  // no row farther than that
        if (far < count() && uid[far] == wanted) return far;
        std::size_t first = 1;
        for (auto n = far - first; n > 0;) {
            auto const half = n / 2;
            if (uid[first + half] < wanted) {
                first += half + 1;
                n -= half + 1;
            } else {
                n = half;
            }
        }
        return first;
    }

    /// Whether compaction and the like can read all there is. O(1) per block that was not checked before.
    bool readable() const noexcept {
        bool all = true;
        auto const look = [&](format::column_id, auto const& c) { all = all && c.readable(); };
        each(*this, look);
        each_table(*this, look);
        return all;
    }

    static mailbox_rows map(format::snapshot_reader const& in, std::shared_ptr<snapshot_source> const& source) {
        mailbox_rows rows;
        each(rows, [&]<class T>(format::column_id which, column<T>& c) {
            auto const found = in.get(which, sizeof(T));
            if (found.bytes.size() / sizeof(T) != in.header().rows) in.fail(errc::corrupt, found.offset, "a column has not as many rows as the mailbox");
            c = column<T>(found, source);
        });
        each_table(rows, [&]<class T>(format::column_id which, column<T>& c) { c = column<T>(in.get(which, sizeof(T)), source); });
        rows.where.settle();
        rows.dot.settle();
        return rows;
    }
};

}  // namespace mailfs
