// SPDX-License-Identifier: BSL-1.0
// Stores that keep the rows of a mailbox, ours and others, behind one face, so that all are asked the same in one run.
//
// A row: UID, flags, MODSEQ, size, dates, guid and place of the body. Each store is used as its own manual advises:
// prepared statements, integer keys, one transaction for each change. A file peer_X.cpp registers the kinds of X; which are
// built is up to Meson, which looks for their libraries.
#pragma once

#include "bench.hpp"

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// What one process is to do until it is told to stop.
class load {
public:
    load(std::atomic<bool> const& stop, std::uint64_t rows, std::uint64_t seed) : stop_(stop), rows_(rows), state_(seed * 2 + 1) {}

    bool more() const noexcept { return !stop_.load(std::memory_order_relaxed); }
    /// Any of the rows, 1 to rows.
    std::uint32_t uid() noexcept {
        state_ = state_ * 6'364'136'223'846'793'005U + 1'442'695'040'888'963'407U;
        return static_cast<std::uint32_t>(1 + (state_ >> 33) % rows_);
    }

private:
    std::atomic<bool> const& stop_;
    std::uint64_t rows_;
    std::uint64_t state_;
};

/// One process's hold on a table of rows. Throws std::runtime_error when its library does.
class peer {
public:
    virtual ~peer() = default;
    /// Rows with the UIDs first..last-1, as bench::message() has them, in bulk.
    virtual void fill(std::uint64_t first, std::uint64_t last) = 0;
    /// One flag of one row after another, each with a MODSEQ of its own and in a transaction of its own. How many.
    virtual std::uint64_t change_flags(load) = 0;
    /// One row after another, each in a transaction of its own. How many. `first`: a UID that is free, like all above.
    virtual std::uint64_t append(load, std::uint64_t first) = 0;
    /// Sum of the UIDs without \Seen, by reading UID and flags of all rows in order.
    virtual std::uint64_t sum_unseen() = 0;
};

enum class lasting : std::uint8_t {
    killed,  ///< a change that was made outlives its process, and not the power: as a server makes flag changes
    stored,  ///< each change is on stable storage when the call returns
    unsafe,  ///< a power cut may destroy the whole file
};

struct peer_kind {
    std::string_view name;
    lasting lasts;
    std::unique_ptr<peer> (*open)(std::filesystem::path const& directory);  ///< makes the table where there is none
};

/// In the order of their names; making a registration at namespace scope adds one.
std::vector<peer_kind> const& peer_kinds();
struct peer_registration {
    explicit peer_registration(peer_kind kind);
};

}  // namespace bench
