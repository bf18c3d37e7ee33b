// SPDX-License-Identifier: BSL-1.0
// What tests of the log share: a state machine small enough to see through, a host whose boot and clock a test sets,
// and a log file built record by record.
#pragma once

#include <mailfs/error.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/format/stream_codec.hpp>
#include <mailfs/host/host.hpp>
#include <mailfs/log/lockless_log.hpp>
#include <mailfs/log/state_machine.hpp>

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace mailfs::test {

/// One step of a tiny transaction.
struct tiny_step {
    enum kind_type : std::uint32_t { append = 1, mark = 2, forbid = 3, allocate = 4 };
    le32 kind;
    le32 id;     // mark: which
    le64 value;  // append: the message; mark: the message that the writer meant; allocate: how many ids, as messages that
                 // are gone

    std::uint32_t ids() const noexcept {
        return kind == append ? 1 : kind == allocate ? static_cast<std::uint32_t>(value) : 0;
    }
};
static_assert(sizeof(tiny_step) == 16);

struct tiny_outcome {
    position at;
    std::uint32_t first_id = 0;
};

/// Messages by id, some of them marked. A mark that meets another message than the one meant is remembered for ever.
class tiny_state {
public:
    using outcome = tiny_outcome;
    struct message {
        std::uint64_t value = 0;
        bool marked = false;
        friend bool operator==(message const&, message const&) = default;
    };

    std::map<std::uint32_t, message> messages;
    bool mark_went_astray = false;

    void reset(guid const& g) {
        *this = tiny_state{};
        object_ = g;
    }
    guid object() const noexcept { return object_; }
    stream_state& stream() noexcept { return stream_; }
    stream_state const& stream() const noexcept { return stream_; }
    std::uint32_t next_id() const noexcept { return next_id_; }
    void skip_ids(std::uint32_t n) noexcept { next_id_ = n > 0xffff'ffffU - next_id_ ? 0xffff'ffffU : next_id_ + n; }

    static std::uint32_t next_id_after(std::uint32_t next, format::record_view const& r) {
        for (auto const& s : steps(r.payload)) next += s.ids();
        return next;
    }
    admission apply(format::record_view const& r, outcome* out) {
        for (auto const& s : steps(r.payload))
            if (s.kind == tiny_step::forbid) throw error(errc::newer_version, "tiny", "forbidden step");
        auto const verdict = stream_.admit(r);
        if (verdict != admission::fresh) return verdict;
        for (auto const& s : steps(r.payload)) {
            if (s.kind == tiny_step::append) {
                if (out != nullptr && out->first_id == 0) out->first_id = next_id_;
                messages[next_id_++] = {s.value, false};
            } else if (s.kind == tiny_step::allocate) {
                skip_ids(s.ids());
            } else if (auto const at = messages.find(s.id); at != messages.end()) {
                if (at->second.value != s.value) mark_went_astray = true;
                at->second.marked = true;
            }
        }
        return verdict;
    }

    std::vector<std::byte> dump() const {
        std::vector<std::byte> out;
        auto const put = [&out](auto value) {
            auto const bytes = format::view_of(value);
            out.insert(out.end(), bytes.begin(), bytes.end());
        };
        put(object_);
        put(le32(next_id_));
        put(le32(mark_went_astray));
        format::encode_stream(out, stream_);
        for (auto const& [id, m] : messages) put(le32(id)), put(le32(m.marked)), put(le64(m.value));
        return out;
    }
    void load(std::span<std::byte> from, std::string_view name) {
        auto rest = bytes_view(from);
        if (rest.size() < 24) throw error(errc::corrupt, name, rest.size(), "too short");
        tiny_state s;
        s.object_ = format::load<guid>(rest);
        s.next_id_ = format::load<le32>(rest.subspan(16));
        s.mark_went_astray = format::load<le32>(rest.subspan(20)) != 0;
        rest = rest.subspan(24);
        auto stream = format::decode_stream(rest);
        if (!stream) throw error(errc::corrupt, name, 24, "no stream");
        s.stream_ = std::move(*stream);
        for (; rest.size() >= 16; rest = rest.subspan(16)) {
            auto const id = format::load<le32>(rest), marked = format::load<le32>(rest.subspan(4));
            s.messages[id] = {format::load<le64>(rest.subspan(8)), marked != 0};
        }
        *this = std::move(s);
    }

private:
    static std::vector<tiny_step> steps(bytes_view payload) {
        std::vector<tiny_step> out(payload.size() / sizeof(tiny_step));
        if (!out.empty()) std::memcpy(out.data(), payload.data(), out.size() * sizeof(tiny_step));
        return out;
    }

    guid object_;
    stream_state stream_;
    std::uint32_t next_id_ = 1;
};
static_assert(state_machine<tiny_state>);

/// The operations of a tiny transaction.
class tiny_transaction {
public:
    tiny_transaction() = default;
    /// Appends messages first, first + 1, ...
    explicit tiny_transaction(std::uint64_t first, std::size_t count = 1) {
        for (std::size_t i = 0; i < count; ++i) steps_.push_back({tiny_step::append, 0, first + i});
    }
    static tiny_transaction mark(std::uint32_t id, std::uint64_t meant) {
        tiny_transaction t;
        t.steps_.push_back({tiny_step::mark, id, meant});
        return t;
    }
    static tiny_transaction allocate(std::uint64_t count) {
        tiny_transaction t;
        t.steps_.push_back({tiny_step::allocate, 0, count});
        return t;
    }
    bytes_view bytes() const noexcept { return std::as_bytes(std::span(steps_)); }

private:
    std::vector<tiny_step> steps_;
};

inline guid boot_number(std::uint64_t n) { return guid::from_words(0xb007, n); }

/// Copies share the world they live in.
class test_host {
public:
    struct world {
        std::uint64_t now_ms = 1'700'000'000'000;
        std::uint64_t boot = 1;
        std::uint64_t seed = 1;
    };
    test_host() : world_(std::make_shared<world>()) {}

    world& in() const noexcept { return *world_; }

    std::uint64_t now_ms() const noexcept { return world_->now_ms; }
    std::uint64_t random() const noexcept {  // splitmix64
        auto z = world_->seed += 0x9e37'79b9'7f4a'7c15U;
        z = (z ^ z >> 30) * 0xbf58'476d'1ce4'e5b9U;
        z = (z ^ z >> 27) * 0x94d0'49bb'1331'11ebU;
        return z ^ z >> 31;
    }
    guid boot() const noexcept { return boot_number(world_->boot); }
    std::uint32_t node() const noexcept { return 0; }

private:
    std::shared_ptr<world> world_;
};
static_assert(host<test_host>);

/// What a record says of its writer: it had read up to `offset`, where UIDNEXT was next_id and the count n.
struct base {
    std::uint64_t offset = 0;
    std::uint32_t next_id = 0, n = 0;
    std::uint64_t synced = 0;  // what stands before it is durable; behind a restart at least that is
};

/// The records of one log file, as writers would leave them. Each call returns the offset of what it added.
class log_bytes {
public:
    static constexpr std::uint64_t begin = sizeof(format::log_header);
    static constexpr std::uint32_t seed = 0x5eed;

    std::uint64_t transaction(tiny_transaction const& t, base b = {}) {
        format::record_header r;
        r.kind = static_cast<std::uint8_t>(format::record_kind::transaction);
        r.node = 1;
        r.incarnation = 1;
        r.counter = ++counter_;
        r.stamp = counter_;
        return put(r, t.bytes(), b);
    }
    std::uint64_t message(std::uint64_t value, base b = {}) { return transaction(tiny_transaction(value), b); }
    /// The transaction that came last, once more.
    std::uint64_t repeat() {
        --counter_;
        return message(0);
    }
    std::uint64_t seal() { return record(format::record_kind::seal, {}); }
    std::uint64_t scar(std::vector<log_damage> const& damage) {
        std::vector<std::byte> payload;
        for (auto const& d : damage) {
            format::scar_range const range{static_cast<std::uint32_t>(d.first), static_cast<std::uint32_t>(d.last)};
            auto const bytes = format::view_of(range);
            payload.insert(payload.end(), bytes.begin(), bytes.end());
        }
        return record(format::record_kind::scar, payload);
    }
    std::uint64_t restart(std::uint64_t previous, std::uint64_t boot, std::uint64_t void_from,
                          std::uint32_t margin = unsynced_ids_max) {
        format::restart_payload p;
        format::put_guid(p.previous, boot_number(previous));
        format::put_guid(p.boot, boot_number(boot));
        p.void_from = static_cast<std::uint32_t>(void_from);
        p.margin = margin;
        auto const at = record(format::record_kind::restart, format::view_of(p));
        synced_ = end();
        return at;
    }
    std::uint64_t record(format::record_kind kind, bytes_view payload, std::uint8_t flags = 0, base b = {}) {
        format::record_header r;
        r.kind = static_cast<std::uint8_t>(kind);
        r.flags = flags;
        return put(r, payload, b);
    }
    std::uint64_t garbage(std::size_t size, std::byte with = std::byte{0}) {
        auto const at = end();
        bytes_.insert(bytes_.end(), size, with);
        return at;
    }
    /// The head of a transaction, as a killed writer leaves it.
    std::uint64_t torn(std::size_t size) {
        auto const at = message(666);
        bytes_.resize(static_cast<std::size_t>(at - begin) + size);
        return at;
    }
    /// Damages what is there from `at` on.
    void rot(std::uint64_t at, std::size_t size = 1) {
        for (std::size_t i = 0; i < size; ++i) bytes_[static_cast<std::size_t>(at - begin) + i] ^= std::byte{0x40};
    }
    void cut(std::uint64_t at) { bytes_.resize(static_cast<std::size_t>(at - begin)); }

    std::uint64_t end() const noexcept { return begin + bytes_.size(); }
    bytes_view from(std::uint64_t offset) const {
        return bytes_view(bytes_).subspan(static_cast<std::size_t>(offset - begin));
    }

private:
    std::uint64_t put(format::record_header r, bytes_view payload, base const& b) {
        auto const at = end();
        r.base_offset = static_cast<std::uint32_t>(b.offset);
        r.base_next_id = b.next_id;
        r.base_n = b.n;
        r.synced = static_cast<std::uint32_t>(std::max(b.synced, synced_));
        format::encode_record(bytes_, r, payload, seed);
        return at;
    }

    std::vector<std::byte> bytes_;
    std::uint64_t counter_ = 0, synced_ = begin;
};

}  // namespace mailfs::test
