// SPDX-License-Identifier: BSL-1.0
// One body on its way to this node's disk: whom to ask, what came, and whether it is whole. No I/O, no clock of its own.
#pragma once

#include <mailfs/detail/signal.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/peer_codec.hpp>
#include <mailfs/format/peer_message.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/guid.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// Memory grows with the bytes that came, never with what a peer says that will come.
class body_transfer {
public:
    explicit body_transfer(guid const& of) : id(of) {}
    body_transfer(body_transfer const&) = delete;
    body_transfer& operator=(body_transfer const&) = delete;

    enum class step : std::uint8_t {
        ignored,  ///< nobody asked for it, or another peer was faster
        more,     ///< want(next()) from the source
        whole,    ///< all is there and its checksum fits: take()
        again,    ///< the source is given up; ask others
    };

    /// Takes a piece of `node`, which must have been asked.
    step receive(std::uint32_t node, format::peer_body&& m, std::uint64_t now_ms, std::uint64_t size_max) {
        if (writing || ended || !asked.contains(node) || failed.contains(node)) return step::ignored;
        if (source != 0 && source != node) {
            asked.erase(node);  // it may be asked again, should this source be lost
            return step::ignored;
        }
        bool const fits = m.size <= size_max && (!expected || m.size == *expected);
        if (!fits) return give_up(node);
        if (told_ && !is_same(*told_, m)) {  // another's bytes are no beginning of this
            if (source == node) return give_up(node);
            start_anew();
        }
        if (m.offset != bytes_.size()) {
            if (source == node) return step::ignored;  // twice
            source = node;
            heard_ms = now_ms;
            return step::more;
        }
        source = node;
        heard_ms = now_ms;
        bytes_.insert(bytes_.end(), m.bytes.begin(), m.bytes.end());
        told_ = std::move(m);
        told_->bytes = {};
        if (bytes_.size() < told_->size) return step::more;
        if (format::body_checksum(id, bytes_) == told_->checksum) return step::whole;
        start_anew();
        return give_up(node);
    }
    std::uint64_t next() const noexcept { return bytes_.size(); }
    /// What is told of a whole one, and its bytes, which stay until the transfer ends.
    format::peer_body const& told() const noexcept { return *told_; }
    bytes_view bytes() const noexcept { return bytes_; }
    std::size_t size() const noexcept { return bytes_.size(); }

    /// Nothing more of this peer is taken.
    step give_up(std::uint32_t node) {
        failed.insert(node);
        if (source == node) source = 0;
        return step::again;
    }

    guid const id;
    std::optional<std::uint64_t> expected;         ///< bytes, where an index tells
    std::size_t at_once = 1;                       ///< so many are asked at the same time
    std::uint32_t source = 0;                      ///< whose pieces are taken; 0: nobody's yet
    std::uint64_t heard_ms = 0;                    ///< of the source
    std::map<std::uint32_t, std::uint64_t> asked;  ///< and when
    std::set<std::uint32_t> absent, failed;        ///< who has none; who will not be asked any more
    std::set<std::uint32_t> owed;                  ///< who offered it, and waits to hear that it is here
    std::uint64_t reserved = 0;                    ///< bytes that the offer was for
    bool writing = false, ended = false;
    errc why{};                                    ///< once it ended; none: it is on this node's disk
    signal done;

private:
    static bool is_same(format::peer_body const& a, format::peer_body const& b) noexcept { return a.size == b.size && a.checksum == b.checksum; }
    void start_anew() noexcept {
        told_.reset();
        std::vector<std::byte>().swap(bytes_);
    }

    std::optional<format::peer_body> told_;  // without bytes
    std::vector<std::byte> bytes_;
};

}  // namespace mailfs::detail
