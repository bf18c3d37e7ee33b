// SPDX-License-Identifier: BSL-1.0
// The bytes of version 1 of what nodes tell each other, as docs/protocols/replication.md shows them. They never change: nodes
// of all versions meet.
#include <mailfs/format/peer_frame.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <ostream>
#include <string>
#include <utility>

using namespace mailfs;
using namespace mailfs::format;

#ifndef MAILFS_DOCS
#define MAILFS_DOCS "docs"
#endif

namespace {

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

/// The bytes below the line that names the message and its size.
std::vector<std::byte> shown(std::string const& name, std::size_t size) {
    std::vector<std::byte> bytes;
    std::ifstream in(MAILFS_DOCS "/protocols/replication.md");
    REQUIRE(in.good());
    bool here = false, example = false;
    for (std::string line; std::getline(in, line);) {
        example = example || line == "## Example";
        auto const at = line.find("`" + name + "`");
        if (example && at != line.npos && line.find(std::to_string(size) + " bytes:", at) != line.npos) here = true;
        bool const dump = line.size() > 10 && line.starts_with("    ") && is_hex(line[4]) && is_hex(line[5]) && line.substr(6, 2) == "  ";
        if (!dump && !bytes.empty()) break;
        if (!dump || !here) continue;
        for (std::size_t i = 8; i + 1 < line.size() && is_hex(line[i]) && is_hex(line[i + 1]); i += 3) {
            bytes.push_back(static_cast<std::byte>(std::strtoul(line.substr(i, 2).c_str(), nullptr, 16)));
            if (i + 2 >= line.size() || line[i + 2] != ' ' || line[i + 3] == ' ') break;
        }
    }
    return bytes;
}
void check(std::string const& name, std::uint64_t channel, peer_message const& m) {
    std::vector<std::byte> bytes;
    encode_frame(bytes, channel, m);
    auto const page = shown(name, bytes.size());
    CHECK_MESSAGE(page == bytes, name);
    frame_reader reader("page");
    reader.feed(page);
    auto const back = reader.next();
    REQUIRE_MESSAGE(back.has_value(), name);
    CHECK(*back == frame{channel, m});
}

constexpr std::uint64_t born = (std::uint64_t{1'750'000'000'000} << 16) + 0xabcd;
constexpr std::uint64_t chain = 0x1122'3344'5566'7788;

}  // namespace

TEST_CASE("replication page: the bytes it shows are the bytes that travel") {
    peer_hello hello;
    hello.cluster = *guid::parse("c0c1c2c3c4c5c6c70000000000000001");
    hello.node = 1;
    hello.slot = 1;
    hello.incarnation = born;
    hello.now_ms = 1'750'000'000'123;
    hello.nonce_high = guid::from_words(0x0011'2233'4455'6677, 0x8899'aabb'ccdd'eeff);
    hello.nonce_low = guid::from_words(0x0123'4567'89ab'cdef, 0xfedc'ba98'7654'3210);
    check("hello", 0, hello);
    check("ping", 0, peer_ping{300, 99});

    peer_open open;
    open.name = "box/0102";
    open.object = *guid::parse("a0a1a2a3a4a5a6a70000000000000001");
    open.at = {0x21, 7};
    open.chain = chain;
    open.lineage = {{0x11, 40, 511}, {0x21, 7, 767}};
    open.id_next = 513;
    open.owner = {1, born};
    open.role = 4;
    open.hops = 0;
    open.reaches = 6;
    open.epoch_heard = 0x21;
    check("open", 3, open);

    std::vector<std::byte> const operations(8, std::byte{0xee});
    constexpr std::uint64_t when = std::uint64_t{1'750'000'001'000} << 16;
    peer_push push{{0x21, 7}, chain, true, {}};
    push.steps.push_back({record_kind::transaction, {0x21, 8}, {{2, born + 0x10000}, 500}, {when}, operations});
    push.steps.push_back({record_kind::transaction, {0x21, 9}, {{2, born + 0x10000}, 501}, {when + (2 << 16)}, operations});
    push.steps.push_back({record_kind::epoch, {0x32, 0}, {}, {when + (3 << 16)}, {std::byte{1}}});
    check("push", 3, push);
    check("progress", 3, peer_progress{0x21, true, {{1, 9, 7}, {2, 9, 9}}});

    check("bodies", 4, peer_bodies{"alice/mail", false});
    peer_body body;
    body.offer = true;
    body.id = *guid::parse("b0b1b2b3b4b5b6b70000000000000001");
    body.mailbox = open.object;
    body.received_ms = 1'750'000'000'123;
    body.written_ms = 1'750'000'000'456;
    auto const text = as_bytes("Hi\n");
    body.bytes.assign(text.begin(), text.end());
    body.size = 3;
    body.checksum = body_checksum(body.id, body.bytes);
    check("body", 4, body);
    check("have_body", 4, peer_have_body{body.id});
}

TEST_CASE("replication page: types have the numbers that it says, and messages the sizes") {
    position const at{0x1210, 1000};
    dot const id{{2, born}, 5000};
    peer_open open;
    open.at = at;
    open.owner = {1, born};
    open.epoch_heard = open.at.epoch;
    open.id_next = 1000;
    std::pair<std::string, peer_message> const all[] = {
        {"hello", peer_hello{1, 1, {}, 1, 1, born, 0, 1'750'000'000'000, {}, {}}}, {"ping", peer_ping{1, 0}}, {"pong", peer_pong{1}}, {"open", open},
        {"close", peer_close{}}, {"propose", peer_propose{id, {born}, false, {}}}, {"refuse", peer_refuse{id}}, {"push", peer_push{at, chain, false, {}}},
        {"progress", peer_progress{at.epoch, false, {}}}, {"catch_up", peer_catch_up{at, chain, false, 0}}, {"want_branch", peer_want_branch{0}},
        {"snapshot", peer_snapshot{false, at, 0, 1000, {}}}, {"handover", peer_handover{at}}, {"who", peer_who{}},
        {"bodies", peer_bodies{}}, {"want_body", peer_want_body{{}, 0}}, {"body", peer_body{false, {}, {}, 0, 0, 0, 0, 5000, std::vector<std::byte>(5000)}},
        {"have_body", peer_have_body{}}, {"no_body", peer_no_body{}}};
    REQUIRE(std::size(all) == peer_type_last);
    for (auto const& [name, m] : all) {
        auto const number = static_cast<int>(type_of(m));
        auto const* const body = std::get_if<peer_body>(&m);
        auto const size = frame_size(is_of_link(type_of(m)) ? 0 : 1, m) - (body == nullptr ? 0 : body->bytes.size());
        auto const begin = "| " + std::to_string(number) + " | " + name + " |", end = " | " + std::to_string(size) + " |";
        std::ifstream in(MAILFS_DOCS "/protocols/replication.md");
        bool found = false;
        for (std::string line; std::getline(in, line);) found = found || (line.starts_with(begin) && line.ends_with(end));
        CHECK_MESSAGE(found, begin, " ... ", end);
    }
}
