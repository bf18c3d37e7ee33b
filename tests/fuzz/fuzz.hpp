// SPDX-License-Identifier: BSL-1.0
// What fuzz targets share: the input as numbers and bytes, a host without chance, and what must hold of any state.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/endian.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/index/view.hpp>
#include <mailfs/store/search_query.hpp>
#include <mailfs/store/tree_state.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/guid.hpp>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mailfs::fuzz {

/// A finding: says what does not hold, and ends the program as a fuzzer wants it.
[[noreturn]] inline void fail(std::string_view what) {
    std::fprintf(stderr, "FINDING: %.*s\n", static_cast<int>(what.size()), what.data());
    std::abort();
}
inline void require(bool holds, std::string_view what) {
    if (!holds) fail(what);
}

/// Takes numbers off the front; 0 when there is nothing left.
class input {
public:
    explicit input(bytes_view bytes) noexcept : rest_(bytes) {}

    std::uint8_t octet() noexcept {
        if (rest_.empty()) return 0;
        auto const value = static_cast<std::uint8_t>(rest_.front());
        rest_ = rest_.subspan(1);
        return value;
    }
    std::uint16_t word() noexcept {
        auto const low = octet();
        return static_cast<std::uint16_t>(low | octet() << 8);
    }
    bytes_view take(std::size_t size) noexcept {
        auto const taken = rest_.first(std::min(size, rest_.size()));
        rest_ = rest_.subspan(taken.size());
        return taken;
    }
    bytes_view rest() noexcept { return take(rest_.size()); }
    bool empty() const noexcept { return rest_.empty(); }

private:
    bytes_view rest_;
};

inline std::vector<std::byte> copy_of(bytes_view bytes) { return {bytes.begin(), bytes.end()}; }

/// What mailfs::mapping gives: bytes that may be written to, aligned to 64.
class aligned_bytes {
public:
    explicit aligned_bytes(bytes_view bytes) : size_(bytes.size()), data_(static_cast<std::byte*>(std::aligned_alloc(64, (bytes.size() + 64) / 64 * 64))) {
        if (!bytes.empty()) std::memcpy(data_, bytes.data(), bytes.size());
    }
    aligned_bytes(aligned_bytes const&) = delete;
    aligned_bytes& operator=(aligned_bytes const&) = delete;
    ~aligned_bytes() { std::free(data_); }

    std::span<std::byte> bytes() const noexcept { return {data_, size_}; }

private:
    std::size_t size_;
    std::byte* data_;
};

struct fixed_host {
    std::uint64_t boots = 1;
    std::uint64_t* count = nullptr;

    std::uint64_t now_ms() { return 1'750'000'000'000 + ++*count; }
    std::uint64_t random() { return ++*count * 0x9e37'79b9'7f4a'7c15U; }
    guid boot() { return guid::from_words(0, boots); }
    std::uint32_t node() { return 0; }
};

/// Runs what never has to wait. What it throws comes out, if it is an error of ours with a file; anything else is a finding.
inline void run(asio::awaitable<void> work) {
    static asio::io_context context(1);
    std::exception_ptr failure;
    bool done = false;
    asio::co_spawn(context, std::move(work), [&](std::exception_ptr thrown) {
        failure = std::move(thrown);
        done = true;
    });
    context.restart();
    context.poll();
    require(done, "a coroutine waits for what never comes");
    if (failure) std::rethrow_exception(failure);
}

/// An error that damaged bytes may end in.
inline void check_error(error const& e) {
    require(!e.file().empty() && std::string_view(e.what()).size() > e.file().size(), "an error names no file, or no reason");
    auto const code = e.code();
    bool const known = code == errc::corrupt || code == errc::newer_version || code == errc::body_missing || code == errc::not_found ||
                       code == errc::too_big || code == errc::busy || code == errc::may_have_happened || code == errc::exists ||
                       code == errc::not_supported;
    require(known, std::string("an error that bytes cannot cause: ") + e.what());
}

/// Equal bytes after writing, reading and writing again.
template <class State>
std::vector<std::byte> check_snapshot(State const& state) {
    auto const first = state.dump();
    aligned_bytes const copy(first);
    State again;
    try {
        again.load(copy.bytes(), "snapshot");
    } catch (error const& e) {
        fail(std::string("a snapshot just written is refused: ") + e.what());
    }
    require(again.dump() == first, "a snapshot that was read is written in another way");
    return first;
}

/// Walks over everything a session could ask for; `honest`: the state was built from transactions alone.
inline void use(mailbox_state& state, bool honest) {
    view const v(state);
    mailbox_counters count;
    uid_t last = 0;
    for (std::uint32_t n = 1; n <= v.messages(); ++n) {
        auto const uid = v.uid(n);
        if (honest) require(uid > last && uid < state.uid_next(), "UIDs do not ascend below UIDNEXT");
        last = uid;
        auto const row = v.row(uid);
        if (!honest) continue;
        require(v.number(uid) == n && row && row->uid == uid, "a number, a UID and a row contradict each other");
        require(row->modseq <= state.highest_modseq(), "a MODSEQ above the mailbox's");
        ++count.messages;
        count.unseen += has(row->flags, flag::seen) ? 0U : 1U;
        count.deleted += has(row->flags, flag::deleted) ? 1U : 0U;
        count.bytes += row->size;
    }
    if (honest) require(count == state.counters(), "counters are not those of the rows");
    search_query query;
    query.unset = flag::seen;
    query.keywords_unset = {"k1"};
    query.size_min = 1;
    auto const found = search_view(v, query);
    if (honest) require(found.size() <= count.unseen, "a search found more than there is");
    static_cast<void>(v.vanished_since(0));
    static_cast<void>(v.first_unseen());
}

using target = void (*)(bytes_view);
struct named_target {
    std::string_view name;
    target run;
};

void log_record(bytes_view bytes);
void log_scan(bytes_view bytes);
void mailbox_operations(bytes_view bytes);
void mailbox_snapshot(bytes_view bytes);
void tree_operations(bytes_view bytes);
void tree_snapshot(bytes_view bytes);
void dbox_file(bytes_view bytes);
void cache_file(bytes_view bytes);
void mailbox_directory(bytes_view bytes);
void peer_frame(bytes_view bytes);
void replicated_steps(bytes_view bytes);

inline constexpr named_target targets[] = {
    {"log_record", log_record},
    {"log_scan", log_scan},
    {"mailbox_operations", mailbox_operations},
    {"mailbox_snapshot", mailbox_snapshot},
    {"tree_operations", tree_operations},
    {"tree_snapshot", tree_snapshot},
    {"dbox_file", dbox_file},
    {"cache_file", cache_file},
    {"mailbox_directory", mailbox_directory},
    {"peer_frame", peer_frame},
    {"replicated_steps", replicated_steps},
};

}  // namespace mailfs::fuzz
