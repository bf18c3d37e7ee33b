// SPDX-License-Identifier: BSL-1.0
// The layouts of all formats, as far as their checksums go.
#include "checksums.hpp"

#include <mailfs/format/cache_record.hpp>
#include <mailfs/format/crc32c.hpp>
#include <mailfs/format/dbox_message.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/format/peer_frame.hpp>
#include <mailfs/format/snapshot.hpp>
#include <mailfs/store/tree_snapshot.hpp>

#include <algorithm>
#include <cstring>

namespace mailfs::fuzz {

namespace {

template <class T>
T get(writable bytes, std::size_t at = 0) {
    return format::load<T>(bytes_view(bytes).subspan(at));
}
template <class T>
void put(writable bytes, std::size_t at, T const& value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

}  // namespace

void fix_record(writable record, std::uint32_t seed) {
    auto h = get<format::record_header>(record);
    h.header_checksum = format::record_header_checksum(h, seed);
    h.payload_checksum = crc32c(format::payload_of(record), h.header_checksum);
    put(record, 0, h);
    le32 const end = format::record_end;
    put(record, record.size() - sizeof end, end);
}

void fix_log(writable file) {
    if (file.size() < sizeof(format::log_header)) return;
    auto h = get<format::log_header>(file);
    h.checksum = format::log_header_checksum(h);
    put(file, 0, h);
    auto const seed = format::record_seed(h.nonce);
    for (auto at = sizeof h; at + format::record_size(0) <= file.size();) {
        auto const r = get<format::record_header>(file, at);
        bool const possible = r.sync == format::record_sync && r.size >= format::record_size(0) && (r.size - format::record_size(0)) % 8 == 0 &&
                              r.size <= file.size() - at;
        if (possible) fix_record(file.subspan(at, r.size), seed);
        at += possible ? std::size_t{r.size} : 1;
    }
}

void fix_snapshot(writable file) {
    using namespace format;
    if (file.size() < sizeof(snapshot_header)) return;
    auto h = get<snapshot_header>(file);
    h.file_size = file.size();
    auto const table = sizeof h, sums = table + std::size_t{h.column_count} * sizeof(snapshot_column);
    std::size_t blocks = 0;
    for (std::size_t i = 0; sums <= file.size() && i < h.column_count; ++i) {
        auto const c = get<snapshot_column>(file, table + i * sizeof(snapshot_column));
        if (c.element_size == 0 || c.element_size > snapshot_block || c.offset > file.size()) break;
        auto const size = std::min<std::uint64_t>(c.count, (file.size() - c.offset) / c.element_size) * c.element_size;
        auto const column = bytes_view(file).subspan(c.offset, size);
        auto const step = block_elements(c.element_size) * c.element_size;
        for (std::size_t at = 0; at < column.size(); at += step, ++blocks) {
            auto const place = sums + blocks * sizeof(le32);
            if (place + sizeof(le32) > file.size()) return;
            le32 const sum = crc32c(column.subspan(at, std::min(step, column.size() - at)));
            put(file, place, sum);
        }
    }
    auto const end = sums + blocks * sizeof(le32);
    if (end <= file.size()) h.table_checksum = crc32c(bytes_view(file).subspan(table, end - table));
    h.checksum = snapshot_writer::header_checksum(h);
    put(file, 0, h);
}

void fix_tree_snapshot(writable file) {
    if (file.size() < sizeof(tree_snapshot_header)) return;
    auto h = get<tree_snapshot_header>(file);
    h.size = file.size();
    put(file, 0, h);
    h.checksum = mailfs::detail::tree_checksum(file);
    put(file, 0, h);
}

void fix_dbox(writable file) {
    if (file.size() < sizeof(dbox_file_header)) return;
    auto h = get<dbox_file_header>(file);
    h.checksum = mailfs::detail::own_checksum(h, 0);
    put(file, 0, h);
    auto const seed = mailfs::detail::dbox_seed(h.nonce);
    for (auto at = sizeof h; at + sizeof(dbox_message_header) <= file.size(); at += dbox_alignment) {
        auto m = get<dbox_message_header>(file, at);
        if (m.magic != mailfs::detail::dbox_message_magic) continue;
        m.sync = h.nonce;
        auto const body = at + sizeof m;
        bool const whole = m.stored_size <= file.size() - body;
        if (whole) m.body_checksum = dbox_body_checksum(m, bytes_view(file).subspan(body, m.stored_size));
        m.checksum = mailfs::detail::own_checksum(m, seed);
        put(file, at, m);
        auto const trailer = body + (whole ? m.stored_size + dbox_padding(m.stored_size) : 0);
        if (!whole || trailer + sizeof(dbox_trailer) > file.size()) continue;
        auto const t = make_dbox_trailer(m);
        if (get<dbox_trailer>(file, trailer).stored_size == t.stored_size) put(file, trailer, t);
    }
}

void fix_cache(writable file) {
    using namespace format;
    if (file.size() < sizeof(cache_file_header)) return;
    auto h = get<cache_file_header>(file);
    h.checksum = crc32c(bytes_view(file).first(offsetof(cache_file_header, checksum)));
    put(file, 0, h);
    for (auto at = sizeof h; at + sizeof(cache_record_header) <= file.size(); at += cache_alignment) {
        auto const extent = cache_record_extent(bytes_view(file).subspan(at));
        if (extent == 0 || extent > file.size() - at) continue;
        auto r = get<cache_record_header>(file, at);
        r.checksum = format::detail::cache_checksum(bytes_view(file).subspan(at, extent), h.nonce);
        put(file, at, r);
    }
}

void fix_frames(writable stream, bool sizes) {
    for (std::size_t at = 0; stream.size() - at >= format::peer_frame_size_min;) {
        auto const rest = stream.size() - at - sizeof(le32);
        std::size_t size = get<le32>(stream, at);
        bool const possible = size + sizeof(le32) >= format::peer_frame_size_min && size <= rest;
        if (!possible && !sizes) return;
        if (!possible) size = size < rest ? format::peer_frame_size_min - sizeof(le32) : rest;
        put(stream, at, le32(static_cast<std::uint32_t>(size)));
        auto const end = at + size;  // behind the checksum, but for the size field itself
        le32 const sum = crc32c(bytes_view(stream).subspan(at, size));
        put(stream, end, sum);
        at = end + sizeof(le32);
    }
}

}  // namespace mailfs::fuzz
