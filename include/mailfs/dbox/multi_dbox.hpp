// SPDX-License-Identifier: BSL-1.0
// Many messages in a file: each writer creates its own file and appends to it.
#pragma once

#include <mailfs/dbox/detail/dbox_appender.hpp>
#include <mailfs/dbox/detail/open_files.hpp>
#include <mailfs/dbox/detail/read_message.hpp>
#include <mailfs/dbox/detail/run_buffer.hpp>
#include <mailfs/dbox/detail/scan_file.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/dbox_message.hpp>
#include <mailfs/fwd.hpp>
#include <mailfs/host/system_host.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace mailfs {

/// Files are DIRECTORY/m.<16 hex digits>: 48 bits of milliseconds, 16 of chance. A write costs one append, and one sync
/// when `stored`, however many its mails are (up to append_size_max bytes); writes under way at once share both. The
/// first one, and one that finds its file full, creates a file first. A read costs one read call where the file is open
/// and the hint right. No lock is needed: nobody writes to a file that another object made.
/// Threads: as message_format says.
template <filesystem Fs, host Host>
class multi_dbox {
public:
    using fs_type = Fs;
    using host_type = Host;
    static constexpr bool shares_files = true;

    multi_dbox(Fs fs, std::string directory, Host host, dbox_options options = {})
        : fs_(fs),
          directory_(directory),
          options_(options),
          files_(options.open_files_max),
          appender_(std::make_shared<detail::dbox_appender<Fs, Host>>(std::move(fs), std::move(directory), std::move(host),
                                                                      options)) {}

    /// See message_format. Also throws busy, when no free file name was found in a bounded number of tries.
    asio::awaitable<std::vector<mail_location>> write(std::span<mail_to_write const> mails, durability d) {
        auto const appender = appender_;  // outlives the turns that a destroyed coroutine gives back
        co_return co_await appender->write(mails, d);
    }

    /// See sharing_format. One create.
    asio::awaitable<mail_location> write_apart(mail_to_write const& mail, durability d)
        requires linking_filesystem<Fs>
    {
        auto const appender = appender_;
        co_return co_await appender->write_apart(mail, d);
    }
    asio::awaitable<bool> share(multi_dbox const& from, guid, mail_location at, durability d)
        requires linking_filesystem<Fs>
    {
        auto const theirs = detail::multi_dbox_path(from.directory_, at.file), ours = detail::multi_dbox_path(directory_, at.file);
        co_return co_await fs_.link(theirs, ours, d);
    }

    /// See message_format.
    asio::awaitable<std::vector<std::byte>> read(guid id, mail_location at, std::uint64_t size_hint = size_unknown) {
        auto const path = detail::multi_dbox_path(directory_, at.file);
        detail::message_place const place{path, at.offset, id};
        auto const opened = co_await open(place, at);
        auto begun = co_await begin(opened, place, detail::read_ahead(size_hint));
        co_return co_await detail::read_body(*opened->file, std::move(begun), place, options_.compression.get());
    }

    /// See run_format. Runs are of one file, read_run_size_max bytes at most, and may leap over gaps of read_gap_max.
    static bool reads_on(mail_to_read const& first, mail_to_read const& last, mail_to_read const& next) noexcept {
        if (next.where.file != first.where.file || next.where.offset <= last.where.offset) return false;
        if (!detail::is_message_offset(next.where.offset) || std::max(next.size, last.size) > detail::read_run_size_max) return false;
        return next.where.offset <= last.where.offset + dbox_extent(last.size) + detail::read_gap_max &&
               next.where.offset + dbox_extent(next.size) - first.where.offset <= detail::read_run_size_max;
    }
    /// See run_format. One read call, and one more for each message that is not as long as its row tells.
    asio::awaitable<std::vector<mail_bytes>> read_run(std::span<mail_to_read const> run) {
        detail::run_buffer const buffer(run);
        auto const path = detail::multi_dbox_path(directory_, run.front().where.file);
        detail::message_place const first{path, run.front().where.offset, run.front().id};
        std::optional<std::uint64_t> nonce;
        std::size_t got = 0;
        try {
            auto const opened = co_await open(first, run.front().where);
            got = co_await files_type::read(opened, path, first.offset, buffer.room());
            nonce = opened->nonce;
        } catch (error const&) {  // each message tells by itself what is wrong
        }
        std::vector<mail_bytes> found(run.size());
        std::vector<std::size_t> missed;
        for (std::size_t i = 0; i < run.size(); ++i) {
            try {
                if (auto body = buffer.find(run[i], got, nonce, path, options_.compression.get())) found[i].bytes = *std::move(body);
                else missed.push_back(i);
            } catch (...) {  // no memory, too
                found[i].failure = std::current_exception();
            }
        }
        for (auto const i : missed) co_await read_one(run[i], found[i]);
        co_return found;
    }

