// SPDX-License-Identifier: BSL-1.0
#include <mailfs/dbox/zstd.hpp>

#include "dbox_fixture.hpp"
#include "support/run.hpp"

#include <mailfs/fs/counting_fs.hpp>
#include <mailfs/fs/memory_fs.hpp>

#include <doctest/doctest.h>

#include <zdict.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

using namespace mailfs;
using namespace mailfs::test;

namespace {

using counted = counting_fs<memory_fs>;
using single = single_dbox<counted, fixed_host>;
using multi = multi_dbox<counted, fixed_host>;

dbox_options with(zstd_options const& o = {}) {
    dbox_options options;
    options.compression = zstd_compression(o);
    return options;
}

/// Text that shrinks to about a third, never the same twice.
bytes text(std::size_t size, std::uint64_t seed = 1) {
    static constexpr std::array<std::string_view, 8> words{"message ", "server ", "Received: from ", "the ", "\r\n", "mailbox ", "X-Header: ", "of "};
    std::string out = "Subject: " + std::to_string(seed) + "\r\n\r\n";
    for (auto x = seed * 2 + 1; out.size() < size; x = x * 6364136223846793005ULL + 1442695040888963407ULL)
        (out += words[x >> 61]) += std::to_string(x >> 54 & 31);
    out.resize(size);
    return bytes_of(out);
}

/// Says that it is zstd, and packs something else.
class liar : public body_compression {
public:
    explicit liar(bytes b) : packed_(std::move(b)) {}
    dbox_compression kind() const noexcept override { return dbox_compression::zstd; }
    bool packs() const noexcept override { return true; }
    bool reads(bytes_view) const noexcept override { return false; }
    std::vector<std::byte> pack(bytes_view) const override { return packed_; }
    std::unique_ptr<body_unpacker> unpacker() const override { throw std::logic_error("nobody reads with this"); }

private:
    bytes packed_;
};

bytes packed_by(body_compression const& how, bytes const& body) { return how.pack(body); }

template <class M>
asio::awaitable<std::uint64_t> stored_bytes(M& format) {
    std::uint64_t sum = 0;
    auto const files = co_await format.files();
    for (auto const& file : files) {
        auto const all = co_await format.scan(file);
        sum += all.size;
    }
    co_return sum;
}

template <class M>
asio::awaitable<mail_file> only_file(M& format) {
    auto const files = co_await format.files();
    if (files.size() != 1) throw std::runtime_error("there are several files, or none");
    co_return files.front();
}

/// What comes of reading `packed`, which stands for a body of that size.
template <class M>
outcome read_packed(bytes packed, std::size_t size, bool part = false) {
    return run([&]() -> asio::awaitable<outcome> {
        counted const fs;
        dbox_options lying;
        lying.compression = std::make_shared<liar>(std::move(packed));
        auto writer = make_format<M>(fs, lying);
        auto const at = co_await write_one(writer, numbered(1), bytes(size));
        auto reader = make_format<M>(fs, with());
        if (part) co_return co_await outcome_of(reader.read_part(numbered(1), at, 0, size));
        co_return co_await try_read(reader, numbered(1), at);
    });
}

}  // namespace

