// SPDX-License-Identifier: BSL-1.0
// A file of mail bodies: header, messages, and the damage between them.
#include "dump/kinds.hpp"

#include <mailfs/format/dbox_scanner.hpp>

#include <fmt/format.h>

namespace mailfsctl {
namespace {

void put_header(mailfs::dbox_file_header const& h, dump_writer& out) {
    dump_entry e("header");
    e.text("version", fmt::format("{}.{}", std::uint16_t{h.major}, std::uint16_t{h.minor}));
    e.text("id", fmt::format("{:016x}", std::uint64_t{h.file_id})).time("created", h.created_ms);
    e.text("nonce", fmt::format("{:016x}", std::uint64_t{h.nonce}));
    if (h.required != 0) e.number("required", std::uint32_t{h.required});
    if (h.optional != 0) e.number("optional", std::uint32_t{h.optional});
    out.entry(0, e);
}

void put_message(mailfs::dbox_found const& found, dump_writer& out) {
    auto const& h = found.header;
    constexpr std::string_view names[] = {"", "message", "moved"};
    dump_entry e(h.kind < std::size(names) ? names[h.kind] : "record");
    if (h.kind >= std::size(names)) e.number("kind", h.kind);
    e.id("guid", {h.id}).number("size", std::uint64_t{h.size}, counted(h.size, "byte"));
    if (h.compression != 0) e.number("compression", h.compression).number("stored_size", std::uint64_t{h.stored_size});
    e.time("received", h.received_ms);
    if (mailfs::guid const mailbox{h.mailbox}) e.id("mailbox", mailbox);
    bool const sound = found.what == mailfs::dbox_find::record;
    e.truth("body_sound", sound, sound ? "body sound" : "body damaged");
    out.entry(found.offset, e);
    if (!sound) out.damage(found.offset + sizeof h, found.offset + found.size, "the body is cut or fails its checksum");
}

}  // namespace

void dump_dbox(mailfs::bytes_view file, dump_writer& out) {
    out.title("mail bodies (dbox)", file.size());
    mailfs::dbox_file_header header;
    auto const fault = decode(file, header);
    if (fault) out.damage(0, std::min(file.size(), sizeof header), fault->why);
    if (!fault) put_header(header, out);
    std::uint64_t nonce = 0;
    if (auto const why = mailfs::find_dbox_nonce(file, nonce)) {
        if (file.size() > sizeof header)
            out.damage(sizeof header, file.size(), "nothing tells messages from other bytes without the header");
        return;
    }
    mailfs::dbox_scanner scanner(file, nonce);
    while (auto const found = scanner.next()) {
        if (found->what == mailfs::dbox_find::damage)
            out.damage(found->offset, found->offset + found->size, "no message");
        else
            put_message(*found, out);
    }
}

}  // namespace mailfsctl
