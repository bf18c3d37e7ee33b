// SPDX-License-Identifier: BSL-1.0
// All messages that the mail files of an account hold, whatever an index says of them.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/store/finding.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/mail_location.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace mailfs::detail {

struct found_mail {
    guid id;
    guid mailbox;  // first delivered to; 0: not told
    mail_location where;
    std::uint64_t size = 0;
    std::uint64_t received_ms = 0;
    std::uint64_t written_ms = 0;  // or received, where that is not told
    std::uint32_t file = 0;        // index in files
    bool sound = false;
};

/// Memory: some 90 bytes for each message, and one file.
struct mail_census {
    std::vector<mail_file> files;
    std::vector<found_mail> mails;    // by guid; of one guid the sound ones first
    std::vector<std::string> faults;  // bytes that are no message, files that cannot be read

    /// Reads all mail files. Throws newer_version, for what such a file holds may not be taken for lost, and io.
    template <message_format Format>
    asio::awaitable<void> take(Format& format, std::function<void(verify_progress const&)> progress) {
        files = co_await format.files();
        verify_progress at;
        for (std::uint32_t i = 0; i < files.size(); ++i) {
            auto const size = co_await take_file(format, i);
            at.bytes_done += size;
            at.bytes_total = at.bytes_done / (i + 1) * files.size();
            if (progress) progress(at);
        }
        std::sort(mails.begin(), mails.end(), [](found_mail const& a, found_mail const& b) {
            return std::tie(a.id, b.sound, a.where) < std::tie(b.id, a.sound, b.where);
        });
    }

    /// The first of this guid, or null.
    found_mail const* find(guid const& id) const {
        auto const it =
            std::lower_bound(mails.begin(), mails.end(), id, [](found_mail const& m, guid const& g) { return m.id < g; });
        return it != mails.end() && it->id == id ? &*it : nullptr;
    }
    /// Whether a sound one of this guid stands there.
    bool is_at(guid const& id, mail_location const& where) const {
        for (auto const* m = find(id); m != nullptr && m != mails.data() + mails.size() && m->id == id; ++m)
            if (m->sound && m->where == where) return true;
        return false;
    }

private:
    template <message_format Format>
    asio::awaitable<std::uint64_t> take_file(Format& format, std::uint32_t i) {
        try {
            auto const found = co_await format.scan(files[i]);
            for (auto const& m : found.mails)
                mails.push_back({m.id, m.mailbox, m.where, m.size, m.received_ms,
                                 m.written_ms == 0 ? m.received_ms : m.written_ms, i, m.sound});
            for (auto const& d : found.damage)
                faults.push_back(files[i].path + ", offset " + std::to_string(d.offset) + ": " + std::to_string(d.size) +
                                 " bytes are no message");
            co_return found.size;
        } catch (error const& e) {
            if (e.code() != errc::too_big && e.code() != errc::corrupt && e.code() != errc::not_found) throw;
            faults.push_back(e.what());
        }
        co_return 0;
    }
};

}  // namespace mailfs::detail
