// SPDX-License-Identifier: BSL-1.0
// A file per message, named by the message's guid: the natural form for object stores.
#pragma once

#include <mailfs/dbox/detail/put_message.hpp>
#include <mailfs/dbox/detail/read_message.hpp>
#include <mailfs/dbox/detail/scan_file.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/detail/at_once.hpp>
#include <mailfs/detail/wait.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/dbox_message.hpp>
#include <mailfs/fwd.hpp>
#include <mailfs/host/system_host.hpp>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs {

/// Files are DIRECTORY/<first two hex digits of the guid>/<guid>. A location's file is 0, its offset that of the only
/// message. A write costs one create for each mail, a read one open and one read call (up to dbox_read_ahead_max bytes).
/// Threads: as message_format says.
template <filesystem Fs, host Host>
class single_dbox {
public:
    using fs_type = Fs;
    using host_type = Host;
    static constexpr bool shares_files = false;
    static constexpr std::size_t files_at_once = 16;                    ///< that one write() makes at the same time,
    static constexpr std::size_t bytes_at_once = std::size_t{16} << 20;  ///< of so many bytes

    single_dbox(Fs fs, std::string directory, Host host, dbox_options options = {})
        : fs_(std::move(fs)), directory_(std::move(directory)), host_(std::move(host)), options_(options) {}

    /// See message_format. Repeating a write whose answer was lost succeeds. Also throws exists, when a guid has a file
    /// already with another content; that file stays as it is.
    asio::awaitable<std::vector<mail_location>> write(std::span<mail_to_write const> mails, durability d) {
        for (auto const& mail : mails) detail::check_size(mail, options_, directory_);
        std::vector<guid> made;
        std::exception_ptr failure;
        auto one = [&](std::size_t n) -> asio::awaitable<void> {
            if (co_await create(mails[n], d)) made.push_back(mails[n].id);
        };
        try {
            auto const most = files_of(mails);
            co_await detail::at_once(mails.size(), most, std::move(one));
        } catch (...) {
            failure = std::current_exception();
        }
        if (failure) {
            co_await discard(made);
            std::rethrow_exception(failure);
        }
        co_return std::vector<mail_location>(mails.size(), mail_location{0, sizeof(dbox_file_header)});
    }

    /// See sharing_format.
    asio::awaitable<mail_location> write_apart(mail_to_write const& mail, durability d)
        requires linking_filesystem<Fs>
    {
        auto const places = co_await write(std::span(&mail, 1), d);
        co_return places.front();
    }
    asio::awaitable<bool> share(single_dbox const& from, guid id, mail_location, durability d)
        requires linking_filesystem<Fs>
    {
        auto const theirs = from.path_of(id), ours = path_of(id);
        co_return co_await fs_.link(theirs, ours, d);
    }

    /// See message_format.
    asio::awaitable<std::vector<std::byte>> read(guid id, mail_location at, std::uint64_t size_hint = size_unknown) {
        auto const path = path_of(id);
        detail::message_place const place{path, at.offset, id};
        auto file = co_await open(place, at);
        auto begun = co_await begin(file, place, detail::read_ahead(size_hint));
        co_return co_await detail::read_body(file, std::move(begun), place, options_.compression.get());
    }

    /// See message_format.
    asio::awaitable<std::vector<std::byte>> read_part(guid id, mail_location at, std::uint64_t begin_at,
                                                      std::uint64_t size) {
        auto const path = path_of(id);
        detail::message_place const place{path, at.offset, id};
        auto file = co_await open(place, at);
        auto begun = co_await begin(file, place, detail::read_ahead(begin_at, size, options_.compression.get()));
        co_return co_await detail::read_range(file, std::move(begun), place, begin_at, size, options_.compression.get());
    }

    /// See message_format. Reads the header alone.
    asio::awaitable<stored_mail> look(guid id, mail_location at) {
        auto const path = path_of(id);
        detail::message_place const place{path, at.offset, id};
        auto file = co_await open(place, at);
        auto const begun = co_await begin(file, place, 0);
        auto const& h = begun.header;
        co_return stored_mail{id, at, dbox_extent(h.stored_size), h.size, h.received_ms, h.written_ms, guid{h.mailbox}, true, detail::is_packed(h)};
    }

