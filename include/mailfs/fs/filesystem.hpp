// SPDX-License-Identifier: BSL-1.0
// The filesystem concept: all that the core asks of a backend. No rename, no lock, no overwrite, no truncate.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/durability.hpp>

#include <asio/awaitable.hpp>

#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace mailfs {

/// A circle of writers, each wider than the one before.
enum class scope : std::uint8_t { process, host, cluster };
/// How long one read takes, as an order of magnitude; drives the default read-ahead.
enum class latency : std::uint8_t { memory, disk, network };

/// What a backend promises, known when the program is compiled.
struct fs_traits {
    scope reach;                      ///< who can open the same files
    scope appends_ordered;            ///< over which writers appends have one order and never interleave
    bool map_is_zero_copy;            ///< map() shares pages instead of reading into a buffer
    bool reads_coherent;              ///< a read sees every append that was acknowledged before, from anywhere in reach
    latency read_latency;
    std::uint64_t append_size_max;    ///< bytes of the largest single append
};

namespace detail {
template <class A>
struct awaited {};
template <class T, class E>
struct awaited<asio::awaitable<T, E>> {
    using type = T;
};
}  // namespace detail

/// An asio::awaitable that yields T.
template <class A, class T>
concept awaitable_of = std::same_as<typename detail::awaited<std::remove_cvref_t<A>>::type, T>;

/// The bytes of a file at one moment, private to the holder: writing to them changes no file.
/// Lives independently of the file and the filesystem it came from.
template <class M>
concept file_mapping = std::movable<M> && requires(M m) {
    { m.bytes() } -> std::same_as<std::span<std::byte>>;  // aligned to 64 bytes at least
};

/// An open file: reads anywhere, appends at the end. Belongs to one executor.
template <class F>
concept append_file = std::movable<F> && requires(F f, bytes_view bytes, std::span<std::byte> buffer, std::uint64_t offset) {
    requires file_mapping<typename F::mapping>;
    { f.append(bytes) } -> awaitable_of<std::uint64_t>;      // whole and unmixed; where the bytes begin. On an error
                                                             // they may be absent, torn at the tail or whole
    { f.read(offset, buffer) } -> awaitable_of<std::size_t>; // bytes read; short only at the end of the file
    { f.size() } -> awaitable_of<std::uint64_t>;             // bytes, a torn tail included
    { f.sync() } -> awaitable_of<void>;                      // all appended so far, by anyone, outlives a power cut, and
                                                             // so does the name. Failed once, it fails for ever
    { f.map() } -> awaitable_of<typename F::mapping>;        // the whole file as it is now
};

/// A file whose appends never wait, since a cache takes them: a plain call does what append() promises. What appends in
/// lock-step saves a coroutine for each.
template <class F>
concept immediate_append_file = append_file<F> && requires(F f, bytes_view bytes) {
    { f.append_now(bytes) } -> std::same_as<std::uint64_t>;
};

/// A tree of files. A value: copies share the same root. Paths are relative, separated by '/', made by the library
/// (never from a user's words); directories come into being with their first file.
template <class Fs>
concept filesystem =
    std::copyable<Fs> && append_file<typename Fs::file> && requires(Fs fs, std::string_view path, bytes_view bytes, durability d) {
        requires std::same_as<std::remove_cvref_t<decltype(Fs::traits)>, fs_traits>;
        requires std::bool_constant<(Fs::traits.append_size_max > 0)>::value;  // a compile-time constant
        { fs.open(path) } -> awaitable_of<std::optional<typename Fs::file>>;   // nothing: no such file
        { fs.create(path, bytes, d) } -> awaitable_of<bool>;  // the whole file or nothing, exclusively; false: it was
                                                              // there, and stays as it was. stored: the name appears
                                                              // when the bytes are durable, the call returns when the name
                                                              // is, be it true or false
        { fs.list(path) } -> awaitable_of<std::vector<std::string>>;  // names in a directory, any order; none: empty
        { fs.remove(path) } -> awaitable_of<bool>;            // a file, or an empty directory; false: nothing was removed.
                                                              // Whoever has it open reads on. Durable with the next
                                                              // create(stored) in the same directory
    };

/// A filesystem in which a whole file, which gets no more appends, may have several names; its bytes go with the last of them.
template <class Fs>
concept linking_filesystem = filesystem<Fs> && requires(Fs fs, std::string_view from, std::string_view to, durability d) {
    { fs.link(from, to, d) } -> awaitable_of<bool>;  // true: `to` is a name of it, too, by this call. false: `to` was there, and
                                                     // stays; or `from` was not, or the file gets no more names, and who asked
                                                     // makes a copy. stored: `to` is durable on return where it is there, be
                                                     // it true or false, if the bytes are
};

/// A filesystem that can put a whole file, to which nobody appends any more, on cheaper storage; its path stays. Answers its bytes;
/// nothing: it is there already, or not at all.
template <class Fs>
concept tiered_filesystem = filesystem<Fs> && requires(Fs fs, std::string_view path) {
    { fs.move_down(path) } -> awaitable_of<std::optional<std::uint64_t>>;
};

/// A filesystem that can tell when something in a directory changed; without it the caller polls.
/// changed() completes once a file directly in the directory grew, appeared or went since the watch was made or
/// since the last completion; it may wake for nothing. Asio's cancellation ends it. Where there is no such directory, or
/// no more, it throws not_found.
template <class Fs>
concept watchable_filesystem = filesystem<Fs> && requires(Fs fs, std::string_view directory, typename Fs::watch w) {
    requires std::movable<typename Fs::watch>;
    { fs.watch_directory(directory) } -> awaitable_of<typename Fs::watch>;
    { w.changed() } -> awaitable_of<void>;
};

}  // namespace mailfs
