// SPDX-License-Identifier: BSL-1.0
// Each bit of a mailbox's snapshot flipped, each cut: an error that names the place, now or on first use, or no difference.
#include <mailfs/index/view.hpp>

#include "mailbox_model.hpp"

#include <doctest/doctest.h>

#include <new>

using namespace mailfs;

namespace {

struct alignas(64) line {
    std::byte bytes[64];
};

mailfs::format::record_view transaction(std::vector<std::byte>& out, format::mailbox_transaction const& t,
                                        std::uint64_t counter) {
    format::record_header h;
    h.kind = static_cast<std::uint8_t>(format::record_kind::transaction);
    h.counter = counter;
    out.clear();
    format::encode_record(out, h, t.bytes(), 0);
    return format::decode_record(out, 0).value();
}

// A bit of everything that a snapshot can hold.
std::vector<std::byte> example() {
    mailbox_state s;
    s.reset(guid::from_words(1, 2));
    format::mailbox_transaction t;
    t.raise(77, 0);
    for (std::uint64_t n = 0; n < 5; ++n) {
        message_entry m;
        m.id = guid::from_words(n, ~n);
        m.size = 100;
        m.flags = n % 2 == 0 ? flag::seen : flag::deleted;
        m.keywords = {"$k" + std::to_string(n)};
        t.append(m);
    }
    t.expunge({{2, 2}}, true).metadata("key", "value");
    std::vector<std::byte> record;
    s.apply(transaction(record, t, 1), nullptr);
    return s.dump();
}

// All that a program might do with it.
std::vector<std::byte> use(mailbox_state& s) {
    view v(s);
    v.for_each(1, uid_max, [&](uid_t uid) { v.row(uid); });
    v.first_unseen();
    v.vanished_since(0);
    format::mailbox_transaction t;
    t.change_flags({{1, uid_max}}, {flag_mode::add, flag::flagged, {"$new"}, {}})
        .expunge({{1, 3}}, false)
        .cache(4, 8)
        .relocate(5, {}, {});
    std::vector<std::byte> record;
    s.apply(transaction(record, t, 2), nullptr);
    v.refresh();
    return s.dump();
}

enum class outcome { refused, found_late, equal };

outcome load_and_use(bytes_view bytes, std::vector<std::byte> const& expected) {
    std::vector<line> memory((bytes.size() + 63) / 64);
    if (!bytes.empty()) std::memcpy(memory.data(), bytes.data(), bytes.size());
    mailbox_state s;
    bool loaded = false;
    try {
        s.load({memory.empty() ? nullptr : memory.front().bytes, bytes.size()}, "box/index.3");
        loaded = true;
        auto const result = use(s);
        CHECK(result == expected);
        return outcome::equal;
    } catch (error const& e) {
        CHECK(e.code() == errc::corrupt);
        CHECK(e.file() == "box/index.3");
        CHECK(e.offset() <= bytes.size());
        CHECK(s.damaged() == loaded);
    }
    if (loaded) CHECK_THROWS_AS(s.verify(), error);  // and again whenever it is asked for
    return loaded ? outcome::found_late : outcome::refused;
}

std::vector<std::byte> used(std::vector<std::byte> const& bytes) {
    std::vector<line> memory(bytes.size() / 64 + 1);
    std::memcpy(memory.data(), bytes.data(), bytes.size());
    mailbox_state s;
    s.load({memory.front().bytes, bytes.size()}, "good");
    return use(s);
}

}  // namespace

TEST_CASE(
    "mailbox_state: a snapshot with one bit flipped is refused, or found out when it is used, or is as good as whole") {
    auto const good = example();
    auto const expected = used(good);
    std::size_t count[3]{};
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
        auto bytes = good;
        bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
        CAPTURE(bit);
        ++count[static_cast<int>(load_and_use(bytes, expected))];
    }
    CHECK(count[static_cast<int>(outcome::refused)] > 8 * (192 + 18 * 32));  // the head, and the small parts
    CHECK(count[static_cast<int>(outcome::found_late)] == 8 * (4 * (4 + 1 + 8 + 4 + 4 + 4 + 4 + 16 + 7 + 4 + 7) + 16 + 24));
    MESSAGE("refused ", count[0], ", found when used ", count[1], ", between columns ", count[2]);
}

TEST_CASE("mailbox_state: a snapshot cut anywhere is refused, and a state that was there stays") {
    auto const good = example();
    for (std::size_t size = 0; size < good.size(); ++size)
        CHECK(load_and_use(bytes_view(good).first(size), {}) == outcome::refused);
}

