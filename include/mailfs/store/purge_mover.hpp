// SPDX-License-Identifier: BSL-1.0
// Writes messages that are in use out of files that are mostly not, so that those files fall out of use as a whole.
//
// Invariants: a body is on stable storage before an index is told of its new place; no byte is taken from the old one here; who
// reads by the old place finds it for as long as a purge waits, and by the new one after that.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/dbox_message.hpp>
#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/store/detail/account_core.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/mail_location.hpp>
#include <mailfs/types/uid.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace mailfs::detail {

struct purge_moved {
    std::uint64_t mails = 0;
    std::uint64_t bytes = 0;
    std::uint64_t unreadable = 0;  ///< left where they are
};

/// Moves what mailboxes refer to in a few files. Belongs to one executor; keeps the account alive.
template <class Index, message_format Format>
class purge_mover {
public:
    static constexpr std::uint64_t batch_bytes_max = std::uint64_t{1} << 20;  ///< held in memory; one message always is
    static constexpr std::size_t batch_mails_max = 256;
    static constexpr int tries_max = 8;  ///< each ended by a delay

    /// `files`, ascending by number; `to` writes to files of its own.
    purge_mover(std::shared_ptr<account_core<Index, Format>> core, Format& to, std::vector<mail_file> files)
        : core_(std::move(core)), to_(&to), files_(std::move(files)) {
        for (auto const& [name, entry] : core_->state().contents().mailboxes) mailboxes_.push_back(entry.id);
    }

    bool done() const noexcept { return read_ == mailboxes_.size() && next_ == wanted_.size(); }
    bool has_read_all() const noexcept { return read_ == mailboxes_.size(); }
    std::uint64_t moved() const noexcept { return next_; }
    std::uint64_t to_move() const noexcept { return wanted_.size(); }

    /// Finds out which messages of one more mailbox stand in the files.
    asio::awaitable<void> read_mailbox() {
        auto const id = mailboxes_[read_++];
        auto const index = co_await borrow(id);
        if (index) {
            auto const& rows = index->state().rows();
            index->state().for_each(1, uid_max, [&](std::size_t row) {
                auto const where = rows.where[row];
                if (file_of(rows.id[row], where)) wanted_.push_back({where, rows.id[row], id, rows.uid[row], rows.size[row]});
            });
        }
        if (has_read_all()) std::sort(wanted_.begin(), wanted_.end(), [](auto const& a, auto const& b) { return a.order() < b.order(); });
    }

    /// Moves some that stand next to each other: one write, synced, and one transaction for each of their mailboxes.
    asio::awaitable<purge_moved> move_some() {
        purge_moved out;
        auto const [first, last] = co_await take_bodies(out);
        for (auto const& b : bodies_) out.bytes += b.extent;
        out.mails = bodies_.size();
        auto const refer = std::span(wanted_).subspan(first, last - first);
        bool in_time = bodies_.empty();
        for (int tries = 0; tries < tries_max && !in_time; ++tries) in_time = co_await move(refer);
        if (!in_time) throw error(errc::busy, core_->directory, "mail cannot be moved as fast as it may be purged");
        bodies_.clear();
        co_return out;
    }

private:
    struct reference {
        mail_location where;
        guid id;
        guid box;
        uid_t uid;
        std::uint32_t size;
        auto order() const { return std::tie(where, id, box, uid); }
    };
    struct body {
        guid id;
        mail_location from;
        std::uint64_t received_ms;
        std::uint64_t written_ms;
        guid mailbox;
        bool compressed;
        std::uint64_t extent;
        std::vector<std::byte> bytes;
    };

    mail_file const* file_of(guid id, mail_location where) const {
        auto const number = core_->mails.file_number(id, where);
        auto const at = std::lower_bound(files_.begin(), files_.end(), number, [](auto const& f, std::uint64_t n) { return f.number < n; });
        return at != files_.end() && at->number == number ? &*at : nullptr;
    }

