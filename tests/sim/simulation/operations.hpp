// SPDX-License-Identifier: BSL-1.0
// A part of simulation.hpp: what clients do, and what they are answered.
#pragma once

#include "../simulation.hpp"

namespace mailfs::sim {

template <class Node>
bool simulation<Node>::look(choice const& c) {
    auto& who = clients_[c.node % clients_.size()];
    if (who.moves() && c.arg % 4 == 0) who.disconnect();
    if (!who.is_connected()) return go_to(who, who.moves() ? 1 + c.arg / 4 % schedule_.nodes : 1 + who.number() % schedule_.nodes);
    who.look();
    return true;
}

template <class Node>
bool simulation<Node>::go_to(client& who, std::uint32_t node) {
    auto& m = at(node);
    if (!m.shows() || m.process().paused()) return false;
    who.disconnect();
    who.connect(node, m.node()->make_view());
    return true;
}

template <class Node>
bool simulation<Node>::operate(choice const& c) {
    auto& m = at(c.node);
    if (!m.shows() || m.process().paused()) return false;
    if (c.what == deed::append || c.what == deed::append_stored) {
        propose_append(m, c.what == deed::append_stored, c.arg);
        return true;
    }
    if (c.what == deed::append_many) {
        propose_appends(m, 100 + c.arg % 100, false, c.arg);
        return true;
    }
    if (c.what == deed::deliver) {
        auto& second = at(c.node + 1 + c.arg / 256 % (schedule_.nodes - 1));
        auto const delivery = ++deliveries_;
        propose_append(m, c.arg % 2 == 0, c.arg, delivery);
        if (second.shows() && !second.process().paused()) propose_append(second, c.arg % 4 < 2, c.arg, delivery);
        return true;
    }
    if (c.what == deed::set_metadata) {
        propose_metadata(m, c.arg);
        return true;
    }
    return propose_on_message(m, c);
}

// One of two entries is set, or removed.
template <class Node>
void simulation<Node>::propose_metadata(machine<Node>& m, std::uint32_t arg) {
    attempt a;
    a.what = attempt::kind::metadata;
    auto const value = fmt::format("{}", arg >> 8);
    format::mailbox_transaction t;
    t.metadata(arg % 2 == 0 ? "/private/comment" : "/shared/comment", arg / 2 % 4 == 0 ? std::nullopt : std::optional<std::string_view>(value));
    propose(m, std::move(a), t);
}

template <class Node>
void simulation<Node>::propose_appends(machine<Node>& m, std::uint32_t count, bool stored, std::uint32_t arg, std::uint64_t delivery) {
    format::mailbox_transaction t;
    std::vector<std::size_t> numbers;
    for (std::uint32_t part = 0; part < count; ++part) {
        attempt a;
        a.what = attempt::kind::append;
        a.message = guid::from_words(++messages_, chance_());
        a.part = part;
        a.flags = arg & static_cast<std::uint32_t>(all_flags) & (arg >> 8);
        a.stored = stored;
        a.delivery = delivery;
        message_entry entry;
        if (delivery != 0) entry.delivery = guid::from_words(0x6465'6c69'7665'72, delivery);
        entry.id = a.message;
        entry.size = arg % 1000;
        entry.received_ms = sim_clock::world_began_ms;
        entry.flags = static_cast<flag>(a.flags);
        t.append(entry);
        numbers.push_back(begin_attempt(m, std::move(a)).number);
    }
    propose(m, std::move(numbers), t, stored);
}

template <class Node>
bool simulation<Node>::propose_on_message(machine<Node>& m, choice const& c) {
    auto const& state = m.node()->state();
    if (state.counters().messages == 0) return false;
    auto wanted = c.arg % state.counters().messages;
    attempt a;
    modseq_t modseq = 0;
    state.for_each(1, uid_max, [&](std::size_t row) {
        if (wanted-- != 0) return;
        a.uid = state.rows().uid[row];
        a.message = state.rows().id[row];
        modseq = state.rows().modseq[row];
    });
    auto const uid = uid_set::one(a.uid);
    auto const bits = c.arg >> 8;
    format::mailbox_transaction t;
    flag_change change;
    a.known = ledger_.known_to(state, a.message);
    switch (c.what) {
        case deed::expunge:
        case deed::expunge_stored:
            a.what = attempt::kind::expunge;
            a.stored = c.what == deed::expunge_stored;
            t.expunge(uid, false);
            break;
        case deed::replace_flags:
            a.what = attempt::kind::replace;
            change.mode = flag_mode::replace;
            a.flags = bits & all_registers;
            break;
        case deed::add_keyword:
        case deed::remove_keyword:
            a.what = c.what == deed::add_keyword ? attempt::kind::add : attempt::kind::remove;
            a.flags = 1U << (5 + bits % 2);
            break;
        default:
            a.what = c.what == deed::remove_flag ? attempt::kind::remove : attempt::kind::add;
            a.flags = 1U << bits % 5;
            break;
    }
    if (a.what != attempt::kind::expunge) {
        if (a.what != attempt::kind::replace) change.mode = a.what == attempt::kind::add ? flag_mode::add : flag_mode::remove;
        change.flags = static_cast<flag>(a.flags & static_cast<std::uint32_t>(all_flags));
        for (std::uint32_t k = 0; k < 2; ++k)
            if (((a.flags >> (5 + k)) & 1) != 0) change.keywords.emplace_back(keyword_names[k]);
        if (c.what == deed::conditional) {
            a.conditional = true;
            a.unchanged_since = bits % 3 == 0 && modseq > 0 ? modseq - 1 : modseq;
            change.unchanged_since = a.unchanged_since;
        }
        t.change_flags(uid, change);
    }
    propose(m, std::move(a), t);
    return true;
}

template <class Node>
attempt& simulation<Node>::begin_attempt(machine<Node>& m, attempt made) {
    made.node = m.number();
    made.began = world_.now();
    made.adoptions = adoptions();
    made.epoch = m.node()->state().stream().at.epoch;
    return ledger_.begin(std::move(made));
}

template <class Node>
void simulation<Node>::propose(machine<Node>& m, attempt made, format::mailbox_transaction const& t) {
    auto const& a = begin_attempt(m, std::move(made));
    propose(m, {a.number}, t, a.stored);
}

template <class Node>
void simulation<Node>::propose(machine<Node>& m, std::vector<std::size_t> numbers, format::mailbox_transaction const& t, bool stored) {
    std::vector<std::byte> bytes(t.bytes().begin(), t.bytes().end());
    m.process().spawn(call(this, m.node(), std::move(numbers), std::move(bytes), stored ? durability::stored : durability::none));
}

template <class Node>
asio::awaitable<void> simulation<Node>::call(simulation* self, Node* node, std::vector<std::size_t> numbers, std::vector<std::byte> bytes, durability wanted) {
    std::optional<mailbox_outcome> outcome;
    fate came = fate::unknown;
    try {
        outcome.emplace(co_await node->propose(std::move(bytes), wanted));
    } catch (error const& e) {
        if (e.code() == errc::busy || e.code() == errc::no_space) came = fate::refused;
    }
    for (auto const number : numbers) {
        auto& a = self->ledger_[number];
        if (outcome) self->acknowledge(a, *outcome);
        else self->finish(a, came);
    }
}

template <class Node>
void simulation<Node>::finish(attempt& a, fate came) {
    a.what_became = came;
    a.ended = world_.now();
    world_.note(sim_note::kind::other, a.node, static_cast<std::uint32_t>(came), a.number);
}

template <class Node>
std::uint64_t simulation<Node>::adoptions() noexcept {
    return mailfs::detail::reached_so_far()[static_cast<std::size_t>(mailfs::detail::reached::caught_up_by_snapshot)];
}

// When nothing has been wrong for a while, a level is what was asked for.
template <class Node>
void simulation<Node>::check_level(attempt const& a) const {
    if (!has_own_disks() || (faulty_ && !stopped_) || a.began < calm_since_ + calm_time || !all_show()) return;
    auto const synced = std::count_if(machines_.begin(), machines_.end(), [&](auto const& m) { return m->node()->on_disk() >= a.at; });
    auto const have = a.stored ? static_cast<std::size_t>(synced) : a.holders.size();
    auto const wanted = std::min(a.stored ? schedule_.copies_on_disk : schedule_.copies_in_memory, schedule_.nodes);
    require(have >= wanted, "R5", "attempt {} on node {} was acknowledged at {} when {} nodes had it {}, of {}:{}", a.number, a.node, text_of(a.at), have,
            a.stored ? "on disk" : "in memory", wanted, standing());
}

template <class Node>
void simulation<Node>::acknowledge(attempt& a, mailbox_outcome const& o) {
    a.at = o.at;
    a.modified = o.modified.contains(a.uid);
    a.is_first_answer = a.adoptions == adoptions();
    if (a.what == attempt::kind::append) a.uid = o.appended > 0 ? o.first_uid + a.part : 0;
    a.effective = a.what == attempt::kind::append ? o.appended > 0 : a.what == attempt::kind::expunge ? o.expunged.contains(a.uid) : o.changed.contains(a.uid);
    for (auto& m : machines_)
        if (m->is_up() && contains(m->node()->state().stream().history(), o.at)) a.holders.insert(m->number());
    a.steady = a.holders;
    check_level(a);
    require(!a.holders.empty(), "R5", "attempt {} on node {} was acknowledged at {}, and nobody has it", a.number, a.node, text_of(o.at));
    // Fewer than were asked for, though none can have lost it since: it was promised to be on the disks of those.
    auto const lost = std::count_if(machines_.begin(), machines_.end(), [](auto const& m) { return !m->is_up() || m->lives() > 1; });
    if (a.holders.size() + static_cast<std::size_t>(lost) < schedule_.copies_in_memory || schedule_.store == storage::strict) a.stored = true;
    if (a.lost_a_disk) a.stored = false;  // as lost_its_disk()
    finish(a, fate::acknowledged);
}

}  // namespace mailfs::sim