    /// See message_format. A list for each of up to 256 directories; others of the executor go on in between.
    asio::awaitable<std::vector<mail_file>> files() {
        std::vector<mail_file> found;
        auto const shares = co_await fs_.list(directory_);
        for (auto const& share : shares) {
            if (share.size() != 2 || !detail::hex_value(share)) continue;
            auto const directory = directory_ + '/' + share;
            auto const names = co_await names_in(directory);
            co_await detail::give_way();
            for (auto const& name : names)
                if (auto const id = guid::parse(name); id && name.starts_with(share))
                    found.push_back({directory + '/' + name, file_number(*id, {})});
        }
        std::sort(found.begin(), found.end(), [](auto const& a, auto const& b) { return a.path < b.path; });
        co_return found;
    }
    /// See message_format. A message that is not the one that the file's name tells is not sound: nothing reads it here.
    asio::awaitable<mail_file_contents> scan(mail_file file) {
        auto const bytes = co_await detail::read_whole(fs_, file.path, detail::scan_size_max(options_));
        co_return detail::contents_of(bytes, file.path, options_.compression.get(), [&](auto& mails, stored_mail mail) {
            mail.sound = mail.sound && mail.where.offset == sizeof(dbox_file_header) && file.path.ends_with(mail.id.hex());
            mails.push_back(mail);
        });
    }
    /// See message_format. The guid's first 8 bytes.
    std::uint64_t file_number(guid id, mail_location) const noexcept {
        std::uint64_t number = 0;
        for (std::size_t i = 0; i < 8; ++i) number = number << 8 | id.octets[i];
        return number;
    }
    /// See message_format.
    asio::awaitable<bool> remove(mail_file file) { co_return co_await fs_.remove(file.path); }

private:
    std::string path_of(guid const& id) const {
        auto const name = id.hex();
        return directory_ + '/' + name.substr(0, 2) + '/' + name;
    }

    // Each is copied into one piece: of long ones few at a time.
    static std::size_t files_of(std::span<mail_to_write const> mails) noexcept {
        std::size_t longest = 1;
        for (auto const& mail : mails) longest = std::max(longest, mail.bytes.size());
        return std::clamp<std::size_t>(bytes_at_once / longest, 1, files_at_once);
    }

    // Nothing where a file stands in the directory's place: it is not ours.
    asio::awaitable<std::vector<std::string>> names_in(std::string const& directory) {
        try {
            co_return co_await fs_.list(directory);
        } catch (error const& e) {
            if (e.code() != errc::not_found) throw;
        }
        co_return std::vector<std::string>{};
    }

    /// False: the very message was there already, and now is as durable as asked.
    asio::awaitable<bool> create(mail_to_write const& mail, durability d) {
        auto const path = path_of(mail.id);
        auto const bytes = detail::file_of_one(0, detail::new_nonce(host_), host_.now_ms(), mail, detail::packed(mail, options_));
        bool const made = co_await fs_.create(path, bytes, d);
        if (!made) co_await adopt(mail, path, d);
        co_return made;
    }

    asio::awaitable<void> adopt(mail_to_write const& mail, std::string const& path, durability d) {
        detail::message_place const place{path, sizeof(dbox_file_header), mail.id};
        auto file = co_await open(place, {0, sizeof(dbox_file_header)});
        auto begun = co_await begin(file, place, detail::read_ahead(mail.bytes.size()));
        auto const there = co_await detail::read_body(file, std::move(begun), place, options_.compression.get());
        if (!std::equal(there.begin(), there.end(), mail.bytes.begin(), mail.bytes.end()))
            throw error(errc::exists, path, "another message of this guid is there already");
        if (d == durability::stored) co_await file.sync();
    }

    /// What a failed write leaves is unreferenced anyway: an error here changes nothing, the purge finds the file.
    asio::awaitable<void> discard(std::span<guid const> made) {
        for (auto const& id : made) {
            auto const path = path_of(id);
            try {
                co_await fs_.remove(path);
            } catch (error const&) {
            }
        }
    }

    asio::awaitable<typename Fs::file> open(detail::message_place const& place, mail_location at) {
        if (at.file != 0 || at.offset != sizeof(dbox_file_header))
            throw error(errc::body_missing, place.path, at.offset, "the mail's location is none of single_dbox");
        auto file = co_await fs_.open(place.path);
        if (!file) throw error(errc::body_missing, place.path, at.offset, "no such mail file");
        co_return std::move(*file);
    }

    asio::awaitable<detail::begun_message> begin(typename Fs::file& file, detail::message_place const& place,
                                                 std::uint64_t ahead) {
        auto const size = sizeof(dbox_file_header) + sizeof(dbox_message_header) + ahead;
        auto bytes = co_await detail::read_up_to(file, 0, size);
        auto const nonce = detail::nonce_told_by(bytes, place.path);
        auto const skipped = std::min(bytes.size(), sizeof(dbox_file_header));
        bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(skipped));
        co_return detail::begin_message(std::move(bytes), nonce, place);
    }

    Fs fs_;
    std::string directory_;
    [[no_unique_address]] Host host_;
    dbox_options options_;
};

}  // namespace mailfs
