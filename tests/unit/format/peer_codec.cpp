// SPDX-License-Identifier: BSL-1.0
#include <mailfs/format/peer_frame.hpp>

#include <mailfs/format/peer_codec.hpp>

#include "support/peer_messages.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <ostream>
#include <string>

using namespace mailfs;
using namespace mailfs::format;
using test::message_kinds;
using test::some_messages;

namespace {

using octets = std::vector<std::byte>;

octets encoded(std::uint64_t channel, peer_message const& m) {
    octets out;
    encode_frame(out, channel, m);
    return out;
}
/// The one frame that these bytes are; nothing: they are none, or not all of one.
std::optional<frame> decoded(bytes_view bytes) {
    frame_reader reader("node 2");
    reader.feed(bytes);
    auto f = reader.next();
    if (f && reader.pending() != 0) return std::nullopt;
    return f;
}
/// The error of the bytes; its text is left in `what`.
std::error_code refused(bytes_view bytes, std::string* what = nullptr) {
    try {
        static_cast<void>(decoded(bytes));
    } catch (error const& e) {
        CHECK(e.file() == "node 2");
        if (what != nullptr) *what = e.what();
        return e.code();
    }
    return {};
}
/// A frame of any type, version and body, with the right size and checksum.
octets forged(unsigned type, unsigned flags, unsigned version, octets const& behind) {
    octets out(sizeof(peer_frame_header));
    peer_frame_header h;
    h.size = static_cast<std::uint32_t>(sizeof h + behind.size());
    h.type = static_cast<std::uint8_t>(type);
    h.flags = static_cast<std::uint8_t>(flags);
    h.version = static_cast<std::uint16_t>(version);
    std::memcpy(out.data(), &h, sizeof h);
    out.insert(out.end(), behind.begin(), behind.end());
    le32 const checksum = crc32c(out);
    auto const tail = view_of(checksum);
    out.insert(out.end(), tail.begin(), tail.end());
    return out;
}
octets octets_from(std::initializer_list<unsigned> all) {
    octets out;
    for (auto const o : all) out.push_back(static_cast<std::byte>(o));
    return out;
}
unsigned number_of(peer_type t) { return static_cast<unsigned>(t); }

/// How many fields a plain struct has.
struct anything {
    template <class T>
    operator T() const;  // NOLINT: implicit by design
};
template <class T, class... Fields>
constexpr std::size_t fields_of() {
    if constexpr (requires { T{Fields{}..., anything{}}; }) return fields_of<T, Fields..., anything>();
    else return sizeof...(Fields);
}
// A field more is to be put and got, made by tests/support/peer_messages.hpp, and told in docs/protocols/replication.md.
static_assert(fields_of<peer_hello>() == 10 && fields_of<peer_ping>() == 2 && fields_of<peer_pong>() == 1 && fields_of<peer_open>() == 12);
static_assert(fields_of<peer_close>() == 0 && fields_of<peer_propose>() == 4 && fields_of<peer_refuse>() == 1 && fields_of<peer_push>() == 4);
static_assert(fields_of<stream_step>() == 5 && fields_of<peer_progress>() == 3 && fields_of<peer_progress::entry>() == 3);
static_assert(fields_of<peer_catch_up>() == 4 && fields_of<peer_want_branch>() == 1 && fields_of<peer_snapshot>() == 5);
static_assert(fields_of<peer_handover>() == 1 && fields_of<peer_who>() == 0 && fields_of<lineage_entry>() == 3);
static_assert(fields_of<peer_bodies>() == 2 && fields_of<peer_want_body>() == 2 && fields_of<peer_body>() == 9);
static_assert(fields_of<peer_have_body>() == 1 && fields_of<peer_no_body>() == 2);

std::size_t rounds() {
    auto const* text = std::getenv("MAILFS_SEARCH");
    return text == nullptr ? 40 : static_cast<std::size_t>(std::atoll(text));
}

}  // namespace

TEST_CASE("peer frame: each message comes back as it was, however the bytes are cut") {
    some_messages some(1);
    octets stream;
    std::vector<frame> all;
    for (std::size_t round = 0; round < rounds(); ++round)
        for (std::size_t kind = 0; kind < message_kinds; ++kind) {
            auto const m = some.of_kind(kind);
            auto const channel = some.channel_for(m);
            auto const before = stream.size();
            encode_frame(stream, channel, m);
            CHECK(stream.size() - before == frame_size(channel, m));
            all.push_back({channel, m});
        }
    frame_reader reader("node 2");
    std::size_t come = 0;
    for (std::size_t at = 0; at < stream.size();) {
        auto const piece = std::min(stream.size() - at, 1 + some.pick(some.yes() ? 7 : 5000));
        reader.feed(bytes_view(stream).subspan(at, piece));
        at += piece;
        while (auto const f = reader.next()) {
            REQUIRE(come < all.size());
            REQUIRE(*f == all[come++]);
        }
    }
    CHECK(come == all.size());
    CHECK(reader.offset() == stream.size());
    CHECK(reader.pending() == 0);
}

