// SPDX-License-Identifier: BSL-1.0
#include <mailfs/replication/detail/peer_links.hpp>

#include "support/memory_transport.hpp"
#include "support/peer_messages.hpp"

#include <asio/co_spawn.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <ostream>
#include <string>

using namespace mailfs;
using namespace mailfs::format;
using mailfs::detail::peer_link_options;
using test::memory_net;
using test::memory_transport;

namespace {

using links_type = mailfs::detail::peer_links<memory_transport>;

/// A node that keeps what came, as text.
struct node final : mailfs::detail::peer_link_handler {
    node(memory_net& n, peer_link_options o) : net(n), links(memory_transport(n, o.node), std::move(o), *this) {
        asio::co_spawn(net.context(), links.run(), [this](std::exception_ptr e) {
            ended = true;
            thrown = e;
        });
    }
    ~node() {
        links.stop();
        net.run_for(2);
        CHECK(ended);
    }
    node(node const&) = delete;
    node& operator=(node const&) = delete;

    void up(std::uint32_t n) override {
        said += "up " + std::to_string(n) + "; ";
        if (on_up) on_up(n);
    }
    void down(std::uint32_t n, bool silent) override {
        said += "down " + std::to_string(n) + "; ";
        silences += silent ? 1 : 0;
    }
    void message(std::uint32_t n, std::uint64_t channel, peer_message&& m) override {
        ++messages;
        last = {channel, std::move(m)};
        if (on_message) on_message(n);
    }
    void note(std::uint32_t n, std::string const& what) override { notes += std::to_string(n) + ": " + what + "; "; }

    bool noted(std::string const& text) const { return notes.find(text) != notes.npos; }

    memory_net& net;
    std::string said, notes;
    int silences = 0;  // links that went down by it
    std::size_t messages = 0;
    frame last;
    std::function<void(std::uint32_t)> on_up, on_message;
    bool ended = false;
    std::exception_ptr thrown;
    links_type links;
};

peer_link_options options_of(std::uint32_t number, std::vector<std::uint32_t> peers) {
    peer_link_options o;
    o.cluster = guid::from_words(7, 7);
    o.node = number;
    o.slot = number;
    o.incarnation = 100 + number;
    o.peers = std::move(peers);
    o.random = [seed = std::uint64_t{number}]() mutable { return seed = seed * 6364136223846793005U + 1442695040888963407U; };
    o.now_ms = [] { return std::uint64_t{1'700'000'000'000}; };
    return o;
}

/// One side of a link, played by the test.
struct stranger {
    stranger(memory_net& n, std::uint32_t number) : net(n), side(n, number) {}
    ~stranger() {
        if (connection) connection->close();
        side.stop();
        net.poll();
    }
    stranger(stranger const&) = delete;
    stranger& operator=(stranger const&) = delete;

    static asio::awaitable<void> dial(stranger& s, std::uint32_t to) { s.connection.emplace(co_await s.side.connect(to)); }
    static asio::awaitable<void> answer(stranger& s) { s.connection.emplace(co_await s.side.accept()); }
    static asio::awaitable<void> say(stranger& s, std::vector<std::byte> bytes) {
        bytes_view const view(bytes);
        try {
            co_await s.connection->write(view);
        } catch (error const&) {
            s.over = true;
        }
    }
    static asio::awaitable<void> hear(stranger& s) {
        std::vector<std::byte> room(1000);
        std::span<std::byte> const span(room);
        try {
            for (;;) {
                auto const size = co_await s.connection->read_some(span);
                if (size == 0) break;
                s.frames.feed(span.first(size));
                while (auto f = s.frames.next()) s.heard.push_back(*f);
            }
        } catch (error const&) {  // closed by this side
        }
        s.over = true;
    }
    template <class Work>
    void run(Work work) {
        asio::co_spawn(net.context(), std::move(work), [](std::exception_ptr e) {
            if (e) std::rethrow_exception(e);
        });
        net.poll();
    }
    void connect(std::uint32_t to) {
        run(dial(*this, to));
        run(hear(*this));
    }
    void accept() {
        run(answer(*this));
        if (connection) run(hear(*this));
    }
    /// So that a node that was connected to takes both directions for proven.
    void prove() {
        send(0, peer_ping{1, 0});
        send(0, peer_ping{2, 1});
    }
    void send(std::vector<std::byte> bytes) { run(say(*this, std::move(bytes))); }
    void send(std::uint64_t channel, peer_message const& m) {
        std::vector<std::byte> bytes;
        encode_frame(bytes, channel, m);
        send(std::move(bytes));
    }
    std::size_t count(peer_type t) const {
        return static_cast<std::size_t>(std::count_if(heard.begin(), heard.end(), [t](frame const& f) { return type_of(f.message) == t; }));
    }

