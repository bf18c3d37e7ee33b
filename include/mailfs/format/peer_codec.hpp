// SPDX-License-Identifier: BSL-1.0
// The bodies of what nodes tell each other, as bytes. The whole story: docs/protocols/replication.md
//
// Plain functions. Each message has one encoding, and a decoder takes no other; every count is compared with a limit and
// with the bytes that are there before memory is taken for it.
#pragma once

#include <mailfs/format/crc32c.hpp>
#include <mailfs/format/endian.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/format/peer_message.hpp>
#include <mailfs/format/varint.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/lineage.hpp>
#include <mailfs/types/stamp.hpp>
#include <mailfs/types/uid.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace mailfs::format {

inline constexpr std::string_view peer_magic = "mfsNET\r\n";   ///< the first octets of a hello
inline constexpr std::size_t peer_name_size_max = 1024;        ///< of a mailbox
inline constexpr std::size_t peer_progress_nodes_max = 64;
inline constexpr std::size_t push_steps_max = 16384;           ///< in one push: what they take in memory stays near what they took on the way

inline constexpr std::size_t body_piece_size_max = 64U << 10;  ///< bytes of a mail body in one message

/// Of a mail body on its way: the same on all nodes, unlike the one that a dbox file has.
inline std::uint32_t body_checksum(guid const& id, bytes_view body) noexcept {
    return crc32c(body, crc32c({reinterpret_cast<std::byte const*>(id.octets.data()), id.octets.size()}));
}

/// Numbers in a frame; 0 is none. Each is the message's place in peer_message, plus 1.
enum class peer_type : std::uint8_t {
    hello = 1, ping, pong, open, close, propose, refuse, push, progress, catch_up, want_branch, snapshot, handover, who,
    bodies, want_body, body, have_body, no_body,
};
inline constexpr std::uint8_t peer_type_last = 19;
static_assert(std::variant_size_v<peer_message> == peer_type_last);

inline peer_type type_of(peer_message const& m) noexcept { return static_cast<peer_type>(m.index() + 1); }
/// About the link, not about a mailbox.
constexpr bool is_of_link(peer_type t) noexcept { return t <= peer_type::pong; }

inline constexpr std::uint8_t peer_may_skip = 1;  ///< frame flag: a reader that does not know the type goes on
inline constexpr std::uint8_t peer_mark = 2;      ///< frame flag: the one yes or no that some messages have

namespace detail {

/// Counts what byte_sink would write.
class size_sink {
public:
    void octet(unsigned) noexcept { ++size_; }
    void varint(std::uint64_t value) noexcept { size_ += varint_size(value); }
    void bytes(bytes_view b) noexcept { size_ += b.size(); }
    std::size_t size() const noexcept { return size_; }

private:
    std::size_t size_ = 0;
};

/// Writes where there is known to be room.
class byte_sink {
public:
    explicit byte_sink(std::byte* at) noexcept : at_(at) {}

    void octet(unsigned value) noexcept { *at_++ = static_cast<std::byte>(value); }
    void varint(std::uint64_t value) noexcept {
        for (; value >= 0x80; value >>= 7) octet(static_cast<unsigned>(value & 0x7f) | 0x80);
        octet(static_cast<unsigned>(value));
    }
    void bytes(bytes_view b) noexcept {
        if (!b.empty()) std::memcpy(at_, b.data(), b.size());
        at_ += b.size();
    }
    std::byte* at() const noexcept { return at_; }

private:
    std::byte* at_;
};

/// Takes fields off the front. The first that is not there, or not as it must be, ends it: from then on all are 0.
class field_reader {
public:
    explicit field_reader(bytes_view bytes) noexcept : rest_(bytes) {}

    char const* why() const noexcept { return why_; }  ///< it ended; null while all is well
    bool ok() const noexcept { return why_ == nullptr; }
    bytes_view rest() const noexcept { return rest_; }
    void refuse(char const* why) noexcept {
        if (why_ == nullptr) why_ = why;
        rest_ = {};
    }