TEST_CASE("peer frame: a frame that was cut is none, at each place") {
    some_messages some(2);
    for (std::size_t kind = 0; kind < message_kinds; ++kind) {
        auto const m = some.of_kind(kind);
        auto const bytes = encoded(some.channel_for(m), m);
        for (std::size_t size = 0; size < bytes.size(); ++size) CHECK_FALSE(decoded(bytes_view(bytes).first(size)));
    }
}

TEST_CASE("peer frame: a body that was cut is refused, at each place, with a checksum that fits") {
    some_messages some(3);
    for (std::size_t kind = 0; kind < message_kinds; ++kind) {
        auto const m = some.of_kind(kind);
        octets body(body_size(m));
        encode_body(body.data(), m);
        for (std::size_t size = 0; size < body.size(); ++size) {
            char const* why = nullptr;
            auto const cut = decode_body(type_of(m), flags_of(m), bytes_view(body).first(size), why);
            CHECK_FALSE(cut);
            CHECK(why != nullptr);
        }
    }
}

TEST_CASE("peer frame: each flipped bit is found out") {
    some_messages some(4);
    for (std::size_t kind = 0; kind < message_kinds; ++kind) {
        auto const m = some.of_kind(kind);
        auto bytes = encoded(some.channel_for(m), m);
        for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
            auto const mask = static_cast<std::byte>(1U << bit % 8);
            bytes[bit / 8] ^= mask;
            bool passed = false;
            try {
                passed = decoded(bytes).has_value();
            } catch (error const&) {  // anything else is a failure
            }
            if (passed) FAIL("bit ", bit, " of kind ", kind);
            bytes[bit / 8] ^= mask;
        }
    }
}

