// SPDX-License-Identifier: BSL-1.0
#include <mailfs/replication/detail/send_queue.hpp>

#include "support/peer_messages.hpp"

#include <doctest/doctest.h>

#include <map>
#include <ostream>
#include <random>

using namespace mailfs;
using namespace mailfs::format;
using mailfs::detail::send_queue;

namespace {

std::vector<frame> taken(send_queue& q, std::size_t most = ~std::size_t{0}) {
    std::vector<std::byte> bytes;
    q.take(bytes, most);
    frame_reader reader("queue");
    reader.feed(bytes);
    std::vector<frame> all;
    while (auto f = reader.next()) all.push_back(std::move(*f));
    CHECK(reader.pending() == 0);
    return all;
}
peer_push push_of(std::uint32_t n) { return {{1, n}, 0, false, {}}; }
peer_snapshot piece_of(std::uint64_t offset) { return {false, {}, offset, offset + 100, std::vector<std::byte>(100)}; }

}  // namespace

TEST_CASE("send queue: control goes before pushes, and pushes before snapshots, each in its order") {
    send_queue q;
    q.push(1, piece_of(0));
    q.push(2, push_of(1));
    q.push(2, push_of(2));
    q.push(3, peer_who{});
    q.push(0, peer_ping{1, 0});
    auto const all = taken(q);
    REQUIRE(all.size() == 5);
    CHECK(all[0] == frame{3, peer_who{}});
    CHECK(all[1] == frame{0, peer_ping{1, 0}});
    CHECK(all[2] == frame{2, push_of(1)});
    CHECK(all[3] == frame{2, push_of(2)});
    CHECK(all[4] == frame{1, piece_of(0)});
    CHECK(q.empty());
}

TEST_CASE("send queue: bodies go when nothing else waits, and nothing waits behind them") {
    send_queue q;
    peer_body body;
    body.bytes.resize(5);
    body.size = 5;
    q.push(4, body);
    q.push(1, piece_of(0));
    q.push(4, peer_have_body{});
    auto const all = taken(q);
    REQUIRE(all.size() == 3);
    CHECK(all[0] == frame{4, peer_have_body{}});
    CHECK(all[1] == frame{1, piece_of(0)});
    CHECK(all[2] == frame{4, body});
    q.push(4, push_of(1));
    CHECK(taken(q).front() == frame{4, push_of(1)});
}

TEST_CASE("send queue: what follows a push or a snapshot of its mailbox waits behind it") {
    send_queue q;
    q.push(1, piece_of(0));
    q.push(1, push_of(1));
    q.push(1, peer_handover{{1, 1}});
    q.push(2, push_of(1));
    q.push(2, peer_handover{{1, 1}});
    q.push(3, peer_who{});
    auto const all = taken(q);
    REQUIRE(all.size() == 6);
    CHECK(all[0].channel == 3);
    CHECK(all[1] == frame{2, push_of(1)});
    CHECK(all[2] == frame{2, peer_handover{{1, 1}}});
    CHECK(all[3] == frame{1, piece_of(0)});
    CHECK(all[4] == frame{1, push_of(1)});
    CHECK(all[5] == frame{1, peer_handover{{1, 1}}});
    q.push(1, peer_who{});  // nothing of it waits any more
    q.push(2, push_of(2));
    CHECK(taken(q).front() == frame{1, peer_who{}});
}

TEST_CASE("send queue: whole frames up to a size, and at least one") {
    send_queue q;
    for (std::uint32_t n = 1; n <= 10; ++n) q.push(1, push_of(n));
    auto const one = q.size() / 10;
    CHECK(taken(q, 1).size() == 1);
    CHECK(taken(q, 3 * one).size() == 3);
    CHECK(taken(q, 4 * one - 1).size() == 3);
    CHECK(q.size() == 3 * one);
    CHECK(taken(q).size() == 3);
    CHECK(q.empty());
}

TEST_CASE("send queue: no message of a mailbox goes before another of it, whatever is queued and taken; bodies are all there") {
    test::some_messages some(11);
    send_queue q;
    std::map<std::uint64_t, std::vector<peer_message>> sent, came;
    std::size_t bodies = 0;
    std::size_t bytes = 0;
    auto const receive = [&](std::size_t most) {
        for (auto& f : taken(q, most)) {
            bytes -= frame_size(f.channel, f.message);
            if (std::holds_alternative<peer_body>(f.message)) --bodies;
            else
            came[f.channel].push_back(std::move(f.message));
        }
    };
    for (int i = 0; i < 3000; ++i) {
        auto const m = some.of_kind(some.pick(test::message_kinds));
        auto const channel = is_of_link(type_of(m)) ? 0 : 1 + some.pick(4);
        q.push(channel, m);
        if (std::holds_alternative<peer_body>(m)) ++bodies;
        else sent[channel].push_back(m);
        bytes += frame_size(channel, m);
        if (some.pick(3) == 0) receive(some.pick(3000));
        REQUIRE(q.size() == bytes);
    }
    while (!q.empty()) receive(5000);
    CHECK(sent == came);
    CHECK(bodies == 0);
}

TEST_CASE("send queue: a message that does not fit leaves nothing behind") {
    send_queue q;
    peer_open open;
    open.name = std::string(peer_name_size_max + 1, 'x');
    CHECK_THROWS_AS(q.push(1, open), error);
    CHECK(q.empty());
    q.push(1, peer_who{});
    CHECK(taken(q).size() == 1);
}
