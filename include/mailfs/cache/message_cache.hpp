// SPDX-License-Identifier: BSL-1.0
// The message_cache concept: where what was once parsed out of a message is kept, and found again.
#pragma once

#include <mailfs/fs/filesystem.hpp>
#include <mailfs/types/guid.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace mailfs {

/// What a field is; the bytes of its value are the extractor's. A number that is not known is passed on as it is.
enum class cache_field_id : std::uint16_t {
    envelope = 1,        ///< RFC 9051, section 2.3.5
    body_structure = 2,  ///< RFC 9051, section 2.3.6
    headers = 3,         ///< chosen header lines
    preview = 4,         ///< RFC 8970
    sizes = 5,           ///< of header and parts
};
struct cache_field {
    cache_field_id id{};
    std::vector<std::byte> value;
    friend bool operator==(cache_field const&, cache_field const&) = default;
};

/// Fields of one message on their way into the cache. `previous`: where the index says that older ones are; 0: nowhere.
struct cache_entry {
    guid id;
    std::uint64_t previous = 0;
    std::vector<cache_field> fields;
};
/// A message, and where the index says that its newest fields are.
struct cache_reference {
    guid id;
    std::uint64_t where = 0;
};

/// What is lost of a cache costs time alone: nothing that is wrong with its files is an error, and what is found is the
/// message's own or nothing. An object belongs to one executor; calls may overlap.
template <class C>
concept message_cache =
    std::movable<C> && requires(C c, cache_reference r, std::span<cache_entry const> entries, std::span<cache_reference const> live) {
        { c.load(r) } -> awaitable_of<std::vector<cache_field>>;       // the newest of each field; empty: nothing is known
        { c.store(entries) } -> awaitable_of<std::vector<std::uint64_t>>;  // for the index to note, in order; 0: not kept
        { c.compact(live) } -> awaitable_of<std::vector<std::uint64_t>>;   // keeps these alone; the same
    };

}  // namespace mailfs
