// SPDX-License-Identifier: BSL-1.0
// Fetches the bodies that this node lacks, in the background: which these are follows from the rows, and is kept nowhere.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/detail/body_mutant.hpp>
#include <mailfs/detail/signal.hpp>
#include <mailfs/error.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/uid.hpp>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/this_coro.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>
#include <vector>

namespace mailfs::detail {

/// For one mailbox: goes through its rows, a few bodies at a time, and through new rows whenever there are some; what could not
/// be had is tried again a second later. Memory does not grow with the mailbox. Ends when nobody holds the index, or its journal
/// is closed. `Owner` has `mails`, a replicated_dbox.
template <class Owner, class Index>
class body_keeper : public std::enable_shared_from_this<body_keeper<Owner, Index>> {
public:
    static constexpr std::uint32_t retry_ms = 1000;
    static constexpr std::size_t rows_at_once = 4096;  ///< looked at before others have their turn

    body_keeper(std::weak_ptr<Owner> owner, std::weak_ptr<Index> index) : owner_(std::move(owner)), index_(std::move(index)) {}

    static asio::awaitable<void> run(std::shared_ptr<body_keeper> self) {
        try {
            co_await self->go_on();
        } catch (std::system_error const&) {  // the journal is closed, or the node stops
        }
    }

private:
    struct lack {
        uid_t uid;
        guid id;
        std::uint64_t size;
    };
    enum class state : std::uint8_t { gone, more, complete };

    asio::awaitable<void> go_on() {
        auto const executor = co_await asio::this_coro::executor;
        auto first = index_.lock();
        if (!first) co_return;
        auto watch = first->watch();
        first.reset();
        for (;;) {
            std::vector<lack> lacking;
            auto const found = look(lacking);
            if (found == state::gone) co_return;
            for (auto const& l : lacking) {
                ++under_way_;
                asio::co_spawn(executor, fetch(this->shared_from_this(), l), asio::detached);
            }
            if (found == state::more && under_way_ == 0) {
                ++under_way_;
                asio::co_spawn(executor, give_others_a_turn(this->shared_from_this()), asio::detached);
            }
            if (under_way_ > 0) {
                co_await ended_.wait();
            } else if (found == state::complete && failed_) {
                next_ = std::min(next_, *failed_);
                failed_.reset();
                co_await pause();
            } else if (found == state::complete) {
                co_await watch.changed();
            }
        }
    }
    // From where it left off: as many as may be fetched now.
    state look(std::vector<lack>& lacking) {
        auto const owner = owner_.lock();
        auto const index = index_.lock();
        if (!owner || !index || !owner->mails.is_open()) return state::gone;
        auto const& s = index->state();
        if (auto const epoch = s.stream().at.epoch; epoch != epoch_) {  // a fold may have brought rows of any number
            epoch_ = epoch;
            next_ = 1;
        }
        auto const room = owner->mails.fetched_at_once() - std::min(under_way_, owner->mails.fetched_at_once());
        auto const& rows = s.rows();
        std::size_t seen = 0;
        for (auto row = rows.lower_bound(next_); row < rows.count(); ++row) {
            if (lacking.size() == room || ++seen > rows_at_once) return state::more;
            next_ = rows.uid[row] + 1;
            if (!s.find(rows.uid[row]) || !rows.where[row] || owner->mails.has(rows.id[row])) continue;
            lacking.push_back({rows.uid[row], rows.id[row], rows.size[row]});
        }
        return state::complete;
    }
    static asio::awaitable<void> fetch(std::shared_ptr<body_keeper> self, lack l) {
        bool failed = false;
        try {
            if (auto const owner = self->owner_.lock()) co_await owner->mails.fetch(l.id, l.size);
        } catch (std::system_error const&) {
            failed = true;
        }
        if (failed && !mutated(body_mutant::failed_fetch_forgotten)) self->failed_ = std::min(self->failed_.value_or(l.uid), l.uid);
        --self->under_way_;
        self->ended_.raise();
    }
    static asio::awaitable<void> give_others_a_turn(std::shared_ptr<body_keeper> self) {
        --self->under_way_;
        self->ended_.raise();
        co_return;
    }
    asio::awaitable<void> pause() {
        auto owner = owner_.lock();
        if (!owner) co_return;
        auto transport = owner->mails.set().transport();
        owner.reset();
        co_await transport.wait(retry_ms);
    }

    std::weak_ptr<Owner> owner_;
    std::weak_ptr<Index> index_;
    std::uint32_t epoch_ = 0;
    uid_t next_ = 1;             // rows below it were looked at
    std::optional<uid_t> failed_;  // the lowest of those that could not be had
    std::size_t under_way_ = 0;
    signal ended_;
};

}  // namespace mailfs::detail
