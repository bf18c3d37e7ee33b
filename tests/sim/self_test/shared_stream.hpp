// SPDX-License-Identifier: BSL-1.0
// A cluster that cannot go wrong, since all its nodes apply one list of transactions, and the ways to break it: what each
// check must find.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/format/replication_record.hpp>
#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/index/view.hpp>
#include <mailfs/types/durability.hpp>

#include "sim/machine.hpp"

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::sim {

enum class breakage : std::uint8_t {
    none,
    two_owners,            // R1
    another_chain,         // R2
    another_uid,           // R3
    another_state,         // R4
    numbers_fall,          // R4
    acknowledged_for_nothing,  // R5
    flag_turned_round,     // R5
    message_returns,       // R6
    node_left_behind,      // R7
    done_twice,            // R10
    call_never_ends,       // R15
    level_not_kept,        // R5
    answer_turned_round,   // linear
    stamp_of_tomorrow,     // R13
    queue_without_end,     // R12
    state_given_up,        // R2
    never_opens,           // R15
};

/// What the nodes of one world share.
struct shared_stream {
    struct entry {
        dot id;
        std::vector<std::byte> operations;
    };
    std::vector<entry> entries;
    std::uint64_t counter = 0;

    static std::shared_ptr<shared_stream> of(sim_network const* network) {
        static thread_local std::map<sim_network const*, std::weak_ptr<shared_stream>> all;
        std::erase_if(all, [](auto const& s) { return s.second.expired(); });
        auto& there = all[network];
        auto made = there.lock();
        if (!made) there = made = std::make_shared<shared_stream>();
        return made;
    }
};

inline breakage broken = breakage::none;  ///< in this program

class shared_node {
public:
    static constexpr sim_time apply_time = 500;  // until all have what one proposed

    explicit shared_node(node_parts parts) : parts_(std::move(parts)), stream_(shared_stream::of(parts_.network)) {}

    asio::awaitable<void> run() {
        if (broken == breakage::never_opens) {
            if (parts_.number == 2) co_return;
        }
        co_await parts_.process->sleep(100 * parts_.number);
        begin_epoch();
        if (broken != breakage::numbers_fall) apply_all();
        shows_ = true;
        while (true) {
            co_await parts_.process->sleep(apply_time);
            apply_all();
        }
    }
    bool shows() const { return shows_; }
    bool may_tell() const { return true; }
    bool is_master() const { return parts_.number == 1; }
    mailbox_state const& state() const { return state_; }
    position on_disk() const { return broken == breakage::level_not_kept ? position{} : state_.stream().at; }
    std::string overload() const { return is_second_after(breakage::queue_without_end) ? "a queue" : ""; }
    std::exception_ptr failure() const { return is_second_after(breakage::state_given_up) ? given_up_ : std::exception_ptr(); }
    view make_view() { return view(state_); }

    asio::awaitable<mailbox_outcome> propose(std::vector<std::byte> operations, durability) {
        auto const stream = stream_;
        if (broken == breakage::call_never_ends) {
            if (stream->entries.size() == 7) co_await parts_.process->park(parts_.process->ticket());
        }
        co_await parts_.process->sleep(300);
        dot const id{{parts_.number, 1}, ++stream->counter};
        if (broken == breakage::acknowledged_for_nothing) {
            if (id.counter % 5 == 0) co_return nothing();
        }
        if (broken == breakage::flag_turned_round) turn_round(operations);
        stream->entries.push_back({id, operations});
        if (broken == breakage::done_twice) stream->entries.push_back({{{parts_.number, 1}, ++stream->counter}, operations});
        if (broken == breakage::message_returns) {
            if (is_append(operations)) first_ = operations;
            else if (!first_.empty() && is_expunge(operations)) stream->entries.push_back({{{parts_.number, 1}, ++stream->counter}, first_});
        }
        auto const place = stream->entries.size();
        while (applied_ < place) apply_next();
        co_await parts_.process->sleep(2 * apply_time);  // until the others have it
        co_return outcome_of_[id];
    }

private:
    static constexpr std::uint32_t epoch = 1 << 4 | 1;

    bool is_second_after(breakage how) const { return broken == how && parts_.number == 2 && applied_ > 10; }
    static bool is_append(bytes_view operations) { return format::load<format::operation_header>(operations).kind == 1; }
    static bool is_expunge(bytes_view operations) { return format::load<format::operation_header>(operations).kind == 3; }
    static void turn_round(std::vector<std::byte>& operations) {
        if (format::load<format::operation_header>(operations).kind != 2) return;
        auto& mode = operations[sizeof(format::operation_header)];
        if (mode == std::byte{0}) mode = std::byte{1};
    }
    mailbox_outcome nothing() {
        mailbox_outcome out;
        out.at = state_.stream().at;
        out.appended = 1;
        return out;
    }

    void begin_epoch() {
        state_.reset(mailbox_id);
        epoch_start start;
        start.epoch = epoch;
        start.owner = {1, 7};
        if (broken == breakage::two_owners && parts_.number == 2) start.owner = {2, 9};
        if (broken == breakage::another_uid && parts_.number == 2) start.epoch = epoch + 16, start.owner = {2, 9};
        start.ids_first = broken == breakage::another_uid && parts_.number == 2 ? 2 : 1;
        start.ids_last = 1'000'000;
        auto const payload = format::encode_epoch_start(start);
        format::record_view step;
        step.header.kind = static_cast<std::uint8_t>(format::record_kind::epoch);
        step.header.base_offset = start.epoch;
        step.payload = payload;
        state_.apply_step(step, nullptr);
    }
    void apply_all() {
        while (applied_ < stream_->entries.size()) {
            if (broken == breakage::node_left_behind && parts_.number == 2 && applied_ == 10) return;
            apply_next();
            if (broken == breakage::numbers_fall) return;
        }
    }
    void apply_next() {
        auto const& e = stream_->entries[applied_++];
        format::record_view step;
        step.header.kind = static_cast<std::uint8_t>(format::record_kind::transaction);
        step.header.node = e.id.origin.node;
        step.header.incarnation = e.id.origin.incarnation;
        step.header.counter = e.id.counter;
        step.header.stamp = applied_ << 16;
        if (broken == breakage::stamp_of_tomorrow && applied_ == 10) step.header.stamp = (sim_clock::world_began_ms + 86'400'000) << 16;
        step.payload = e.operations;
        auto const before = state_.stream().chain;
        if (broken == breakage::another_state && parts_.number == 2 && applied_ % 11 == 0) {
            auto const chain = stream_state::chain_after(before, step);
            step.payload = {};
            state_.apply_step(step, &outcome_of_[e.id]);
            state_.stream().chain = chain;
        } else {
            state_.apply_step(step, &outcome_of_[e.id]);
        }
        outcome_of_[e.id].at = state_.stream().at;
        if (broken == breakage::answer_turned_round) outcome_of_[e.id].changed = {};
        if (broken == breakage::another_chain && parts_.number == 2 && applied_ == 5) state_.stream().chain ^= 1;
    }

    node_parts parts_;
    std::shared_ptr<shared_stream> stream_;
    mailbox_state state_;
    bool shows_ = false;
    std::size_t applied_ = 0;
    std::exception_ptr given_up_ = std::make_exception_ptr(error(errc::corrupt, "box", "a step did not come to its place"));
    std::vector<std::byte> first_;
    std::map<dot, mailbox_outcome> outcome_of_;
};

}  // namespace mailfs::sim
