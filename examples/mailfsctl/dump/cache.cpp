// SPDX-License-Identifier: BSL-1.0
// A cache of parsed fields: header, records, and the damage between them.
#include "dump/kinds.hpp"

#include <mailfs/format/cache_record.hpp>
#include <mailfs/format/log_record.hpp>

#include <fmt/format.h>

namespace mailfsctl {
namespace {

namespace f = mailfs::format;

std::string field_name(std::uint16_t id) {
    constexpr std::string_view names[] = {"", "envelope", "body_structure", "header_lines", "preview", "sizes"};
    return id < std::size(names) ? std::string(names[id]) : fmt::format("field_{}", id);
}

bool put_header(f::cache_file_header const& h, dump_writer& out) {
    bool const sound = h.checksum == mailfs::crc32c(f::view_of(h).first(offsetof(f::cache_file_header, checksum)));
    if (!sound) out.damage(0, sizeof h, "the header of the cache fails its checksum; what it says:");
    dump_entry e("header");
    e.text("version", fmt::format("{}.{}", std::uint16_t{h.major}, std::uint16_t{h.minor})).id("object", {h.object});
    e.number("number", std::uint64_t{h.number})
        .time("created", h.created_ms)
        .text("nonce", fmt::format("{:016x}", std::uint64_t{h.nonce}));
    out.entry(0, e);
    return sound;
}

void put_record(f::cache_record_view const& r, std::uint64_t at, dump_writer& out) {
    dump_entry e("cached");
    e.id("guid", {r.header.id}).number("size", std::uint32_t{r.header.size}, counted(r.header.size, "byte"));
    e.number("previous", std::uint64_t{r.header.previous},
             r.header.previous == 0 ? "" : fmt::format("older one at {}", std::uint64_t{r.header.previous}));
    std::vector<std::string> fields;
    auto rest = r.fields;
    while (auto const field = f::take_cache_field(rest))
        fields.push_back(fmt::format("{} ({})", field_name(field->id), field->value.size()));
    out.entry(at, e.texts("fields", fields, joined(fields, " ")));
}

}  // namespace

void dump_cache(mailfs::bytes_view file, dump_writer& out) {
    out.title("cache of parsed fields", file.size());
    if (file.size() < sizeof(f::cache_file_header)) return out.damage(0, file.size(), "ends inside the header of the cache");
    auto const header = f::load<f::cache_file_header>(file);
    if (!put_header(header, out)) {
        if (file.size() > sizeof header)
            out.damage(sizeof header, file.size(), "records cannot be told from other bytes without the header");
        return;
    }
    std::size_t lost = 0;  // bytes before `at` that are no record
    for (std::size_t at = sizeof header; at <= file.size();) {
        auto const record = f::decode_cache_record(file.subspan(at), header.nonce);
        if (lost > 0 && (record || at == file.size())) out.damage(at - lost, at, "no record");
        if (record) put_record(*record, at, out);
        auto const step = record ? std::size_t{record->header.size} : std::min(f::cache_alignment, file.size() - at);
        lost = record ? 0 : lost + step;
        if (step == 0) return;
        at += step;
    }
}

}  // namespace mailfsctl