    bytes_view take(std::size_t size) noexcept {
        if (size > rest_.size()) refuse("ends too early");
        if (!ok()) return {};
        auto const taken = rest_.first(size);
        rest_ = rest_.subspan(size);
        return taken;
    }
    template <class T>
    T fixed() noexcept {
        auto const taken = take(sizeof(T));
        return taken.empty() ? T{} : load<T>(taken);
    }
    std::uint8_t octet() noexcept { return fixed<std::uint8_t>(); }
    /// At most `max`, without octets that add nothing.
    std::uint64_t varint(std::uint64_t max = std::numeric_limits<std::uint64_t>::max(), char const* beyond = "a number is too great") noexcept {
        std::uint64_t value = 0;
        for (unsigned shift = 0;; shift += 7) {
            auto const o = octet();
            if (!ok()) return 0;
            if ((shift == 63 && o > 1) || (shift > 0 && o == 0)) return refuse("a number is longer than it has to be"), 0;
            value |= std::uint64_t{o & 0x7fU} << shift;
            if (o < 0x80) break;
        }
        if (value > max) return refuse(beyond), 0;
        return value;
    }
    std::uint32_t varint32() noexcept { return static_cast<std::uint32_t>(varint(0xffff'ffff)); }
    /// How many follow of what takes at least `each` octets.
    std::size_t count(std::size_t max, std::size_t each) noexcept {
        auto const n = varint(max, "a count is too great");
        if (n > rest_.size() / each) return refuse("a count is greater than what follows"), 0;
        return static_cast<std::size_t>(n);
    }
    bytes_view sized(std::size_t max = std::numeric_limits<std::uint32_t>::max()) noexcept {
        return take(static_cast<std::size_t>(varint(max, "a size is too great")));
    }

private:
    bytes_view rest_;
    char const* why_ = nullptr;
};

// --- fields ------------------------------------------------------------------------------------------------------

template <class Sink>
void put_fixed(Sink& out, std::uint64_t value) {
    le64 const word = value;
    out.bytes(view_of(word));
}
template <class Sink>
void put_short(Sink& out, std::uint16_t value) {
    le16 const word = value;
    out.bytes(view_of(word));
}
template <class Sink>
void put_sized(Sink& out, bytes_view bytes) {
    out.varint(bytes.size());
    out.bytes(bytes);
}
inline bytes_view octets_of(guid const& g) noexcept { return {reinterpret_cast<std::byte const*>(g.octets.data()), g.octets.size()}; }
template <class Sink>
void put_position(Sink& out, position p) {
    out.varint(p.epoch);
    out.varint(p.n);
}
template <class Sink>
void put_origin(Sink& out, mailfs::origin const& o) {
    out.varint(o.node);
    put_fixed(out, o.incarnation);
}
template <class Sink>
void put_dot(Sink& out, mailfs::dot const& d) {
    put_origin(out, d.origin);
    out.varint(d.counter);
}

inline std::vector<std::byte> copy_of(bytes_view bytes) { return {bytes.begin(), bytes.end()}; }
inline guid read_guid(field_reader& in) noexcept {
    guid g;
    if (auto const octets = in.take(16); !octets.empty()) std::memcpy(g.octets.data(), octets.data(), 16);
    return g;
}
inline std::uint32_t get_epoch(field_reader& in) noexcept { return static_cast<std::uint32_t>(in.varint(epoch_max, "an epoch is too great")); }
inline position get_position(field_reader& in) noexcept {
    position p;
    p.epoch = get_epoch(in);
    p.n = in.varint32();
    return p;
}
inline mailfs::origin get_origin(field_reader& in) noexcept {
    mailfs::origin o;
    o.node = in.varint32();
    o.incarnation = in.fixed<le64>();
    return o;
}
inline mailfs::dot get_dot(field_reader& in) noexcept {
    mailfs::dot d;
    d.origin = get_origin(in);
    d.counter = in.varint();
    return d;
}

// --- the steps of a push, each told by how it differs from the one before ----------------------------------------

inline constexpr unsigned step_kind_bits = 0x0f;
inline constexpr unsigned step_moves = 0x10;      // its position is given; else one n further
inline constexpr unsigned step_origin = 0x20;     // its dot is given
inline constexpr unsigned step_counter = 0x40;    // its dot's counter is given; else one further
inline constexpr unsigned step_anonymous = 0x80;  // it has no dot
inline constexpr std::size_t step_size_min = 3;   // head, stamp, size of the payload

/// What the next step is told against.
struct step_context {
    position at;
    mailfs::dot dot;
    std::uint64_t stamp = 0;

    position next() const noexcept { return {at.epoch, at.n + 1}; }
};

constexpr bool is_step_kind(std::uint8_t kind) noexcept {
    auto const k = static_cast<record_kind>(kind);
    return k == record_kind::transaction || k == record_kind::epoch || k == record_kind::ids || k == record_kind::fold || k == record_kind::settle;
}

template <class Sink>
void put_step(Sink& out, stream_step const& s, step_context& c) {
    unsigned head = static_cast<unsigned>(s.kind);
    if (s.at != c.next()) head |= step_moves;
    if (s.dot == mailfs::dot{}) head |= step_anonymous;
    else if (s.dot.origin != c.dot.origin) head |= step_origin;
    else if (s.dot.counter != c.dot.counter + 1) head |= step_counter;
    out.octet(head);
    if ((head & step_moves) != 0) put_position(out, s.at);
    if ((head & step_origin) != 0) put_origin(out, s.dot.origin);
    if ((head & (step_origin | step_counter)) != 0) out.varint(s.dot.counter);
    out.varint(zigzag(s.when.value - c.stamp));
    put_sized(out, s.payload);
    c.at = s.at;
    c.stamp = s.when.value;
    if ((head & step_anonymous) == 0) c.dot = s.dot;
}

inline stream_step get_step(field_reader& in, step_context& c) {
    stream_step s;
    unsigned const head = in.octet();
    auto const kind = static_cast<std::uint8_t>(head & step_kind_bits);
    if (!is_step_kind(kind)) in.refuse("a step of a kind that no step has");
    auto const how = head & (step_origin | step_counter | step_anonymous);
    if ((how & (how - 1)) != 0) in.refuse("a step's dot is told twice");
    s.kind = static_cast<record_kind>(kind);
    s.at = c.next();
    if ((head & step_moves) != 0) {
        s.at = get_position(in);
        if (s.at == c.next()) in.refuse("a step's position is told without need");
    }
    if (how != step_anonymous) {
        s.dot = {c.dot.origin, c.dot.counter + 1};
        if (how == step_origin) s.dot.origin = get_origin(in);
        if (how != 0) s.dot.counter = in.varint();
        bool const idle = (how == step_origin && s.dot.origin == c.dot.origin) || (how == step_counter && s.dot.counter == c.dot.counter + 1);
        if (idle || s.dot == mailfs::dot{}) in.refuse("a step's dot is told without need");
        c.dot = s.dot;
    }
    s.when.value = c.stamp + unzigzag(in.varint());
    s.payload = copy_of(in.sized());
    c.at = s.at;
    c.stamp = s.when.value;
    return s;
}

// --- messages ----------------------------------------------------------------------------------------------------

template <class Sink>
void put_body(Sink& out, peer_hello const& m) {
    out.bytes(as_bytes(peer_magic));
    put_short(out, m.version_min);
    put_short(out, m.version_max);
    out.bytes(octets_of(m.cluster));
    out.varint(m.node);
    out.varint(m.slot);
    put_fixed(out, m.incarnation);
    out.varint(m.features);
    put_fixed(out, m.now_ms);
    out.bytes(octets_of(m.nonce_high));
    out.bytes(octets_of(m.nonce_low));
}
// What a later version puts behind is not looked at: how else should it say that it can be newer?
inline void get_body(field_reader& in, peer_hello& m) {
    if (as_text(in.take(peer_magic.size())) != peer_magic) return in.refuse("not a node of mailfs");
    m.version_min = in.fixed<le16>();
    m.version_max = in.fixed<le16>();
    if (in.ok() && (m.version_min == 0 || m.version_min > m.version_max)) return in.refuse("versions that cannot be");
    m.cluster = read_guid(in);
    m.node = in.varint32();
    m.slot = in.varint32();
    m.incarnation = in.fixed<le64>();
    m.features = in.varint();
    m.now_ms = in.fixed<le64>();
    m.nonce_high = read_guid(in);
    m.nonce_low = read_guid(in);
    if (in.ok()) static_cast<void>(in.take(in.rest().size()));
}

template <class Sink>
void put_body(Sink& out, peer_ping const& m) {
    out.varint(m.number);
    out.varint(m.confirmed);
}
inline void get_body(field_reader& in, peer_ping& m) {
    m.number = in.varint();
    m.confirmed = in.varint();
}
template <class Sink>
void put_body(Sink& out, peer_pong const& m) {
    out.varint(m.number);
}
inline void get_body(field_reader& in, peer_pong& m) { m.number = in.varint(); }

template <class Sink>
void put_lineage(Sink& out, mailfs::lineage const& l) {
    out.varint(l.size());
    std::uint32_t before = 0;
    for (auto const& e : l) {
        out.varint(e.epoch - before);
        out.varint(e.n);
        out.varint(e.ids_last);
        before = e.epoch;
    }
}
inline mailfs::lineage get_lineage(field_reader& in) {
    mailfs::lineage l;
    auto const count = in.count(lineage_max, 3);
    l.reserve(count);
    std::uint64_t epoch = 0;
    for (std::size_t i = 0; i < count && in.ok(); ++i) {
        auto const step = in.varint(epoch_max, "an epoch is too great");
        epoch += step;
        if (epoch > epoch_max) in.refuse("an epoch is too great");
        if (i > 0 && step == 0) in.refuse("epochs that do not ascend");
        lineage_entry e;
        e.epoch = static_cast<std::uint32_t>(epoch);
        e.n = in.varint32();
        e.ids_last = in.varint32();
        l.push_back(e);
    }
    return l;
}

template <class Sink>
void put_body(Sink& out, peer_open const& m) {
    put_sized(out, as_bytes(m.name));
    out.bytes(octets_of(m.object));
    put_position(out, m.at);
    put_fixed(out, m.chain);
    put_lineage(out, m.lineage);
    out.varint(m.id_next);
    put_origin(out, m.owner);
    out.octet(m.role);
    out.octet(m.hops);
    out.varint(m.upstream);
    put_short(out, m.reaches);
    out.varint(m.epoch_heard);
}
inline void get_body(field_reader& in, peer_open& m) {
    m.name = as_text(in.sized(peer_name_size_max));
    m.object = read_guid(in);
    m.at = get_position(in);
    m.chain = in.fixed<le64>();
    m.lineage = get_lineage(in);
    m.id_next = in.varint32();
    m.owner = get_origin(in);
    m.role = in.octet();
    m.hops = in.octet();
    m.upstream = in.varint32();
    m.reaches = in.fixed<le16>();
    m.epoch_heard = get_epoch(in);
}

template <class Sink>
void put_body(Sink& out, peer_propose const& m) {
    put_dot(out, m.dot);
    put_fixed(out, m.when.value);
    put_sized(out, m.operations);
}
inline void get_body(field_reader& in, peer_propose& m) {
    m.dot = get_dot(in);
    m.when.value = in.fixed<le64>();
    m.operations = copy_of(in.sized());
}

template <class Sink>
void put_body(Sink& out, peer_refuse const& m) {
    put_dot(out, m.dot);
}
inline void get_body(field_reader& in, peer_refuse& m) { m.dot = get_dot(in); }

template <class Sink>
void put_body(Sink& out, peer_push const& m) {
    put_position(out, m.before);
    put_fixed(out, m.chain);
    out.varint(m.steps.size());
    step_context c{m.before, {}, 0};
    for (auto const& s : m.steps) put_step(out, s, c);
}
inline void get_body(field_reader& in, peer_push& m) {
    m.before = get_position(in);
    m.chain = in.fixed<le64>();
    auto const count = in.count(push_steps_max, step_size_min);
    m.steps.reserve(count);
    step_context c{m.before, {}, 0};
    for (std::size_t i = 0; i < count && in.ok(); ++i) m.steps.push_back(get_step(in, c));
}

template <class Sink>
void put_body(Sink& out, peer_progress const& m) {
    out.varint(m.epoch);
    out.varint(m.nodes.size());
    for (auto const& e : m.nodes) {
        out.varint(e.node);
        out.varint(e.in_memory);
        out.varint(e.on_disk);
    }
}
inline void get_body(field_reader& in, peer_progress& m) {
    m.epoch = get_epoch(in);
    auto const count = in.count(peer_progress_nodes_max, 3);
    m.nodes.reserve(count);
    for (std::size_t i = 0; i < count && in.ok(); ++i) {
        auto& e = m.nodes.emplace_back();
        e.node = in.varint32();
        e.in_memory = in.varint32();
        e.on_disk = in.varint32();
    }
}

template <class Sink>
void put_body(Sink& out, peer_catch_up const& m) {
    put_position(out, m.from);
    put_fixed(out, m.chain);
    out.varint(m.offset);
}
inline void get_body(field_reader& in, peer_catch_up& m) {
    m.from = get_position(in);
    m.chain = in.fixed<le64>();
    m.offset = in.varint();
}

template <class Sink>
void put_body(Sink& out, peer_snapshot const& m) {
    put_position(out, m.at);
    out.varint(m.offset);
    out.varint(m.size);
    put_sized(out, m.bytes);
}
inline void get_body(field_reader& in, peer_snapshot& m) {
    m.at = get_position(in);
    m.offset = in.varint();
    m.size = in.varint();
    auto const bytes = in.sized();
    if (m.offset > m.size || bytes.size() > m.size - m.offset) return in.refuse("a piece beyond the end of its snapshot");
    m.bytes = copy_of(bytes);
}

template <class Sink>
void put_body(Sink& out, peer_handover const& m) {
    put_position(out, m.at);
}
inline void get_body(field_reader& in, peer_handover& m) { m.at = get_position(in); }

template <class Sink>
void put_body(Sink&, peer_close const&) {}
inline void get_body(field_reader&, peer_close&) {}
template <class Sink>
void put_body(Sink& out, peer_want_branch const& m) {
    out.varint(m.offset);
}
inline void get_body(field_reader& in, peer_want_branch& m) { m.offset = in.varint(); }
template <class Sink>
void put_body(Sink&, peer_who const&) {}
inline void get_body(field_reader&, peer_who&) {}

template <class Sink>
void put_body(Sink& out, peer_bodies const& m) {
    put_sized(out, as_bytes(m.name));
}
inline void get_body(field_reader& in, peer_bodies& m) { m.name = as_text(in.sized(peer_name_size_max)); }
template <class Sink>
void put_body(Sink& out, peer_want_body const& m) {
    out.bytes(octets_of(m.id));
    out.varint(m.offset);
}
inline void get_body(field_reader& in, peer_want_body& m) {
    m.id = read_guid(in);
    m.offset = in.varint();
}
template <class Sink>
void put_body(Sink& out, peer_body const& m) {
    out.bytes(octets_of(m.id));
    out.bytes(octets_of(m.mailbox));
    put_fixed(out, m.received_ms);
    put_fixed(out, m.written_ms);
    le32 const checksum = m.checksum;
    out.bytes(view_of(checksum));
    out.varint(m.offset);
    out.varint(m.size);
    put_sized(out, m.bytes);
}
inline void get_body(field_reader& in, peer_body& m) {
    m.id = read_guid(in);
    m.mailbox = read_guid(in);
    m.received_ms = in.fixed<le64>();
    m.written_ms = in.fixed<le64>();
    m.checksum = in.fixed<le32>();
    m.offset = in.varint();
    m.size = in.varint();
    auto const bytes = in.sized(body_piece_size_max);
    if (m.offset > m.size || bytes.size() > m.size - m.offset) return in.refuse("a piece beyond the end of its body");
    if (bytes.empty() && m.offset < m.size) return in.refuse("an empty piece of a body");
    if (m.offer && m.offset != 0) return in.refuse("an offer that does not begin at the beginning");
    m.bytes = copy_of(bytes);
}
template <class Sink>
void put_body(Sink& out, peer_have_body const& m) {
    out.bytes(octets_of(m.id));
}
inline void get_body(field_reader& in, peer_have_body& m) { m.id = read_guid(in); }
template <class Sink>
void put_body(Sink& out, peer_no_body const& m) {
    out.bytes(octets_of(m.id));
}
inline void get_body(field_reader& in, peer_no_body& m) { m.id = read_guid(in); }

// The yes or no that some messages have travels in the frame's flags.
template <class M>
constexpr bool is_marked(M const& m) noexcept {
    if constexpr (requires { m.stored; }) return m.stored;
    else if constexpr (requires { m.down; }) return m.down;
    else if constexpr (requires { m.branch; }) return m.branch;
    else if constexpr (requires { m.snapshot; }) return m.snapshot;
    else if constexpr (requires { m.answer; }) return m.answer;
    else if constexpr (requires { m.offer; }) return m.offer;
    else if constexpr (requires { m.later; }) return m.later;
    else return false;
}
template <class M>
void set_mark(field_reader& in, M& m, bool yes) noexcept {
    if constexpr (requires { m.stored; }) m.stored = yes;
    else if constexpr (requires { m.down; }) m.down = yes;
    else if constexpr (requires { m.branch; }) m.branch = yes;
    else if constexpr (requires { m.snapshot; }) m.snapshot = yes;
    else if constexpr (requires { m.answer; }) m.answer = yes;
    else if constexpr (requires { m.offer; }) m.offer = yes;
    else if constexpr (requires { m.later; }) m.later = yes;
    else if (yes) in.refuse("a flag that such a message does not have");
}

template <std::size_t I = 0>
peer_message get_message(field_reader& in, peer_type type, std::uint8_t flags) {
    if constexpr (I + 1 < std::variant_size_v<peer_message>)
        if (static_cast<std::size_t>(type) != I + 1) return get_message<I + 1>(in, type, flags);
    peer_message all(std::in_place_index<I>);
    auto& m = std::get<I>(all);
    set_mark(in, m, (flags & peer_mark) != 0);
    get_body(in, m);
    return all;
}

}  // namespace detail

/// Octets of the body.
inline std::size_t body_size(peer_message const& m) {
    detail::size_sink sink;
    std::visit([&sink](auto const& one) { detail::put_body(sink, one); }, m);
    return sink.size();
}
/// Writes the body to `at`, where there is room for it, and returns where it ends.
inline std::byte* encode_body(std::byte* at, peer_message const& m) {
    detail::byte_sink sink(at);
    std::visit([&sink](auto const& one) { detail::put_body(sink, one); }, m);
    return sink.at();
}
/// The flags that a frame of this message has.
inline std::uint8_t flags_of(peer_message const& m) {
    bool const marked = std::visit([](auto const& one) { return detail::is_marked(one); }, m);
    return marked ? peer_mark : std::uint8_t{0};
}

/// What encode_body wrote, or null and `why` it is not that. `type` is one of peer_type.
inline std::optional<peer_message> decode_body(peer_type type, std::uint8_t flags, bytes_view body, char const*& why) {
    detail::field_reader in(body);
    if ((flags & ~(peer_may_skip | peer_mark)) != 0) in.refuse("a flag that no message has");
    auto m = detail::get_message(in, type, flags);
    if (in.ok() && !in.rest().empty()) in.refuse("more bytes than its fields");
    why = in.why();
    if (why != nullptr) return std::nullopt;
    return m;
}

}  // namespace mailfs::format
