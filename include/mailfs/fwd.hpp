// SPDX-License-Identifier: BSL-1.0
// Every public template once, with its policy defaults. The headers that define them include this.
#pragma once

#include <mailfs/dbox/message_format.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/host/host.hpp>
#include <mailfs/host/system_host.hpp>
#include <mailfs/transport/transport.hpp>

namespace mailfs {

// fs: filesystems, and what makes another out of one
class memory_fs;
class posix_fs;
template <filesystem Fast, filesystem Slow>
class tiered;
template <filesystem Fs>
class counting_fs;
template <filesystem Fs>
class latency_fs;
template <filesystem Fs = memory_fs>
class faulty_fs;
template <filesystem Fs>
class change_watch;

// log, index, replication: a mailbox as a stream of transactions
struct lockless_log;
template <class>
class basic_mailbox_state;
using mailbox_state = basic_mailbox_state<void>;
class view;
template <host Host = system_host>
class basic_standalone;
using standalone = basic_standalone<>;
template <transport Transport, host Host = system_host>
class replica_set;
struct own_disks;
struct shared_store;
template <transport Transport, host Host = system_host, class Arbiter = own_disks>
class multimaster;
template <class Log, class Fs, class Replication = standalone>
class index;

// dbox: mail bodies
template <filesystem Fs, host Host = system_host>
class single_dbox;
template <filesystem Fs, host Host = system_host>
class multi_dbox;

template <message_format Format, transport Transport, host Host = system_host>
class replicated_dbox;

// cache: what was parsed out of messages once
template <filesystem Fs, host Host = system_host>
class append_cache;

// store: what programs touch
template <class>
class basic_tree_state;
using tree_state = basic_tree_state<void>;
template <class Reader>
class fetch_pipeline;
template <class Index, message_format Format = multi_dbox<typename Index::fs_type, typename Index::host_type>>
class store;
template <class Index, message_format Format>
class account;
template <class Index, message_format Format>
class mailbox;
template <class Index, message_format Format>
class past_mailbox;
template <class Index, message_format Format>
class purger;

}  // namespace mailfs