    memory_net& net;
    memory_transport side;
    std::optional<memory_transport::link> connection;
    frame_reader frames{"the node under test"};
    std::vector<frame> heard;
    bool over = false;
};

peer_hello hello_of(std::uint32_t number) {
    peer_hello h;
    h.cluster = guid::from_words(7, 7);
    h.node = number;
    h.slot = number;
    return h;
}

}  // namespace

TEST_CASE("peer links: nodes that start find each other, and what is sent comes in order") {
    memory_net net;
    node a(net, options_of(1, {2, 3})), b(net, options_of(2, {1, 3})), c(net, options_of(3, {1, 2}));
    net.run_for(100);
    CHECK(a.said.size() == std::string("up 2; up 3; ").size());
    CHECK(b.links.is_up(1));
    CHECK(b.links.is_up(3));
    CHECK(c.links.hello_of(1)->incarnation == 101);
    CHECK(net.links_made() == 3);
    for (std::uint32_t n = 1; n <= 50; ++n) CHECK(a.links.send(2, 9, peer_push{{1, n}, 0, false, {}}));
    CHECK(b.messages == 0);
    std::uint32_t expected = 0;
    b.on_message = [&](std::uint32_t from) {
        CHECK(from == 1);
        CHECK(std::get<peer_push>(b.last.message).before.n == ++expected);
    };
    net.poll();
    CHECK(b.messages == 50);
    CHECK(b.last.channel == 9);
    CHECK_FALSE(a.links.send(4, 9, peer_who{}));
    net.run_for(5000);
    CHECK(a.said.size() == 12);
    CHECK(net.links_made() == 3);
}

TEST_CASE("peer links: a node can be sent to from the moment it is up, and first") {
    memory_net net;
    node a(net, options_of(1, {2})), b(net, options_of(2, {1}));
    for (auto* n : {&a, &b}) n->on_up = [n](std::uint32_t other) { CHECK(n->links.send(other, 5, peer_who{})); };
    net.run_for(50);
    CHECK(a.messages == 1);
    CHECK(b.messages == 1);
    CHECK(a.said == "up 2; ");
    CHECK(b.said == "up 1; ");
}

TEST_CASE("peer links: a peer that comes late, goes and comes again is found each time") {
    memory_net net;
    node a(net, options_of(1, {2}));
    net.run_for(3000);
    CHECK(a.said.empty());
    {
        node b(net, options_of(2, {1}));
        net.run_for(1100);
        CHECK(a.said == "up 2; ");
        CHECK(b.said == "up 1; ");
    }
    net.run_for(1);
    CHECK(a.said == "up 2; down 2; ");
    auto options = options_of(2, {1});
    options.incarnation = 500;
    node again(net, options);
    net.run_for(1100);
    CHECK(a.said == "up 2; down 2; up 2; ");
    CHECK(a.links.hello_of(2)->incarnation == 500);
    net.cut(1, 2);  // who was proven is not waited for as long as who was away
    net.run_for(310);
    CHECK_FALSE(a.links.is_up(2));
    net.heal();
    net.run_for(80);
    CHECK(a.links.is_up(2));
}

TEST_CASE("peer links: a direction that is lost takes the link down on both sides within the time of silence") {
    for (bool const there : {true, false}) {
        memory_net net;
        node a(net, options_of(1, {2})), b(net, options_of(2, {1}));
        net.run_for(1000);
        net.cut(there ? 1 : 2, there ? 2 : 1);
        net.run_for(150);
        b.links.send(1, 1, peer_who{});
        net.run_for(49);
        CHECK(a.links.is_up(2));
        net.run_for(102);
        CHECK(a.said == "up 2; down 2; ");
        CHECK(b.said == "up 1; down 1; ");
        CHECK(a.noted(there ? "one direction is lost" : "it is silent"));
        net.run_for(3000);
        CHECK(a.said == "up 2; down 2; ");
        net.heal();
        net.run_for(1500);
        CHECK(a.said == "up 2; down 2; up 2; ");
        CHECK(b.said == "up 1; down 1; up 1; ");
    }
}

