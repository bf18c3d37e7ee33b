// SPDX-License-Identifier: BSL-1.0
// The snapshot of a mailbox: header, messages, what vanished, metadata.
#include "dump/columns.hpp"
#include "dump/kinds.hpp"

#include <mailfs/format/stream_codec.hpp>
#include <mailfs/index/keyword_table.hpp>
#include <mailfs/index/mailbox_rows.hpp>
#include <mailfs/index/vanished_list.hpp>

#include <fmt/format.h>

namespace mailfsctl {
namespace {

namespace f = mailfs::format;
using f::column_id;

std::string column_name(column_id id) {
    constexpr std::string_view rows[] = {"",      "uid",  "flags",    "modseq", "keyword_set", "size",          "received",
                                         "saved", "guid", "location", "cache",  "dot",         "location_base", "dot_base"};
    constexpr std::string_view lists[] = {"vanished", "keywords", "keyword_sets", "stream", "metadata"};
    auto const n = static_cast<std::uint32_t>(id);
    if (n < std::size(rows) && n > 0) return std::string(rows[n]);
    if (n >= 16 && n - 16 < std::size(lists)) return std::string(lists[n - 16]);
    return fmt::format("column {}", n);
}

std::string modseq_text(std::uint64_t modseq) { return fmt::format("modseq {}", modseq); }

void put_header(f::snapshot_header const& h, dump_writer& out) {
    dump_entry e("header");
    e.text("version", fmt::format("{}.{}", std::uint16_t{h.major}, std::uint16_t{h.minor}))
        .id("object", f::get_guid(h.object));
    e.number("messages", std::uint64_t{h.rows})
        .number("unseen", std::uint64_t{h.unseen})
        .number("deleted", std::uint64_t{h.deleted});
    e.number("bytes", std::uint64_t{h.bytes})
        .number("uid_validity", std::uint32_t{h.uid_validity})
        .number("uid_next", std::uint32_t{h.uid_next});
    e.number("vanished_floor", std::uint64_t{h.vanished_floor})
        .text("digest", fmt::format("{:016x}", std::uint64_t{h.digest}));
    if (h.features_required != 0) e.number("required", std::uint64_t{h.features_required});
    if (h.features_optional != 0) e.number("optional", std::uint64_t{h.features_optional});
    out.entry(0, e);
}

void put_columns(lenient_columns const& columns, dump_writer& out) {
    std::vector<dump_entry> entries;
    for (auto const& c : columns.entries()) {
        dump_entry e("column");
        auto const name = column_name(static_cast<column_id>(std::uint32_t{c.id}));
        e.text("name", name, fmt::format("{:<12}", name))
            .number("offset", std::uint64_t{c.offset}, fmt::format("at {}", std::uint64_t{c.offset}));
        entries.push_back(e.number("count", std::uint64_t{c.count}).number("element_size", std::uint32_t{c.element_size}));
    }
    dump_entry e("columns");
    out.entry(sizeof(f::snapshot_header), e.children("columns", entries));
}

/// Puts the fields of one message into its line, and notes those that no checksum vouches for.
class message_line {
public:
    message_line(lenient_columns const& columns, std::uint64_t row) : columns_(&columns), row_(row) {}

    template <class T, class Put>
    message_line& field(column_id id, Put const& put) {
        auto const v = columns_->get<T>(id, row_);
        if (v) put(entry, v->what);
        if (!v || !v->sound) doubtful_.push_back(column_name(id));
        return *this;
    }
    /// A column whose rows share their greater part in another.
    template <class Split, class Put>
    message_line& shared(column_id id, column_id base_id, Put const& put) {
        auto const r = columns_->get<typename Split::row_type>(id, row_);
        auto const base = r ? columns_->get<typename Split::base_type>(base_id, r->what.base) : std::nullopt;
        if (base) put(entry, Split::join(base->what, r->what));
        if (!base || !r->sound || !base->sound) doubtful_.push_back(column_name(id));
        return *this;
    }
    dump_entry const& finish() {
        if (!doubtful_.empty()) entry.texts("doubtful", doubtful_, "NOT TO BE TRUSTED: " + joined(doubtful_, " "));
        return entry;
    }

