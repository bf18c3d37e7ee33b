// SPDX-License-Identifier: BSL-1.0
// What the state of a mailbox that several nodes share has beside all others: ids in reserve, and who changed what last.
#pragma once

#include <mailfs/format/byte_reader.hpp>
#include <mailfs/format/delivery_codec.hpp>
#include <mailfs/format/endian.hpp>
#include <mailfs/format/flag_register.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/format/stream_codec.hpp>
#include <mailfs/index/flag_registers.hpp>
#include <mailfs/index/known_deliveries.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/flag_register.hpp>
#include <mailfs/types/stamp.hpp>
#include <mailfs/types/uid.hpp>
#include <mailfs/types/uid_blocks.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs {

struct mailbox_replication {
    static constexpr std::size_t marks_max = 4096;  ///< metadata entries whose last change is told; the oldest go first

    using mark_map = std::map<std::string, register_mark, std::less<>>;

    uid_block ids;         ///< reserved, and not given out yet
    position settled;      ///< changes up to here have reached every node, and their marks are forgotten:
    mailfs::stamp cut;     ///< this was the greatest stamp among those
    flag_registers registers;
    mark_map metadata;     ///< of entries that are there, and of those removed
    known_deliveries deliveries;

    std::uint32_t ids_left() const noexcept { return ids.first > ids.last ? 0 : ids.last - ids.first + 1; }
    /// The next id, which is given out with that; 0: none is left.
    std::uint32_t take_id() noexcept {
        if (ids_left() == 0) return 0;
        auto const id = ids.first;
        raise_ids(id + 1);
        return id;
    }
    /// No id below `next` is given out any more.
    void raise_ids(std::uint32_t next) noexcept {
        ids.first = std::max(ids.first, next);
        if (ids.first > ids.last) ids = {};
    }
    /// A further range, of which ids from `next` on count. It goes on where the present one ends, or takes its place.
    void reserve(uid_block more, std::uint32_t next) noexcept {
        if (ids_left() > 0 && more.first == ids.last + 1) ids.last = more.last;
        else ids = more;
        raise_ids(next);
    }

    template <class = void>
    void settle(position end) {
        settled = std::max(settled, end);
        cut = std::max(cut, registers.forget(end));
        for (auto it = metadata.begin(); it != metadata.end();) {
            if (it->second.at > end) {
                ++it;
                continue;
            }
            cut = std::max(cut, it->second.stamp);
            it = metadata.erase(it);
        }
    }
    /// An entry of the metadata was set or removed. O(marks) when there are more than marks_max.
    template <class = void>
    void mark_metadata(std::string_view key, register_mark mark) {
        if (cut.value != 0) mark.rise_above(cut);
        if (auto const it = metadata.find(key); it != metadata.end() && it->second.at != mark.at) mark.rise_above(it->second.stamp);
        set_metadata_mark(key, mark);
    }
    template <class = void>
    void set_metadata_mark(std::string_view key, register_mark const& mark) {
        metadata.insert_or_assign(std::string(key), mark);
        if (metadata.size() <= marks_max) return;
        auto oldest = metadata.begin();
        for (auto it = metadata.begin(); it != metadata.end(); ++it)
            if (it->second.at < oldest->second.at) oldest = it;
        metadata.erase(oldest);
    }

    friend bool operator==(mailbox_replication const&, mailbox_replication const&) = default;
};

namespace format {

struct mailbox_replication_header {
    le32 ids_first;  // the next UID that is given out; 0: none are in reserve
    le32 ids_last;
    le32 settled_epoch;
    le32 settled_n;
    le64 cut;
    le32 message_count;   // messages with registers follow, ascending by UID
    le32 metadata_count;  // then marks of metadata entries, ascending by key
};
struct message_registers_layout {
    le32 uid;
    le32 count;  // registers follow
};
struct metadata_mark_layout {
    register_layout mark;  // what: the size of the key, which follows
};
struct delivery_list_layout {  // behind the marks; left out where there is none
    le32 count;                // deliveries follow, ascending by id
    le32 reserved;
};
static_assert(sizeof(mailbox_replication_header) == 32 && sizeof(message_registers_layout) == 8);
static_assert(sizeof(metadata_mark_layout) == 40);

template <class = void>
void encode_mailbox_replication(std::vector<std::byte>& out, mailbox_replication const& r) {
    auto const ids = r.ids_left() > 0 ? r.ids : uid_block{0, 0};
    detail::put(out, mailbox_replication_header{ids.first, ids.last, r.settled.epoch, r.settled.n, r.cut.value,
                                                static_cast<std::uint32_t>(r.registers.all().size()),
                                                static_cast<std::uint32_t>(r.metadata.size())});
    for (auto const& [uid, all] : r.registers.all()) {
        detail::put(out, message_registers_layout{uid, static_cast<std::uint32_t>(all.size())});
        encode_registers(out, all);
    }
    for (auto const& [key, mark] : r.metadata) {
        detail::put(out, metadata_mark_layout{to_layout({static_cast<std::uint32_t>(key.size()), mark})});
        out.insert(out.end(), as_bytes(key).begin(), as_bytes(key).end());
    }
    if (r.deliveries.empty()) return;
    detail::put(out, delivery_list_layout{static_cast<std::uint32_t>(r.deliveries.all().size()), 0});
    encode_deliveries(out, r.deliveries.all());
}

/// Nothing when it is not what a state that stands at `end` wrote, with so many keywords and this UIDNEXT.
template <class = void>
std::optional<mailbox_replication> decode_mailbox_replication(bytes_view bytes, position end, std::uint32_t flags, std::size_t keyword_count,
                                                                     uid_t uid_next) {
    byte_reader in(bytes);
    auto const h = in.take<mailbox_replication_header>();
    mailbox_replication r;
    r.ids = h.ids_first == 0 ? uid_block{} : uid_block{h.ids_first, h.ids_last};
    r.settled = {h.settled_epoch, h.settled_n};
    r.cut = {h.cut};
    bool sound = h.ids_first == 0 ? h.ids_last == 0 : h.ids_first >= uid_next && h.ids_first <= h.ids_last && h.ids_last < uid_max;
    sound = sound && r.settled <= end && in.has(h.message_count, sizeof(message_registers_layout));
    uid_t last = 0;
    for (std::uint32_t i = 0; sound && i < h.message_count; ++i) {
        auto const m = in.take<message_registers_layout>();
        auto all = decode_registers(in, m.count);
        sound = in.good() && m.uid > last && m.uid < uid_next && !all.empty() && are_sound(all, flags, keyword_count, end);
        last = m.uid;
        r.registers.push_back(last, std::move(all));
    }
    sound = sound && h.metadata_count <= mailbox_replication::marks_max;
    for (std::uint32_t i = 0; sound && i < h.metadata_count; ++i) {
        auto const mark = from_layout(in.take<metadata_mark_layout>().mark);
        std::string key(in.text(mark.what));
        sound = in.good() && !key.empty() && mark.mark.at <= end && (r.metadata.empty() || r.metadata.rbegin()->first < key);
        if (sound) r.metadata.emplace_hint(r.metadata.end(), std::move(key), mark.mark);
    }
    if (sound && in.good() && !in.rest().empty()) {
        auto const list = in.take<delivery_list_layout>();
        for (auto const& d : decode_deliveries(in, list.count)) r.deliveries.add(d);
        sound = in.good() && list.count > 0;
    }
    if (!sound || !in.good() || !in.rest().empty()) return std::nullopt;
    return r;
}

}  // namespace format
}  // namespace mailfs
