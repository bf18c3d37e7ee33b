// SPDX-License-Identifier: BSL-1.0
// A snapshot that proves damaged is made again from the generation before: nobody notices but by the time it takes.
#include <mailfs/index/index.hpp>

#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/fs/posix_fs.hpp>

#include "support/run.hpp"
#include "support/temporary_directory.hpp"

#include <doctest/doctest.h>

#include <cstring>

using namespace mailfs;
using format::column_id;
using format::mailbox_transaction;

namespace {

constexpr std::uint64_t message_count = 40;
log_options const by_hand{.rotate_size_min = format::log_size_max};

template <class Fs>
struct mailbox_files {
    using box_type = mailfs::index<lockless_log, Fs>;

    explicit mailbox_files(Fs f, std::uint32_t kept = 1)
        : fs(std::move(f)),
          writer(fs, "box", standalone{}, {.rotate_size_min = by_hand.rotate_size_min, .generations_kept = kept}) {}

    // log.2 and log.3 with their snapshots, and what came before as far as it is kept; the writer knows how all should be.
    asio::awaitable<void> make() {
        mailbox_transaction first, t, more;
        first.raise(77, 0);
        bool const made = co_await writer.create(guid::from_words(1, 2), first.bytes());
        CHECK(made);
        co_await writer.open();
        for (std::uint64_t n = 0; n < message_count; ++n) t.append(message(n));
        co_await writer.propose(t.bytes(), durability::none);
        co_await writer.log().rotate();
        more.expunge({{3, 5}}, false).change_flags({{7, 9}}, {flag_mode::add, flag::flagged, {"$k1"}, {}});
        co_await writer.propose(more.bytes(), durability::none);
        co_await writer.log().rotate();
        CHECK(writer.log().number() == 3);
    }
    static message_entry message(std::uint64_t n) {
        message_entry m;
        m.id = guid::from_words(n, 1);
        m.size = 10;
        m.flags = n % 3 == 0 ? flag::seen : flag::none;
        m.keywords = {"$k" + std::to_string(n % 5)};
        return m;
    }

    asio::awaitable<std::vector<std::byte>> bytes_of(std::string name) {
        auto file = co_await fs.open(name);
        if (!file) co_return std::vector<std::byte>();
        std::vector<std::byte> bytes(co_await file->size());
        co_await file->read(0, bytes);
        co_return bytes;
    }
    asio::awaitable<void> flip(std::string name, std::size_t offset) {
        auto bytes = co_await bytes_of(name);
        REQUIRE(offset < bytes.size());
        bytes[offset] ^= std::byte{4};
        co_await fs.remove(name);
        co_await fs.create(name, bytes, durability::none);
    }
    asio::awaitable<std::size_t> offset_of(std::string name, column_id id) {
        auto const bytes = co_await bytes_of(name);
        auto const h = format::load<format::snapshot_header>(bytes);
        for (std::size_t i = 0; i < h.column_count; ++i) {
            auto const c = format::load<format::snapshot_column>(
                bytes_view(bytes).subspan(sizeof h + i * sizeof(format::snapshot_column)));
            if (c.id == static_cast<std::uint32_t>(id)) co_return static_cast<std::size_t>(c.offset);
        }
        co_return bytes.size();
    }
    asio::awaitable<void> damage(column_id id) {
        auto const at = co_await offset_of("box/index.3", id);
        co_await flip("box/index.3", at + 1);
    }

    Fs fs;
    box_type writer;
};

mailbox_transaction touch_everything() {
    mailbox_transaction t;
    t.change_flags({{1, 20}}, {flag_mode::add, flag::answered, {"$new"}, {}}).expunge({{10, 12}}, false);
    t.cache(2, 8).relocate(13, guid::from_words(12, 1), {8, 9});
    return t;
}

constexpr column_id all_columns[] = {column_id::uid,      column_id::flags,    column_id::modseq, column_id::keyword_set,
                                     column_id::size,     column_id::received, column_id::saved,  column_id::guid,
                                     column_id::location, column_id::cache,    column_id::dot,
                                     column_id::location_base, column_id::dot_base};

template <class Fs, class F>
void run_with_files(F&& body) {
    test::temporary_directory const root;
    test::run([&]() -> asio::awaitable<void> {
        mailbox_files<Fs> files([&] {
            if constexpr (std::is_same_v<Fs, posix_fs>)
                return Fs(root.path());
            else
                return Fs();
        }());
        co_await files.make();
        co_await body(files);
    });
}

}  // namespace

