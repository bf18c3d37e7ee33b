// SPDX-License-Identifier: BSL-1.0
// A mail file with any contents: scanned, and read at each place that was found and at some that were not.
#include "checksums.hpp"
#include "fuzz.hpp"

#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/dbox/single_dbox.hpp>
#include <mailfs/fs/memory_fs.hpp>

#include <algorithm>

namespace mailfs::fuzz {

namespace {

template <class Format>
asio::awaitable<void> try_read(Format& mails, guid id, mail_location where, std::uint64_t hint, bool must) {
    try {
        auto const whole = co_await mails.read(id, where, hint);
        auto const part = co_await mails.read_part(id, where, hint % 100, 10);
        auto const begin = std::min<std::size_t>(hint % 100, whole.size());
        auto const expected = bytes_view(whole).subspan(begin, std::min<std::size_t>(10, whole.size() - begin));
        require(std::equal(part.begin(), part.end(), expected.begin(), expected.end()), "a part is not a part of the whole");
    } catch (error const& e) {
        check_error(e);
        require(!must, "what is said to be sound cannot be read");
    }
}

// Finds and damage lie in the file, one behind the other.
void check_order(mail_file_contents const& found) {
    std::vector<byte_range> all = found.damage;
    for (auto const& m : found.mails) all.push_back({m.where.offset, m.extent});
    std::sort(all.begin(), all.end(), [](byte_range const& a, byte_range const& b) { return a.offset < b.offset; });
    std::uint64_t end = 0;
    for (auto const& r : all) {
        require(r.offset >= end && r.size <= found.size && r.offset <= found.size - r.size, "what was found overlaps, or leaves the file");
        end = r.offset + r.size;
    }
}

template <class Format>
asio::awaitable<void> look(memory_fs fs, fixed_host host, guid id, mail_location where, std::uint64_t hint) {
    Format mails(fs, "mail", host, {});
    auto const files = co_await mails.files();
    for (auto const& file : files) {
        mail_file_contents found;
        try {
            found = co_await mails.scan(file);
        } catch (error const& e) {
            check_error(e);
            continue;
        }
        check_order(found);
        for (auto const& m : found.mails) co_await try_read(mails, m.id, m.where, hint, m.sound);
    }
    co_await try_read(mails, id, where, hint, false);
}

}  // namespace

void dbox_file(bytes_view bytes) {
    input in(bytes);
    auto const mode = in.octet();
    auto const hint = in.word();
    auto const offset = in.word();
    auto file = copy_of(in.rest());
    if (mode % 2 == 1) fix_dbox(file);
    std::uint64_t count = 0;
    fixed_host const host{1, &count};
    auto const id = guid::from_words(0xb0b1'b2b3'b4b5'b6b7, 1);
    memory_fs fs;
    if ((mode & 2) == 0) {
        fs.put("mail/m.0123456789abcdef", file);
        run(look<multi_dbox<memory_fs, fixed_host>>(fs, host, id, {0x0123'4567'89ab'cdef, offset * 8ULL}, hint));
    } else {
        fs.put("mail/b0/" + id.hex(), file);
        run(look<single_dbox<memory_fs, fixed_host>>(fs, host, id, {0, sizeof(dbox_file_header)}, hint));
    }
}

}  // namespace mailfs::fuzz
