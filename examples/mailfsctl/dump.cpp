// SPDX-License-Identifier: BSL-1.0
// mailfsctl dump: any file of mailfs as readable lines.
#include "commands.hpp"
#include "dump/kinds.hpp"
#include "mapped_file.hpp"

#include <mailfs/format/cache_record.hpp>
#include <mailfs/format/dbox_mark.hpp>
#include <mailfs/format/dbox_message.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/format/snapshot.hpp>
#include <mailfs/store/tree_snapshot.hpp>

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstdio>
#include <system_error>

namespace mailfsctl {
namespace {

enum class kind { log, mailbox_snapshot, tree_snapshot, dbox, cache, mark, unknown };

/// By the magic; where that is damaged, by the one from which the fewest bits differ, at most one in eight.
kind kind_of(mailfs::bytes_view file) {
    auto const text = [](std::array<unsigned char, 8> const& magic) {
        return std::string(reinterpret_cast<char const*>(magic.data()), magic.size());
    };
    std::array<std::string, 6> const magics{
        std::string(mailfs::format::log_magic), std::string(mailfs::format::snapshot_magic),
        std::string(mailfs::tree_magic),        text(mailfs::detail::dbox_file_magic),
        text(mailfs::format::cache_magic),      text(mailfs::detail::dbox_mark_magic)};
    auto best = kind::unknown;
    int fewest = 9;
    for (std::size_t k = 0; k < magics.size(); ++k) {
        int bits = 0;
        for (std::size_t i = 0; i < 8; ++i)
            bits +=
                i < file.size() ? std::popcount(static_cast<unsigned char>(magics[k][i] ^ static_cast<char>(file[i]))) : 8;
        if (bits < fewest) {
            fewest = bits;
            best = static_cast<kind>(k);
        }
    }
    return best;
}

/// What is damaged beyond its magic is known by its name.
kind kind_by_name(std::string_view path) {
    auto const slash = path.rfind('/');
    auto const name = path.substr(slash == path.npos ? 0 : slash + 1);
    if (name.starts_with("log.")) return kind::log;
    if (name.starts_with("index."))
        return path.find("tree/index.") != path.npos ? kind::tree_snapshot : kind::mailbox_snapshot;
    if (name.starts_with("cache.")) return kind::cache;
    if (name.starts_with("m.") && name.size() == 18) return kind::dbox;
    return kind::unknown;
}

/// False: it cannot be read at all, or has damage.
bool dump_file(std::string const& path, dump_options const& o) {
    mapped_file const file(path);
    dump_writer out(path, o.json);
    auto what = kind_of(file.bytes());
    if (what == kind::unknown) what = kind_by_name(path);
    switch (what) {
        case kind::log: dump_log(file.bytes(), o.log_of, out); break;
        case kind::mailbox_snapshot: dump_mailbox_snapshot(file.bytes(), out); break;
        case kind::tree_snapshot: dump_tree_snapshot(file.bytes(), out); break;
        case kind::dbox: dump_dbox(file.bytes(), out); break;
        case kind::cache: dump_cache(file.bytes(), out); break;
        case kind::mark: dump_mark(file.bytes(), out); break;
        case kind::unknown:
            out.title("no file of mailfs", file.bytes().size());
            out.damage(0, file.bytes().size(), "neither a log, a snapshot, mail bodies, a cache nor a mark begins so");
    }
    return !out.found_damage();
}

}  // namespace

int dump(dump_options const& o) {
    int status = status_fine;
    for (auto const& path : o.files) {
        try {
            if (!dump_file(path, o) && status == status_fine) status = status_found;
        } catch (std::system_error const& error) {
            std::fflush(stdout);
            fmt::print(stderr, "mailfsctl: {}\n", error.what());
            status = status_cannot;
        }
    }
    return status;
}

}  // namespace mailfsctl