TEST_CASE("peer codec: what comes of a flipped bit is refused, or is encoded to just these bytes") {
    some_messages some(5);
    for (std::size_t round = 0; round < rounds() / 20 + 1; ++round)
        for (std::size_t kind = 0; kind < message_kinds; ++kind) {
            auto const m = some.of_kind(kind);
            octets body(body_size(m));
            encode_body(body.data(), m);
            for (std::size_t bit = 0; bit < body.size() * 8; ++bit) {
                body[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
                char const* why = nullptr;
                if (auto const other = decode_body(type_of(m), flags_of(m), body, why)) {
                    octets again(body_size(*other));
                    encode_body(again.data(), *other);
                    auto const told = bytes_view(body).first(again.size());  // a hello may have more behind
                    REQUIRE(std::equal(told.begin(), told.end(), again.begin()));
                    REQUIRE((kind == 0 || again.size() == body.size()));
                    REQUIRE((kind == 0 || *other != m));
                }
                body[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
            }
        }
}

TEST_CASE("peer frame: an error names the peer and where in the stream the frame begins") {
    auto bytes = encoded(0, peer_ping{7, 6});
    auto const good = bytes.size();
    auto const bad = encoded(0, peer_ping{8, 7});
    bytes.insert(bytes.end(), bad.begin(), bad.end());
    bytes.back() ^= std::byte{1};
    frame_reader reader("node 2");
    reader.feed(bytes);
    CHECK(reader.next().has_value());
    try {
        static_cast<void>(reader.next());
        FAIL("a wrong checksum passed");
    } catch (error const& e) {
        CHECK(e.code() == errc::corrupt);
        CHECK(e.file() == "node 2");
        CHECK(e.offset() == good);
        CHECK(std::string(e.what()) == "node 2, offset 15: a frame with a wrong checksum: damaged data");
    }
}

TEST_CASE("peer frame: sizes that cannot be are refused before memory is taken for them") {
    std::string what;
    CHECK(refused(octets_from({0xff, 0xff, 0xff, 0xff}), &what) == errc::corrupt);
    CHECK(what.find("size") != what.npos);
    CHECK(refused(octets_from({0xfd, 0xff, 0x0f, 0})) == errc::corrupt);  // one more than 1 MiB
    CHECK_FALSE(refused(octets_from({0xfc, 0xff, 0x0f, 0})));
    CHECK(refused(octets_from({8, 0, 0, 0})) == errc::corrupt);
    CHECK_FALSE(refused(octets_from({9, 0, 0, 0})));
}

TEST_CASE("peer frame: a type that is not known is passed by where it may be, and else ends the link") {
    auto bytes = forged(200, peer_may_skip, 7, octets_from({1, 2, 3}));
    auto const ping = encoded(0, peer_ping{3, 2});
    bytes.insert(bytes.end(), ping.begin(), ping.end());
    auto const f = decoded(bytes);
    REQUIRE(f.has_value());
    CHECK(f->message == peer_message(peer_ping{3, 2}));
    CHECK(refused(forged(200, 0, 1, octets_from({1, 2, 3}))) == errc::newer_version);
    CHECK(refused(forged(0, peer_may_skip, 1, octets_from({1}))) == errc::corrupt);
}

TEST_CASE("peer frame: a greater version is told from damage") {
    CHECK_FALSE(refused(forged(number_of(peer_type::pong), 0, 1, octets_from({0, 5}))));
    CHECK(refused(forged(number_of(peer_type::pong), 0, 2, octets_from({0, 5}))) == errc::newer_version);
    CHECK(refused(forged(number_of(peer_type::pong), 0, 0, octets_from({0, 5}))) == errc::corrupt);
}

TEST_CASE("peer frame: flags and channels that a message cannot have are refused") {
    CHECK(refused(forged(number_of(peer_type::pong), peer_mark, 1, octets_from({0, 5}))) == errc::corrupt);
    CHECK(refused(forged(number_of(peer_type::pong), 4, 1, octets_from({0, 5}))) == errc::corrupt);
    CHECK_FALSE(refused(forged(number_of(peer_type::pong), peer_may_skip, 1, octets_from({0, 5}))));
    CHECK(refused(forged(number_of(peer_type::pong), 0, 1, octets_from({1, 5}))) == errc::corrupt);
    CHECK(refused(forged(number_of(peer_type::who), 0, 1, octets_from({0}))) == errc::corrupt);
    CHECK_FALSE(refused(forged(number_of(peer_type::who), 0, 1, octets_from({1}))));
    CHECK(refused(forged(number_of(peer_type::who), 0, 1, octets_from({1, 0}))) == errc::corrupt);
}

TEST_CASE("peer codec: a number that is longer than it has to be is refused") {
    auto const pong = [](std::initializer_list<unsigned> number) {
        octets behind{std::byte{0}};
        auto const tail = octets_from(number);
        behind.insert(behind.end(), tail.begin(), tail.end());
        return refused(forged(number_of(peer_type::pong), 0, 1, behind));
    };
    CHECK_FALSE(pong({0}));
    CHECK(pong({0x80, 0}) == errc::corrupt);
    CHECK(pong({0xff, 0x80, 0}) == errc::corrupt);
    CHECK_FALSE(pong({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}));
    CHECK(pong({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2}) == errc::corrupt);
    CHECK(pong({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0}) == errc::corrupt);
    CHECK(pong({0xff}) == errc::corrupt);
}

TEST_CASE("peer codec: a count that is too great, or greater than what follows, is refused") {
    auto const progress = [](std::size_t count, std::size_t there) {
        octets behind = octets_from({1, 5, static_cast<unsigned>(count)});
        for (std::size_t i = 0; i < there * 3; ++i) behind.push_back(std::byte{1});
        std::string why;
        auto const code = refused(forged(number_of(peer_type::progress), 0, 1, behind), &why);
        // Told before memory is taken, not when the bytes run out.
        CHECK((count <= there || why.find("a count is") != why.npos));
        return code;
    };
    CHECK_FALSE(progress(64, 64));
    CHECK(progress(65, 65) == errc::corrupt);
    CHECK(progress(64, 63) == errc::corrupt);
    CHECK(progress(63, 64) == errc::corrupt);
}

TEST_CASE("peer codec: what is told of a step without need, or twice, is refused") {
    auto const push = [](std::initializer_list<unsigned> step) {
        octets behind = octets_from({1, 1, 5, 0, 0, 0, 0, 0, 0, 0, 0, 1});  // channel, {1, 5}, chain, one step
        auto const tail = octets_from(step);
        behind.insert(behind.end(), tail.begin(), tail.end());
        return refused(forged(number_of(peer_type::push), 0, 1, behind));
    };
    CHECK_FALSE(push({0x81, 0, 0}));                                // {1, 6}, no dot, stamp 0, no payload
    CHECK(push({0x91, 1, 6, 0, 0}) == errc::corrupt);               // {1, 6} follows
    CHECK_FALSE(push({0x91, 1, 7, 0, 0}));
    CHECK_FALSE(push({0x01, 0, 0}));                                // the dot after none is {0, 0, 1}
    CHECK(push({0x41, 1, 0, 0}) == errc::corrupt);                  // 1 follows
    CHECK(push({0x41, 0, 0, 0}) == errc::corrupt);                  // that is no dot
    CHECK_FALSE(push({0x41, 2, 0, 0}));
    CHECK(push({0x21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0}) == errc::corrupt);  // the origin is the same
    CHECK_FALSE(push({0x21, 1, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0}));
    CHECK(push({0x61, 1, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0}) == errc::corrupt);
    CHECK(push({0xc1, 5, 0, 0}) == errc::corrupt);
    CHECK(push({0x82, 0, 0}) == errc::corrupt);                     // a seal is no step
    CHECK(push({0x80, 0, 0}) == errc::corrupt);
}

TEST_CASE("peer codec: a lineage that does not ascend, an epoch too great and a piece beyond its snapshot are refused") {
    auto const open = [](lineage l) {
        peer_open o;
        o.lineage = std::move(l);
        return refused(encoded(1, o));
    };
    CHECK_FALSE(open({{0, 1, 1}, {5, 2, 2}, {epoch_max, 0, 0}}));
    CHECK(open({{5, 1, 1}, {5, 2, 2}}) == errc::corrupt);
    CHECK(open({{6, 1, 1}, {5, 2, 2}}) == errc::corrupt);
    CHECK(open({{epoch_max, 1, 1}, {epoch_max + 2, 2, 2}}) == errc::corrupt);
    CHECK(refused(encoded(1, peer_handover{{epoch_max + 1, 0}})) == errc::corrupt);
    auto const piece = [](std::uint64_t offset, std::uint64_t size) { return refused(encoded(1, peer_snapshot{false, {}, offset, size, octets(2)})); };
    CHECK_FALSE(piece(5, 7));
    CHECK(piece(5, 6) == errc::corrupt);
    CHECK(piece(8, 7) == errc::corrupt);
    CHECK(piece(~std::uint64_t{0}, 1) == errc::corrupt);
}

TEST_CASE("peer codec: a piece of a body that is empty, too long or beyond it is refused, and an offer that is not its beginning") {
    auto const piece = [](bool offer, std::uint64_t offset, std::uint64_t size, std::size_t bytes) {
        peer_body b;
        b.offer = offer;
        b.offset = offset;
        b.size = size;
        b.bytes.resize(bytes);
        return refused(encoded(1, b));
    };
    CHECK_FALSE(piece(false, 0, 0, 0));
    CHECK_FALSE(piece(true, 0, 7, 2));
    CHECK_FALSE(piece(false, 5, 7, 2));
    CHECK(piece(false, 5, 6, 2) == errc::corrupt);
    CHECK(piece(false, 8, 7, 0) == errc::corrupt);
    CHECK(piece(false, ~std::uint64_t{0}, 1, 1) == errc::corrupt);
    CHECK(piece(false, 0, 7, 0) == errc::corrupt);
    CHECK(piece(true, 5, 7, 2) == errc::corrupt);
    peer_body long_one;
    long_one.bytes.resize(body_piece_size_max);
    long_one.size = ~std::uint64_t{0};
    auto bytes = encoded(1, long_one);
    CHECK_FALSE(refused(bytes));
    octets body(body_size(long_one));
    long_one.bytes.resize(body_piece_size_max + 1);
    body.resize(body_size(long_one));
    encode_body(body.data(), long_one);
    char const* why = nullptr;
    CHECK_FALSE(decode_body(peer_type::body, 0, body, why));
}

TEST_CASE("peer codec: limits hold for a sender, too, and leave nothing half written") {
    octets out;
    auto const too_big = [&](peer_message const& m) {
        try {
            encode_frame(out, 1, m);
        } catch (error const& e) {
            return e.code() == errc::too_big && out.empty();
        }
        return false;
    };
    peer_open open;
    open.name = std::string(peer_name_size_max + 1, 'x');
    CHECK(too_big(open));
    open.name.pop_back();
    for (std::uint32_t e = 0; e <= lineage_max; ++e) open.lineage.push_back({e, 0, 0});
    CHECK(too_big(open));
    open.lineage.pop_back();
    encode_frame(out, 1, open);
    CHECK(decoded(out) == frame{1, open});
    out.clear();
    peer_progress progress;
    progress.nodes.resize(peer_progress_nodes_max + 1);
    CHECK(too_big(progress));
    peer_push push;
    push.steps.resize(push_steps_max + 1);
    CHECK(too_big(push));
    CHECK(too_big(peer_bodies{std::string(peer_name_size_max + 1, 'x'), false}));
    peer_body body;
    body.bytes.resize(body_piece_size_max + 1);
    CHECK(too_big(body));
    peer_snapshot piece;
    piece.bytes.resize(peer_frame_size_max - 10);
    CHECK(too_big(piece));
}

TEST_CASE("peer frame: payloads of the greatest size fit, whatever stands around them") {
    constexpr auto most = ~std::uint64_t{0};
    position const far{epoch_max, 0xffff'ffff};
    dot const id{{0xffff'ffff, most}, most};
    octets const payload(peer_payload_max);
    stream_step step{record_kind::fold, far, id, {most / 2 + 1}, payload};
    for (peer_message const& m : {peer_message(peer_propose{id, {most}, true, payload}), peer_message(peer_push{{5, 5}, most, true, {step}}),
                                  peer_message(peer_snapshot{true, far, most - payload.size(), most, payload})}) {
        auto const f = decoded(encoded(most, m));
        REQUIRE(f.has_value());
        CHECK(f->message == m);
    }
}

TEST_CASE("peer frame: as many steps as are said to fit do fit, and not many fewer than could") {
    some_messages some(6);
    std::vector<stream_step> steps = some.push(push_steps_max + 100).steps;
    for (auto& s : steps) s.payload.clear();
    CHECK(steps_that_fit(steps) == push_steps_max);
    for (auto& s : steps) s.payload.resize(100 + some.pick(1000));
    auto const n = steps_that_fit(steps);
    peer_push push{{1, 1}, 7, false, {steps.begin(), steps.begin() + static_cast<std::ptrdiff_t>(n)}};
    CHECK(decoded(encoded(~std::uint64_t{0}, push)).has_value());
    CHECK(frame_size(1, push) > peer_frame_size_max / 10 * 9);
    steps[0].payload.resize(peer_frame_size_max);
    CHECK(steps_that_fit(steps) == 0);
    CHECK(steps_that_fit({}) == 0);
}

TEST_CASE("peer codec: a flag change that travels with others costs eight bytes beside its operations") {
    peer_push push{{0x61, 1000}, 0x1234'5678'9abc'def0, false, {}};
    stamp when{(1'760'000'000'000U << 16) + 3};
    for (std::uint32_t i = 1; i <= 16; ++i) {
        when.value += (std::uint64_t{i} % 3) << 16;
        push.steps.push_back({record_kind::transaction, {0x61, 1000 + i}, {{2, 1'750'000'000'000U << 16}, 500 + i}, when, octets(48)});
    }
    CHECK(frame_size(3, push) < 64 + 16 * (48 + 8));
    push.steps.resize(1);
    CHECK(frame_size(3, push) < 64 + 48);
}

TEST_CASE("peer frame: a reader keeps no more than a frame, and gives memory back") {
    frame_reader reader("node 2");
    peer_snapshot piece;
    piece.bytes.resize(peer_payload_max);
    piece.size = piece.bytes.size();
    auto const bytes = encoded(1, piece);
    for (int i = 0; i < 3; ++i)
        for (std::size_t at = 0; at < bytes.size(); at += 4096) {
            reader.feed(bytes_view(bytes).subspan(at, std::min<std::size_t>(4096, bytes.size() - at)));
            while (reader.next()) CHECK(reader.pending() == 0);
            CHECK(reader.pending() < peer_frame_size_max);
        }
    CHECK(reader.offset() == 3 * bytes.size());
}

TEST_CASE("peer hello: what a later version puts behind is not looked at, and strangers are told apart") {
    some_messages some(7);
    auto const hello = some.of_kind(0);
    octets body(1 + body_size(hello));
    encode_body(body.data() + 1, hello);
    auto longer = body;
    longer.resize(body.size() + 30, std::byte{9});
    auto const f = decoded(forged(number_of(peer_type::hello), 0, 1, longer));
    REQUIRE(f.has_value());
    CHECK(f->message == hello);
    body[1] = std::byte{'G'};
    std::string what;
    CHECK(refused(forged(number_of(peer_type::hello), 0, 1, body), &what) == errc::corrupt);
    CHECK(what.find("not a node of mailfs") != what.npos);
    peer_hello none;
    CHECK_FALSE(refused(encoded(0, none)));
    none.version_min = 0;
    CHECK(refused(encoded(0, none)) == errc::corrupt);
    none.version_min = 2;
    CHECK(refused(encoded(0, none)) == errc::corrupt);
}
