// SPDX-License-Identifier: BSL-1.0
// What waits to be sent over one link: urgent things first, and never one message of a mailbox before another of it.
#pragma once

#include <mailfs/format/peer_frame.hpp>
#include <mailfs/format/peer_message.hpp>
#include <mailfs/types/bytes.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <variant>
#include <vector>

namespace mailfs::detail {

/// Frames in four lanes: control, pushes, snapshots, bodies. A lane is sent only while those before it are empty, so snapshots
/// get what pushes leave over. A mailbox whose push waits has what follows wait behind it, in the same lane; between bodies there
/// is no order, since each says which it is. O(1) a frame.
class send_queue {
public:
    static constexpr std::size_t lanes = 4;

    static std::size_t lane_of(format::peer_message const& m) noexcept {
        if (std::holds_alternative<format::peer_push>(m)) return 1;
        if (std::holds_alternative<format::peer_body>(m)) return 3;
        return std::holds_alternative<format::peer_snapshot>(m) ? 2 : 0;
    }

    bool empty() const noexcept { return size_ == 0; }
    std::size_t size() const noexcept { return size_; }  ///< bytes

    /// Throws too_big, with nothing changed, when the message does not fit into a frame.
    void push(std::uint64_t channel, format::peer_message const& m) {
        auto const number = lane_for(channel, lane_of(m));
        auto& l = lanes_[number];
        auto const before = l.bytes.size();
        format::encode_frame(l.bytes, channel, m);
        auto const size = l.bytes.size() - before;
        l.frames.push_back({channel, size});
        size_ += size;
        if (number == 0 || number == 3 || channel == 0) return;
        auto& last = waiting_[channel];
        last.count = last.lane == number ? last.count + 1 : 1;
        last.lane = number;
    }

    /// Moves whole frames to the end of `out`, until it has `most` bytes or nothing waits; one at least.
    void take(std::vector<std::byte>& out, std::size_t most) {
        for (std::size_t n = 0; n < lanes; ++n)
            while (!lanes_[n].empty()) {
                auto const f = lanes_[n].frames[lanes_[n].first];
                if (!out.empty() && out.size() + f.size > most) return;
                lanes_[n].take(out);
                size_ -= f.size;
                if (n > 0 && n < 3) gone(f.channel, n);
            }
    }

private:
    struct waiting_frame {
        std::uint64_t channel;
        std::size_t size;
    };
    struct lane {
        std::vector<std::byte> bytes;
        std::vector<waiting_frame> frames;
        std::size_t begin = 0, first = 0;  // of what was not taken

        bool empty() const noexcept { return first == frames.size(); }
        void take(std::vector<std::byte>& out) {
            auto const size = frames[first].size;
            auto const from = bytes.begin() + static_cast<std::ptrdiff_t>(begin);
            out.insert(out.end(), from, from + static_cast<std::ptrdiff_t>(size));
            begin += size;
            ++first;
            if (empty()) clear();
            else if (begin > bytes.size() / 2) drop_taken();
        }
        void clear() {
            constexpr std::size_t keep = 64U << 10;
            if (bytes.capacity() > keep) std::vector<std::byte>().swap(bytes);
            bytes.clear();
            frames.clear();
            begin = first = 0;
        }
        void drop_taken() {
            bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(begin));
            frames.erase(frames.begin(), frames.begin() + static_cast<std::ptrdiff_t>(first));
            begin = first = 0;
        }
    };
    // The last lane in which frames of a mailbox wait, and how many of them there.
    struct last_lane {
        std::size_t lane = 0, count = 0;
    };

    std::size_t lane_for(std::uint64_t channel, std::size_t own) const {
        if (channel == 0 || waiting_.empty()) return own;
        auto const found = waiting_.find(channel);
        return found == waiting_.end() ? own : std::max(own, found->second.lane);
    }
    void gone(std::uint64_t channel, std::size_t number) {
        auto const found = waiting_.find(channel);
        if (found != waiting_.end() && found->second.lane == number && --found->second.count == 0) waiting_.erase(found);
    }

    std::array<lane, lanes> lanes_;
    std::unordered_map<std::uint64_t, last_lane> waiting_;  // never walked: its order reaches nobody
    std::size_t size_ = 0;
};

}  // namespace mailfs::detail