    /// See message_format.
    asio::awaitable<std::vector<std::byte>> read_part(guid id, mail_location at, std::uint64_t begin_at,
                                                      std::uint64_t size) {
        auto const path = detail::multi_dbox_path(directory_, at.file);
        detail::message_place const place{path, at.offset, id};
        auto const opened = co_await open(place, at);
        auto begun = co_await begin(opened, place, detail::read_ahead(begin_at, size, options_.compression.get()));
        co_return co_await detail::read_range(*opened->file, std::move(begun), place, begin_at, size, options_.compression.get());
    }

    /// See message_format. Reads the header alone.
    asio::awaitable<stored_mail> look(guid id, mail_location at) {
        auto const path = detail::multi_dbox_path(directory_, at.file);
        detail::message_place const place{path, at.offset, id};
        auto const opened = co_await open(place, at);
        auto const begun = co_await begin(opened, place, 0);
        auto const& h = begun.header;
        co_return stored_mail{id, at, dbox_extent(h.stored_size), h.size, h.received_ms, h.written_ms, guid{h.mailbox}, true, detail::is_packed(h)};
    }

    /// See message_format. One list.
    asio::awaitable<std::vector<mail_file>> files() {
        std::vector<mail_file> found;
        auto const names = co_await fs_.list(directory_);
        for (auto const& name : names)
            if (auto const number = detail::multi_dbox_number(name)) found.push_back({directory_ + '/' + name, *number});
        std::sort(found.begin(), found.end(), [](auto const& a, auto const& b) { return a.number < b.number; });
        co_return found;
    }
    /// See message_format.
    asio::awaitable<mail_file_contents> scan(mail_file file) {
        auto const bytes = co_await detail::read_whole(fs_, file.path, detail::scan_size_max(options_));
        co_return detail::contents_of(bytes, file.path, options_.compression.get(), [&](auto& mails, stored_mail mail) {
            mail.where.file = file.number;
            mails.push_back(mail);
        });
    }
    /// See message_format.
    std::uint64_t file_number(guid, mail_location at) const noexcept { return at.file; }
    /// See message_format. This object keeps no file open that is gone.
    asio::awaitable<bool> remove(mail_file file) {
        files_.forget(file.number);
        co_return co_await fs_.remove(file.path);
    }

private:
    using files_type = detail::open_files<Fs>;
    using opened_file = typename files_type::opened;

    asio::awaitable<std::shared_ptr<opened_file>> open(detail::message_place const& place, mail_location at) {
        if (!detail::is_message_offset(at.offset))
            throw error(errc::body_missing, place.path, at.offset, "the mail's location is none of multi_dbox");
        auto opened = co_await files_.get(fs_, at.file, place.path);
        if (!opened) throw error(errc::body_missing, place.path, at.offset, "no such mail file");
        co_return opened;
    }

    static asio::awaitable<detail::begun_message> begin(std::shared_ptr<opened_file> from, detail::message_place const& place,
                                                        std::uint64_t ahead) {
        std::vector<std::byte> bytes(sizeof(dbox_message_header) + ahead);
        auto const got = co_await files_type::read(from, place.path, place.offset, bytes);
        bytes.resize(got);
        co_return detail::begin_message(std::move(bytes), from->nonce, place);
    }

    asio::awaitable<void> read_one(mail_to_read const& mail, mail_bytes& found) {
        try {
            found.bytes = shared_bytes(co_await read(mail.id, mail.where, mail.size));
        } catch (error const&) {
            found.failure = std::current_exception();
        }
    }

    Fs fs_;
    std::string directory_;
    dbox_options options_;
    files_type files_;
    std::shared_ptr<detail::dbox_appender<Fs, Host>> appender_;
};

}  // namespace mailfs
