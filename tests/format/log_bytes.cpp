// SPDX-License-Identifier: BSL-1.0
// The bytes of version 1.0 of the log and of the mailbox snapshot, as docs/formats/ shows them. It is right to change them
// when a field takes the place of reserved bytes (then here, in the page and in the code), and never else.
#include <mailfs/index/index.hpp>

#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/replication/detail/shared_log.hpp>

#include "support/run.hpp"
#include "unit/log/log_fixture.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <string>

using namespace mailfs;
using namespace mailfs::test;

#ifndef MAILFS_DOCS
#define MAILFS_DOCS "docs"
#endif

namespace {

/// A mailbox with one message, sealed, made with a clock that stands still and known randomness.
memory_fs example() {
    memory_fs fs;
    mailfs::index<lockless_log, memory_fs, basic_standalone<test_host>> box(fs, "box", basic_standalone<test_host>{});
    test::run([&]() -> asio::awaitable<void> {
        format::mailbox_transaction first, second;
        first.raise(77, 0);
        message_entry m;
        m.id = *guid::parse("b0b1b2b3b4b5b6b70000000000000002");
        m.where = {0x0198'7654'3210'abcd, 64};
        m.size = 3;
        m.received_ms = 1'700'000'000'123;
        m.flags = flag::seen;
        m.keywords = {"$Work"};
        second.append(m);
        auto const object = *guid::parse("a0a1a2a3a4a5a6a70000000000000001");
        co_await box.create(object, first.bytes());
        co_await box.open();
        co_await box.propose(second.bytes(), durability::stored);
        co_await box.log().rotate();
    });
    return fs;
}

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

/// The bytes that a page shows behind the line that names the file: "    OFFSET  b0 b1 ...   comment", by offset.
std::map<std::size_t, std::byte> shown_in(std::string const& page, std::string const& file) {
    std::map<std::size_t, std::byte> bytes;
    std::ifstream in(std::string(MAILFS_DOCS) + "/formats/" + page);
    REQUIRE_MESSAGE(in.good(), page);
    bool here = false;
    for (std::string line; std::getline(in, line);) {
        if (line.find('`' + file + "`, ") != std::string::npos) here = true;
        bool const dump = line.size() > 9 && line.starts_with("    ") && is_hex(line[4]) && is_hex(line[5]) &&
                          is_hex(line[6]) && line.substr(7, 2) == "  ";
        if (!dump && !bytes.empty()) break;
        if (!dump || !here) continue;
        auto at = std::strtoull(line.c_str() + 4, nullptr, 16);
        for (std::size_t i = 9; i + 1 < line.size() && is_hex(line[i]) && is_hex(line[i + 1]); i += 3) {
            bytes[at++] = static_cast<std::byte>(std::strtoul(line.substr(i, 2).c_str(), nullptr, 16));
            if (i + 2 < line.size() && line.substr(i + 2, 2) == "  ") break;
        }
    }
    return bytes;
}

/// Words of 8 bytes.
std::string hex_of(bytes_view bytes) {
    std::string text;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        if (i > 0 && i % 8 == 0) text += ' ';
        constexpr char digits[] = "0123456789abcdef";
        text += digits[std::to_integer<unsigned>(bytes[i]) >> 4];
        text += digits[std::to_integer<unsigned>(bytes[i]) & 15];
    }
    return text;
}

void check_page(std::vector<std::byte> const& bytes, std::string const& page, std::string const& file) {
    auto const shown = shown_in(page, file);
    CHECK(!shown.empty());
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        auto const it = shown.find(i);
        auto const byte = it == shown.end() ? std::byte{0} : it->second;
        CHECK_MESSAGE(byte == bytes[i], page, ", ", file, ", offset ", i);
    }
    CHECK((shown.empty() || shown.rbegin()->first < bytes.size()));
}

}  // namespace

