// SPDX-License-Identifier: BSL-1.0
// A mail client: keeps what it was shown, asks for what is new as its kind does, and is compared with the truth (R9).
#pragma once

#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/index/view.hpp>
#include <mailfs/replication/detail/mutant.hpp>
#include <mailfs/types/lineage.hpp>

#include "ledger.hpp"
#include "violation.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

namespace mailfs::sim {

enum class client_kind : std::uint8_t { qresync, condstore, plain };
constexpr std::string_view name_of(client_kind k) noexcept {
    return k == client_kind::qresync ? "QRESYNC" : k == client_kind::condstore ? "CONDSTORE" : "plain";
}

/// Whether this node's history tells what a client has missed since it saw that MODSEQ.
inline bool knows(mailbox_state const& s, modseq_t modseq) {
    using namespace mailfs::detail;
    if (mutated(mutant::foreign_modseq_as_delta)) return true;
    position const p{static_cast<std::uint32_t>(modseq >> 32), static_cast<std::uint32_t>(modseq)};
    return contains(s.stream().history(), p);
}

class client {
public:
    client(std::uint32_t number, client_kind kind, bool moves) : number_(number), kind_(kind), moves_(moves) {}

    std::uint32_t number() const noexcept { return number_; }
    bool moves() const noexcept { return moves_; }
    bool is_connected() const noexcept { return view_.has_value(); }
    std::uint32_t node() const noexcept { return node_; }

    /// Connects, and asks for what it missed.
    void connect(std::uint32_t node, view v) {
        view_.emplace(std::move(v));
        node_ = node;
        auto const& s = view_->state();
        if (s.uid_validity() != uid_validity_) known_.clear(), modseq_ = 0;
        uid_validity_ = s.uid_validity();
        bool const delta = kind_ != client_kind::plain && modseq_ != 0 && knows(s, modseq_);
        if (delta && kind_ == client_kind::qresync) take_vanished();
        else drop_absent();
        view_->for_each(1, uid_max, [&](uid_t uid) {
            auto const row = *view_->row(uid);
            if (!delta || row.modseq > modseq_) take(row);
        });
        (delta ? deltas : fulls) += 1;
        modseq_ = view_->highest_modseq();
    }
    /// News, as a session is told of it.
    void look() {
        if (!view_) return;
        auto const changes = view_->refresh();
        changes.expunged_uids.for_each([&](uid_t uid) { known_.erase(uid); });
        auto const update = [&](uid_t uid) {
            if (auto const row = view_->row(uid)) take(*row);
        };
        changes.arrived.for_each(update);
        changes.changed.for_each(update);
        modseq_ = view_->highest_modseq();
    }
    void disconnect() { view_.reset(); }

    /// R9, when all is quiet and this is the truth.
    void check(mailbox_state const& truth) const {
        auto const who = [&] { return fmt::format("client {} ({}) on node {}", number_, name_of(kind_), node_); };
        std::size_t n = 0;
        truth.for_each(1, uid_max, [&](std::size_t row) {
            auto const uid = truth.rows().uid[row];
            auto const it = known_.find(uid);
            require(it != known_.end(), "R9", "{} does not know of UID {}", who(), uid);
            require(it->second.id == truth.rows().id[row], "R9", "{} takes UID {} for another message", who(), uid);
            std::vector<std::string> keywords;
            for (auto const k : truth.keywords().members(truth.rows().keyword_set[row])) keywords.push_back(truth.keywords().names()[k]);
            auto const flags = registers_of(static_cast<flag>(truth.rows().flags[row]), keywords);
            require(it->second.flags == flags, "R9", "{} has flags {:x} for UID {} where {:x} are set", who(), it->second.flags, uid, flags);
            ++n;
        });
        require(n == known_.size(), "R9", "{} knows {} messages where there are {}", who(), known_.size(), n);
    }

    std::uint64_t deltas = 0, fulls = 0;  ///< how it was answered

private:
    struct message {
        guid id;
        std::uint32_t flags;
    };
    // What a UID stands for is asked for once.
    void take(message_row const& row) {
        auto const [it, is_new] = known_.try_emplace(row.uid, message{row.id, 0});
        it->second.flags = registers_of(row.flags, row.keywords);
    }
    void take_vanished() {
        auto const gone = view_->vanished_since(modseq_);
        if (!gone) return drop_absent();
        for (auto const range : gone->ranges()) known_.erase(known_.lower_bound(range.first), known_.upper_bound(range.last));
    }
    void drop_absent() {
        std::erase_if(known_, [&](auto const& m) { return !view_->number(m.first); });
    }

    std::uint32_t number_;
    client_kind kind_;
    bool moves_;
    std::uint32_t node_ = 0;
    std::optional<view> view_;
    std::uint32_t uid_validity_ = 0;
    modseq_t modseq_ = 0;
    std::map<uid_t, message> known_;
};

}  // namespace mailfs::sim
