// SPDX-License-Identifier: BSL-1.0
#include <mailfs/index/row_columns.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <random>
#include <set>
#include <vector>

using namespace mailfs;

namespace {

template <class Split>
struct written {
    std::vector<std::byte> rows, bases;

    explicit written(based_column<Split> const& c) : written(c, 0, c.rows.size()) {}
    written(based_column<Split> const& c, std::size_t first, std::size_t last) {
        c.write(
            [&](auto&& f) {
                if (first < last) f(first, last);
            },
            rows, bases);
    }
    std::size_t base_count() const { return bases.size() / sizeof(typename Split::base_type); }
    /// As a snapshot would map it.
    based_column<Split> map() {
        auto const source = std::make_shared<snapshot_source>("index.3");
        auto const found = [](std::vector<std::byte>& bytes, std::size_t size) {
            format::snapshot_reader::found f{bytes, {}, 4096, size};
            auto const step = format::block_elements(size) * size;
            for (std::size_t at = 0; at < bytes.size(); at += step)
                f.checksums.push_back(crc32c(bytes_view(bytes).subspan(at, std::min(step, bytes.size() - at))));
            return f;
        };
        based_column<Split> c;
        c.rows = {found(rows, sizeof(typename Split::row_type)), source};
        c.bases = {found(bases, sizeof(typename Split::base_type)), source};
        c.settle();
        return c;
    }
    friend bool operator==(written const& a, written const& b) { return a.rows == b.rows && a.bases == b.bases; }
};

// Numbers of all sizes, often near each other.
std::uint64_t some_number(std::mt19937_64& random) {
    auto const n = random();
    return (n >> 6) >> (n % 58);
}
mail_location some_value(location_split, std::mt19937_64& random) { return {some_number(random) % 7, some_number(random)}; }
message_dot some_value(dot_split, std::mt19937_64& random) {
    return {static_cast<std::uint32_t>(random() % 3), static_cast<std::uint32_t>(some_number(random)), random() % 5,
            some_number(random)};
}

}  // namespace

TEST_CASE("time_column: whole seconds from 1970 to 2106; what lies outside is kept as the nearest") {
    time_column c;
    for (auto ms : {std::uint64_t{0}, std::uint64_t{999}, std::uint64_t{1000}, std::uint64_t{1'700'000'000'123},
                    std::uint64_t{4'294'967'295'999}, std::uint64_t{4'294'967'296'000}, ~std::uint64_t{0} >> 1,
                    ~std::uint64_t{0}, std::uint64_t{1} << 63})
        c.push_back(ms);
    std::vector<std::uint64_t> back;
    for (std::size_t row = 0; row < 9; ++row) back.push_back(c[row]);
    CHECK(back == std::vector<std::uint64_t>{0, 0, 1000, 1'700'000'000'000, 4'294'967'295'000, 4'294'967'295'000,
                                             4'294'967'295'000, 0, 0});
}

TEST_CASE("cache_column: multiples of 8 below 32 GiB; all else is none") {
    cache_column c;
    for (auto where : {std::uint64_t{0}, std::uint64_t{8}, std::uint64_t{7}, (std::uint64_t{8} << 32) - 8,
                       std::uint64_t{8} << 32, ~std::uint64_t{7}})
        c.push_back(where);
    c.set(0, 64);
    std::vector<std::uint64_t> back;
    for (std::size_t row = 0; row < 6; ++row) back.push_back(c[row]);
    CHECK(back == std::vector<std::uint64_t>{64, 8, 0, (std::uint64_t{8} << 32) - 8, 0, 0});
}

