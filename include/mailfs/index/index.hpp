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

namespace detail {

/// The journal that an index is. A policy that does not fit is named in a sentence, before anything else is tried with it.
template <class Log, class Fs, class Replication>
struct index_journal {
    static_assert(filesystem<Fs>,
                  "mailfs: index<Log, Fs, Replication>: Fs is no filesystem: see below for what it lacks, and fs/filesystem.hpp "
                  "for what each verb must do");
    struct type {};
};
template <class Log, filesystem Fs, class Replication>
struct index_journal<Log, Fs, Replication> {
    using type = typename Replication::template on<Log, Fs, mailbox_state>;
    static_assert(sizeof(type) > 0);  // what it says of its policies comes first, not from the depth of a concept
    static_assert(replication<Replication, Log, Fs, mailbox_state>,
                  "mailfs: index<Log, Fs, Replication>: Replication does not model replication, see replication/replication.hpp");
};

}  // namespace detail

/// A journal of mailbox_state with views on it. Belongs to one executor; must outlive its views.
template <class Log, class Fs, class Replication>
class index : public detail::index_journal<Log, Fs, Replication>::type {
    using base = typename detail::index_journal<Log, Fs, Replication>::type;

public:
    using fs_type = Fs;
    using host_type = typename Replication::host_type;
    using replication_type = Replication;
    /// The same policies around another state machine.
    template <state_machine M>
    using journal = typename Replication::template on<Log, Fs, M>;

    using base::base;

    view make_view() { return view(base::machine()); }
};

}  // namespace mailfs