TEST_CASE_TEMPLATE("index: damage in any column is mended where a transaction meets it, or rotation", Fs, memory_fs,
                   posix_fs) {
    for (auto const id : all_columns) {
        CAPTURE(static_cast<int>(id));
        run_with_files<Fs>([&](mailbox_files<Fs>& files) -> asio::awaitable<void> {
            auto const good = co_await files.bytes_of("box/index.3");
            co_await files.damage(id);
            typename mailbox_files<Fs>::box_type box(files.fs, "box", standalone{}, by_hand);
            co_await box.open();
            auto const t = touch_everything();
            auto const before = box.state().stream().at;
            auto const done = co_await box.propose(t.bytes(), durability::none);
            CHECK(done.expunged == uid_set{{10, 12}});
            CHECK(done.at.n == before.n + 1);
            co_await box.log().rotate();
            CHECK(box.log().mended() == 1);
            auto const on_disk = co_await files.bytes_of("box/index.3");
            CHECK(on_disk == good);
            co_await files.writer.catch_up();
            CHECK(files.writer.state().dump() == box.state().dump());
            auto const next = co_await files.bytes_of("box/index.4");
            CHECK(next == box.state().dump());
        });
    }
}

TEST_CASE("index: a view that meets damage says so once; after catch_up it shows the same messages under the same numbers") {
    for (auto const id : all_columns) {
        CAPTURE(static_cast<int>(id));
        run_with_files<memory_fs>([&](mailbox_files<memory_fs>& files) -> asio::awaitable<void> {
            auto good_view = files.writer.make_view();
            co_await files.damage(id);
            mailbox_files<memory_fs>::box_type box(files.fs, "box", standalone{}, by_hand);
            co_await box.open();
            auto v = box.make_view();
            CHECK(v.messages() == good_view.messages());
            CHECK_THROWS_WITH_AS(box.state().verify(), doctest::Contains("box/index.3, offset"), error);
            co_await box.catch_up();
            CHECK(box.log().mended() == 1);
            CHECK(box.log().loads() == 1);
            CHECK_NOTHROW(box.state().verify());
            REQUIRE(v.messages() == good_view.messages());
            for (std::uint32_t n = 1; n <= v.messages(); ++n) CHECK(v.uid(n) == good_view.uid(n));
            CHECK(v.row(8)->keywords == good_view.row(8)->keywords);
            CHECK(v.refresh().empty());
        });
    }
}

TEST_CASE("index: changes made in memory before damage was found are kept when it is mended") {
    run_with_files<memory_fs>([](mailbox_files<memory_fs>& files) -> asio::awaitable<void> {
        co_await files.damage(column_id::cache);
        mailbox_files<memory_fs>::box_type box(files.fs, "box", standalone{}, by_hand);
        co_await box.open();
        mailbox_transaction t, cache;
        t.change_flags({{1, 20}}, {flag_mode::replace, flag::draft, {"$other"}, {}});
        co_await box.propose(t.bytes(), durability::none);
        CHECK(box.log().mended() == 0);
        cache.cache(1, 96);
        co_await box.propose(cache.bytes(), durability::none);
        CHECK(box.log().mended() == 1);
        co_await files.writer.catch_up();
        CHECK(files.writer.state().dump() == box.state().dump());
    });
}

