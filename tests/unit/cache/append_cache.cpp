// SPDX-License-Identifier: BSL-1.0
#include <mailfs/cache/append_cache.hpp>

#include <mailfs/fs/counting_fs.hpp>
#include <mailfs/fs/faulty_fs.hpp>
#include <mailfs/fs/memory_fs.hpp>

#include "support/run.hpp"
#include "unit/dbox/dbox_fixture.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace mailfs;

namespace {

using test::fixed_host;
using counted = counting_fs<memory_fs>;
static_assert(message_cache<append_cache<memory_fs, fixed_host>>);

guid const box = guid::from_words(7, 7);
guid id_of(std::uint64_t n) { return guid::from_words(n, ~n); }

cache_field field(cache_field_id id, std::string_view text) {
    auto const view = as_bytes(text);
    return {id, {view.begin(), view.end()}};
}
cache_entry entry(std::uint64_t n, std::string_view text, std::uint64_t previous = 0, cache_field_id id = cache_field_id::envelope) {
    return {id_of(n), previous, {field(id, text)}};
}
template <class Cache>
asio::awaitable<std::uint64_t> store_one(Cache& cache, cache_entry e) {
    auto const places = co_await cache.store(std::span<cache_entry const>(&e, 1));
    co_return places.front();
}
template <class Cache>
asio::awaitable<std::string> text_of(Cache& cache, std::uint64_t n, std::uint64_t where) {
    auto const fields = co_await cache.load({id_of(n), where});
    std::string all;
    for (auto const& f : fields) all += std::string(as_text(f.value)) + ";";
    co_return all;
}

}  // namespace

TEST_CASE("append_cache: what was stored is loaded, by another process too, and nothing else is") {
    test::run([]() -> asio::awaitable<void> {
        memory_fs const fs;
        append_cache cache(fs, "box", box, fixed_host());
        std::vector<cache_entry> const two{entry(1, "one"), entry(2, "two")};
        auto const places = co_await cache.store(two);
        REQUIRE(places.size() == 2);
        append_cache other(fs, "box", box, fixed_host(2));
        auto const first = co_await text_of(other, 1, places[0]), second = co_await text_of(other, 2, places[1]);
        CHECK(first == "one;");
        CHECK(second == "two;");
        auto const foreign = co_await text_of(other, 1, places[1]), none = co_await text_of(other, 1, 0),
                   nowhere = co_await text_of(other, 1, 1 << 20), askew = co_await text_of(other, 1, places[0] + 4);
        CHECK((foreign + none + nowhere + askew).empty());
        append_cache stranger(fs, "box", guid::from_words(8, 8), fixed_host(3));
        auto const strange = co_await text_of(stranger, 1, places[0]);
        CHECK(strange.empty());
    });
}

TEST_CASE("append_cache: records of a message are followed to the older ones, and the newest of a field counts") {
    test::run([]() -> asio::awaitable<void> {
        append_cache cache(memory_fs(), "box", box, fixed_host());
        auto where = co_await store_one(cache, entry(1, "old"));
        where = co_await store_one(cache, entry(1, "preview", where, cache_field_id::preview));
        where = co_await store_one(cache, entry(1, "new", where));
        auto const all = co_await text_of(cache, 1, where);
        CHECK(all == "new;preview;");
        for (int i = 0; i < 20; ++i) where = co_await store_one(cache, entry(1, "again", where));
        auto const bounded = co_await text_of(cache, 1, where);
        CHECK(bounded == "again;");  // the chain is not followed for ever
    });
}

TEST_CASE("append_cache: a store is one append, a load one read") {
    test::run([]() -> asio::awaitable<void> {
        counted const fs{memory_fs()};
        append_cache cache(fs, "box", box, fixed_host());
        std::vector<cache_entry> entries;
        for (std::uint64_t n = 1; n <= 100; ++n) entries.push_back(entry(n, "x"));
        co_await cache.store(entries);
        std::uint64_t const before = fs.counts().append;
        auto const places = co_await cache.store(entries);
        CHECK(fs.counts().append - before == 1);
        std::uint64_t const read_before = fs.counts().read;
        co_await cache.load({id_of(50), places[49]});
        CHECK(fs.counts().read - read_before == 1);
    });
}