    // Fills bodies_ with the next messages, each once; which of wanted_ they are for. What cannot be read stays where it is.
    asio::awaitable<std::pair<std::size_t, std::size_t>> take_bodies(purge_moved& out) {
        auto const first = next_;
        std::uint64_t bytes = 0;
        bodies_.clear();
        for (; next_ < wanted_.size() && bodies_.size() < batch_mails_max; ++next_) {
            auto const& r = wanted_[next_];
            if (next_ > first && wanted_[next_ - 1].where == r.where && wanted_[next_ - 1].id == r.id) continue;
            bytes += r.size;
            if (bytes > batch_bytes_max && !bodies_.empty()) break;
            auto found = co_await read(r);
            if (found) bodies_.push_back(std::move(*found));
            else ++out.unreadable;
        }
        co_return std::pair(first, next_);
    }
    asio::awaitable<std::optional<body>> read(reference const& r) {
        try {
            auto const about = co_await find_out(r);
            if (about.id != r.id) co_return std::nullopt;
            auto bytes = co_await to_->read(r.id, r.where, r.size);
            auto const written_ms = about.written_ms == 0 ? about.received_ms : about.written_ms;
            co_return body{r.id, r.where, about.received_ms, written_ms, about.mailbox, about.compressed, about.extent, std::move(bytes)};
        } catch (error const& e) {
            if (e.code() != errc::corrupt && e.code() != errc::body_missing && e.code() != errc::not_found) throw;
        }
        co_return std::nullopt;
    }
    // What the file itself says of the message. One file is scanned at a time.
    asio::awaitable<stored_mail> find_out(reference const& r) {
        auto const* const file = file_of(r.id, r.where);
        if (!scanned_ || *scanned_ != file->number) {
            contents_ = co_await to_->scan(*file);
            scanned_ = file->number;
        }
        auto const& mails = contents_.mails;
        auto const at = std::lower_bound(mails.begin(), mails.end(), r.where.offset,
                                         [](auto const& m, std::uint64_t offset) { return m.where.offset < offset; });
        co_return at != mails.end() && at->where == r.where ? *at : stored_mail{};
    }

    asio::awaitable<std::shared_ptr<Index>> borrow(guid id) {
        std::exception_ptr failure;
        try {
            auto index = co_await core_->borrow_index(id);
            if (index) co_await index->catch_up();
            co_return index;
        } catch (error const&) {
            failure = std::current_exception();
        }
        co_await core_->refresh_tree();
        if (core_->state().name_of(id) != nullptr) std::rethrow_exception(failure);
        co_return nullptr;  // it was removed
    }

    // False: bodies that nobody referred to yet were so for so long that another purge may have taken them. Where the messages
    // were before is no place to go back to, for it may be out of use for long by another's work: once more, then.
    asio::awaitable<bool> move(std::span<reference const> refer) {
        std::map<guid, std::shared_ptr<Index>> indexes;  // opened before the clock runs
        for (auto const& r : refer)
            if (!indexes.contains(r.box)) {
                auto index = co_await borrow(r.box);
                indexes.emplace(r.box, std::move(index));
            }
        auto const begun_ms = core_->services->host.now_ms();
        std::vector<mail_to_write> mails;
        for (auto const& b : bodies_) mails.push_back({b.id, b.received_ms, b.bytes, b.mailbox, b.written_ms, b.compressed});
        auto const places = co_await to_->write(mails, durability::stored);
        std::map<guid, format::mailbox_transaction> news;  // for each mailbox
        for (auto const& r : refer)
            for (std::size_t i = 0; i < bodies_.size(); ++i)
                if (bodies_[i].id == r.id && bodies_[i].from == r.where) news[r.box].relocate(r.uid, r.id, places[i]);
        for (auto const& [id, transaction] : news) {
            auto const index = indexes.at(id);
            if (!index) continue;
            if (core_->services->is_late(begun_ms)) co_return false;
            auto const operations = transaction.bytes();
            co_await index->propose(operations, durability::stored);
        }
        co_return !core_->services->is_late(begun_ms);
    }

    std::shared_ptr<account_core<Index, Format>> core_;
    Format* to_;
    std::vector<mail_file> files_;
    std::vector<guid> mailboxes_;
    std::size_t read_ = 0;            // of mailboxes_
    std::vector<reference> wanted_;
    std::size_t next_ = 0;            // of wanted_
    std::vector<body> bodies_;        // on their way
    std::optional<std::uint64_t> scanned_;
    mail_file_contents contents_;     // of that file
};

}  // namespace mailfs::detail
