// SPDX-License-Identifier: BSL-1.0
// A message cache in a file that is only appended to: DIRECTORY/cache.<n>.
#pragma once

#include <mailfs/cache/message_cache.hpp>
#include <mailfs/config.hpp>
#include <mailfs/detail/numbered_name.hpp>
#include <mailfs/detail/turns.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/cache_record.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/fwd.hpp>
#include <mailfs/host/host.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs {

struct cache_options {
    std::uint64_t file_size_max = std::uint64_t{1} << 30;    ///< bytes; a longer file takes no more: compact it
    std::uint64_t append_size_max = std::uint64_t{1} << 20;  ///< bytes gathered for one append; one record is always
    std::size_t records_max = 8;                             ///< of one message that a load follows
};

/// Writers are not ordered by anything but the filesystem's appends; each record says whose it is, so a place that became
/// another's in the meantime is a miss. A load costs a read for each record of the message (two for a long one), a
/// store one append for up to append_size_max bytes. Nothing is synced. Throws what the filesystem throws (io, no_space, ...).
template <filesystem Fs, host Host>
class append_cache {
public:
    using fs_type = Fs;

    /// `mailbox`: whose messages they are; `directory`: where that has its files.
    append_cache(Fs fs, std::string directory, guid const& mailbox, Host host, cache_options options = {})
        : fs_(std::move(fs)), directory_(std::move(directory)), mailbox_(mailbox), host_(std::move(host)), options_(options) {}

    asio::awaitable<std::vector<cache_field>> load(cache_reference r) {
        std::vector<cache_field> found;
        if (r.where == 0) co_return found;
        auto current = file_;
        if (!current) current = co_await find_newest();
        bool const there = current && co_await gather(*current, r, found);
        if (there) co_return found;
        current = co_await find_newest();  // another process may have compacted it
        if (current) co_await gather(*current, r, found);
        co_return found;
    }

    asio::awaitable<std::vector<std::uint64_t>> store(std::span<cache_entry const> entries) {
        auto current = co_await open_or_make();
        auto const size = co_await current->file.size();
        if (size % format::cache_alignment != 0) {  // a torn append ended it
            file_ = co_await make(current->number + 1);
            current = co_await open_or_make();
        }
        if (size > options_.file_size_max) co_return std::vector<std::uint64_t>(entries.size(), 0);
        co_return co_await append(*current, entries, true);
    }

    /// Whether the file takes no more until it is compacted.
    asio::awaitable<bool> is_full() {
        auto const current = co_await find_newest();
        if (!current) co_return false;
        auto const size = co_await current->file.size();
        co_return size > options_.file_size_max;
    }

    asio::awaitable<std::vector<std::uint64_t>> compact(std::span<cache_reference const> live) {
        auto const old = co_await find_newest();
        auto const fresh = co_await make(old ? old->number + 1 : 1);
        if (!fresh) throw error(errc::busy, directory_, "someone else compacts the message cache");
        std::vector<std::uint64_t> places;
        std::vector<cache_entry> batch;
        std::uint64_t bytes = 0;
        for (auto const& r : live) {
            cache_entry e{r.id, 0, {}};
            if (old && r.where != 0) co_await gather(*old, r, e.fields);
            for (auto const& f : e.fields) bytes += f.value.size();
            batch.push_back(std::move(e));
            if (bytes >= options_.append_size_max || batch.size() == batch_max) {
                co_await flush(*fresh, batch, places);
                bytes = 0;
            }
        }
        co_await flush(*fresh, batch, places);
        file_ = fresh;
        co_await remove_older(fresh->number);
        co_return places;
    }

private:
    struct cache_file {
        std::uint64_t number;
        std::uint64_t nonce;
        typename Fs::file file;
    };
    using file_pointer = std::shared_ptr<cache_file>;
    static constexpr std::size_t read_size_min = 4096;  // bytes of a first read: most records fit
    static constexpr std::size_t batch_max = 1024;      // messages
    static constexpr int makes_max = 16;                // tries to make a file

    std::string path(std::uint64_t number) const { return directory_ + "/cache." + std::to_string(number); }

    asio::awaitable<std::vector<std::uint64_t>> numbers() {
        std::vector<std::uint64_t> found;
        auto const names = co_await fs_.list(directory_);
        for (auto const& name : names)
            if (auto const n = detail::number_in(name, "cache.")) found.push_back(*n);
        std::sort(found.begin(), found.end());
        co_return found;
    }

