// SPDX-License-Identifier: BSL-1.0
// Objects that all sessions of one executor share: found by key while anyone has them, the latest used kept open.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/detail/turns.hpp>

#include <asio/awaitable.hpp>

#include <cstddef>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// Belongs to one executor. Keeps `kept_max` objects alive by itself; beyond those, what someone else holds.
template <class Key, class Value>
class shared_cache {
public:
    explicit shared_cache(std::size_t kept_max) : kept_max_(kept_max) {}

    /// The object under this key; if nobody has it, what `load` yields (null: there is none, and nothing is kept). Of
    /// callers that come at once one loads, the others wait for it. `load` does not begin when it is not needed.
    asio::awaitable<std::shared_ptr<Value>> get(Key key, asio::awaitable<std::shared_ptr<Value>> load) {
        auto const mine = slot_of(key);
        auto value = mine->value.lock();
        if (!value) {
            if (!mine->loading.try_take()) co_await mine->loading.wait();
            turn const loading(mine->loading);
            value = mine->value.lock();
            if (!value) {
                value = co_await std::move(load);
                mine->value = value;
            }
        }
        if (value) keep(key, value);
        co_return value;
    }

    /// The object, if somebody has it or it is kept; it is not kept for longer by this.
    std::shared_ptr<Value> find(Key const& key) const {
        auto const found = slots_.find(key);
        return found == slots_.end() ? nullptr : found->second->value.lock();
    }

    /// Of all objects that there are.
    std::vector<Key> keys() const {
        std::vector<Key> all;
        for (auto const& [key, held] : slots_)
            if (!held->value.expired()) all.push_back(key);
        return all;
    }

    /// Forgets the object: who holds it goes on, the next get() loads anew.
    void drop(Key const& key) {
        slots_.erase(key);
        kept_.remove_if([&](auto const& entry) { return entry.first == key; });
    }

private:
    struct slot {
        turns loading;
        std::weak_ptr<Value> value;
    };

    std::shared_ptr<slot> slot_of(Key const& key) {
        if (slots_.size() >= prune_at_) prune();
        auto& found = slots_[key];
        if (!found) found = std::make_shared<slot>();
        return found;
    }
    // Amortised O(log slots): the threshold is twice what was left.
    void prune() {
        for (auto it = slots_.begin(); it != slots_.end();)
            it = it->second.use_count() == 1 && it->second->value.expired() ? slots_.erase(it) : std::next(it);
        prune_at_ = slots_.size() * 2 + 16;
    }
    void keep(Key const& key, std::shared_ptr<Value> const& value) {
        for (auto it = kept_.begin(); it != kept_.end(); ++it)
            if (it->first == key) {
                it->second = value;
                kept_.splice(kept_.begin(), kept_, it);
                return;
            }
        kept_.emplace_front(key, value);
        if (kept_.size() > kept_max_) kept_.pop_back();
    }

    std::size_t kept_max_;
    std::size_t prune_at_ = 16;
    std::map<Key, std::shared_ptr<slot>> slots_;
    std::list<std::pair<Key, std::shared_ptr<Value>>> kept_;  // latest used first
};

}  // namespace mailfs::detail
