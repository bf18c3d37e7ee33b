// SPDX-License-Identifier: BSL-1.0
// The replication concept: who decides the order of transactions, and how a caller learns what became of one.
#pragma once

#include <mailfs/fs/filesystem.hpp>
#include <mailfs/host/host.hpp>
#include <mailfs/log/log_options.hpp>
#include <mailfs/log/state_machine.hpp>
#include <mailfs/types/durability.hpp>

#include <concepts>
#include <string>

namespace mailfs {

/// R::on<Log, Fs, M>: one state machine under this policy, called a journal. `standalone` lets the filesystem's
/// appends order transactions; a multi-master policy lets the object's present master order them. Both suit the
/// same callers: propose, wait for the outcome (which says at what position), read on to see what others did.
template <class R, class Log, class Fs, class M>
concept replication =
    std::copyable<R> && host<typename R::host_type> && filesystem<Fs> && state_machine<M> &&
    std::constructible_from<typename R::template on<Log, Fs, M>, Fs, std::string, R, log_options> &&
    requires(typename R::template on<Log, Fs, M>& journal, typename R::template on<Log, Fs, M> const& constant, guid object,
             bytes_view operations, durability d) {
        { journal.create(object, operations) } -> awaitable_of<bool>;    // on stable storage; false: it was there
        { journal.open() } -> awaitable_of<bool>;                        // false: no such object
        { journal.propose(operations, d) } -> awaitable_of<typename M::outcome>;  // took its place in the stream, and
                                                                         // lasts as d says; outcome.at is its position
        { journal.catch_up() } -> awaitable_of<bool>;                    // true: the stream went on, state() with it
        { journal.sync() } -> awaitable_of<void>;                        // all that state() knows is on stable storage
        { constant.state() } -> std::same_as<M const&>;
        { constant.watch().changed() } -> awaitable_of<void>;            // wakes when catch_up() may have something; as change_watch
        { journal.machine() } -> std::same_as<M&>;                       // what views are made on
    };

}  // namespace mailfs