TEST_CASE("peer links: while a direction is lost from the start no side thinks the link up") {
    memory_net net;
    stranger b(net, 2);
    node a(net, options_of(1, {2}));
    net.poll();
    b.accept();
    net.cut(1, 2);
    b.send(0, hello_of(2));
    net.run_for(990);
    CHECK(a.said.empty());
    CHECK_FALSE(b.over);
    net.run_for(60);
    CHECK(a.noted("no proof of both directions in time"));
    CHECK(a.said.empty());
}

TEST_CASE("peer links: another cluster, version, number or slot is refused, told, and tried again after the longest back-off") {
    struct wrong {
        char const* why;
        std::function<void(peer_hello&)> change;
    };
    wrong const all[] = {
        {"another cluster", [](peer_hello& h) { h.cluster = guid::from_words(7, 8); }},
        {"speaks versions 2 to 3", [](peer_hello& h) { h.version_min = 2, h.version_max = 3; }},
        {"this node's number", [](peer_hello& h) { h.node = 1; }},
        {"no peer", [](peer_hello& h) { h.node = 9; }},
        {"not to be met here", [](peer_hello& h) { h.node = 3; }},
        {"this node's slot", [](peer_hello& h) { h.slot = 1; }},
        {"slot 16, which there is not", [](peer_hello& h) { h.slot = 16; }},
    };
    for (auto const& w : all) {
        memory_net net;
        std::optional<stranger> b(std::in_place, net, 2);
        node a(net, options_of(1, {2, 3}));
        net.poll();
        b->accept();
        auto hello = hello_of(2);
        w.change(hello);
        b->send(0, hello);
        CHECK_MESSAGE(a.noted(w.why), a.notes);
        CHECK(b->over);
        CHECK(a.said.empty());
        b.reset();
        auto const made = net.links_made();
        node right(net, options_of(2, {1, 3}));
        net.run_for(490);
        CHECK(net.links_made() == made);
        net.run_for(520);
        CHECK(a.said == "up 2; ");
    }
}

TEST_CASE("peer links: a node that is not to connect, or has the slot of another, is refused where it is accepted") {
    memory_net net;
    node b(net, options_of(2, {1, 3, 4})), c(net, options_of(3, {1, 2, 4}));
    net.run_for(50);
    stranger d(net, 4);
    d.connect(2);
    d.send(0, hello_of(4));
    CHECK(b.noted("not to be met here"));
    stranger a(net, 1);
    a.connect(2);
    auto hello = hello_of(1);
    hello.slot = 3;
    a.send(0, hello);
    CHECK(b.noted("the slot of node 3"));
    CHECK(a.over);
    CHECK(b.said == "up 3; ");
}

TEST_CASE("peer links: garbage and words out of turn end the link, and the node lives on") {
    std::vector<std::byte> push, pong, ping, twice, other;
    encode_frame(push, 3, peer_push{});
    encode_frame(pong, 0, peer_pong{7});
    encode_frame(ping, 0, peer_ping{7, 1});  // nothing was echoed yet
    encode_frame(twice, 0, hello_of(1));
    encode_frame(other, 3, peer_who{});
    test::some_messages some(3);
    std::vector<std::byte> noise(5000);
    for (auto& o : noise) o = static_cast<std::byte>(some.pick(256));
    std::vector<std::byte> const giant{std::byte{0xfc}, std::byte{0xff}, std::byte{0x0f}, std::byte{0}};
    auto longer = giant;
    longer.resize(mailfs::detail::peer_links<memory_transport>::unproven_size_max + 1);
    for (bool const greeted : {false, true})
        for (auto const& bytes : {push, pong, ping, twice, other, noise, longer}) {
            memory_net net;
            node b(net, options_of(2, {1}));
            net.poll();
            stranger s(net, 1);
            s.connect(2);
            if (greeted) s.send(0, hello_of(1));
            s.send(bytes);
            bool const is_hello = !greeted && bytes == twice;
            CHECK(s.over == !is_hello);
            CHECK(b.messages == 0);
            CHECK(b.said.empty());
            s.connection->close();
            net.run_for(10);
            node a(net, options_of(1, {2}));
            net.run_for(1100);
            CHECK(b.said == "up 1; ");
        }
}

