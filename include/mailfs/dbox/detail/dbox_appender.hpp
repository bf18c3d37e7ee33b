// SPDX-License-Identifier: BSL-1.0
// The writing half of multi_dbox: appends messages to a file of its own, many at a time, and syncs once for many.
//
// Invariants: only the object that created a file writes to it; nothing is appended behind a failed append or sync; a
// request is `done` when all its bytes are in the file or when it failed, and a leader touches another's mails only
// before the first suspension after it has chosen them.
#pragma once

#include <mailfs/dbox/detail/put_message.hpp>
#include <mailfs/dbox/detail/scan_file.hpp>
#include <mailfs/dbox/detail/turn_queue.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/dbox_message.hpp>
#include <mailfs/fs/shared_sync.hpp>

#include <algorithm>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs::detail {

inline constexpr int dbox_create_tries_max = 8;

inline std::string multi_dbox_path(std::string const& directory, std::uint64_t id) {
    std::string name(16, '0');
    for (std::size_t i = 16; i-- > 0; id >>= 4) name[i] = "0123456789abcdef"[id & 15];
    return directory + "/m." + name;
}

inline std::optional<std::uint64_t> multi_dbox_number(std::string_view name) noexcept {
    bool const fits = name.size() == 18 && name.starts_with("m.");
    return fits ? hex_value(name.substr(2)) : std::nullopt;
}

template <filesystem Fs, host Host>
class dbox_appender {
public:
    dbox_appender(Fs fs, std::string directory, Host host, dbox_options options)
        : fs_(std::move(fs)), directory_(std::move(directory)), host_(std::move(host)), options_(options) {}

    asio::awaitable<std::vector<mail_location>> write(std::span<mail_to_write const> mails, durability d) {
        for (auto const& mail : mails) check_size(mail, options_, directory_);
        if (mails.empty()) co_return std::vector<mail_location>{};
        auto const mine = std::make_shared<request>(mails, d, options_);
        co_await append(mine);
        if (mine->failure) std::rethrow_exception(mine->failure);
        if (d == durability::stored) co_await sync(mine->file, mine->end);
        co_return std::move(mine->locations);
    }

    /// Into a file of its own.
    asio::awaitable<mail_location> write_apart(mail_to_write mail, durability d) {
        check_size(mail, options_, directory_);
        auto const body = packed(mail, options_);
        auto const nonce = new_nonce(host_);
        auto const whole = [&](std::uint64_t id, std::uint64_t now_ms) { return file_of_one(id, nonce, now_ms, mail, body); };
        auto const [id, path] = co_await create_file(whole, d);
        co_return mail_location{id, sizeof(dbox_file_header)};
    }

private:
    /// The file being written to.
    struct target {
        target(std::uint64_t i, std::string p, typename Fs::file f, std::uint64_t n, bool stored, std::uint32_t bits)
            : id(i), path(std::move(p)), file(std::move(f)), nonce(n), name_stored(stored), features(bits) {}
        bool takes(std::uint32_t wanted) const noexcept { return (wanted & ~features) == 0; }

        std::uint64_t id;
        std::string path;
        typename Fs::file file;
        std::uint64_t nonce;
        bool name_stored;  ///< a power cut can't take the name away
        std::uint32_t features;  ///< as its header tells
        std::uint64_t end = sizeof(dbox_file_header);
        std::uint64_t synced = 0;
        bool sync_failed = false;
        std::uint64_t used_ms = 0;  ///< just before the last append
        turn_queue sync_turns;
        shared_sync<typename Fs::file> syncs;  // a caller's cancellation does not reach into it
    };

    struct request {
        request(std::span<mail_to_write const> m, durability how, dbox_options const& options) : mails(m), d(how) {
            bodies.reserve(mails.size());
            for (auto const& mail : mails) {
                auto const& body = bodies.emplace_back(packed(mail, options)).body;
                extent += dbox_extent(body.stored.size());
                features |= features_of(body);
            }
        }
        std::span<mail_to_write const> mails;
        std::vector<packed_body> bodies{};  ///< of each of them
        durability d;
        std::uint64_t extent = 0;
        std::uint32_t features = 0;
        std::vector<mail_location> locations{};
        std::shared_ptr<target> file{};
        std::uint64_t end = 0;
        std::exception_ptr failure{};
        bool done = false;
    };
    using batch = std::vector<std::shared_ptr<request>>;

    /// Takes a place in the queue; whoever's turn it is appends for all that fit into one append.
    asio::awaitable<void> append(std::shared_ptr<request> mine) {
        queued const place(pending_, mine);
        auto const turn = co_await turns_.take();
        if (mine->done) co_return;
        batch together{mine};
        try {
            auto file = co_await file_for(mine->d, mine->features);
            current_.reset();  // until the append has returned: behind one that failed or was given up nothing may stand
            together = choose(mine, *file);
            co_await append_all(*file, together);
            current_ = file;
            for (auto const& each : together) {
                each->file = file;
                each->end = file->end;
            }
        } catch (error const&) {  // any other, a cancellation too, is ours alone: the next in turn appends for the others
            for (auto const& each : together) each->failure = std::current_exception();
        }
        for (auto const& each : together) each->done = true;
    }

    struct queued {
        queued(std::deque<std::shared_ptr<request>>& in, std::shared_ptr<request> what) : queue(in), mine(std::move(what)) {
            queue.push_back(mine);
        }
        queued(queued const&) = delete;
        queued& operator=(queued const&) = delete;
        ~queued() { std::erase(queue, mine); }

