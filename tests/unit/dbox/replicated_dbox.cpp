// SPDX-License-Identifier: BSL-1.0
#include <mailfs/dbox/replicated_dbox.hpp>

#include "body_cluster.hpp"

using namespace mailfs;
using namespace mailfs::test::bodies;

namespace {

using multi = multi_dbox<faulty_fs<>, sim_host>;
using single = single_dbox<faulty_fs<>, sim_host>;
static_assert(message_format<replicated_dbox<multi, sim_transport, sim_host>>);
static_assert(message_format<replicated_dbox<single, sim_transport, sim_host>>);

constexpr std::size_t large = 5 * format::body_piece_size_max + 17;

}  // namespace

TEST_CASE_TEMPLATE("replicated_dbox: a body is on as many synced disks as were asked for when its write returns", Format, single, multi) {
    for (std::size_t copies = 1; copies <= 3; ++copies) {
        body_cluster<Format> c(3, [&](auto& o) { o.copies_on_disk = copies; });
        auto const small = c[1].put(1), long_one = c[2].put(2, durability::stored, large), empty = c[3].put(3, durability::stored, 0);
        CHECK(c.wait(small).copies == copies);
        CHECK(c.wait(long_one).copies == copies);
        CHECK(c.wait(empty).copies == copies);
        for (auto const& o : {small, long_one, empty}) CHECK(!o->why);
        for (auto& n : c.nodes) n->lose_power();
        std::size_t found = 0;
        for (std::uint32_t n = 1; n <= 3; ++n) {
            c[n].start();
            c[n].open();
            REQUIRE(c.run([&] { return c[n].is_open; }));
            for (std::uint64_t id = 1; id <= 3; ++id) {
                if (!c[n].mails->has(numbered(id))) continue;
                ++found;
                CHECK(c.wait(c[n].get(id)).bytes == body_of(id, id == 1 ? 100 : id == 2 ? large : 0));
            }
            c[n].kill();
        }
        CHECK(found == 3 * copies);
    }
}

TEST_CASE("replicated_dbox: with fewer nodes up it is on all of them, and the result says how many") {
    body_cluster<multi> c(3, [](auto& o) { o.copies_on_disk = 3; });
    c[3].kill();
    c.world.run_for(second);
    CHECK(c.wait(c[1].put(1)).copies == 2);
    c[2].kill();
    c.world.run_for(second);
    auto const alone = c.wait(c[1].put(2));
    CHECK(alone.copies == 1);
    CHECK(alone.took_ms < 50);
}

TEST_CASE("replicated_dbox: none is this node's alone, and waits for nobody") {
    body_cluster<multi> c(3);
    CHECK(c.wait(c[1].put(1, durability::none)).copies == 1);
    CHECK(!c[2].mails->has(numbered(1)));
    CHECK(!c[3].mails->has(numbered(1)));
}

TEST_CASE("replicated_dbox: a node that dies, stands still or has no room is replaced by another") {
    for (int how = 0; how < 3; ++how) {
        body_cluster<multi> c(3);
        if (how == 0) c[2].process->kill_after_steps(5);
        if (how == 1) c[2].process->pause();
        if (how == 2) c[2].disk.faults().disk_full_after(0);
        auto const o = c.wait(c[1].put(1, durability::stored, large));  // node 2 is asked first
        CHECK(o.copies == 2);
        CHECK(c[3].mails->has(numbered(1)));
        CHECK(o.took_ms < 1000);
    }
}

TEST_CASE("replicated_dbox: a disk that is full where the mail is handed in fails the call") {
    body_cluster<multi> c(2);
    c[1].disk.faults().disk_full_after(0);
    CHECK(c.wait(c[1].put(1)).why == errc::no_space);
}