TEST_CASE("peer links: a peer that sends half a frame and stalls is let go, before the proof and after it") {
    memory_net net;
    node b(net, options_of(2, {1}));
    net.poll();
    std::vector<std::byte> half;
    encode_frame(half, 3, peer_who{});
    half.pop_back();
    {
        stranger s(net, 1);
        s.connect(2);
        s.send(0, hello_of(1));
        s.send(half);
        net.run_for(999);
        CHECK_FALSE(s.over);
        net.run_for(2);
        CHECK(s.over);
        CHECK(b.said.empty());
    }
    stranger s(net, 1);
    s.connect(2);
    s.send(0, hello_of(1));
    s.prove();
    CHECK(b.said == "up 1; ");
    s.send(half);
    net.run_for(298);
    CHECK_FALSE(s.over);
    net.run_for(4);
    CHECK(s.over);
    CHECK(b.said == "up 1; down 1; ");
    CHECK(b.silences == 1);
    CHECK(b.noted("it is silent"));
}

TEST_CASE("peer links: an echo counts once, and only of what was said") {
    for (auto const number : {0, 2, 1}) {
        memory_net net;
        stranger s(net, 2);
        node a(net, options_of(1, {2}));
        net.poll();
        s.accept();
        s.send(0, hello_of(2));
        REQUIRE(s.count(peer_type::ping) == 1);
        s.send(0, peer_pong{static_cast<std::uint64_t>(number)});
        CHECK(s.over == (number != 1));
        if (number != 1) continue;
        CHECK(s.heard.back() == frame{0, peer_ping{2, 1}});  // at once, so that the other side knows
        s.send(0, peer_pong{1});
        CHECK(s.over);
        CHECK(a.said == "up 2; down 2; ");
        CHECK(a.silences == 0);
        CHECK(a.noted("node 2, offset"));
    }
}

TEST_CASE("peer links: who was connected to has its proof when a ping confirms an echo, and takes no other") {
    struct second {
        peer_ping ping;
        bool up, ends;
    };
    for (auto const& then : {second{{2, 1}, true, false}, {{2, 0}, false, false}, {{1, 1}, false, true}, {{2, 2}, false, true}}) {
        memory_net net;
        node b(net, options_of(2, {1}));
        net.poll();
        stranger s(net, 1);
        s.connect(2);
        s.send(0, hello_of(1));
        s.send(0, peer_ping{1, 0});
        CHECK(s.count(peer_type::ping) == 0);
        CHECK(b.said.empty());
        s.send(0, then.ping);
        CHECK(b.said == (then.up ? "up 1; " : ""));
        CHECK(s.over == then.ends);
        if (!then.up) continue;
        for (std::uint64_t n = 3; n <= 5; ++n) {  // they go on, and confirm nothing new
            net.run_for(90);
            s.send(0, peer_ping{n, 1});
        }
        CHECK(b.links.is_up(1));
        net.run_for(40);
        CHECK(b.said == "up 1; down 1; ");
        CHECK(b.noted("one direction is lost"));
    }
}

TEST_CASE("peer links: pings come back, with their number; who connected sends one every 100 ms") {
    memory_net net;
    node b(net, options_of(2, {1}));
    net.poll();
    stranger s(net, 1);
    s.connect(2);
    s.send(0, hello_of(1));
    s.send(0, peer_ping{77, 0});
    REQUIRE(s.count(peer_type::pong) == 1);
    CHECK(s.heard.back() == frame{0, peer_pong{77}});
    stranger c(net, 3);
    node a(net, options_of(1, {3}));
    net.poll();
    c.accept();
    c.send(0, hello_of(3));
    c.send(0, peer_pong{1});
    net.run_for(1);
    for (std::uint64_t n = 2; n <= 20; ++n) {
        CHECK(c.count(peer_type::ping) == n);
        c.send(0, peer_pong{n});
        net.run_for(100);
    }
    CHECK(a.links.is_up(3));
}

TEST_CASE("peer links: a link on which too much waits is closed, not from inside send, and made again") {
    memory_net net;
    auto options = options_of(1, {2});
    options.queue_max = 1U << 20;
    node a(net, options);
    std::optional<stranger> s(std::in_place, net, 2);
    net.run_for(1);
    s->side.stop();
    s.emplace(net, 2);
    net.run_for(1100);
    s->accept();
    s->send(0, hello_of(2));
    s->send(0, peer_pong{1});
    REQUIRE(a.said == "up 2; ");
    peer_snapshot piece;
    piece.bytes.resize(64U << 10);
    piece.size = piece.bytes.size();
    std::size_t sent = 0;
    while (a.links.send(2, 1, piece)) ++sent;  // nothing runs between
    CHECK(sent == 15);
    CHECK_FALSE(a.links.is_up(2));
    CHECK(a.said == "up 2; ");
    net.poll();
    CHECK(a.said == "up 2; down 2; ");
    CHECK(a.noted("more waits to be sent than may"));
    s.reset();
    node b(net, options_of(2, {1}));
    net.run_for(1100);
    CHECK(a.said == "up 2; down 2; up 2; ");
}