TEST_CASE_TEMPLATE("zstd: bodies of all kinds come back as they were, whole and in parts, and text takes less room", M, single, multi) {
    run([]() -> asio::awaitable<void> {
        counted const fs;
        auto format = make_format<M>(fs, with());
        std::vector<bytes> bodies{{}, text(1), text(255), text(256), text(8191), text(8192), text(8193), text(32768), text(40'000), text(1'000'000), noise(5000), noise(300'000),
                                  bytes(3'000'000)};
        std::vector<mail_location> places;
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < bodies.size(); ++i) {
            sum += bodies[i].size();
            places.push_back(co_await write_one(format, numbered(i), bodies[i]));
        }
        for (std::size_t i = 0; i < bodies.size(); ++i) {
            auto const& body = bodies[i];
            INFO("body " << i);
            for (auto const hint : {size_unknown, std::uint64_t{body.size()}, std::uint64_t{0}}) {
                auto const got = co_await format.read(numbered(i), places[i], hint);
                CHECK(got == body);
            }
            for (std::uint64_t const begin : {0UL, 1UL, 8191UL, 131'072UL, 131'073UL, 299'999UL, 2'900'000UL})
                for (std::uint64_t const size : {0UL, 1UL, 8192UL, 200'000UL}) {
                    auto const from = std::min<std::uint64_t>(begin, body.size()), to = std::min<std::uint64_t>(begin + size, body.size());
                    auto const part = co_await format.read_part(numbered(i), places[i], begin, size);
                    CHECK(std::equal(part.begin(), part.end(), body.begin() + static_cast<std::ptrdiff_t>(from), body.begin() + static_cast<std::ptrdiff_t>(to)));
                }
            auto const seen = co_await format.look(numbered(i), places[i]);
            CHECK(seen.size == body.size());
        }
        auto const stored = co_await stored_bytes(format);
        CHECK(stored < (sum - 3'000'000) * 3 / 4);
    });
}

TEST_CASE_TEMPLATE("zstd: one who reads a header reads no more than it asked for, by one call", M, single, multi) {
    run([]() -> asio::awaitable<void> {
        counted const fs;
        auto format = make_format<M>(fs, with());
        auto const at = co_await write_one(format, numbered(1), text(2'000'000));
        auto const random = co_await write_one(format, numbered(2), noise(2'000'000));
        auto const warm = co_await format.read_part(numbered(1), at, 0, 1);  // the file's header has been read
        for (auto const& [n, where] : {std::pair{1U, at}, std::pair{2U, random}})
            for (std::uint64_t const size : {8192UL, 32768UL}) {
                fs.counts().reset();
                auto const got = co_await format.read_part(numbered(n), where, 0, size);
                CHECK(got.size() == size);
                CHECK(fs.counts().read == 1);
                CHECK(fs.counts().bytes_read < size + 400);
            }
    });
}

TEST_CASE_TEMPLATE("zstd: who was not given it refuses what is compressed, reads the rest, and takes nothing for lost", M, single, multi) {
    run([]() -> asio::awaitable<void> {
        counted const fs;
        auto writer = make_format<M>(fs, with());
        auto const packed = co_await write_one(writer, numbered(1), text(5000));
        auto const plain = co_await write_one(writer, numbered(2), noise(5000));
        auto without = make_format<M>(fs, {}, 2);
        auto const refused = co_await try_read(without, numbered(1), packed);
        CHECK(refused.is(errc::not_supported));
        CHECK(refused.names(file_of(without, numbered(1), packed)));
        auto const part = co_await outcome_of(without.read_part(numbered(1), packed, 0, 10));
        CHECK(part.is(errc::not_supported));
        auto const read = co_await without.read(numbered(2), plain);
        CHECK(read == noise(5000));
        bool threw = false;
        try {
            co_await stored_bytes(without);
        } catch (error const& e) {
            threw = e.code() == errc::not_supported;
        }
        CHECK(threw);
        auto only_reads = make_format<M>(fs, with({.packs = false}), 3);
        auto const new_one = co_await write_one(only_reads, numbered(3), text(5000));
        auto const as_it_was = co_await without.read(numbered(3), new_one);
        CHECK(as_it_was == text(5000));
        auto const both = co_await only_reads.read(numbered(1), packed);
        CHECK(both == text(5000));
    });
}

TEST_CASE_TEMPLATE("zstd: bytes that are not what they should be are an error that names the place", M, single, multi) {
    auto const body = text(100'000);
    auto const good = packed_by(*zstd_compression(), body);
    CHECK(read_packed<M>(good, body.size()).body == body);
    auto cut = good;
    cut.resize(cut.size() / 2);
    auto longer = good;
    longer.push_back(std::byte{0});
    auto twice = good;
    twice.insert(twice.end(), good.begin(), good.end());
    for (bool const part : {false, true}) {
        CHECK(read_packed<M>(cut, body.size(), part).is(errc::corrupt));
        CHECK(read_packed<M>(noise(4000), body.size(), part).is(errc::corrupt));
        CHECK(read_packed<M>(good, body.size() + 1, part).is(errc::corrupt));
    }
    CHECK(read_packed<M>(longer, body.size()).is(errc::corrupt));
    CHECK(read_packed<M>(twice, body.size()).is(errc::corrupt));
    CHECK(read_packed<M>(good, body.size() - 1).is(errc::corrupt));
    CHECK(read_packed<M>(noise(1), body.size()).is(errc::corrupt));
    for (std::size_t i = 0; i < good.size(); i += 97) {
        auto bent = good;
        bent[i] ^= std::byte{0x10};
        auto const result = read_packed<M>(bent, body.size());
        CHECK((result.is(errc::corrupt) || result.is(errc::not_supported) || result.body));  // whatever it is: no crash, and no more than was said
        if (result.body) CHECK(result.body->size() == body.size());
    }
}

TEST_CASE("zstd: memory follows what there is, not what a header tells") {
    auto const packed = zstd_compression()->pack(text(100'000));
    auto const header = make_dbox_message_header(7, numbered(1), 0, {}, 0, dbox_body{packed, dbox_stored_size_max, dbox_compression::zstd});
    REQUIRE(!check_is_message(header, numbered(1)));
    std::string const path = "m.1";
    std::optional<error> why;
    try {
        mailfs::detail::unpacked(header, packed, {path, 64, numbered(1)}, zstd_compression().get());
    } catch (error const& e) {
        why = e;
    }
    REQUIRE(why);
    CHECK(why->code() == errc::corrupt);
    CHECK(why->offset() == 64);
}

TEST_CASE("zstd: mails that lie side by side are read by one call, and each tells what is wrong with it") {
    run([]() -> asio::awaitable<void> {
        counted const fs;
        auto format = make_format<multi>(fs, with());
        std::vector<mail_to_read> run;
        for (std::uint64_t n = 0; n < 20; ++n) {
            auto const body = n % 3 == 0 ? noise(3000) : text(3000, n);
            run.push_back({numbered(n), co_await write_one(format, numbered(n), body), body.size()});
        }
        auto const first = co_await format.read_run(std::span(run).first(1));
        fs.counts().reset();
        for (std::size_t i = 1; i < run.size(); ++i) CHECK(multi::reads_on(run.front(), run[i - 1], run[i]));
        auto const found = co_await format.read_run(run);
        CHECK(fs.counts().read == 1);
        for (std::uint64_t n = 0; n < 20; ++n) {
            auto const body = n % 3 == 0 ? noise(3000) : text(3000, n);
            CHECK(std::equal(found[n].bytes.begin(), found[n].bytes.end(), body.begin(), body.end()));
        }
        auto without = make_format<multi>(fs, {}, 2);
        auto const refused = co_await without.read_run(run);
        for (std::uint64_t n = 0; n < 20; ++n) CHECK((refused[n].failure == nullptr) == (n % 3 == 0));
    });
}

TEST_CASE("zstd: a dictionary makes short mail shorter; without it that mail is refused, and older ones are read with") {
    std::string samples;
    std::vector<std::size_t> sizes;
    for (std::uint64_t n = 0; n < 2000; ++n) {
        auto const one = text(400, n + 1);
        samples.append(reinterpret_cast<char const*>(one.data()), one.size());
        sizes.push_back(one.size());
    }
    bytes dictionary(4096);
    auto const made = ZDICT_trainFromBuffer(dictionary.data(), dictionary.size(), samples.data(), sizes.data(), static_cast<unsigned>(sizes.size()));
    REQUIRE(!ZDICT_isError(made));
    dictionary.resize(made);
    run([&]() -> asio::awaitable<void> {
        counted const fs;
        auto plain = make_format<multi>(fs, with());
        auto trained = make_format<multi>(fs, with({.dictionary = dictionary}), 2);
        auto const body = text(400, 5000);
        CHECK(with({.dictionary = dictionary}).compression->pack(body).size() < with().compression->pack(body).size());
        auto const at = co_await write_one(trained, numbered(1), body);
        auto const read = co_await trained.read(numbered(1), at);
        CHECK(read == body);
        auto const refused = co_await try_read(plain, numbered(1), at);
        CHECK(refused.is(errc::not_supported));
        auto const long_body = text(600'000, 7);
        auto const far = co_await write_one(trained, numbered(2), long_body);
        auto const part = co_await trained.read_part(numbered(2), far, 500'000, 1000);
        CHECK(std::equal(part.begin(), part.end(), long_body.begin() + 500'000));
        auto const file = co_await only_file(trained);
        auto const sound = co_await trained.scan(file);
        CHECK(sound.mails.size() == 2);
        std::optional<errc> why;
        try {
            co_await plain.scan(file);
        } catch (error const& e) {
            why = static_cast<errc>(e.code().value());
        }
        CHECK(why == errc::not_supported);
        auto later = make_format<multi>(fs, with({.older_dictionaries = {dictionary}}), 3);
        auto const found = co_await later.read(numbered(1), at);
        CHECK(found == body);
    });
    CHECK_THROWS_AS(zstd_compression({.dictionary = noise(100)}), error);
    dictionary.resize(60);
    CHECK_THROWS_AS(zstd_compression({.dictionary = dictionary}), error);
}

TEST_CASE("single_dbox over zstd: repeating a write whose answer was lost succeeds, at another level too") {
    run([]() -> asio::awaitable<void> {
        counted const fs;
        auto once = make_format<single>(fs, with({.level = 1}));
        auto again = make_format<single>(fs, with({.level = 19}), 2);
        co_await write_one(once, numbered(1), text(9000));
        auto const at = co_await write_one(again, numbered(1), text(9000));
        auto const read = co_await again.read(numbered(1), at);
        CHECK(read == text(9000));
        auto const other = co_await try_write(again, numbered(1), text(9001));
        CHECK(other.has_value());
    });
}