TEST_CASE("index: a snapshot whose head or small parts are damaged is passed over, and made again") {
    for (auto const offset : {std::size_t{0}, std::size_t{9}, std::size_t{100}, std::size_t{250}}) {
        CAPTURE(offset);
        run_with_files<memory_fs>([&](mailbox_files<memory_fs>& files) -> asio::awaitable<void> {
            auto const good = co_await files.bytes_of("box/index.3");
            co_await files.flip("box/index.3", offset);
            mailbox_files<memory_fs>::box_type box(files.fs, "box", standalone{}, by_hand);
            bool const there = co_await box.open();
            CHECK(there);
            CHECK(files.writer.state().dump() == box.state().dump());
            auto const on_disk = co_await files.bytes_of("box/index.3");
            CHECK(on_disk == good);
        });
    }
}

TEST_CASE("index: damage in two generations is mended from the third") {
    test::run([]() -> asio::awaitable<void> {
        mailbox_files<memory_fs> files(memory_fs{}, 2);
        co_await files.make();
        std::vector<std::byte> good[2];
        for (std::size_t n = 0; n < 2; ++n) {
            auto const name = "box/index." + std::to_string(n + 2);
            good[n] = co_await files.bytes_of(name);
            auto const at = co_await files.offset_of(name, column_id::flags);
            co_await files.flip(name, at);
        }
        mailbox_files<memory_fs>::box_type box(files.fs, "box", standalone{}, by_hand);
        co_await box.open();
        auto const t = touch_everything();
        co_await box.propose(t.bytes(), durability::none);
        for (std::size_t n = 0; n < 2; ++n) {
            auto const again = co_await files.bytes_of("box/index." + std::to_string(n + 2));
            CHECK(again == good[n]);
        }
    });
}

TEST_CASE("index: damage that nothing can mend is told by name and place, and all else goes on") {
    run_with_files<memory_fs>([](mailbox_files<memory_fs>& files) -> asio::awaitable<void> {
        co_await files.damage(column_id::flags);
        for (auto const* name : {"box/index.2", "box/log.2", "box/log.1"}) co_await files.fs.remove(name);
        mailbox_files<memory_fs>::box_type box(files.fs, "box", standalone{}, by_hand);
        co_await box.open();
        mailbox_transaction append;
        append.append(files.message(99));
        auto const done = co_await box.propose(append.bytes(), durability::none);
        CHECK(done.first_uid == message_count + 1);
        auto v = box.make_view();
        CHECK_THROWS_WITH_AS(v.row(2), doctest::Contains("box/index.3, offset"), error);
        bool const news = co_await box.catch_up();
        CHECK(!news);
        CHECK(v.row(message_count + 1));
        std::string said;
        errc code{};
        try {
            auto const t = touch_everything();
            co_await box.propose(t.bytes(), durability::none);
        } catch (error const& e) {
            said = e.what();
            code = static_cast<errc>(e.code().value());
        }
        CHECK(code == errc::may_have_happened);  // it is in the log, and takes effect wherever the snapshot is whole
        CHECK(said.find("box/index.3, offset") != std::string::npos);
        co_await files.writer.catch_up();
        CHECK(!files.writer.state().find(10));
    });
}

TEST_CASE("index: who cannot mend takes the next generation when another process has made one") {
    run_with_files<memory_fs>([](mailbox_files<memory_fs>& files) -> asio::awaitable<void> {
        co_await files.damage(column_id::uid);
        mailbox_files<memory_fs>::box_type box(files.fs, "box", standalone{}, by_hand);
        co_await box.open();
        auto v = box.make_view();
        auto const t = touch_everything();
        co_await files.writer.propose(t.bytes(), durability::none);
        co_await files.writer.log().rotate();
        co_await files.writer.log().rotate();
        auto const gone = co_await files.bytes_of("box/index.2");
        CHECK(gone.empty());
        co_await box.catch_up();
        CHECK(files.writer.state().dump() == box.state().dump());
        auto const before = v.messages();
        CHECK_THROWS_WITH_AS(v.uid(1), doctest::Contains("damaged part"), error);
        auto const news = v.refresh();  // what the view showed is not known any more: all of it goes, and comes again
        CHECK(news.expunged.size() == before);
        CHECK(news.arrived.size() == box.state().counters().messages);
        CHECK(v.messages() == news.messages);
        CHECK(v.uid(1) == 1);
    });
}