TEST_CASE("peer links: a peer that does not read holds up nobody else, and loses its link when it is silent") {
    memory_net net;
    node a(net, options_of(1, {2, 3}));
    stranger slow(net, 2);
    node c(net, options_of(3, {1, 2}));
    net.poll();
    slow.run(stranger::answer(slow));  // and never reads
    slow.send(0, hello_of(2));
    slow.send(0, peer_pong{1});
    REQUIRE(a.links.is_up(2));
    REQUIRE(a.links.is_up(3));
    peer_snapshot piece;
    piece.bytes.resize(64U << 10);
    piece.size = piece.bytes.size();
    for (int i = 0; i < 10; ++i) CHECK(a.links.send(2, 1, piece));
    net.poll();
    CHECK(a.links.queued(2) > 0);
    CHECK(a.links.send(3, 1, peer_who{}));
    net.poll();
    CHECK(c.messages == 1);
    net.run_for(310);
    CHECK_FALSE(a.links.is_up(2));
    CHECK(a.links.is_up(3));
}

TEST_CASE("peer links: a new link takes the place of the one before it, once it is proven") {
    memory_net net;
    node b(net, options_of(2, {1}));
    net.poll();
    stranger first(net, 1), second(net, 1);
    first.connect(2);
    first.send(0, hello_of(1));
    first.prove();
    CHECK(b.said == "up 1; ");
    second.connect(2);
    second.send(0, hello_of(1));
    CHECK(b.said == "up 1; ");
    CHECK_FALSE(first.over);
    second.prove();
    CHECK(b.said == "up 1; down 1; up 1; ");
    CHECK(first.over);
    CHECK_FALSE(second.over);
    b.links.send(1, 1, peer_who{});
    net.poll();
    CHECK(second.count(peer_type::who) == 1);
}

TEST_CASE("peer links: strangers who connect and say nothing are bounded in number and in time") {
    memory_net net;
    node b(net, options_of(2, {1}));
    net.poll();
    std::vector<std::unique_ptr<stranger>> all;
    for (int i = 0; i < 200; ++i) {
        all.push_back(std::make_unique<stranger>(net, 50));
        all.back()->connect(2);
    }
    net.run_for(900);
    auto const greeted = std::count_if(all.begin(), all.end(), [](auto const& s) { return !s->heard.empty(); });
    CHECK(greeted == static_cast<std::ptrdiff_t>(links_type::handshakes_max));
    net.run_for(5000);
    CHECK(std::all_of(all.begin(), all.end(), [](auto const& s) { return s->over; }));
    node a(net, options_of(1, {2}));
    net.run_for(1100);
    CHECK(b.said == "up 1; ");
}

TEST_CASE("peer links: links that were proven and lost make room for others") {
    memory_net net;
    node b(net, options_of(2, {1}));
    net.poll();
    for (std::size_t n = 0; n < links_type::handshakes_max + 2; ++n) {
        stranger s(net, 1);
        s.connect(2);
        s.send(0, hello_of(1));
        s.prove();
        REQUIRE(b.links.is_up(1));
        s.connection->close();
        net.poll();
        REQUIRE_FALSE(b.links.is_up(1));
    }
}

TEST_CASE("peer links: nothing of a link is heard once it was refused") {
    memory_net net;
    node b(net, options_of(2, {1}));
    net.poll();
    stranger s(net, 1);
    s.connect(2);
    std::vector<std::byte> bytes;
    encode_frame(bytes, 0, hello_of(1));
    encode_frame(bytes, 0, peer_ping{1, 0});
    encode_frame(bytes, 0, peer_ping{2, 1});
    encode_frame(bytes, 1, peer_who{});
    encode_frame(bytes, 0, hello_of(1));
    encode_frame(bytes, 1, peer_who{});
    s.send(bytes);
    CHECK(b.messages == 1);
    CHECK(b.said == "up 1; down 1; ");
}

