// SPDX-License-Identifier: BSL-1.0
// A part of member.hpp: how it starts and stops, and what links and time bring.
#pragma once

#include <mailfs/replication/detail/member.hpp>

namespace mailfs::detail {

template <replicated_machine M>
void member<M>::start(bool has_state, bool is_new, std::uint64_t incarnation, std::uint32_t heard) {
    has_state_ = has_state;
    origin_ = {options_.self.node, incarnation};
    counter_ = 0;
    role_ = member_role::joining;
    serves_ = false;
    heard_ = std::max({heard_, heard, stream().at.epoch});
    floor_ = has_state && has_ids() ? first_id_never_shown() : 0;
    if (has_state && !is_new) leave_behind_what_the_disk_forgot();
    if (has_state && !is_new) {
        hit(reached::restarted);
        hit(reached::open_from_disk);
    }
    if (is_new) floor_ = 0;
    join_due_ = is_new ? 0 : now() + options_.join_ms;
    disk_ = stream().at;
    disk_fails_ = false;
    below_.begin(stream().at.epoch);
    told_.begin(stream().at.epoch);
    must_announce_ = true;
    reconsider();
    flush();
}

template <replicated_machine M>
void member<M>::stop(errc why) {
    for (auto const& [node, p] : peers_)
        if (p.up) io_->send(node, format::peer_close{});
    role_ = member_role::closed;
    serves_ = false;
    for (auto& c : calls_.all())
        if (!c.given_up) io_->finish(c.id, why);
    calls_.clear();
    upstream_ = 0;
    hops_ = 255;
    adopting_ = false;
    barrier_.reset();
    inbox_.clear();
    to_order_.clear();
    waiting_ = 0;
    batch_.clear();
    ring_.clear();
    fold_ = {};
    transfer_ = {};
    frozen_until_ = claim_due_ = who_due_ = handing_until_ = quiet_due_ = heirs_due_ = asking_until_ = await_until_ = 0;
    disk_fails_ = false;
    used_.clear();
    who_.clear();
    for (auto& [node, p] : peers_) p.forget();
}

template <replicated_machine M>
void member<M>::link_up(std::uint32_t node) {
    auto const p = find(node);
    if (p == nullptr) return;
    p->forget();
    p->up = true;
    if (role_ == member_role::closed) return;
    must_announce_ = true;
    flush();
}

template <replicated_machine M>
void member<M>::link_down(std::uint32_t node, bool silent) {
    auto const p = find(node);
    if (p == nullptr) return;
    p->forget();
    p->up = false;
    if (role_ == member_role::closed) return;
    who_.erase(node);
    progress_is_news_ = below_.drop(node) || progress_is_news_;
    if (fold_.from == node && !fold_.branch) fold_ = {};
    if (upstream_ == node) {
        hit(silent ? reached::master_silent : reached::master_reset);
        leave_upstream();
    }
    must_announce_ = true;
    reconsider();
    flush();
}

template <replicated_machine M>
void member<M>::receive(std::uint32_t node, format::peer_message const& message) {
    auto const p = find(node);
    if (p == nullptr || !p->up || role_ == member_role::closed) return;
    std::visit([&](auto const& m) { on(node, *p, m); }, message);
    flush();
}

template <replicated_machine M>
void member<M>::on(std::uint32_t node, peer& p, format::peer_open const& m) {
    heard_ = std::max(heard_, m.epoch_heard);
    bool const is_first = !p.told;
    p.told = m;
    if (is_first) announce_to(node);
    if (m.upstream != options_.self.node && p.follows) {
        p.follows = false;
        if (below_.drop(node)) {
            progress_is_news_ = true;
            await_followers();  // it may only be about to take over
        }
    }
    if (compare(p) != standing::apart) p.apart_since = 0;
    else if (p.apart_since == 0) p.apart_since = now();
    if (who_.erase(node) > 0 && who_.empty() && who_due_ != 0) conclude_who();
    if (upstream_ == node && caught_up_) {
        auto const hops = static_cast<std::uint8_t>(m.hops >= hops_max() ? 255 : m.hops + 1);
        if (hops != hops_) {
            hops_ = hops;
            must_announce_ = true;
        }
    }
    ask_again_if_left_behind();
    if (fold_.from == node && fold_.in.bytes.empty() && !fold_.branch) fold_ = {};  // it stands elsewhere now
    reconsider();
    go_on();
}

template <replicated_machine M>
void member<M>::on(std::uint32_t node, peer& p, format::peer_close const&) {
    p.forget();
    progress_is_news_ = below_.drop(node) || progress_is_news_;
    if (fold_.from == node && !fold_.branch) fold_ = {};
    if (upstream_ == node) leave_upstream();
    if (who_.erase(node) > 0 && who_.empty() && who_due_ != 0) conclude_who();
    reconsider();
}

}  // namespace mailfs::detail