    // The file of the greatest number, when this version can use it; it is file_ then.
    asio::awaitable<file_pointer> find_newest() {
        auto const all = co_await numbers();
        if (all.empty()) {
            file_.reset();
            co_return nullptr;
        }
        if (file_ && file_->number == all.back()) co_return file_;
        file_ = co_await open(all.back());
        co_return file_;
    }
    asio::awaitable<file_pointer> open(std::uint64_t number) {
        auto const name = path(number);
        auto file = co_await fs_.open(name);
        if (!file) co_return nullptr;
        format::cache_file_header h;
        std::span<std::byte> const buffer(reinterpret_cast<std::byte*>(&h), sizeof h);
        auto const size = co_await file->read(0, buffer);
        if (size < sizeof h || format::check(h, mailbox_, number)) co_return nullptr;
        co_return std::make_shared<cache_file>(cache_file{number, h.nonce, std::move(*file)});
    }
    // Nothing: someone was faster.
    asio::awaitable<file_pointer> make(std::uint64_t number) {
        auto const h = format::make_cache_file_header(mailbox_, number, host_.random(), host_.now_ms());
        auto const name = path(number);
        bool const made = co_await fs_.create(name, format::detail::cache_bytes(h), durability::none);
        if (!made) co_return nullptr;
        co_return co_await open(number);
    }
    asio::awaitable<file_pointer> open_or_make() {
        if (!turns_.try_take()) co_await turns_.wait();
        detail::turn const mine(turns_);
        for (int i = 0; i < makes_max; ++i) {
            auto found = co_await find_newest();
            if (found) co_return found;
            auto const all = co_await numbers();
            file_ = co_await make(all.empty() ? 1 : all.back() + 1);  // beyond one that is damaged or of another version
            if (file_) co_return file_;
        }
        throw error(errc::busy, directory_, "the message cache was removed at every try to open it");
    }
    asio::awaitable<void> remove_older(std::uint64_t number) {
        auto const all = co_await numbers();
        for (auto const n : all) {
            if (n >= number) co_return;
            auto const gone = path(n);
            co_await fs_.remove(gone);
        }
    }

    asio::awaitable<void> flush(cache_file& into, std::vector<cache_entry>& batch, std::vector<std::uint64_t>& places) {
        auto const done = co_await append(into, batch, false);
        places.insert(places.end(), done.begin(), done.end());
        batch.clear();
    }

    // `chained`: an entry's `previous` is a place in this very file.
    asio::awaitable<std::vector<std::uint64_t>> append(cache_file& into, std::span<cache_entry const> entries, bool chained) {
        std::vector<std::uint64_t> places(entries.size(), 0);
        std::vector<std::byte> bytes;
        for (std::size_t first = 0; first < entries.size();) {
            bytes.clear();
            auto last = first;
            for (; last < entries.size() && (last == first || bytes.size() < options_.append_size_max); ++last)
                places[last] = put(bytes, entries[last], chained, into.nonce);
            if (!bytes.empty()) {
                auto const at = co_await into.file.append(bytes);
                bool const aligned = at % format::cache_alignment == 0;
                for (auto i = first; i < last; ++i) places[i] = places[i] == 0 || !aligned ? 0 : at + places[i] - 1;
            }
            first = last;
        }
        co_return places;
    }
    // One more than where the record stands in `bytes`; 0: there is nothing to keep, or it is too long.
    static std::uint64_t put(std::vector<std::byte>& bytes, cache_entry const& e, bool chained, std::uint64_t nonce) {
        std::vector<format::cache_field_view> fields;
        for (auto const& f : e.fields)
            if (f.id != cache_field_id{}) fields.push_back({static_cast<std::uint16_t>(f.id), f.value});
        if (fields.empty() || format::cache_record_size(fields) > format::cache_record_size_max) return 0;
        auto const place = bytes.size() + 1;
        format::encode_cache_record(bytes, e.id, chained ? e.previous : 0, fields, nonce);
        return place;
    }

    // Adds the fields of a message's records, newest first, each id once. False: where the newest should be is none of it.
    asio::awaitable<bool> gather(cache_file& from, cache_reference r, std::vector<cache_field>& found) {
        auto where = r.where;
        std::vector<std::byte> bytes;
        for (std::size_t n = 0; n < options_.records_max && where != 0; ++n) {
            if (where % format::cache_alignment != 0 || where < sizeof(format::cache_file_header) || where > format::cache_file_size_max)
                co_return n > 0;
            co_await read(from, where, bytes);
            auto const record = format::decode_cache_record(bytes, from.nonce);
            if (!record || record->header.id != r.id.octets) co_return n > 0;
            add(record->fields, found);
            where = record->header.previous < where ? std::uint64_t{record->header.previous} : 0;
        }
        co_return true;
    }
    asio::awaitable<void> read(cache_file& from, std::uint64_t where, std::vector<std::byte>& bytes) {
        bytes.resize(read_size_min);
        auto const first = co_await from.file.read(where, bytes);
        auto const size = format::cache_record_extent(bytes_view(bytes).first(first));
        if (size <= first || first < read_size_min) {
            bytes.resize(first);
            co_return;
        }
        bytes.resize(size);
        auto const rest = std::span(bytes).subspan(first);
        auto const second = co_await from.file.read(where + first, rest);
        bytes.resize(first + second);
    }
    static void add(bytes_view fields, std::vector<cache_field>& found) {
        while (auto const field = format::take_cache_field(fields)) {
            auto const id = static_cast<cache_field_id>(field->id);
            auto const known = std::any_of(found.begin(), found.end(), [&](cache_field const& f) { return f.id == id; });
            if (!known) found.push_back({id, {field->value.begin(), field->value.end()}});
        }
    }

    Fs fs_;
    std::string directory_;
    guid mailbox_;
    [[no_unique_address]] Host host_;
    cache_options options_;
    file_pointer file_;
    detail::turns turns_;
};

}  // namespace mailfs
