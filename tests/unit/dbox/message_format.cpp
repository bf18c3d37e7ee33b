// SPDX-License-Identifier: BSL-1.0
#include <mailfs/dbox/message_format.hpp>

#include "dbox_fixture.hpp"
#include "support/run.hpp"

#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/fs/posix_fs.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <type_traits>

using namespace mailfs;
using namespace mailfs::test;

static_assert(message_format<single_dbox<memory_fs>> && message_format<multi_dbox<memory_fs>>);
static_assert(message_format<single_dbox<posix_fs>> && message_format<multi_dbox<posix_fs>>);
static_assert(!message_format<memory_fs>);

namespace {

using single = single_dbox<memory_fs, fixed_host>;
using multi = multi_dbox<memory_fs, fixed_host>;

/// One file with one message in it, whose bytes a test changes before it reads.
template <class M>
struct specimen {
    bytes const body = bytes_of(std::string_view("Subject: x\r\n\r\n\0\xff", 16)) ;
    guid const id = numbered(7);
    mail_location at;
    std::string path;
    bytes file;

    specimen() {
        run([this]() -> asio::awaitable<void> {
            memory_fs const fs;
            auto format = make_format<M>(fs);
            at = co_await write_one(format, id, body);
            path = file_of(format, id, at);
            file = co_await contents(fs, path);
        });
    }
    /// Reads the message from these bytes.
    outcome read(bytes changed) const {
        return run([&]() -> asio::awaitable<outcome> {
            memory_fs const fs;
            co_await put_file(fs, path, std::move(changed));
            auto format = make_format<M>(fs);
            co_return co_await try_read(format, id, at);
        });
    }
};

/// Everything that a format's files hold, all files in one.
template <class M>
asio::awaitable<mail_file_contents> scan_all(M& format) {
    mail_file_contents all;
    auto const files = co_await format.files();
    for (auto const& file : files) {
        auto const one = co_await format.scan(file);
        all.size += one.size;
        all.mails.insert(all.mails.end(), one.mails.begin(), one.mails.end());
        all.damage.insert(all.damage.end(), one.damage.begin(), one.damage.end());
    }
    co_return all;
}

/// The header, so that a test can lie in it and sign the lie.
template <class Change>
void forge(bytes& file, Change change) {
    auto const place = std::span(file).subspan(sizeof(dbox_file_header), sizeof(dbox_message_header));
    auto header = mailfs::detail::object_at<dbox_message_header>(place);
    change(header);
    header.checksum = mailfs::detail::own_checksum(header, mailfs::detail::dbox_seed(header.sync));
    std::copy(as_bytes(header).begin(), as_bytes(header).end(), place.begin());
}

}  // namespace