    dump_entry entry{"message"};

private:
    lenient_columns const* columns_;
    std::uint64_t row_;
    std::vector<std::string> doubtful_;
};

void put_message(lenient_columns const& columns, mailfs::keyword_table const& keywords, std::uint64_t row,
                 dump_writer& out) {
    message_line m(columns, row);
    m.field<mailfs::uid_t>(column_id::uid, [](dump_entry& e, mailfs::uid_t uid) { e.number("uid", uid); });
    m.field<std::uint8_t>(column_id::flags, [](dump_entry& e, std::uint8_t flags) {
        auto const words = flag_names(static_cast<mailfs::flag>(flags));
        e.texts("flags", words, words.empty() ? "" : "flags " + joined(words, " "));
    });
    m.field<std::uint32_t>(column_id::keyword_set, [&](dump_entry& e, std::uint32_t set) {
        std::vector<std::string> names;
        for (auto const n : keywords.members(set)) names.push_back(keywords.names()[n]);
        e.texts("keywords", names, names.empty() ? "" : "keywords " + printable(joined(names, " ")));
        if (set >= keywords.set_count()) e.number("keyword_set", set);
    });
    m.field<std::uint32_t>(column_id::size,
                           [](dump_entry& e, std::uint32_t size) { e.number("size", size, counted(size, "byte")); });
    m.field<mailfs::modseq_t>(column_id::modseq,
                              [](dump_entry& e, mailfs::modseq_t n) { e.number("modseq", n, modseq_text(n)); });
    m.field<std::uint32_t>(column_id::received,
                           [](dump_entry& e, std::uint64_t seconds) { e.time("received", seconds * 1000); });
    m.field<std::uint32_t>(column_id::saved, [](dump_entry& e, std::uint64_t seconds) { e.time("saved", seconds * 1000); });
    m.field<mailfs::guid>(column_id::guid, [](dump_entry& e, mailfs::guid const& id) { e.id("guid", id); });
    m.shared<mailfs::location_split>(
        column_id::location, column_id::location_base, [](dump_entry& e, mailfs::mail_location const& where) {
            e.text("mail_file", fmt::format("{:016x}", where.file), fmt::format("in {:016x}", where.file));
            e.number("mail_offset", where.offset, fmt::format("at {}", where.offset));
        });
    m.field<std::uint32_t>(column_id::cache, [](dump_entry& e, std::uint64_t n) {
        e.number("cache", n * 8, n == 0 ? "" : fmt::format("cache {}", n * 8));
    });
    m.shared<mailfs::dot_split>(column_id::dot, column_id::dot_base, [](dump_entry& e, mailfs::message_dot const& d) {
        e.text("origin", fmt::format("{}/{:016x}/{}+{}", d.node, d.incarnation, d.counter, d.part));
    });
    out.entry(columns.offset_of(column_id::uid, row), m.finish());
}

void put_vanished(lenient_columns const& columns, dump_writer& out) {
    for (std::uint64_t i = 0; i < columns.count(column_id::vanished); ++i) {
        auto const v = columns.get<mailfs::vanished_list::entry>(column_id::vanished, i);
        if (!v) return;
        dump_entry e("vanished");
        auto const& [first, last, modseq] = v->what;
        e.text("uids", first == last ? std::to_string(first) : fmt::format("{}:{}", first, last))
            .number("modseq", modseq, modseq_text(modseq));
        if (!v->sound) e.truth("doubtful", true, "NOT TO BE TRUSTED");
        out.entry(columns.offset_of(column_id::vanished, i), e);
    }
}

void put_stream(std::uint64_t offset, mailfs::bytes_view bytes, dump_writer& out) {
    auto const stream = f::decode_stream(bytes);
    if (!stream) return;
    dump_entry e("stream");
    e.number("epoch", stream->at.epoch)
        .number("n", stream->at.n)
        .number("highest_modseq", stream->at.modseq())
        .id("boot", stream->boot);
    e.time("latest", stream->latest.milliseconds()).text("chain", fmt::format("{:016x}", stream->chain));
    e.number("origins", stream->seen.size(), fmt::format("{} remembered", counted(stream->seen.size(), "origin")))
        .number("retired", stream->retired.size());
    out.entry(offset, e);
}

void put_metadata(std::uint64_t offset, mailfs::bytes_view rest, dump_writer& out) {
    while (rest.size() >= 8) {
        std::size_t const key = f::load<mailfs::le32>(rest), value = f::load<mailfs::le32>(rest.subspan(4));
        if (key > rest.size() - 8 || value > rest.size() - 8 - key) return;
        dump_entry e("metadata");
        out.entry(offset, e.text("key", mailfs::as_text(rest.subspan(8, key)))
                              .text("value", mailfs::as_text(rest.subspan(8 + key, value))));
        rest = rest.subspan(8 + key + value);
        offset += 8 + key + value;
    }
}

}  // namespace

void dump_mailbox_snapshot(mailfs::bytes_view file, dump_writer& out) {
    out.title("snapshot of a mailbox", file.size());
    if (file.size() < sizeof(f::snapshot_header)) return out.damage(0, file.size(), "ends inside the snapshot header");
    lenient_columns const columns(file);
    auto const& h = columns.header();
    bool const header_sound = h.checksum == f::snapshot_writer::header_checksum(h);
    if (!header_sound) out.damage(0, sizeof h, "the snapshot header fails its checksum; what it says:");
    put_header(h, out);
    if (header_sound && h.major > f::snapshot_major)
        return out.damage(sizeof h, file.size(),
                          fmt::format("snapshot format {}: a newer mailfs can read it", std::uint16_t{h.major}));
    if (h.file_size != file.size())
        out.damage(file.size(), file.size(), fmt::format("the file should have {}", counted(h.file_size, "byte")));
    if (!columns.table_is_sound())
        out.damage(sizeof h, std::min<std::size_t>(file.size(), sizeof h + h.column_count * sizeof(f::snapshot_column)),
                   "the table of columns is cut or fails its checksum");
    put_columns(columns, out);
    for (auto const& d : columns.damage())
        out.damage(d.first, d.last,
                   fmt::format("{} of {}", d.absent ? "the file ends before the rest" : "a block", column_name(d.column)));
    put_stream(columns.offset_of(column_id::stream, 0), columns.bytes(column_id::stream), out);
    mailfs::keyword_table keywords;
    if (!keywords.decode(columns.bytes(column_id::keywords), columns.bytes(column_id::keyword_sets))) keywords = {};
    for (std::uint64_t row = 0; row < columns.rows(); ++row) put_message(columns, keywords, row, out);
    put_vanished(columns, out);
    put_metadata(columns.offset_of(column_id::metadata, 0), columns.bytes(column_id::metadata), out);
}

}  // namespace mailfsctl
