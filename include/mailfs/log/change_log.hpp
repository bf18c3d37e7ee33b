// SPDX-License-Identifier: BSL-1.0
// The change_log concept: a policy that keeps a state machine in files, and how a replication policy drives it.
#pragma once

#include <mailfs/fs/filesystem.hpp>
#include <mailfs/host/host.hpp>
#include <mailfs/log/state_machine.hpp>

#include <concepts>
#include <optional>

namespace mailfs {

/// Log::on<Fs, Host, M>: load, read on, append under a given identity, sync. See lockless_log for what each promises.
template <class Log, class Fs, class Host, class M>
concept change_log = filesystem<Fs> && host<Host> && state_machine<M> &&
                     requires(typename Log::template on<Fs, Host, M>& log, guid object, dot id, stamp when, bytes_view operations) {
                         { log.create(object, id, when, operations) } -> awaitable_of<bool>;
                         { log.open() } -> awaitable_of<bool>;
                         { log.catch_up() } -> awaitable_of<bool>;
                         { log.append(id, when, operations) } -> awaitable_of<typename Log::template on<Fs, Host, M>::appended>;
                         { log.append_at_once(id, when, operations) } ->
                             std::same_as<std::optional<typename Log::template on<Fs, Host, M>::appended>>;  // nothing: await append()
                         { log.sync() } -> awaitable_of<void>;
                         { log.machine() } -> std::same_as<M&>;
                     };

}  // namespace mailfs