TEST_CASE_TEMPLATE("message_format: what was written is read, of any size and content, with any hint", M, single, multi) {
    run([]() -> asio::awaitable<void> {
        auto format = make_format<M>(memory_fs());
        std::vector<std::size_t> const sizes{0,      1,      7,       8,       9,       4096,    16'383, 16'384,
                                             16'385, 65'536, 262'143, 262'144, 262'145, 1 << 20, (1 << 20) + 1, 5'000'001};
        std::vector<mail_location> places;
        for (std::size_t i = 0; i < sizes.size(); ++i) {
            auto const body = noise(sizes[i], i);
            places.push_back(co_await write_one(format, numbered(i), body));
        }
        for (std::size_t i = 0; i < sizes.size(); ++i) {
            for (std::uint64_t const hint : {size_unknown, std::uint64_t{0}, std::uint64_t{100}, std::uint64_t{sizes[i]},
                                             std::uint64_t{sizes[i] + 5000}, size_unknown - 1}) {
                auto const body = co_await format.read(numbered(i), places[i], hint);
                CHECK(body == noise(sizes[i], i));
            }
        }
    });
}

TEST_CASE_TEMPLATE("message_format: several messages at once come back each at its place, also in a new object", M, single,
                   multi) {
    run([]() -> asio::awaitable<void> {
        memory_fs const fs;
        auto format = make_format<M>(fs);
        std::vector<bytes> bodies;
        std::vector<mail_to_write> mails;
        for (std::uint64_t n = 0; n < 50; ++n) bodies.push_back(noise(n * 37, n));
        for (std::uint64_t n = 0; n < 50; ++n) mails.push_back({numbered(n), n, bodies[n]});
        auto const places = co_await format.write(mails, durability::stored);
        REQUIRE(places.size() == 50);
        auto again = make_format<M>(fs, {}, 2);
        for (std::uint64_t n = 0; n < 50; ++n) {
            auto const body = co_await again.read(numbered(n), places[n]);
            CHECK(body == bodies[n]);
        }
        auto const none = co_await format.write({}, durability::stored);
        CHECK(none.empty());
    });
}

TEST_CASE_TEMPLATE("message_format: on a real disk the same", M, single_dbox<posix_fs, fixed_host>,
                   multi_dbox<posix_fs, fixed_host>) {
    temporary_directory const root;
    run([&]() -> asio::awaitable<void> {
        posix_fs const fs(root.path());
        auto format = make_format<M>(fs);
        auto const big = noise(3 << 20);
        auto const first = co_await write_one(format, numbered(1), big, durability::stored);
        auto const second = co_await write_one(format, numbered(2), {}, durability::stored);
        auto again = make_format<M>(fs, {}, 2);
        auto const body = co_await again.read(numbered(1), first);
        CHECK(body == big);
        auto const empty = co_await again.read(numbered(2), second);
        CHECK(empty.empty());
    });
}

TEST_CASE_TEMPLATE("message_format: a part is the message's bytes there, and ends with it", M, single, multi) {
    run([]() -> asio::awaitable<void> {
        auto format = make_format<M>(memory_fs());
        auto const body = noise(700'000);
        auto const at = co_await write_one(format, numbered(1), body);
        struct range {
            std::uint64_t begin, size;
        };
        std::vector<range> const ranges{
            {0, 0},       {0, 100},      {100, 1},           {0, 700'000},         {699'999, 1},
            {699'999, 9}, {700'000, 10}, {800'000, 10},      {0, size_unknown},    {size_unknown, size_unknown},
            {5, 262'144}, {262'144, 1},  {300'000, 300'000}, {3, size_unknown - 1}};
        for (auto const& r : ranges) {
            auto const part = co_await format.read_part(numbered(1), at, r.begin, r.size);
            auto const begin = std::min<std::uint64_t>(r.begin, body.size());
            auto const size = std::min<std::uint64_t>(r.size, body.size() - begin);
            auto const want = std::span(body).subspan(begin, size);
            CHECK(std::equal(part.begin(), part.end(), want.begin(), want.end()));
        }
    });
}

TEST_CASE_TEMPLATE("message_format: a look at a message tells what its header says, and refuses what is none", M, single, multi) {
    run([]() -> asio::awaitable<void> {
        auto format = make_format<M>(memory_fs());
        auto const body = noise(70'000);
        mail_to_write const mail{numbered(1), 5, body, numbered(9), 6};
        auto const at = co_await format.write(std::span(&mail, 1), durability::none);
        auto const found = co_await format.look(numbered(1), at.front());
        CHECK(found == stored_mail{numbered(1), at.front(), dbox_extent(70'000), 70'000, 5, 6, numbered(9), true});
        std::error_code why;
        try {
            static_cast<void>(co_await format.look(numbered(2), at.front()));
        } catch (error const& e) {
            why = e.code();
        }
        CHECK((why == errc::corrupt || why == errc::body_missing));
    });
}

TEST_CASE_TEMPLATE("message_format: any flipped bit of a file is harmless or corrupt, by file and offset, never wrong bytes",
                   M, single, multi) {
    specimen<M> const good;
    auto const begin = sizeof(dbox_file_header);
    auto const end = begin + sizeof(dbox_message_header) + good.body.size();
    std::size_t refused = 0;
    for (std::size_t bit = 0; bit < good.file.size() * 8; ++bit) {
        auto changed = good.file;
        changed[bit / 8] ^= std::byte{1} << (bit % 8);
        auto const result = good.read(std::move(changed));
        bool const matters = bit / 8 >= begin && bit / 8 < end;  // not the file's header, the padding or the trailer
        refused += matters;
        bool const right =
            matters ? result.is(errc::corrupt) && result.names(good.path) && result.failure->offset() == good.at.offset
                    : result.body == good.body;
        if (!right) CAPTURE(bit);
        CHECK(right);
    }
    CHECK(refused == (end - begin) * 8);
}

TEST_CASE_TEMPLATE("message_format: a file cut at any length has the message or says that it is missing", M, single, multi) {
    specimen<M> const good;
    auto const end = sizeof(dbox_file_header) + sizeof(dbox_message_header) + good.body.size();
    for (std::size_t n = 0; n <= good.file.size(); ++n) {
        auto const result = good.read({good.file.begin(), good.file.begin() + static_cast<std::ptrdiff_t>(n)});
        bool const right = n < end ? result.is(errc::body_missing) && result.names(good.path) : result.body == good.body;
        CAPTURE(n);
        CHECK(right);
    }
}

TEST_CASE_TEMPLATE("message_format: a hole where the message was is a missing body, one within it is corrupt", M, single,
                   multi) {
    specimen<M> const good;
    bytes hole(good.file.size());
    CHECK(good.read(hole).is(errc::body_missing));
    auto body_lost = good.file;
    std::fill(body_lost.end() - 48, body_lost.end(), std::byte{0});
    CHECK(good.read(body_lost).is(errc::corrupt));
}

TEST_CASE_TEMPLATE("message_format: huge sizes under a valid checksum are refused before memory is taken", M, single,
                   multi) {
    specimen<M> const good;
    for (std::uint64_t const size :
         {std::uint64_t{17}, std::uint64_t{1} << 32, dbox_stored_size_max, dbox_stored_size_max + 1, ~std::uint64_t{0}}) {
        auto changed = good.file;
        forge(changed, [&](auto& header) { header.size = header.stored_size = size; });
        auto const result = good.read(changed);
        bool const right = result.is(size > dbox_stored_size_max ? errc::corrupt
                                     : size == 17                ? errc::corrupt
                                                                 : errc::body_missing);
        CAPTURE(size);
        CHECK(right);
        CHECK(result.names(good.path));
    }
}

TEST_CASE_TEMPLATE("message_format: what a newer version wrote is refused as that", M, single, multi) {
    specimen<M> const good;
    auto compressed = good.file;
    forge(compressed, [](auto& header) { header.compression = 2; });
    CHECK(good.read(compressed).is(errc::newer_version));
    auto changed = good.file;
    auto header = mailfs::detail::object_at<dbox_file_header>(changed);
    header.major = 2;
    header.checksum = mailfs::detail::own_checksum(header, 0);
    std::copy(as_bytes(header).begin(), as_bytes(header).end(), changed.begin());
    auto const result = good.read(changed);
    CHECK(result.is(errc::newer_version));
    CHECK(result.names(good.path));
}

TEST_CASE_TEMPLATE("message_format: a removed file is a missing body, and says which", M, single, multi) {
    specimen<M> const good;
    auto const result = run([&]() -> asio::awaitable<outcome> {
        auto format = make_format<M>(memory_fs());
        co_return co_await try_read(format, good.id, good.at);
    });
    CHECK(result.is(errc::body_missing));
    CHECK(result.names(good.path));
    CHECK(std::string(result.failure->what()).find(good.path) == 0);
}

TEST_CASE_TEMPLATE("message_format: another message's place or guid never yields its bytes", M, single, multi) {
    run([]() -> asio::awaitable<void> {
        auto format = make_format<M>(memory_fs());
        auto const body = noise(100);
        auto const first = co_await write_one(format, numbered(1), body);
        auto const second = co_await write_one(format, numbered(2), noise(50, 2));
        auto const foreign = co_await try_read(format, numbered(3), second);
        CHECK((foreign.is(errc::corrupt) || foreign.is(errc::body_missing)));
        std::vector<mail_location> places{{1, first.offset}, {~std::uint64_t{0}, 64}};
        for (std::uint64_t const offset : {0U, 1U, 8U, 63U, 65U, 72U, 160U, 400U, 1U << 20})
            places.push_back({first.file, offset});
        for (int shift = 30; shift < 64; ++shift) places.push_back({first.file, std::uint64_t{1} << shift});
        places.push_back({first.file, ~std::uint64_t{0}});
        places.push_back({first.file, ~std::uint64_t{7}});
        for (auto const at : places) {
            auto const result = co_await try_read(format, numbered(1), at);
            CHECK((result.is(errc::corrupt) || result.is(errc::body_missing)));
        }
        auto const still = co_await format.read(numbered(1), first);
        CHECK(still == body);
    });
}

TEST_CASE_TEMPLATE("message_format: a message beyond the limit is refused and nothing is written", M, single, multi) {
    run([]() -> asio::awaitable<void> {
        memory_fs fs;
        auto format = make_format<M>(fs, {.message_size_max = 100});
        auto const fits = noise(100), beyond = noise(101);
        std::vector<mail_to_write> const mails{{numbered(1), 0, fits}, {numbered(2), 0, beyond}};
        std::optional<error> failure;
        try {
            co_await format.write(mails, durability::none);
        } catch (error const& e) {
            failure = e;
        }
        REQUIRE(failure);
        CHECK(failure->code() == errc::too_big);
        auto const names = co_await fs.list("mail");
        CHECK(names.empty());
        auto const at = co_await write_one(format, numbered(1), fits);
        auto const body = co_await format.read(numbered(1), at);
        CHECK(body == fits);
    });
}

TEST_CASE_TEMPLATE("message_format: a scan finds all that was written, and what it calls sound can be read", M, single, multi) {
    run([]() -> asio::awaitable<void> {
        memory_fs const fs;
        auto format = make_format<M>(fs, {.file_size_max = 3000});
        auto const nothing = co_await format.files();
        CHECK(nothing.empty());
        std::uint64_t extents = 0;
        for (std::uint64_t n = 0; n < 40; ++n) {
            auto const body = noise(n * 31, n);
            mail_to_write const mail{numbered(n), 5000 + n, body, numbered(777), n == 7 ? std::uint64_t{99} : 0};
            auto const places = co_await format.write(std::span(&mail, 1), durability::none);
            extents += dbox_extent(body.size());
        }
        auto const files = co_await format.files();
        CHECK(files.size() == (M::shares_files ? 9 : 40));
        CHECK(std::is_sorted(files.begin(), files.end(), [](auto const& a, auto const& b) { return a.number < b.number; }));
        auto again = make_format<M>(fs, {}, 2);
        std::size_t seen = 0;
        for (auto const& file : files) {
            auto const found = co_await again.scan(file);
            CHECK(found.created_ms == 1'700'000'000'000U);
            CHECK(found.damage.empty());
            auto end = sizeof(dbox_file_header);
            for (auto const& mail : found.mails) {
                CHECK(mail.where.offset == end);
                end += mail.extent;
                auto const n = mail.received_ms - 5000;
                CHECK(mail.id == numbered(n));
                CHECK(mail.mailbox == numbered(777));
                CHECK(mail.size == n * 31);
                CHECK(mail.written_ms == (n == 7 ? 99U : 1'700'000'000'000U));
                CHECK(mail.sound);
                CHECK(again.file_number(mail.id, mail.where) == file.number);
                auto const body = co_await again.read(mail.id, mail.where, mail.size);
                CHECK(body == noise(n * 31, n));
                ++seen;
            }
            CHECK(end == found.size);
        }
        CHECK(seen == 40);
        auto const all = co_await scan_all(again);
        CHECK(all.size == extents + files.size() * sizeof(dbox_file_header));
    });
}

TEST_CASE_TEMPLATE("message_format: files are listed among strangers' names, and a file that went is not found", M, single, multi) {
    run([]() -> asio::awaitable<void> {
        memory_fs const fs;
        auto format = make_format<M>(fs);
        auto const at = co_await write_one(format, numbered(1), noise(9));
        auto const ours = file_of(format, numbered(1), at);
        for (auto const name : {"mail/m.0123", "mail/m.0123456789ABCDEF", "mail/m.0123456789abcdef0", "mail/x.0123456789abcdef",
                                "mail/notes", "mail/ff", "mail/a1/00000000000000000000000000000000", "mail/a1/a1", "mail/zz/a"})
            co_await put_file(fs, name, {});
        auto const files = co_await format.files();
        REQUIRE(files.size() == 1);
        CHECK(files[0].path == ours);
        bool const was_there = co_await format.remove(files[0]);
        bool const again = co_await format.remove(files[0]);
        CHECK(was_there);
        CHECK_FALSE(again);
        std::optional<error> failure;
        try {
            co_await format.scan(files[0]);
        } catch (error const& e) {
            failure = e;
        }
        REQUIRE(failure);
        CHECK(failure->code() == errc::not_found);
        CHECK(failure->file() == ours);
    });
}

TEST_CASE_TEMPLATE("message_format: a scan of a newer version's file, or of one beyond all sizes, is refused by name", M, single, multi) {
    specimen<M> const good;
    auto const refuse = [&](bytes file) {
        return run([&]() -> asio::awaitable<std::optional<error>> {
            memory_fs const fs;
            co_await put_file(fs, good.path, std::move(file));
            auto format = make_format<M>(fs);
            auto const files = co_await format.files();
            std::optional<error> failure;
            try {
                co_await format.scan(files.at(0));
            } catch (error const& e) {
                failure = e;
            }
            co_return failure;
        });
    };
    CHECK(!refuse(good.file));
    auto newer = good.file;
    auto header = mailfs::detail::object_at<dbox_file_header>(newer);
    header.major = 2;
    header.checksum = mailfs::detail::own_checksum(header, 0);
    std::copy(as_bytes(header).begin(), as_bytes(header).end(), newer.begin());
    auto const failure = refuse(newer);
    REQUIRE(failure);
    CHECK(failure->code() == errc::newer_version);
    CHECK(failure->file() == good.path);
    dbox_options const narrow{.file_size_max = 1, .message_size_max = 2};
    CHECK(mailfs::detail::scan_size_max(narrow) == 1U << 30);
    CHECK(mailfs::detail::scan_size_max({.file_size_max = ~std::uint64_t{0}, .message_size_max = ~std::uint64_t{0}}) > 1U << 30);
    run([&]() -> asio::awaitable<void> {
        memory_fs fs;
        co_await put_file(fs, good.path, good.file);
        std::optional<errc> why;
        try {
            co_await mailfs::detail::read_whole(fs, good.path, good.file.size() - 1);
        } catch (error const& e) {
            why = static_cast<errc>(e.code().value());
        }
        CHECK(why == errc::too_big);
    });
}

namespace {

/// A few messages of different sizes, and the bytes of all files that hold them.
template <class M>
struct collection {
    struct one {
        guid id;
        bytes body;
        mail_location at;
        std::string path;
    };
    std::vector<one> mails;
    std::map<std::string, bytes> files;

    collection() {
        run([this]() -> asio::awaitable<void> {
            memory_fs const fs;
            auto format = make_format<M>(fs);
            for (std::size_t const size : {13U, 0U, 24U}) {
                one mail{numbered(mails.size() + 1), noise(size, size), {}, {}};
                mail.at = co_await write_one(format, mail.id, mail.body);
                mail.path = file_of(format, mail.id, mail.at);
                mails.push_back(std::move(mail));
            }
            for (auto const& path : fs.paths()) files[path] = co_await contents(fs, path);
        });
    }
    /// The bytes of a message in its file, trailer included.
    byte_range range(one const& mail) const { return {mail.at.offset, dbox_extent(mail.body.size())}; }

    /// With one file replaced: each message reads right or fails by name; a scan's sound ones are right, and all that were
    /// not `touched` are among them. How many are sound.
    std::size_t survives(std::string const& path, bytes changed, byte_range touched) const {
        return run([&]() -> asio::awaitable<std::size_t> {
            memory_fs const fs;
            for (auto const& [name, content] : files) co_await put_file(fs, name, name == path ? changed : content);
            auto format = make_format<M>(fs);
            auto const found = co_await scan_all(format);
            std::size_t sound = 0;
            for (auto const& mail : mails) {
                auto const result = co_await try_read(format, mail.id, mail.at);
                REQUIRE((result.body ? *result.body == mail.body : result.names(mail.path)));
                auto const same = [&](stored_mail const& s) { return s.sound && s.id == mail.id && s.where == mail.at; };
                bool const listed = std::any_of(found.mails.begin(), found.mails.end(), same);
                REQUIRE((!listed || result.body));
                auto const mine = range(mail);
                bool const apart = mail.path != path || touched.offset >= mine.offset + mine.size ||
                                   touched.offset + touched.size <= mine.offset;
                if (apart) REQUIRE(listed);
                sound += listed;
            }
            auto const count = std::count_if(found.mails.begin(), found.mails.end(), [](auto const& s) { return s.sound; });
            REQUIRE(static_cast<std::size_t>(count) == sound);  // and no other
            co_return sound;
        });
    }
};

}  // namespace

TEST_CASE_TEMPLATE("message_format: with any bit flipped, reading and scanning tell right from wrong for every message", M, single,
                   multi) {
    collection<M> const good;
    std::size_t cases = 0, lost = 0;
    for (auto const& [path, file] : good.files)
        for (std::size_t bit = 0; bit < file.size() * 8; ++bit) {
            auto changed = file;
            changed[bit / 8] ^= std::byte{1} << (bit % 8);
            CAPTURE(path);
            CAPTURE(bit);
            lost += good.mails.size() - good.survives(path, changed, {bit / 8, 1});
            ++cases;
        }
    auto const vital = good.mails.size() * sizeof(dbox_message_header) + 13 + 0 + 24;
    CHECK(lost == vital * 8);
    CHECK(cases == 8 * (good.files.size() * 64 + dbox_extent(13) + dbox_extent(0) + dbox_extent(24)));
}

TEST_CASE_TEMPLATE("message_format: cut at any length, reading and scanning tell right from wrong for every message", M, single,
                   multi) {
    collection<M> const good;
    for (auto const& [path, file] : good.files)
        for (std::size_t size = 0; size < file.size(); ++size) {
            CAPTURE(path);
            CAPTURE(size);
            bytes const changed(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
            good.survives(path, changed, {size, file.size() - size});
        }
}
