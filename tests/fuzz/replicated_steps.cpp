// SPDX-License-Identifier: BSL-1.0
// Steps of every kind, applied to two nodes that began alike; at last one folds the other's state into its own.
#include "fuzz.hpp"

#include <mailfs/format/replication_record.hpp>

namespace mailfs::fuzz {

namespace {

constexpr format::record_kind kinds[] = {format::record_kind::transaction, format::record_kind::epoch, format::record_kind::ids,
                                         format::record_kind::fold, format::record_kind::settle};

template <class State>
struct node {
    State state;
    std::uint32_t number;
    std::uint64_t counter = 0;

    explicit node(std::uint32_t n) : number(n) { state.reset(guid::from_words(1, 2)); }
    void step(format::record_kind kind, bytes_view payload, std::uint64_t stamp) {
        format::record_view record;
        record.header.kind = static_cast<std::uint8_t>(kind);
        record.header.node = number;
        record.header.incarnation = 7;
        record.header.counter = ++counter;
        record.header.stamp = stamp << 16;
        record.payload = payload;
        auto const before = state.stream().at;
        auto const next = state.next_id();
        auto const snapshot = state.dump();
        auto verdict = admission::repeat;
        try {
            verdict = state.apply_step(record, nullptr);
        } catch (error const& e) {
            require(e.code() == errc::newer_version, std::string("a step failed: ") + e.what());
            require(state.dump() == snapshot, "a step that was refused left something behind");
            return;
        }
        bool const at_end = before.n == 0xffff'ffffU;
        require(verdict != admission::fresh || at_end || state.stream().at > before, "the position does not ascend");
        require(state.next_id() >= next, "UIDNEXT falls");
    }
    void reign(std::uint32_t epoch) {
        auto const first = std::max<std::uint32_t>(state.next_id(), 1);
        step(format::record_kind::epoch, format::encode_epoch_start({epoch, {number, 7}, first < uid_max - 300 ? first : 0, first < uid_max - 300 ? first + 255 : 0, 0}), 1);
    }
};

void begin(node<mailbox_state>& n) {
    format::mailbox_transaction t;
    for (std::uint64_t i = 1; i <= 6; ++i) {
        message_entry m;
        m.id = guid::from_words(3, i);
        m.size = 10;
        if (i % 3 == 0) m.keywords = {"k1"};
        t.append(m);
    }
    n.step(format::record_kind::transaction, t.bytes(), 2);
}
void begin(node<tree_state>& n) {
    format::tree_transaction t;
    t.create({guid::from_words(5, 1), 16, 0, false, "INBOX"}).create({guid::from_words(5, 2), 32, 0, false, "a/b"}).subscribe({true, "a/b"});
    n.step(format::record_kind::transaction, t.bytes(), 2);
}
void check(mailbox_state& state) {
    use(state, true);
    try {
        state.verify();
    } catch (error const& e) {
        fail(std::string("a mailbox built from steps contradicts itself: ") + e.what());
    }
}
void check(tree_state& state) {
    for (auto const& [name, entry] : state.contents().mailboxes)
        require(state.name_of(entry.id) != nullptr && *state.name_of(entry.id) == name, "a name is not found again");
}
bool is_readable(mailbox_state const&) { return true; }
bool is_readable(tree_state const& state) { return !state.needs_newer(); }

template <class State>
void steps(input& in) {
    node<State> a(1), b(2);
    a.reign(16 + 1);
    begin(a);
    b.reign(16 + 1);
    b.number = 1;
    begin(b);
    b.number = 2;
    b.counter = 0;
    b.reign(32 + 2);
    for (std::uint64_t stamp = 3; !in.empty(); ++stamp) {
        auto const what = in.octet();
        auto const payload = copy_of(in.take(in.word()));
        auto& n = (what & 128) != 0 ? b : a;
        n.step(kinds[what % std::size(kinds)], payload, stamp);
        if (!is_readable(n.state)) return;
        check_snapshot(n.state);
        check(n.state);
    }
    auto const epoch = std::max(a.state.stream().at.epoch, b.state.stream().at.epoch) / 16 * 16 + 17;
    if (epoch > epoch_max) return;
    a.reign(epoch);
    auto const payload = a.state.fold(b.state);
    if (payload.empty()) return;
    auto const history = b.state.stream().history();
    a.step(format::record_kind::fold, payload, 1000);
    require(covers(a.state.stream().history(), history), "a fold that was made is refused");
    check_snapshot(a.state);
    check(a.state);
}

}  // namespace

void replicated_steps(bytes_view bytes) {
    input in(bytes);
    if (in.octet() % 2 == 0) steps<mailbox_state>(in);
    else steps<tree_state>(in);
}

}  // namespace mailfs::fuzz