TEST_CASE("append_cache: a long record is loaded whole, one beyond the bound is not kept") {
    test::run([]() -> asio::awaitable<void> {
        append_cache cache(memory_fs(), "box", box, fixed_host());
        std::string const text(100'000, 'x');
        auto const where = co_await store_one(cache, entry(1, text));
        auto const found = co_await text_of(cache, 1, where);
        CHECK(found == text + ";");
        auto const refused = co_await store_one(cache, entry(2, std::string(2 << 20, 'y')));
        CHECK(refused == 0);
    });
}

TEST_CASE("append_cache: compaction keeps what is live, in a file of its own, and a slow reader misses at worst") {
    test::run([]() -> asio::awaitable<void> {
        memory_fs const fs;
        append_cache cache(fs, "box", box, fixed_host()), slow(fs, "box", box, fixed_host(2));
        auto const one = co_await store_one(cache, entry(1, "one"));
        auto const two = co_await store_one(cache, entry(2, "two"));
        auto const more = co_await store_one(cache, entry(2, "more", two, cache_field_id::preview));
        auto const seen = co_await text_of(slow, 1, one);
        CHECK(seen == "one;");
        std::vector<cache_reference> const live{{id_of(2), more}, {id_of(3), 0}};
        auto const places = co_await cache.compact(live);
        REQUIRE(places.size() == 2);
        CHECK(places[1] == 0);
        CHECK(fs.paths() == std::vector<std::string>{"box/cache.2"});
        auto const kept = co_await text_of(cache, 2, places[0]), found = co_await text_of(slow, 2, places[0]);
        CHECK(kept == "more;two;");
        CHECK(found == kept);
        auto const gone = co_await text_of(cache, 1, one);
        CHECK(gone.empty());
    });
}

TEST_CASE("append_cache: damage, a torn tail and another version cost the fields and nothing more") {
    test::run([]() -> asio::awaitable<void> {
        faulty_fs<> const fs;
        append_cache cache(fs, "box", box, fixed_host());
        auto const one = co_await store_one(cache, entry(1, "one"));
        fs.faults().tear(1, 13);
        bool thrown = false;
        try {
            co_await store_one(cache, entry(2, "two"));
        } catch (error const& e) {
            thrown = e.code() == errc::no_space;
        }
        CHECK(thrown);
        auto const still = co_await text_of(cache, 1, one);
        CHECK(still == "one;");
        auto const three = co_await store_one(cache, entry(3, "three"));  // in a file of its own
        auto const found = co_await text_of(cache, 3, three);
        CHECK(found == "three;");

        auto const whole = fs.inner().bytes_of("box/cache.2");
        for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
            auto bytes = whole;
            bytes[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
            memory_fs damaged;
            damaged.put("box/cache.2", bytes);
            append_cache reader(damaged, "box", box, fixed_host(5));
            auto const text = co_await text_of(reader, 3, three);
            bool const harmless = bit / 8 < sizeof(format::cache_file_header) ? text.empty() || text == "three;" : text.empty();
            CHECK(harmless);
            auto const where = co_await store_one(reader, entry(4, "four"));
            auto const four = co_await text_of(reader, 4, where);
            CHECK(four == "four;");
        }
        for (std::size_t size = 0; size < whole.size(); ++size) {
            memory_fs cut;
            cut.put("box/cache.2", bytes_view(whole).first(size));
            append_cache reader(cut, "box", box, fixed_host(5));
            auto const text = co_await text_of(reader, 3, three);
            CHECK(text.empty());
        }
    });
}

TEST_CASE("append_cache: a full file takes no more until it is compacted") {
    test::run([]() -> asio::awaitable<void> {
        append_cache cache(memory_fs(), "box", box, fixed_host(), {.file_size_max = 200});
        std::uint64_t where = 0;
        for (int i = 0; i < 3; ++i) where = co_await store_one(cache, entry(1, std::string(60, 'x')));
        auto const refused = co_await store_one(cache, entry(1, "y"));
        bool const full = co_await cache.is_full();
        CHECK(refused == 0);
        CHECK(full);
        std::vector<cache_reference> const live{{id_of(1), where}};
        co_await cache.compact(live);
        auto const kept = co_await store_one(cache, entry(1, "y"));
        CHECK(kept != 0);
    });
}