        std::deque<std::shared_ptr<request>>& queue;
        std::shared_ptr<request> mine;
    };

    batch choose(std::shared_ptr<request> const& mine, target const& file) const {
        batch together{mine};
        auto extent = mine->extent;
        for (auto const& other : pending_) {
            if (other == mine || other->done) continue;
            if (extent + other->extent > piece_max()) break;
            if (other->d == durability::stored && !file.name_stored) break;
            if (!file.takes(other->features)) break;
            extent += other->extent;
            together.push_back(other);
        }
        return together;
    }

    /// One append where all fits into one, without suspending before it; else the mails are of one request alone.
    asio::awaitable<void> append_all(target& file, batch const& together) {
        std::vector<std::byte> bytes;
        auto const now_ms = host_.now_ms();
        for (auto const& each : together) {
            each->locations.clear();  // of a leader that was given up
            for (std::size_t i = 0; i < each->mails.size(); ++i) {
                auto const& mail = each->mails[i];
                auto const& body = each->bodies[i].body;
                auto const header = make_dbox_message_header(file.nonce, mail.id, mail.received_ms, mail.mailbox, written_ms(mail, now_ms), body);
                each->locations.push_back({file.id, file.end + bytes.size()});
                put(bytes, as_bytes(header));
                if (dbox_extent(body.stored.size()) > piece_max()) {  // not worth a copy
                    co_await append_pieces(file, bytes);
                    bytes.clear();
                    co_await append_pieces(file, body.stored);
                } else {
                    put(bytes, body.stored);
                }
                put_trailer(bytes, header);
                if (bytes.size() > piece_max()) {
                    co_await append_pieces(file, bytes);
                    bytes.clear();
                }
            }
        }
        co_await append_pieces(file, bytes);
    }

    asio::awaitable<void> append_pieces(target& file, bytes_view bytes) {
        while (!bytes.empty()) {
            auto const piece =
                bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), Fs::traits.append_size_max)));
            auto const offset = co_await file.file.append(piece);
            if (offset != file.end) throw error(errc::corrupt, file.path, file.end, "someone else wrote to this file");
            file.end += piece.size();
            bytes = bytes.subspan(piece.size());
        }
    }

    std::uint64_t piece_max() const noexcept { return std::min(options_.append_size_max, Fs::traits.append_size_max); }

    // So that a file need not be left when the first body comes that shrinks.
    std::uint32_t packing_feature() const noexcept {
        return options_.compression != nullptr && options_.compression->packs() ? dbox_feature_compression : 0;
    }

    asio::awaitable<std::shared_ptr<target>> file_for(durability d, std::uint32_t features) {
        auto const now_ms = host_.now_ms();
        bool const usable = current_ && !current_->sync_failed && current_->end < options_.file_size_max &&
                            now_ms >= current_->used_ms && now_ms - current_->used_ms <= options_.idle_ms_max &&
                            (d == durability::none || current_->name_stored) && current_->takes(features);
        if (!usable) current_ = co_await new_file(d, features | packing_feature());
        current_->used_ms = now_ms;
        co_return current_;
    }

    asio::awaitable<std::shared_ptr<target>> new_file(durability d, std::uint32_t features) {
        auto const nonce = new_nonce(host_);
        auto const bare = [&](std::uint64_t id, std::uint64_t now_ms) {
            std::vector<std::byte> bytes;
            put(bytes, as_bytes(make_dbox_file_header(id, nonce, now_ms, features)));
            return bytes;
        };
        auto const [id, path] = co_await create_file(bare, d);
        auto file = co_await fs_.open(path);
        if (!file) throw error(errc::io, path, "the file is gone that was just created");
        co_return std::make_shared<target>(id, path, std::move(*file), nonce, d == durability::stored, features);
    }

    /// Under a name that is free: its number, and its path. `contents` makes the bytes for a number and a time.
    template <class Contents>
    asio::awaitable<std::pair<std::uint64_t, std::string>> create_file(Contents const& contents, durability d) {
        for (int tries = 0; tries < dbox_create_tries_max; ++tries) {
            auto const now_ms = host_.now_ms();
            auto const id = now_ms << 16 | (host_.random() & 0xffff);
            auto path = multi_dbox_path(directory_, id);
            auto const bytes = contents(id, now_ms);
            bool const made = co_await fs_.create(path, bytes, d);
            if (made) co_return std::pair(id, std::move(path));
        }
        throw error(errc::busy, directory_, "no free name for a mail file");
    }

    /// Returns when the first `end` bytes are on stable storage. A sync that began before they were there does not count;
    /// whoever waits for it meanwhile shares the next. After a failure the kernel may have dropped what it could not
    /// write, so that a later success would prove nothing.
    asio::awaitable<void> sync(std::shared_ptr<target> file, std::uint64_t end) {
        auto const turn = co_await file->sync_turns.take();
        if (file->synced >= end) co_return;
        if (file->sync_failed) throw error(errc::io, file->path, "a sync of this file failed before");
        auto const covered = file->end;
        try {
            co_await file->syncs.sync(file->file);
        } catch (error const&) {
            file->sync_failed = true;
            throw;
        }
        file->synced = covered;
    }

    Fs fs_;
    std::string directory_;
    [[no_unique_address]] Host host_;
    dbox_options options_;
    std::shared_ptr<target> current_;
    turn_queue turns_;
    std::deque<std::shared_ptr<request>> pending_;
};

}  // namespace mailfs::detail
