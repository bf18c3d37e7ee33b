// SPDX-License-Identifier: BSL-1.0
// The host concept: what the library may know of the world outside its files: time, randomness, who we are.
#pragma once

#include <mailfs/types/guid.hpp>

#include <concepts>
#include <cstdint>

namespace mailfs {

/// A policy, so that a simulation can run the very code that production runs. A value; copies share what they share.
template <class H>
concept host = std::copyable<H> && requires(H& h) {
    { h.now_ms() } -> std::same_as<std::uint64_t>;  // wall clock, milliseconds since 1970; may jump
    { h.random() } -> std::same_as<std::uint64_t>;  // unpredictable to strangers, from any thread
    { h.boot() } -> std::same_as<guid>;             // the same for all processes until a power cut can lose unsynced bytes
    { h.node() } -> std::same_as<std::uint32_t>;    // configured number of this server, 0 alone
};

}  // namespace mailfs
