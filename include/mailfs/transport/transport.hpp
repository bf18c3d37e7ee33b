// SPDX-License-Identifier: BSL-1.0
// The transport concept: streams of bytes between nodes, and the clock that times them.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/types/bytes.hpp>

#include <asio/awaitable.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

namespace mailfs {

/// A stream of bytes in both directions, in order, which may end at any byte. Belongs to one executor; one read and one
/// write may be under way at once. After close() both throw closed; the other side reads what was on its way, or not.
template <class L>
concept transport_link = std::movable<L> && requires(L l, std::span<std::byte> buffer, bytes_view bytes) {
    { l.read_some(buffer) } -> awaitable_of<std::size_t>;  // 1..buffer.size() bytes; 0: the other side has ended it
    { l.write(bytes) } -> awaitable_of<void>;              // all of them taken, not yet read by anyone
    { l.close() };                                         // at once; again is nothing
};

/// What reaches other nodes. A value: copies share the same node. Errors are mailfs::error with io (unreachable, reset)
/// or closed.
template <class T>
concept transport = std::copyable<T> && transport_link<typename T::link> && requires(T t, std::uint32_t node, std::uint32_t ms) {
    { t.connect(node) } -> awaitable_of<typename T::link>;  // a new link to that node, or io, in bounded time
    { t.accept() } -> awaitable_of<typename T::link>;       // the next that another node made to us; closed after stop()
    { t.stop() };                                           // no more links; connects, accepts and waits end with closed
    { t.steady_ms() } -> std::same_as<std::uint64_t>;       // never goes back
    { t.wait(ms) } -> awaitable_of<void>;                   // so long; closed after stop()
};

}  // namespace mailfs