TEST_CASE("peer links: a peer whose first words are garbage is tried again after the longest back-off") {
    memory_net net;
    std::optional<stranger> b(std::in_place, net, 2);
    node a(net, options_of(1, {2}));
    net.poll();
    b->accept();
    b->send(std::vector<std::byte>(100, std::byte{7}));
    CHECK(b->over);
    b.reset();
    auto const made = net.links_made();
    node right(net, options_of(2, {1}));
    net.run_for(490);
    CHECK(net.links_made() == made);
    net.run_for(520);
    CHECK(a.said == "up 2; ");
}

TEST_CASE("peer links: an error that a message causes ends the link, anything else ends them all") {
    memory_net net;
    node a(net, options_of(1, {2})), b(net, options_of(2, {1}));
    net.run_for(100);
    b.on_message = [](std::uint32_t) { throw error(errc::corrupt, "a mailbox", "cannot be"); };
    a.links.send(2, 1, peer_who{});
    net.poll();
    CHECK(b.said == "up 1; down 1; ");
    CHECK(b.noted("a mailbox: cannot be"));
    net.run_for(100);
    CHECK(b.said == "up 1; down 1; up 1; ");
    b.on_message = [](std::uint32_t) { throw std::logic_error("a fault of the program"); };
    a.links.send(2, 1, peer_who{});
    net.run_for(2);
    CHECK(b.ended);
    CHECK_THROWS_AS(std::rethrow_exception(b.thrown), std::logic_error);
}

TEST_CASE("peer links: stop leaves nothing under way, whatever was") {
    // The destructor of node checks that run() has ended.
    for (int moment = 0; moment < 400; moment += moment < 20 ? 1 : 37) {
        memory_net net;
        node a(net, options_of(1, {2, 3})), b(net, options_of(2, {1, 3}));
        net.run_for(static_cast<std::uint64_t>(moment));
        a.links.send(2, 1, peer_who{});
        if (moment % 2 == 0) net.poll();
        a.links.stop();
        a.links.stop();
        CHECK_FALSE(a.links.is_up(2));
        CHECK_FALSE(a.links.send(2, 1, peer_who{}));
        net.run_for(2);
        CHECK(a.ended);
        CHECK_FALSE(a.thrown);
        CHECK(a.said == "up 2; down 2; ");
    }
    memory_net net;
    std::optional<node> inside(std::in_place, net, options_of(2, {1}));
    inside->on_up = [&](std::uint32_t) { inside->links.stop(); };
    node a(net, options_of(1, {2}));
    net.run_for(50);
    CHECK(inside->said == "up 1; down 1; ");
    CHECK(inside->ended);
    memory_net early;
    node never(early, options_of(1, {2}));
    never.links.stop();
    early.poll();
    CHECK(never.ended);
    CHECK(never.said.empty());
}

TEST_CASE("peer links: stop in the middle of half a hello, a stalled write and a handshake") {
    memory_net net;
    stranger half(net, 3), deaf(net, 4), mute(net, 1);
    std::optional<node> b(std::in_place, net, options_of(2, {1, 3, 4}));
    net.poll();
    half.accept();
    half.send({std::byte{9}, std::byte{0}});
    deaf.run(stranger::answer(deaf));
    deaf.send(0, hello_of(4));
    deaf.send(0, peer_pong{1});
    mute.connect(2);
    peer_snapshot piece;
    piece.bytes.resize(1U << 19);
    piece.size = piece.bytes.size();
    CHECK(b->links.send(4, 1, piece));
    net.run_for(5);
    b->links.stop();
    net.run_for(1);
    CHECK(b->ended);
    CHECK(b->said == "up 4; down 4; ");
    CHECK(half.over);
    CHECK(mute.over);
}

TEST_CASE("peer links: what is under way may be destroyed where it stands") {
    auto net = std::make_unique<memory_net>();
    // Coroutines go with the context, while the nodes they belong to are still there.
    struct quiet final : mailfs::detail::peer_link_handler {
        void up(std::uint32_t) override {}
        void down(std::uint32_t, bool) override {}
        void message(std::uint32_t, std::uint64_t, peer_message&&) override {}
    } handler;
    {
        links_type a(memory_transport(*net, 1), options_of(1, {2}), handler), b(memory_transport(*net, 2), options_of(2, {1}), handler);
        for (auto* l : {&a, &b}) asio::co_spawn(net->context(), l->run(), [](std::exception_ptr) {});
        net->run_for(250);
        CHECK(a.is_up(2));
        net->shut_down();
    }
}
