// SPDX-License-Identifier: BSL-1.0
// Reads mail bodies by UID: where each one is, the index says at that moment.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/store/detail/account_core.hpp>
#include <mailfs/store/fetch_options.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/mail_location.hpp>
#include <mailfs/types/shared_bytes.hpp>
#include <mailfs/types/uid.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// Bytes from a message's begin on that are read to find its header: nearly all headers are shorter.
inline constexpr std::uint64_t header_read_size = std::uint64_t{8} << 10;
/// As much is read ahead where they are not; of a longer header the rest comes when it is its message's turn.
inline constexpr std::uint64_t header_ahead_max = std::uint64_t{32} << 10;

/// Where the header ends, its empty line included; nothing: it goes on, or has no end.
inline std::optional<std::size_t> header_end(bytes_view message) noexcept {
    auto const text = as_text(message);
    for (auto line = std::size_t{0};;) {
        auto const rest = text.substr(line);
        if (rest.starts_with('\n')) return line + 1;
        if (rest.starts_with("\r\n")) return line + 2;
        auto const end = rest.find('\n');
        if (end == rest.npos) return std::nullopt;
        line += end + 1;
    }
}

/// A copyable handle; keeps account and index alive. See mail_reader.
template <class Index, class Format>
class body_reader {
public:
    body_reader(std::shared_ptr<account_core<Index, Format>> core, std::shared_ptr<Index> index, mail_part part = {})
        : core_(std::move(core)), index_(std::move(index)), part_(part) {}

    /// Bytes that read() will hold; 0 when the message is not there.
    std::uint64_t size(uid_t uid) const {
        auto const row = find(uid);
        if (!row) return 0;
        if (part_.is_header()) return std::min<std::uint64_t>(row->size, header_ahead_max);
        return std::min<std::uint64_t>(row->size, part_.size());
    }

    bool reads_on(uid_t first, uid_t last, uid_t next) const {
        if constexpr (run_format<Format>) {
            auto const a = find(first, run_), b = find(last, near_), c = find(next, near_);
            if (!a || !b || !c || !goes_whole(*a) || !goes_whole(*b) || !goes_whole(*c)) return false;
            return Format::reads_on(*a, *b, *c);
        } else {
            return false;
        }
    }

    /// Bodies, also of messages that were expunged as long as their rows and files are there. See mail_reader.
    asio::awaitable<void> read(std::span<mail> run) {
        if constexpr (run_format<Format>) {
            if (goes_by_run(run)) {
                co_await read_together(run);
                co_return;
            }
        }
        for (auto& m : run) co_await read_into(m);
    }

    bool is_finished(mail const& m) const noexcept {
        return !part_.is_header() || m.error || m.bytes.size() < header_ahead_max || header_end(m.bytes).has_value();
    }
    /// A header longer than header_ahead_max.
    asio::awaitable<void> finish(mail& m) {
        auto const uid = m.uid;
        co_await fill(m, read_header(uid, 4 * header_ahead_max, ~std::uint64_t{0}));
    }

    /// One whole body. Throws not_found, and what the mail format throws. A body that purge moved in the meantime is looked for
    /// where it is now.
    asio::awaitable<std::vector<std::byte>> read(uid_t uid) {
        co_return co_await found_by(uid, [this](mail_to_read m) { return core_->mails.read(m.id, m.where, m.size); });
    }

private:
    std::optional<mail_to_read> find(uid_t uid) const { return find(uid, near_); }
    // `near` is the row that was found last: who fetches asks for one after another.
    std::optional<mail_to_read> find(uid_t uid, std::size_t& near) const {
        auto const& rows = index_->state().rows();
        auto const is_at = [&](std::size_t row) { return row < rows.count() && rows.uid[row] == uid; };
        auto row = is_at(near) ? near : near + 1;
        if (!is_at(row)) row = rows.lower_bound(uid);
        if (!is_at(row)) return std::nullopt;
        near = row;
        return mail_to_read{rows.id[row], rows.where[row], rows.size[row]};
    }
    std::string index_directory() const { return core_->box_directory(index_->state().object()); }