TEST_CASE("mailbox_state: a state refuses a bad snapshot, and a bad mending, and stays as it was") {
    auto const good = example();
    std::vector<line> memory(good.size() / 64 + 1), broken(memory.size());
    std::memcpy(memory.data(), good.data(), good.size());
    std::memcpy(broken.data(), good.data(), good.size() - 1);
    mailbox_state s;
    s.load({memory.front().bytes, good.size()}, "index.1");
    view v(s);
    CHECK_THROWS_AS(s.load({broken.front().bytes, good.size() - 1}, "index.2"), error);
    CHECK_THROWS_AS(s.mend({broken.front().bytes, good.size() - 1}, "index.2"), error);
    mailbox_state other;
    other.reset(guid::from_words(1, 2));
    auto const empty = other.dump();
    std::memcpy(broken.data(), empty.data(), empty.size());
    CHECK_THROWS_WITH_AS(s.mend({broken.front().bytes, empty.size()}, "index.1"), doctest::Contains("came out different"),
                         error);
    CHECK(s.dump() == good);
    CHECK(v.messages() == 4);
}

namespace {

constexpr std::size_t many = column<std::uint32_t>::block_rows + 100;  // two blocks, even of the narrow columns

struct mapped_state {
    explicit mapped_state(bytes_view snapshot) : memory(snapshot.size() / 64 + 1), size(snapshot.size()) {
        std::memcpy(memory.data(), snapshot.data(), size);
    }
    std::span<std::byte> bytes() { return {memory.front().bytes, size}; }
    admission apply(format::mailbox_transaction const& t) {
        std::vector<std::byte> record;
        return state.apply(transaction(record, t, ++counter), nullptr);
    }

    std::vector<line> memory;
    std::size_t size;
    mailbox_state state;
    std::uint64_t counter = 1;
};

std::vector<std::byte> many_messages() {
    mailbox_state s;
    s.reset(guid::from_words(1, 2));
    format::mailbox_transaction t;
    for (std::size_t n = 0; n < many; ++n) t.append({});
    std::vector<std::byte> record;
    s.apply(transaction(record, t, 1), nullptr);
    return s.dump();
}

// One state whose last row is damaged in this column, one that is whole: both do the same, and end the same when mended.
template <class T, class F>
void compare_with_damaged(format::column_id id, F&& change) {
    auto const good = many_messages();
    mapped_state damaged(good), healthy(good), untouched(good);
    format::snapshot_reader(damaged.bytes(), "index.3").get(id, sizeof(T)).bytes.back() ^= std::byte{1};
    damaged.state.load(damaged.bytes(), "index.3");
    healthy.state.load(healthy.bytes(), "index.3");
    change(damaged, healthy);
    CHECK(damaged.state.counters() == healthy.state.counters());
    CHECK(damaged.state.digest() == healthy.state.digest());
    damaged.state.mend(untouched.bytes(), "index.3");
    CHECK(damaged.state.dump() == healthy.state.dump());
}

}  // namespace

TEST_CASE("mailbox_state: expunged rows are swept out only when all the others can be read, and what they share") {
    auto const sweep = [](mapped_state& damaged, mapped_state& healthy) {
        format::mailbox_transaction t;
        t.expunge({{1, many - 10}}, false);
        CHECK(damaged.apply(t) == admission::fresh);
        CHECK(healthy.apply(t) == admission::fresh);
        CHECK(healthy.state.rows().count() == 10);
        CHECK(damaged.state.rows().count() == many);
    };
    compare_with_damaged<format::dot_layout>(format::column_id::dot, sweep);
    compare_with_damaged<format::dot_base_layout>(format::column_id::dot_base, sweep);
    compare_with_damaged<format::location_base_layout>(format::column_id::location_base, sweep);
}

TEST_CASE("mailbox_state: keyword sets are renumbered only when all rows that name them can be read") {
    compare_with_damaged<std::uint32_t>(format::column_id::keyword_set, [](mapped_state& damaged, mapped_state& healthy) {
        std::size_t sets = 0;
        for (std::size_t n = 0; n < 2 * many + 2000; ++n) {
            format::mailbox_transaction t;
            std::vector<std::string> const pair{"a" + std::to_string(n % 200), "b" + std::to_string(n / 200)};
            t.change_flags(uid_set::one(1), {flag_mode::replace, flag::none, pair, {}});
            REQUIRE(damaged.apply(t) == admission::fresh);
            healthy.apply(t);
            sets = std::max(sets, healthy.state.keywords().set_count());
        }
        CHECK(healthy.state.keywords().set_count() < sets);
        CHECK(damaged.state.keywords().set_count() > sets);
    });
}
