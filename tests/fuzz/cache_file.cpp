// SPDX-License-Identifier: BSL-1.0
// A message cache with any contents: asked at every place, added to, and compacted. Nothing in it is ever an error.
#include "checksums.hpp"
#include "fuzz.hpp"

#include <mailfs/cache/append_cache.hpp>
#include <mailfs/fs/memory_fs.hpp>

namespace mailfs::fuzz {

namespace {

using cache_type = append_cache<memory_fs, fixed_host>;

asio::awaitable<void> look(memory_fs fs, fixed_host host, std::size_t size) {
    auto const box = guid::from_words(1, 2);
    cache_type cache(fs, "box", box, host);
    std::vector<cache_reference> all;
    for (std::uint64_t at = 0; at < std::min<std::size_t>(size + 16, 4096); at += 8)
        for (std::uint64_t who = 1; who < 4; ++who) all.push_back({guid::from_words(3, who), at});
    for (auto const& r : all) {
        auto const fields = co_await cache.load(r);
        for (auto const& f : fields) require(f.value.size() <= format::cache_record_size_max, "a field is longer than a record");
    }
    cache_entry e{guid::from_words(3, 1), 64, {{cache_field_id::preview, std::vector<std::byte>(20, std::byte{7})}}};
    auto const places = co_await cache.store(std::span(&e, 1));
    if (places.front() != 0) {
        cache_type other(fs, "box", box, host);
        auto const again = co_await other.load({e.id, places.front()});
        bool const found = std::any_of(again.begin(), again.end(), [&](cache_field const& f) { return f == e.fields.front(); });
        require(found, "what was stored is not found");
    }
    all.resize(std::min<std::size_t>(all.size(), 64));
    auto const moved = co_await cache.compact(all);
    require(moved.size() == all.size(), "compaction forgot somebody");
}

}  // namespace

void cache_file(bytes_view bytes) {
    input in(bytes);
    auto const mode = in.octet();
    auto file = copy_of(in.rest());
    if (mode % 2 == 1) fix_cache(file);
    std::uint64_t count = 0;
    memory_fs fs;
    fs.put("box/cache.1", file);
    try {
        run(look(fs, {1, &count}, file.size()));
    } catch (error const& e) {
        fail(std::string("a cache must not fail: ") + e.what());
    }
}

}  // namespace mailfs::fuzz