TEST_CASE_TEMPLATE("based_column: any value comes back as it went in, from memory and from a snapshot", Split,
                   location_split, dot_split) {
    std::mt19937_64 random(3);
    based_column<Split> c;
    std::vector<typename Split::value_type> values;
    for (int n = 0; n < 30'000; ++n) values.push_back(some_value(Split{}, random)), c.push_back(values.back());
    written<Split> out(c);
    auto mapped = out.map();
    for (int n = 0; n < 5000; ++n) {
        auto const row = random() % values.size();
        values[row] = some_value(Split{}, random);
        mapped.set(row, values[row]);
        c.set(row, values[row]);
    }
    for (std::size_t row = 0; row < values.size(); ++row)
        if (c[row] != values[row] || mapped[row] != values[row]) FAIL("row ", row);
    CHECK(written(c) == written(mapped));
}

TEST_CASE_TEMPLATE("based_column: what is written follows from the values alone, each base once, in the order of first use",
                   Split, location_split, dot_split) {
    std::mt19937_64 random(5);
    std::vector<typename Split::value_type> values;
    for (int n = 0; n < 40; ++n) values.push_back(some_value(Split{}, random));
    based_column<Split> direct, roundabout;
    for (int n = 0; n < 3000; ++n) roundabout.push_back(some_value(Split{}, random));
    for (int n = 0; n < 2000; ++n) {
        auto const& v = values[random() % values.size()];
        direct.push_back(v);
        roundabout.push_back(some_value(Split{}, random));
        roundabout.set(roundabout.rows.size() - 1, v);
    }
    written<Split> const a(direct), b(roundabout, 3000, 5000);
    CHECK(a == b);
    CHECK(direct.bases.size() > a.base_count());  // more than a few take turns
    CHECK(a.base_count() <= values.size());
    std::uint32_t seen = 0;
    std::set<std::string> bases;
    for (std::size_t at = 0; at < a.rows.size(); at += 7) {
        auto const base = format::load<le32>(bytes_view(a.rows).subspan(at));
        REQUIRE(base <= seen);
        seen = std::max<std::uint32_t>(seen, base + 1);
    }
    CHECK(seen == a.base_count());
    for (std::size_t n = 0; n < a.base_count(); ++n)
        bases.emplace(
            as_text(bytes_view(a.bases)).substr(n * sizeof(typename Split::base_type), sizeof(typename Split::base_type)));
    CHECK(bases.size() == a.base_count());
}

TEST_CASE("based_column: mails in one file, and one process's messages, share one base") {
    based_column<location_split> where;
    based_column<dot_split> dots;
    for (std::uint32_t n = 0; n < 1000; ++n) {
        where.push_back({77, 64 + n * 16'384});
        dots.push_back({1, n % 256, 9, 0x50000 + n});
    }
    CHECK(where.bases.size() == 1);
    CHECK(dots.bases.size() == 1);
}

TEST_CASE("based_column: mails that are moved again and again do not let the table grow") {
    based_column<location_split> in;
    for (std::uint64_t n = 0; n < 100; ++n) in.push_back({n, 64});
    written<location_split> out(in);
    auto c = out.map();
    for (std::uint64_t n = 0; n < 20'000; ++n) {
        c.set(n % 50, {1000 + n, 64});
        REQUIRE(c.bases.size() < 100 + 2 * 100 + 1026);
    }
    for (std::uint64_t n = 0; n < 100; ++n) CHECK(c[n].file == (n < 50 ? 20'950 + n : n));
    CHECK(written(c).base_count() == 100);
}

TEST_CASE(
    "based_column: a number beyond the table, which only a forger writes, is no value, and gets a sound one when written") {
    based_column<location_split> c;
    c.push_back({5, 64});
    c.push_back({6, 64});
    c.rows.at(1).base = 2;
    CHECK(c.is_sound(0));
    CHECK(!c.is_sound(1));
    CHECK(c[1] == mail_location{});
    written<location_split> out(c);
    auto const again = out.map();
    CHECK(again[0] == mail_location{5, 64});
    CHECK(again[1] == mail_location{});
    CHECK(again.is_sound(1));
}

TEST_CASE_TEMPLATE("based_column: such a number in a snapshot never comes to mean what is added to the table", Split,
                   location_split, dot_split) {
    std::mt19937_64 random(7);
    based_column<Split> in;
    for (int n = 0; n < 3; ++n) in.push_back(some_value(Split{}, random));
    in.rows.at(1).base = static_cast<std::uint32_t>(in.bases.size());
    written<Split> out(in, 0, 0);
    in.rows.copy(0, 3, out.rows);
    in.bases.copy(0, in.bases.size(), out.bases);
    auto c = out.map();
    auto const added = some_value(Split{}, random);
    for (int n = 0; n < 20; ++n) c.push_back(n % 2 == 0 ? added : some_value(Split{}, random));
    CHECK(c[1] == typename Split::value_type{});
    CHECK(!c.is_sound(1));
    CHECK(c[3] == added);
    c.set(1, added);
    CHECK(c[1] == added);
    CHECK(written(c).rows.size() == 23 * sizeof(typename Split::row_type));
}