TEST_CASE_TEMPLATE("replicated_dbox: a body that is not here comes from another node, whole, and is here from then on", Format, single, multi) {
    body_cluster<Format> c(3, [](auto& o) { o.copies_on_disk = 1; });
    c.wait(c[1].put(1));
    c.wait(c[1].put(2, durability::stored, large));
    CHECK(c.wait(c[3].get(1)).bytes == body_of(1));
    CHECK(c.wait(c[3].get(2)).bytes == body_of(2, large));
    c.cut(1, 3);
    c.cut(2, 3);
    c[3].lose_power();
    c[3].start();
    c[3].open();
    REQUIRE(c.run([&] { return c[3].is_open; }));
    CHECK(c.wait(c[3].get(1)).bytes == body_of(1));
    CHECK(c.wait(c[3].get(2)).bytes == body_of(2, large));
}

TEST_CASE("replicated_dbox: what the header says of a message goes along with it") {
    body_cluster<multi> c(2, [](auto& o) { o.copies_on_disk = 1; });
    c.wait(c[1].put(1));
    c.wait(c[2].get(1));
    std::optional<stored_mail> there;
    c[2].process->spawn([](auto& n, auto& out) -> asio::awaitable<void> {
        out = co_await n.mails->look(numbered(1), mailfs::detail::alone_in_its_file);
    }(c[2], there));
    REQUIRE(c.run([&] { return there.has_value(); }));
    CHECK(there->received_ms == 1001);
    CHECK(there->mailbox == guid::from_words(5, 1));
    CHECK(there->size == 100);
}

TEST_CASE("replicated_dbox: a long body goes on from another node where one was lost") {
    body_cluster<multi> c(3);
    c.wait(c[1].put(1, durability::stored, 40 * format::body_piece_size_max));
    REQUIRE(c[2].mails->has(numbered(1)));
    auto const o = c[3].get(1);
    c.world.run_for(10 * ms);
    REQUIRE(!o->done);
    c[1].kill();
    CHECK(c.wait(o).bytes == body_of(1, 40 * format::body_piece_size_max));
    CHECK(o->took_ms < 1000);
}

TEST_CASE("replicated_dbox: a body on nodes that cannot be reached is unreachable; one that no node has is missing") {
    body_cluster<multi> c(3, [](auto& o) { o.copies_on_disk = 1; });
    c.wait(c[1].put(1));
    CHECK(c.wait(c[2].get(9)).why == errc::body_missing);
    c.cut(1, 2);
    c.cut(1, 3);
    c.world.run_for(second);
    auto const o = c.wait(c[2].get(1));
    CHECK(o.why == errc::unreachable);
    CHECK(o.took_ms < 1000);
    c.heal(1, 2);
    c.world.run_for(2 * second);
    CHECK(c.wait(c[2].get(1)).bytes == body_of(1));
}

TEST_CASE("replicated_dbox: a body that is damaged here comes from another node again") {
    body_cluster<single> c(2);
    c.wait(c[1].put(1));
    REQUIRE(c[2].mails->has(numbered(1)));
    auto const id = numbered(1).hex();
    bool gone = false;
    c[1].process->spawn([](auto& n, std::string path, bool& done) -> asio::awaitable<void> {
        done = co_await n.disk.remove(path);
    }(c[1], "alice/mail/" + id.substr(0, 2) + "/" + id, gone));
    REQUIRE(c.run([&] { return gone; }));
    CHECK(c.wait(c[1].get(1)).bytes == body_of(1));
    c[2].kill();
    c.world.run_for(second);
    CHECK(c.wait(c[1].get(1)).bytes == body_of(1));
}

TEST_CASE("replicated_dbox: a body that is offered again is acknowledged, and not written again") {
    body_cluster<multi> c(2);
    c.wait(c[1].put(1));
    auto const size = [&] { return c[1].mails->count() + c[2].mails->count(); };
    REQUIRE(size() == 2);
    auto const again = c.wait(c[1].put(1));
    CHECK(!again.why);
    CHECK(again.copies == 2);
    CHECK(size() == 2);
    c[1].restart();
    c[2].restart();
    c.world.run_for(2 * second);
    CHECK(c.wait(c[2].put(1)).copies == 2);
    CHECK(size() == 2);
}