TEST_CASE("log bytes: a log of version 1.0 is written as docs/formats/log.md shows it") {
    auto const fs = example();
    auto const first = fs.bytes_of("box/log.1"), second = fs.bytes_of("box/log.2");
    check_page(first, "log.md", "log.1");
    check_page(second, "log.md", "log.2");
    CHECK(first.size() == 420);
    CHECK(second.size() == 128);
    CHECK(crc32c(first) == 298692611);
    CHECK(format::load<le32>(bytes_view(second).subspan(124)) == 0xfd90'e548U);
}

TEST_CASE("log bytes: a file of a store that nodes share is written as docs/formats/log.md shows it") {
    test_host host;
    mailfs::detail::shared_log<memory_fs, test_host, mailbox_state> log(memory_fs(), host, "box", {}, {}, [] { return std::uint64_t{0}; });
    format::stream_step epoch;
    epoch.kind = format::record_kind::epoch;
    epoch.at = {32, 0};
    epoch.when = stamp::at(1'700'000'000'000);
    epoch.payload = format::encode_epoch_start({32, {2, 0x018b'cfe5'6800'5cc1}, 1025, 2048, 3});
    auto const file = log.compose(2, *guid::parse("a0a1a2a3a4a5a6a70000000000000001"), {16, 1}, 0x1122'3344'5566'7788, {epoch});
    check_page(file.bytes, "log.md", "log.3");
    CHECK(file.bytes.size() == 228);
    CHECK(file.opens == 32);
    CHECK(format::load<le32>(bytes_view(file.bytes).subspan(116)) == 32);
    CHECK(crc32c(file.bytes) == 1577990296);
}

TEST_CASE("log bytes: the operations of a mailbox") {
    auto const id = *guid::parse("b0b1b2b3b4b5b6b70000000000000002");
    message_entry m;
    m.id = id;
    m.where = {0x0102'0304'0506'0708, 0x1112};
    m.size = 0x21;
    m.received_ms = 0x31;
    m.flags = flag::answered | flag::draft;
    m.keywords = {"a", "bcd"};
    format::mailbox_transaction t;
    t.append(m)
        .change_flags(uid_set{{1, 2}, {5, 5}}, {flag_mode::replace, flag::flagged, {"k"}, 0x41})
        .change_flags(uid_set::one(7), {flag_mode::add, flag::none, {}, {}})
        .expunge(uid_set{{3, 4}}, true)
        .raise(0x51, 0x52)
        .metadata("key", "value")
        .metadata("key", std::nullopt)
        .cache(0x61, 0x62)
        .relocate(0x71, id, {0x72, 0x73});
    CHECK(hex_of(t.bytes()) ==
          "0100000048000000 b0b1b2b3b4b5b6b7 0000000000000002 3100000000000000 0807060504030201 1211000000000000 "
          "2100000011000000 "
          "0200000000000000 0100610300626364 "
          "0200000038000000 0200000002000000 4100000000000000 0200000001000000 0100000002000000 0500000005000000 "
          "01006b0000000000 "
          "0200000028000000 0000000000000000 ffffffffffffffff 0100000000000000 0700000007000000 "
          "0300000018000000 0100000001000000 0300000004000000 "
          "0400000010000000 5100000052000000 "
          "0500000018000000 0300000005000000 6b657976616c7565 "
          "0500000018000000 03000000ffffffff 6b65790000000000 "
          "0600000018000000 6100000000000000 6200000000000000 "
          "0700000030000000 7100000000000000 b0b1b2b3b4b5b6b7 0000000000000002 7200000000000000 7300000000000000");
}

TEST_CASE("snapshot bytes: a snapshot of version 1.0 is written as docs/formats/snapshot.md shows it") {
    auto const snapshot = example().bytes_of("box/index.2");
    check_page(snapshot, "snapshot.md", "index.2");
    CHECK(snapshot.size() == 1920);
    CHECK(crc32c(snapshot) == 510959671);
}
