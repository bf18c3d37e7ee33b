// SPDX-License-Identifier: BSL-1.0
// Messages between nodes, made from a seed: each kind, small and great.
#pragma once

#include <mailfs/format/peer_frame.hpp>

#include <algorithm>
#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace mailfs::test {

class some_messages {
public:
    explicit some_messages(std::uint64_t seed) : random_(seed) {}

    /// Of the kind with this place in peer_message.
    format::peer_message of_kind(std::size_t kind) {
        using namespace format;
        switch (kind) {
            case 0: return hello();
            case 1: return peer_ping{number(), number()};
            case 2: return peer_pong{number()};
            case 3: return open();
            case 4: return peer_close{};
            case 5: return peer_propose{dot(), {number()}, yes(), bytes(200)};
            case 6: return peer_refuse{dot()};
            case 7: return push(pick(20));
            case 8: return progress();
            case 9: return peer_catch_up{position_(), number(), yes(), number()};
            case 10: return peer_want_branch{number()};
            case 11: return snapshot();
            case 12: return peer_handover{position_()};
            case 13: return peer_who{};
            case 14: return peer_bodies{std::string(pick(yes() ? 40 : peer_name_size_max + 1), 'b'), yes()};
            case 15: return peer_want_body{id(), number()};
            case 16: return body();
            case 17: return peer_have_body{id()};
            default: return peer_no_body{id(), yes()};
        }
    }
    /// A channel that such a message may have.
    std::uint64_t channel_for(format::peer_message const& m) {
        return format::is_of_link(format::type_of(m)) ? 0 : std::max<std::uint64_t>(1, number());
    }

    format::peer_push push(std::size_t steps) {
        format::peer_push p{position_(), number(), yes(), {}};
        auto at = p.before;
        mailfs::dot d;
        std::uint64_t when = 0;
        for (std::size_t i = 0; i < steps; ++i) {
            format::stream_step s;
            constexpr format::record_kind kinds[] = {format::record_kind::transaction, format::record_kind::epoch, format::record_kind::ids,
                                                     format::record_kind::fold, format::record_kind::settle};
            s.kind = kinds[pick(5)];
            at = pick(8) == 0 ? position_() : position{at.epoch, at.n + 1};
            if (pick(3) == 0) d = dot();
            else d.counter += pick(4) == 0 ? number() : 1;
            when = pick(4) == 0 ? number() : when + pick(1 << 18);
            s.at = at;
            if (pick(5) != 0) s.dot = d;
            s.when.value = when;
            s.payload = bytes(100);
            p.steps.push_back(std::move(s));
        }
        return p;
    }

    /// Small and great ones alike often; the greatest now and then.
    std::uint64_t number() {
        auto const bits = pick(66);
        return bits >= 64 ? ~std::uint64_t{0} : random_() >> (63 - bits);
    }
    std::uint32_t short_number() { return static_cast<std::uint32_t>(number()); }
    std::size_t pick(std::size_t below) { return static_cast<std::size_t>(random_() % below); }
    bool yes() { return pick(2) == 0; }
    std::vector<std::byte> bytes(std::size_t max) {
        std::vector<std::byte> all(pick(max + 1));
        for (auto& b : all) b = static_cast<std::byte>(random_());
        return all;
    }

private:
    std::uint32_t epoch() { return short_number() & epoch_max; }
    position position_() { return {epoch(), short_number()}; }
    mailfs::origin origin() { return {short_number(), number()}; }
    mailfs::dot dot() { return {origin(), number()}; }
    guid id() { return guid::from_words(random_(), random_()); }

    format::peer_hello hello() {
        format::peer_hello h;
        h.version_min = static_cast<std::uint16_t>(1 + pick(9));
        h.version_max = static_cast<std::uint16_t>(h.version_min + pick(9));
        h.cluster = id();
        h.node = short_number();
        h.slot = short_number();
        h.incarnation = number();
        h.features = number();
        h.now_ms = number();
        h.nonce_high = id();
        h.nonce_low = id();
        return h;
    }
    format::peer_open open() {
        format::peer_open o;
        o.name = std::string(pick(yes() ? 40 : format::peer_name_size_max + 1), 'n');
        o.object = id();
        o.at = position_();
        o.chain = number();
        std::set<std::uint32_t> epochs;
        for (auto n = pick(yes() ? 4 : lineage_max + 1); epochs.size() < n;) epochs.insert(static_cast<std::uint32_t>(random_()) & epoch_max);
        for (auto const e : epochs) o.lineage.push_back({e, short_number(), short_number()});
        o.id_next = short_number();
        o.owner = origin();
        o.role = static_cast<std::uint8_t>(random_());
        o.hops = static_cast<std::uint8_t>(random_());
        o.upstream = short_number();
        o.reaches = static_cast<std::uint16_t>(random_());
        o.epoch_heard = epoch();
        return o;
    }
    format::peer_progress progress() {
        format::peer_progress p{epoch(), yes(), {}};
        for (auto n = pick(format::peer_progress_nodes_max + 1); p.nodes.size() < n;) p.nodes.push_back({short_number(), short_number(), short_number()});
        return p;
    }
    format::peer_snapshot snapshot() {
        format::peer_snapshot s{yes(), position_(), 0, 0, bytes(300)};
        s.offset = number() >> 1;
        s.size = s.offset + s.bytes.size() + pick(1000);
        return s;
    }
    format::peer_body body() {
        format::peer_body b;
        b.offer = yes();
        b.id = id();
        b.mailbox = id();
        b.received_ms = number();
        b.written_ms = number();
        b.checksum = short_number();
        b.bytes = bytes(300);
        b.offset = b.offer ? 0 : number() >> 1;
        b.size = b.offset + b.bytes.size() + (b.bytes.empty() ? 0 : pick(1000));
        return b;
    }

    std::mt19937_64 random_;
};

inline constexpr std::size_t message_kinds = std::variant_size_v<format::peer_message>;

}  // namespace mailfs::test