TEST_CASE("replicated_dbox: calls end with closed when it is closed") {
    body_cluster<multi> c(2);
    c[2].process->pause();
    auto const put = c[1].put(1), get = c[1].get(2);
    c.world.run_for(10 * ms);
    c[1].mails->close();
    CHECK(c.wait(put).why == errc::closed);
    CHECK(c.wait(get).why == errc::closed);
}

// --- a peer that says what it likes -----------------------------------------------------------------------------------

namespace {

/// In place of a node's directory: hears what is said, and answers by hand.
struct stranger final : mailfs::detail::replica_endpoint {
    explicit stranger(body_node<multi>& n) : at(n) {
        at.mails->close();
        at.set->attach("alice/mail", *this);
    }
    ~stranger() { at.set->detach("alice/mail"); }
    void link_up(std::uint32_t node) override { say(node, format::peer_bodies{"alice/mail", false}); }
    void link_down(std::uint32_t, bool) override {}
    void receive(std::uint32_t node, format::peer_message const& m) override {
        if (auto const* b = std::get_if<format::peer_bodies>(&m); b != nullptr && !b->answer) say(node, format::peer_bodies{"alice/mail", true});
        ++heard[m.index() + 1];
        if (answer) answer(node, m);
    }
    void tick() override {}
    std::uint64_t next_due_ms() const noexcept override { return ~std::uint64_t{0}; }
    void say(std::uint32_t node, format::peer_message const& m) { at.set->send("alice/mail", node, m); }
    std::size_t count(format::peer_type t) { return heard[static_cast<std::size_t>(t)]; }

    body_node<multi>& at;
    std::map<std::size_t, std::size_t> heard;
    std::function<void(std::uint32_t, format::peer_message const&)> answer;
};

format::peer_body piece(std::uint64_t n, octets const& whole, std::uint64_t offset = 0) {
    format::peer_body b;
    b.id = numbered(n);
    b.size = whole.size();
    b.checksum = format::body_checksum(b.id, whole);
    b.offset = offset;
    auto const from = whole.begin() + static_cast<std::ptrdiff_t>(offset);
    b.bytes.assign(from, from + static_cast<std::ptrdiff_t>(std::min(format::body_piece_size_max, whole.size() - static_cast<std::size_t>(offset))));
    return b;
}

}  // namespace

TEST_CASE("replicated_dbox: a peer that never answers is replaced; where there is no other the write fails in bounded time") {
    body_cluster<multi> c(3);
    stranger mute(c[2]);
    c.world.run_for(second);
    auto const o = c.wait(c[1].put(1));
    CHECK(o.copies == 2);
    CHECK(o.took_ms < 700);
    c[3].kill();
    c.world.run_for(second);
    auto const alone = c.wait(c[1].put(2));
    CHECK(alone.why == errc::busy);
    CHECK(alone.took_ms < 3000);
    auto const late = c[1].put(3);
    mute.answer = [&](std::uint32_t node, format::peer_message const& m) {
        if (auto const* b = std::get_if<format::peer_body>(&m)) mute.say(node, format::peer_have_body{b->id});
    };
    c.world.run_for(second);
    mute.say(1, format::peer_have_body{numbered(3)});
    CHECK(c.wait(late).copies == 2);
}

TEST_CASE("replicated_dbox: what a peer says that it has counts for what it was offered, and for nothing else") {
    body_cluster<multi> c(2);
    stranger liar(c[2]);
    c.world.run_for(second);
    for (std::uint64_t n = 1; n < 100; ++n) {
        liar.say(1, format::peer_have_body{numbered(n)});
        liar.say(1, format::peer_no_body{numbered(n), n % 2 == 0});
    }
    c.world.run_for(10 * ms);
    CHECK(c.wait(c[1].put(5)).why == errc::busy);
}

