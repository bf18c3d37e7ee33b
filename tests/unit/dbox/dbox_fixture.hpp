// SPDX-License-Identifier: BSL-1.0
// What the tests of mail formats share: a host without surprises, and files whose bytes a test may choose.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/dbox/single_dbox.hpp>
#include <mailfs/error.hpp>

#include <asio/awaitable.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::test {

/// The clock stands still and randomness counts, from a seed on; copies count together.
class fixed_host {
public:
    explicit fixed_host(std::uint64_t seed = 1) : state_(std::make_shared<std::uint64_t>(seed)) {}

    std::uint64_t now_ms() const { return 1'700'000'000'000U; }
    std::uint64_t random() {
        auto word = *state_ += 0x9e37'79b9'7f4a'7c15U;
        word = (word ^ word >> 30) * 0xbf58'476d'1ce4'e5b9U;
        word = (word ^ word >> 27) * 0x94d0'49bb'1331'11ebU;
        return word ^ word >> 31;
    }
    guid boot() const { return guid::from_words(1, 2); }
    std::uint32_t node() const { return 0; }

private:
    std::shared_ptr<std::uint64_t> state_;
};
static_assert(host<fixed_host>);

using bytes = std::vector<std::byte>;

inline bytes bytes_of(std::string_view text) {
    auto const view = as_bytes(text);
    return {view.begin(), view.end()};
}

/// Bytes of every value, NUL and 8-bit too, different for each seed.
inline bytes noise(std::size_t size, std::uint64_t seed = 1) {
    fixed_host source(seed);
    bytes made(size);
    for (auto& octet : made) octet = static_cast<std::byte>(source.random());
    return made;
}

inline guid numbered(std::uint64_t n) { return guid::from_words(n * 0x0123'4567'89ab'cdefU, n); }

template <class Fs, class Host>
std::string file_of(single_dbox<Fs, Host> const&, guid id, mail_location) {
    return "mail/" + id.hex().substr(0, 2) + "/" + id.hex();
}
template <class Fs, class Host>
std::string file_of(multi_dbox<Fs, Host> const&, guid, mail_location at) {
    return mailfs::detail::multi_dbox_path("mail", at.file);
}

template <class M>
M make_format(typename M::fs_type fs, dbox_options options = {}, std::uint64_t seed = 1) {
    return M(std::move(fs), "mail", typename M::host_type(seed), options);
}

template <class M>
asio::awaitable<mail_location> write_one(M& format, guid id, bytes const& body, durability d = durability::none) {
    mail_to_write const mail{id, 1'700'000'000'123U, body};
    auto const at = co_await format.write(std::span(&mail, 1), d);
    co_return at.at(0);
}

/// What a read came to: bytes, or an error.
struct outcome {
    std::optional<bytes> body;
    std::optional<error> failure;

    bool is(errc code) const { return failure && failure->code() == code; }
    bool names(std::string const& file) const {
        return failure && failure->file() == file && failure->offset() != error::no_offset;
    }
};

inline asio::awaitable<outcome> outcome_of(asio::awaitable<bytes> reading) {
    outcome result;
    try {
        result.body = co_await std::move(reading);
    } catch (error const& e) {
        result.failure = e;
    }
    co_return result;
}

template <class M>
asio::awaitable<outcome> try_read(M& format, guid id, mail_location at, std::uint64_t hint = size_unknown) {
    co_return co_await outcome_of(format.read(id, at, hint));
}

/// Writes one message and says why not, if not.
template <class M>
asio::awaitable<std::optional<error>> try_write(M& format, guid id, bytes const& body, durability d = durability::none) {
    std::optional<error> failure;
    try {
        co_await write_one(format, id, body, d);
    } catch (error const& e) {
        failure = e;
    }
    co_return failure;
}

template <class Fs>
asio::awaitable<bytes> contents(Fs fs, std::string path) {
    auto file = co_await fs.open(path);
    if (!file) throw std::runtime_error("no file " + path);
    auto mapping = co_await file->map();
    auto const all = mapping.bytes();
    co_return bytes(all.begin(), all.end());
}

template <class Fs>
asio::awaitable<void> put_file(Fs fs, std::string path, bytes content) {
    bool const made = co_await fs.create(path, content, durability::none);
    if (!made) throw std::runtime_error("is there already: " + path);
}

}  // namespace mailfs::test
