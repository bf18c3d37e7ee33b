// SPDX-License-Identifier: BSL-1.0
// A mark: what a purge found to be out of use.
#include "dump/kinds.hpp"

#include <mailfs/format/dbox_mark.hpp>
#include <mailfs/format/log_record.hpp>

#include <fmt/format.h>

namespace mailfsctl {

void dump_mark(mailfs::bytes_view file, dump_writer& out) {
    out.title("mark of a purge", file.size());
    mailfs::dbox_mark mark;
    if (auto const fault = decode(file, mark)) out.damage(0, file.size(), fault->why);
    if (file.size() < sizeof(mailfs::dbox_mark_header)) return;
    auto const h = mailfs::format::load<mailfs::dbox_mark_header>(file);
    dump_entry header("header");
    header.text("version", fmt::format("{}.{}", std::uint16_t{h.major}, std::uint16_t{h.minor}))
        .id("account", {h.account})
        .time("taken", h.taken_ms);
    out.entry(0, header.number("files", std::uint32_t{h.file_count}).number("mailboxes", std::uint32_t{h.mailbox_count}));
    std::size_t at = sizeof h;
    for (std::uint32_t n = 0; n < h.file_count && at + sizeof(mailfs::dbox_mark_entry) <= file.size();
         ++n, at += sizeof(mailfs::dbox_mark_entry)) {
        auto const entry = mailfs::format::load<mailfs::dbox_mark_entry>(file.subspan(at));
        dump_entry e("marked");
        e.text("mail_file", fmt::format("{:016x}", std::uint64_t{entry.number}))
            .number("size", std::uint64_t{entry.size}, counted(entry.size, "byte"));
        e.number("live", std::uint64_t{entry.live}, fmt::format("{} in use", counted(entry.live, "byte")));
        if (entry.whole != 0) e.number("whole", std::uint64_t{entry.whole}, fmt::format("{} if nothing were compressed", counted(entry.whole, "byte")));
        out.entry(at, e);
    }
    for (std::uint32_t n = 0; n < h.mailbox_count && at + sizeof(mailfs::guid) <= file.size();
         ++n, at += sizeof(mailfs::guid)) {
        dump_entry e("mailbox");
        out.entry(at, e.id("guid", {mailfs::format::load<std::array<unsigned char, 16>>(file.subspan(at))}));
    }
}

}  // namespace mailfsctl
