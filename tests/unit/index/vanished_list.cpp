// SPDX-License-Identifier: BSL-1.0
#include <mailfs/index/vanished_list.hpp>

#include <doctest/doctest.h>

using namespace mailfs;
using entry = vanished_list::entry;

TEST_CASE("vanished_list: what went together is one entry, and a question is answered from a MODSEQ on") {
    vanished_list list;
    list.add(4, 10);
    list.add(5, 10);
    list.add(7, 10);
    list.add(8, 11);
    list.add(2, 12);
    CHECK(list.entries() == std::vector<entry>{{4, 5, 10}, {7, 7, 10}, {8, 8, 11}, {2, 2, 12}});
    CHECK(list.since(0) == uid_set{{2, 2}, {4, 5}, {7, 8}});
    CHECK(list.since(10) == uid_set{{2, 2}, {8, 8}});
    CHECK(list.since(12).empty());
    CHECK(list.floor() == 0);
}

TEST_CASE("vanished_list: a full list loses its older half, and its floor says what it no longer knows") {
    vanished_list list;
    auto const full = vanished_list::entries_max;
    for (std::uint32_t n = 1; n <= full + 1; ++n) list.add(2 * n, 100 + n);
    CHECK(list.entries().size() == full / 2 + 1);
    CHECK(list.floor() == 100 + full / 2);
    CHECK(list.since(list.floor()).size() == full / 2 + 1);
    CHECK(list.since(list.floor()).contains(static_cast<uid_t>(full + 2)));
    CHECK(!list.since(0).contains(static_cast<uid_t>(full)));
}

TEST_CASE("vanished_list: decode takes what add could have made, and nothing else") {
    vanished_list list;
    std::vector<entry> const good{{4, 5, 10}, {7, 7, 10}, {2, 2, 12}};
    CHECK(list.decode(good, 9));
    CHECK(list.entries() == good);
    CHECK(list.floor() == 9);
    CHECK(!list.decode(std::vector<entry>{{0, 5, 10}}, 0));
    CHECK(!list.decode(std::vector<entry>{{6, 5, 10}}, 0));
    CHECK(!list.decode(std::vector<entry>{{4, 5, 10}, {7, 7, 9}}, 0));
    CHECK(!list.decode(std::vector<entry>(vanished_list::entries_max + 1, entry{1, 1, 1}), 0));
    CHECK(list.entries() == good);
}
