// SPDX-License-Identifier: BSL-1.0
#include "mail/exporter.hpp"

#include "files.hpp"
#include "mail/found_message.hpp"
#include "mail/maildir_folder.hpp"
#include "mail/mbox.hpp"

#include <mailfs/types/bytes.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace mailfsctl {
namespace {

/// Calls put(row, bytes) for each of the messages that can be read.
template <class Put>
void for_each_message(mailbox_reader& from, mailfs::uid_set const& uids, line_ends ends, progress& bar,
                      export_result& result, complain_function const& complain, Put const& put) {
    from.fetch(uids, [&](body&& b) {
        auto const row = from.row(b.uid);
        if (!row || !b.failure.empty()) {
            ++result.unreadable;
            bar.clear();
            complain(fmt::format("UID {} cannot be read: {}", b.uid, b.failure));
        } else {
            put(*row, with_line_ends(std::string(mailfs::as_text(b.bytes)), ends));
            ++result.exported;
        }
        bar.advance();
        return true;
    });
}

std::vector<std::string> keywords_in(mailbox_reader const& from) {
    std::set<std::string> seen;
    std::vector<std::string> out;
    from.uids().for_each([&](mailfs::uid_t uid) {
        auto const row = from.row(uid);
        if (!row) return;
        for (auto const& keyword : row->keywords)
            if (seen.insert(keyword).second) out.push_back(keyword);
    });
    return out;
}

}  // namespace

export_result export_mbox(mailbox_reader& from, std::string const& path, line_ends ends, bool sync, progress& bar,
                          complain_function const& complain) {
    if (kind_of(path) != entry_kind::none) throw cannot_run(path + " is there already: name another file, or move it away");
    export_result result;
    new_file file(path + ".tmp");
    for_each_message(from, from.uids(), ends, bar, result, complain,
                     [&](mailfs::message_row const& row, std::string const& bytes) {
                         file.write(mbox_text(bytes, {row.flags, row.keywords}, row.received_ms));
                     });
    sync ? file.finish_stored(path) : file.finish(path, {}, false);
    return result;
}

export_result export_folder(mailbox_reader& from, std::string const& path, bool below, line_ends ends, progress& bar,
                            complain_function const& complain) {
    export_result result;
    maildir_target to(path, below);
    to.assign_letters(keywords_in(from));
    auto const validity = from.uid_validity();
    mailfs::uid_set missing;
    from.uids().for_each([&](mailfs::uid_t uid) {
        auto const row = from.row(uid);
        if (row && to.has(*row, validity)) {
            ++result.there_already;
            bar.advance();
        } else {
            missing.add(uid);
        }
    });
    for_each_message(from, missing, ends, bar, result, complain,
                     [&](mailfs::message_row const& row, std::string const& bytes) { to.put(row, validity, bytes); });
    to.finish(from);
    return result;
}

}  // namespace mailfsctl
