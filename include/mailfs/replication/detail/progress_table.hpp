// SPDX-License-Identifier: BSL-1.0
// How far each member has come in one epoch: what durability levels are made of.
#pragma once

#include <mailfs/format/peer_message.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>

namespace mailfs::detail {

/// Of one epoch: what stood before it is with everyone who has an entry.
class progress_table {
public:
    static constexpr std::size_t nodes_max = 64;

    struct entry {
        std::uint32_t in_memory = 0, on_disk = 0;
        std::uint32_t via = 0;  ///< the follower that told it
        std::uint64_t late_since = 0;
        bool lags = false;      ///< does not count where so many are asked for
    };

    std::uint32_t epoch() const noexcept { return epoch_; }
    /// But for those that lag.
    std::size_t count() const noexcept {
        return static_cast<std::size_t>(std::count_if(nodes_.begin(), nodes_.end(), [](auto const& n) { return !n.second.lags; }));
    }
    std::map<std::uint32_t, entry> const& nodes() const noexcept { return nodes_; }

    void begin(std::uint32_t epoch) {
        epoch_ = epoch;
        nodes_.clear();
    }
    void go_on(std::uint32_t epoch) noexcept { epoch_ = epoch; }
    /// True: it is news.
    bool note(std::uint32_t node, std::uint32_t in_memory, std::uint32_t on_disk, std::uint32_t via) {
        auto const [it, is_new] = nodes_.try_emplace(node, entry{in_memory, on_disk, via, 0, false});
        if (is_new) return true;
        auto& e = it->second;
        bool const news = in_memory > e.in_memory || on_disk > e.on_disk;
        e.in_memory = std::max(e.in_memory, in_memory);
        e.on_disk = std::max(e.on_disk, on_disk);
        e.via = via;
        return news;
    }
    /// Who hangs on this follower is out of reach.
    bool drop(std::uint32_t follower) {
        return std::erase_if(nodes_, [&](auto const& n) { return n.second.via == follower; }) > 0;
    }
    /// What a follower says of itself, and of those behind it, replaces what it said before. True: it is news.
    bool replace_behind(std::uint32_t follower, format::peer_progress const& told, std::uint32_t self) {
        std::map<std::uint32_t, entry> now;
        for (auto const& n : told.nodes)
            if (n.node != self && now.size() < nodes_max) now.insert_or_assign(n.node, entry{n.in_memory, n.on_disk, follower, 0, false});
        bool news = std::erase_if(nodes_, [&](auto const& n) { return n.second.via == follower && !now.contains(n.first); }) > 0;
        for (auto const& [node, e] : now) {
            auto& mine = nodes_[node];
            news = news || mine.in_memory != e.in_memory || mine.on_disk != e.on_disk || mine.via != follower;
            mine.in_memory = e.in_memory, mine.on_disk = e.on_disk, mine.via = e.via;
        }
        return news;
    }
    /// Who has been behind `floor` for so long lags until it is there. Answers how many begin to.
    std::size_t judge(std::uint32_t floor, std::uint64_t now, std::uint32_t patience_ms) noexcept {
        std::size_t begin = 0;
        for (auto& [node, e] : nodes_) {
            if (e.in_memory >= floor) {
                e.late_since = 0;
                e.lags = false;
                continue;
            }
            if (e.late_since == 0) e.late_since = now;
            if (e.lags || e.late_since + patience_ms > now) continue;
            e.lags = true;
            ++begin;
        }
        return begin;
    }
    /// When judge() may find that somebody lags, if nothing else happens; 0: nobody is late.
    std::uint64_t late_due(std::uint32_t patience_ms) const noexcept {
        std::uint64_t due = 0;
        for (auto const& [node, e] : nodes_)
            if (e.late_since != 0 && !e.lags && (due == 0 || e.late_since + patience_ms < due)) due = e.late_since + patience_ms;
        return due;
    }
    /// What the master says replaces what is here.
    void replace(format::peer_progress const& told, std::uint32_t via) {
        begin(told.epoch);
        for (auto const& n : told.nodes) note(n.node, n.in_memory, n.on_disk, via);
    }

    /// There is a node here that is not there.
    bool has_more_nodes(progress_table const& other) const noexcept {
        return std::any_of(nodes_.begin(), nodes_.end(), [&](auto const& n) { return !other.nodes_.contains(n.first); });
    }
    bool has_heard_of(std::uint32_t node) const noexcept { return nodes_.contains(node); }
    bool has_on_disk(std::uint32_t node, position at) const noexcept {
        auto const it = nodes_.find(node);
        return it != nodes_.end() && epoch_ == at.epoch && it->second.on_disk >= at.n;
    }
    bool has_in_memory(std::uint32_t node, position at) const noexcept {
        auto const it = nodes_.find(node);
        return it != nodes_.end() && epoch_ == at.epoch && it->second.in_memory >= at.n;
    }
    std::uint32_t on_disk_max() const noexcept {
        std::uint32_t most = 0;
        for (auto const& [node, e] : nodes_) most = std::max(most, e.on_disk);
        return most;
    }
    /// How many have this position, of this epoch or one before it, in memory or on disk.
    std::size_t holders(position at, bool on_disk) const noexcept {
        if (at.epoch < epoch_) return nodes_.size();
        return static_cast<std::size_t>(std::count_if(nodes_.begin(), nodes_.end(), [&](auto const& n) {
            return (on_disk ? n.second.on_disk : n.second.in_memory) >= at.n;
        }));
    }

private:
    std::uint32_t epoch_ = 0;
    std::map<std::uint32_t, entry> nodes_;
};

}  // namespace mailfs::detail
