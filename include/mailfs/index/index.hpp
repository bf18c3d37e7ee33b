// SPDX-License-Identifier: BSL-1.0
// index: the state of one mailbox, kept by a log, on a filesystem, in an order that the replication policy decides.
#pragma once

#include <mailfs/fs/filesystem.hpp>
#include <mailfs/fwd.hpp>
#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/index/view.hpp>
#include <mailfs/log/lockless_log.hpp>
#include <mailfs/replication/replication.hpp>
#include <mailfs/replication/standalone.hpp>

#include <string>
#include <utility>

namespace mailfs {

/// A journal of mailbox_state with views on it. Belongs to one executor; must outlive its views.
template <class Log, filesystem Fs, class Replication>
class index : public Replication::template on<Log, Fs, mailbox_state> {
    using base = typename Replication::template on<Log, Fs, mailbox_state>;
    static_assert(replication<Replication, Log, Fs, mailbox_state>, "mailfs: the replication policy does not model replication");

public:
    using fs_type = Fs;
    using host_type = typename Replication::host_type;
    using replication_type = Replication;
    /// The same policies around another state machine.
    template <state_machine M>
    using journal = typename Replication::template on<Log, Fs, M>;

    using base::base;

    view make_view() { return view(base::log().machine()); }
};

}  // namespace mailfs
