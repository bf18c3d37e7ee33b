// SPDX-License-Identifier: BSL-1.0
// What all sessions share and none changes, and the types they take from the store.
#pragma once

#include "limits.hpp"
#include "users.hpp"

#include <mailfs/config.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/log/log_options.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace imapd {

/// Made by main() before the threads, read by all of them.
struct settings {
    imapd::users users = imapd::users::any("");
    std::size_t message_size_max = limits::message_size_max;
    std::string host_name = "localhost";
    std::string shared_account;  ///< whose mailboxes everyone has, below "Shared/"; empty: there are none
};

/// What the command line says besides.
struct options {
    std::string root;
    std::string fs = "posix";   ///< or pooled, uring, memory
    std::string alt;            ///< where old mail lies; empty: with the rest
    double alt_after = 30;      ///< days
    std::string imap_endpoint = "127.0.0.1:1143";
    std::string lmtp_endpoint = "127.0.0.1:1024";
    bool stored = true;  ///< --durability stored
    unsigned threads = 2;
    std::uint64_t rotate_size = mailfs::log_options{}.rotate_size_min;
    double purge_interval = 5;  ///< seconds; 0: never
    double grace = 3600;        ///< seconds
    double history = 0;         ///< seconds
    double read_latency = 0;    ///< milliseconds, in memory
    int compress = 0;           ///< level of zstd; 0: new mail stays as it is
};

template <class Store>
using account_of = typename mailfs::detail::awaited<decltype(std::declval<Store&>().account(std::string()))>::type;
template <class Store>
using mailbox_of = typename mailfs::detail::awaited<decltype(std::declval<account_of<Store>&>().open(std::string()))>::type;

}  // namespace imapd