TEST_CASE("replicated_dbox: a body with a wrong checksum, of another size or that changes on its way is taken from another peer") {
    for (int how = 0; how < 4; ++how) {
        body_cluster<multi> c(3, [](auto& o) { o.copies_on_disk = 1; });
        c.wait(c[3].put(1, durability::stored, large));
        stranger bad(c[2]);
        auto const other = body_of(2, large);
        bad.answer = [&](std::uint32_t node, format::peer_message const& m) {
            auto const* const w = std::get_if<format::peer_want_body>(&m);
            if (w == nullptr) return;
            auto b = piece(1, other, std::min<std::uint64_t>(w->offset, large - 1));
            if (how == 0) b.checksum = 7;
            if (how == 1) b.size = ~std::uint64_t{0};
            if (how == 2 && w->offset > 0) b.checksum = 9;
            if (how == 3 && w->offset > 0) return;  // it falls silent
            bad.say(node, b);
        };
        c.world.run_for(second);
        auto const& o = c.wait(c[1].get(1));
        CHECK(o.bytes == body_of(1, large));
        CHECK(o.took_ms < 1200);
    }
}

TEST_CASE("replicated_dbox: pieces that nobody asked for, twice or without end cost no memory and do no harm") {
    body_cluster<multi> c(2, [](auto& o) { o.copies_on_disk = 1; });
    stranger bad(c[2]);
    c.world.run_for(second);
    octets const whole = body_of(1, large);
    for (std::uint64_t n = 0; n < 200; ++n) bad.say(1, piece(n, whole, n * 100));
    c.world.run_for(second);
    CHECK(c[1].mails->count() == 0);
    std::size_t asked = 0;
    bad.answer = [&](std::uint32_t node, format::peer_message const& m) {
        if (std::get_if<format::peer_want_body>(&m) == nullptr) return;
        ++asked;
        bad.say(node, piece(1, whole));  // always the first
    };
    auto const& o = c.wait(c[1].get(1));
    CHECK(o.why == errc::unreachable);
    CHECK(asked < 5);
}

TEST_CASE("replicated_dbox: offers are bounded: by the bytes that they are for, in number, and by the greatest mail") {
    body_cluster<multi> c(2, [](auto& o) { o.bodies_in_size = 1U << 20; });
    c[1].dbox.message_size_max = 4U << 20;
    c[1].restart();
    stranger bad(c[2]);
    c.world.run_for(2 * second);
    octets const whole = body_of(1, 600'000);
    for (std::uint64_t n = 1; n <= 5; ++n) {
        auto b = piece(n, whole);
        b.offer = true;
        if (n == 5) b.size = 5U << 20;
        bad.say(1, b);
    }
    c.world.run_for(100 * ms);
    CHECK(bad.count(format::peer_type::want_body) == 1);  // one is let in
    CHECK(bad.count(format::peer_type::no_body) == 4);
    c.world.run_for(5 * second);  // nothing more came of it
    CHECK(bad.count(format::peer_type::no_body) == 5);
    auto b = piece(9, body_of(9));
    b.offer = true;
    bad.say(1, b);
    c.world.run_for(100 * ms);
    CHECK(bad.count(format::peer_type::have_body) == 1);
}

TEST_CASE("replicated_dbox: a peer that asks without end is answered in turn, and the link stays") {
    body_cluster<multi> c(2, [](auto& o) { o.copies_on_disk = 1; });
    c.wait(c[1].put(1, durability::stored, large));
    stranger greedy(c[2]);
    c.world.run_for(second);
    for (std::uint64_t n = 0; n < 500; ++n) greedy.say(1, format::peer_want_body{numbered(1), n % 7 == 0 ? ~std::uint64_t{0} : n % 5 * format::body_piece_size_max});
    c.world.run_for(5 * second);
    CHECK(greedy.count(format::peer_type::body) + greedy.count(format::peer_type::no_body) == 500);
    CHECK(greedy.count(format::peer_type::body) > 0);
    CHECK(c[1].set->is_up(2));
}
