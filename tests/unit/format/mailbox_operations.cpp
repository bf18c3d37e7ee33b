// SPDX-License-Identifier: BSL-1.0
#include <mailfs/format/mailbox_operations.hpp>

#include <doctest/doctest.h>

#include <random>
#include <utility>

using namespace mailfs;
using namespace mailfs::format;

namespace {

struct seen {
    std::uint16_t kind, flags;
    std::size_t size;
    friend bool operator==(seen const&, seen const&) = default;
};
std::vector<seen> operations(bytes_view payload) {
    std::vector<seen> out;
    for_each_operation(payload, [&](std::uint16_t kind, std::uint16_t flags, bytes_view bytes) {
        out.push_back({kind, flags, bytes.size()});
        return true;
    });
    return out;
}

std::vector<std::pair<uid_t, uid_t>> ranges(std::vector<range_layout> const& in, std::uint32_t count, std::size_t cut = 0) {
    auto bytes = bytes_view(std::as_bytes(std::span(in)));
    bytes = bytes.first(bytes.size() - cut);
    std::vector<std::pair<uid_t, uid_t>> out;
    for_each_range(bytes, count, [&](uid_t first, uid_t last) { out.emplace_back(first, last); });
    return out;
}

mailbox_transaction example() {
    message_entry m;
    m.id = guid::from_words(1, 2);
    m.keywords = {"$a", "longer"};
    mailbox_transaction t;
    t.append(m)
        .change_flags({{1, 2}, {5, 5}}, {flag_mode::add, flag::seen, {"k"}, 17})
        .expunge({{3, 9}}, true)
        .raise(1, 2)
        .metadata("key", "value")
        .metadata("key", std::nullopt)
        .cache(4, 5)
        .relocate(6, m.id, {7, 8});
    return t;
}

}  // namespace

TEST_CASE("mailbox_operations: a transaction is a list of operations, each a multiple of 8 bytes") {
    auto const t = example();
    CHECK(operations(t.bytes()) ==
          std::vector<seen>{{1, 0, 80}, {2, 0, 56}, {3, 0, 24}, {4, 0, 16}, {5, 0, 24}, {5, 0, 24}, {6, 0, 24}, {7, 0, 48}});
    CHECK(mailbox_transaction().empty());
}

TEST_CASE("mailbox_operations: the fixed parts and names of an operation come back as they went in") {
    auto const t = example();
    auto const append = view_operation<append_operation>(t.bytes());
    REQUIRE(append);
    CHECK(get_guid(append->op.id) == guid::from_words(1, 2));
    CHECK(names_of(append->rest, append->op.keyword_count) == std::vector<std::string_view>{"$a", "longer"});
    auto flags = view_operation<flags_operation>(t.bytes().subspan(80));
    REQUIRE(flags);
    CHECK(flags->op.unchanged_since == 17);
    uid_set uids;
    for_each_range(flags->rest, flags->op.range_count, [&](uid_t first, uid_t last) { uids.add(first, last); });
    CHECK(uids == uid_set{{1, 2}, {5, 5}});
    CHECK(names_of(flags->rest, flags->op.keyword_count) == std::vector<std::string_view>{"k"});
}

TEST_CASE("mailbox_operations: ranges that are none, or do not ascend, are left out") {
    CHECK(ranges({{1, 2}, {3, 3}, {10, uid_max}}, 3) == std::vector<std::pair<uid_t, uid_t>>{{1, 2}, {3, 3}, {10, uid_max}});
    CHECK(ranges({{0, 2}, {5, 4}, {6, 6}}, 3) == std::vector<std::pair<uid_t, uid_t>>{{6, 6}});
    CHECK(ranges({{1, 5}, {1, 5}, {5, 9}, {3, 3}, {6, 6}}, 5) == std::vector<std::pair<uid_t, uid_t>>{{1, 5}, {6, 6}});
    CHECK(ranges({{1, uid_max}, {2, uid_max}}, 2).size() == 1);
    CHECK(ranges({{1, 2}, {3, 4}}, 0xffff'ffff, 1) == std::vector<std::pair<uid_t, uid_t>>{{1, 2}});
}

TEST_CASE("mailbox_operations: names without end, empty or too long are left out") {
    mailbox_transaction t;
    message_entry m;
    m.keywords = {"", std::string(keyword_size_max, 'x'), std::string(keyword_size_max + 1, 'y'), "z"};
    t.append(m);
    auto const v = view_operation<append_operation>(t.bytes());
    CHECK(names_of(v->rest, 4) == std::vector<std::string_view>{m.keywords[1], "z"});
    CHECK(names_of(v->rest, 0xffff).size() == 2);  // padding reads as names of no length
    CHECK(names_of(v->rest.first(1), 4).empty());
    CHECK(names_of(v->rest.first(100), 4).empty());
}

TEST_CASE("mailbox_operations: any bytes are a list that ends, within themselves") {
    std::mt19937_64 random(3);
    auto const t = example();
    for (int n = 0; n < 20000; ++n) {
        std::vector<std::byte> bytes(t.bytes().begin(), t.bytes().end());
        bytes.resize(random() % (bytes.size() + 1));
        for (auto hits = random() % 4; hits > 0 && !bytes.empty(); --hits)
            bytes[random() % bytes.size()] = static_cast<std::byte>(random());
        std::size_t total = 0;
        for_each_operation(bytes, [&](std::uint16_t, std::uint16_t, bytes_view operation) {
            total += operation.size();
            if (auto v = view_operation<flags_operation>(operation)) {
                for_each_range(v->rest, v->op.range_count, [](uid_t first, uid_t last) { REQUIRE(first <= last); });
                names_of(v->rest, v->op.keyword_count);
            }
            return true;
        });
        CHECK(total <= bytes.size());
    }
}
