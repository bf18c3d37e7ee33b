// SPDX-License-Identifier: BSL-1.0
// Checks the mail files of an account, and that each row of its mailboxes has its body there.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/store/detail/verify_report.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/mail_location.hpp>
#include <mailfs/types/uid.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// What a row says of its body.
struct body_reference {
    std::uint64_t file = 0;  // by its format's file_number()
    mail_location where;
    guid id;
    std::uint32_t size = 0;
    std::uint32_t mailbox = 0;  // an index of the caller's
    uid_t uid = 0;
    bool found = false;
};

/// Memory: one mail file, and some 70 bytes for each row of the account.
template <message_format Format>
class mail_verifier {
public:
    mail_verifier(Format& mails, verify_report& report) : mails_(mails), report_(report) {}

    void expect(mailbox_state const& state, std::uint32_t mailbox) {
        auto const& rows = state.rows();
        state.for_each(1, uid_max, [&](std::size_t row) {
            auto const id = rows.id[row];
            auto const where = rows.where[row];
            expected_.push_back({mails_.file_number(id, where), where, id, rows.size[row], mailbox, rows.uid[row], false});
        });
    }

    /// The rows whose bodies were not found where they should be, in no order of use; those that are there were read to
    /// their end.
    asio::awaitable<std::vector<body_reference>> run(std::vector<mail_file> files) {
        std::sort(expected_.begin(), expected_.end(), [](auto const& a, auto const& b) {
            return std::tie(a.file, a.where.offset, a.mailbox, a.uid) < std::tie(b.file, b.where.offset, b.mailbox, b.uid);
        });
        for (auto const& file : files) co_await scan(file);
        std::erase_if(expected_, [](body_reference const& e) { return e.found; });
        std::sort(expected_.begin(), expected_.end(),
                  [](auto const& a, auto const& b) { return std::tie(a.mailbox, a.uid) < std::tie(b.mailbox, b.uid); });
        co_return std::move(expected_);
    }

private:
    asio::awaitable<void> scan(mail_file file) {
        try {
            auto const found = co_await mails_.scan(file);
            ++report_.sum.mail_files;
            for (auto const& mail : found.mails) check(mail, file);
            for (auto const& d : found.damage) tell(d, found, file);
            report_.read(found.size);
        } catch (error const& e) {
            if (e.code() == errc::not_supported || e.code() == errc::newer_version) throw;  // nothing that is lost
            if (e.code() != errc::not_found) report_.tell(severity::damage, e);  // else purge was faster
        }
    }

    void check(stored_mail const& mail, mail_file const& file) {
        auto const number = mails_.file_number(mail.id, mail.where);
        auto const first = std::lower_bound(
            expected_.begin(), expected_.end(), std::pair(number, mail.where.offset),
            [](body_reference const& e, auto const& key) { return std::pair(e.file, e.where.offset) < key; });
        bool wanted = false;
        for (auto it = first; it != expected_.end() && it->file == number && it->where.offset == mail.where.offset; ++it) {
            if (it->id != mail.id) continue;
            wanted = true;
            it->found = mail.sound && it->size == mail.size && it->where == mail.where;
        }
        if (wanted) return;
        if (mail.sound) {
            ++report_.sum.orphaned_mails;
            report_.sum.orphaned_bytes += mail.extent;
        } else {
            report_.tell(severity::note, file.path, mail.where.offset,
                         "a damaged message " + mail.id.hex() + ", which no mailbox has");
        }
    }

    // A writer goes on in a new file behind what it could not finish, so a torn message is always the end of its file.
    void tell(byte_range const& d, mail_file_contents const& found, mail_file const& file) {
        bool const tail = d.offset + d.size == found.size && d.offset > 0;
        auto const size = std::to_string(d.size);
        if (tail)
            report_.tell(severity::note, file.path, d.offset, size + " bytes of a message that is not whole");
        else
            report_.tell(severity::damage, file.path, d.offset, size + " bytes are no message");
    }

    Format& mails_;
    verify_report& report_;
    std::vector<body_reference> expected_;
};

}  // namespace mailfs::detail