    // All of it is read, whatever part is wanted: that is cheaper.
    bool goes_whole(mail_to_read const& m) const noexcept {
        return part_.is_whole() || (part_.is_header() && m.size <= header_read_size);
    }
    bool goes_by_run(std::span<mail const> run) const {
        return std::all_of(run.begin(), run.end(), [this](mail const& m) {
            auto const row = find(m.uid);
            return row && goes_whole(*row) && row->size <= dbox_read_ahead_max;
        });
    }

    asio::awaitable<void> read_together(std::span<mail> run) {
        std::vector<mail_to_read> wanted;
        for (auto const& m : run) wanted.push_back(*find(m.uid));
        auto found = co_await core_->mails.read_run(wanted);
        for (std::size_t i = 0; i < run.size(); ++i) {
            if (found[i].failure)
                co_await read_into(run[i]);  // it may have moved
            else
                run[i].bytes = cut(std::move(found[i].bytes));
        }
    }

    asio::awaitable<void> read_into(mail& m) { return fill(m, read_part(m.uid)); }
    static asio::awaitable<void> fill(mail& m, asio::awaitable<shared_bytes> reading) {
        try {
            m.bytes = co_await std::move(reading);
        } catch (error const& e) {
            m = {m.uid, {}, e.code(), e.what()};
        } catch (std::bad_alloc const& e) {
            m = {m.uid, {}, std::make_error_code(std::errc::not_enough_memory), e.what()};
        }
    }

    asio::awaitable<shared_bytes> read_part(uid_t uid) {
        auto const row = find(uid);
        if (!row || goes_whole(*row)) {
            shared_bytes whole(co_await read(uid));
            co_return cut(std::move(whole));
        }
        if (!part_.is_header()) {
            shared_bytes part(co_await read_range(uid, part_.begin(), part_.size()));
            co_return part;
        }
        co_return co_await read_header(uid, header_read_size, header_ahead_max);
    }
    // Of a header that is longer than `most`, so much of it.
    asio::awaitable<shared_bytes> read_header(uid_t uid, std::uint64_t first, std::uint64_t most) {
        for (auto size = first;; size *= 4) {
            shared_bytes head(co_await read_range(uid, 0, size));
            if (head.size() < size || header_end(head) || size >= most) co_return cut(std::move(head));
        }
    }
    asio::awaitable<std::vector<std::byte>> read_range(uid_t uid, std::uint64_t begin, std::uint64_t size) {
        co_return co_await found_by(uid, [this, begin, size](mail_to_read m) { return core_->mails.read_part(m.id, m.where, begin, size); });
    }
    shared_bytes cut(shared_bytes bytes) const {
        if (!part_.is_header()) return bytes;
        return bytes.first(header_end(bytes).value_or(bytes.size()));
    }

    template <class Read>
    asio::awaitable<std::vector<std::byte>> found_by(uid_t uid, Read how) {
        auto const row = find(uid);
        if (!row) throw error(errc::not_found, index_directory(), "UID " + std::to_string(uid) + " is not there");
        std::exception_ptr failure;
        try {
            co_return co_await how(*row);
        } catch (error const& e) {
            if (e.code() != errc::body_missing) throw;
            failure = std::current_exception();
        }
        co_await index_->catch_up();
        auto const now = find(uid);
        if (!now || now->where == row->where) std::rethrow_exception(failure);
        co_return co_await how(*now);
    }

    std::shared_ptr<account_core<Index, Format>> core_;
    std::shared_ptr<Index> index_;
    mail_part part_;
    mutable std::size_t near_ = 0;  // a row: of what was read or looked for last
    mutable std::size_t run_ = 0;   // of the first message of the run that is being put together
};

}  // namespace mailfs::detail
