// SPDX-License-Identifier: BSL-1.0
// One life of a node that shares a mailbox by multimaster: the seam between the simulation and the protocol.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/index/index.hpp>
#include <mailfs/log/lockless_log.hpp>
#include <mailfs/replication/multimaster.hpp>
#include <mailfs/replication/replica_set.hpp>
#include <mailfs/transport/sim_transport.hpp>

#include "machine.hpp"

#include <asio/awaitable.hpp>

#include <concepts>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::sim {

template <class Arbiter>
class basic_multimaster_node {
    using policy = multimaster<sim_transport, sim_host, Arbiter>;
    using set_type = replica_set<sim_transport, sim_host>;
    using journal_type = index<lockless_log, sim_fs, policy>;

public:
    static constexpr sim_time retry_time = 100'000;  // until a mailbox that is nowhere is looked for again

    explicit basic_multimaster_node(node_parts parts)
        : parts_(std::move(parts)), set_(sim_transport(*parts_.network, parts_.process, parts_.host.clock()), parts_.host, options_of(parts_)),
          journal_(parts_.fs, "box", policy_of(set_, parts_)) {}

    asio::awaitable<void> run() {
        parts_.process->spawn(set_.run());
        for (bool there = false; !there;) {
            try {
                there = co_await open();
            } catch (error const&) {  // of its disk
            }
            if (!there) co_await parts_.process->sleep(retry_time);
        }
    }
    bool shows() const { return journal_.can_serve(); }
    bool may_tell() const { return journal_.role() != mailfs::detail::member_role::closed; }
    bool is_master() const { return journal_.role() == mailfs::detail::member_role::master; }
    mailbox_state const& state() const { return journal_.state(); }
    position on_disk() const { return journal_.on_disk(); }
    std::string overload() const {
        auto const l = journal_.load();
        auto const& o = set_.options();
        if (l.ring > o.ring_size) return "the ring of recent steps";
        if (l.waiting > o.waiting_max + 1024) return "what waits for its place";
        return l.inbox > mailfs::detail::member<mailbox_state>::inbox_max ? "what waits for the disk" : "";
    }
    std::exception_ptr failure() const { return journal_.failure(); }
    view make_view() { return journal_.make_view(); }
    asio::awaitable<mailbox_outcome> propose(std::vector<std::byte> operations, durability wanted) {
        bytes_view const bytes(operations);
        co_return co_await journal_.propose(bytes, wanted);
    }

private:
    static constexpr std::uint32_t uid_validity = 1000;

    static policy policy_of(set_type& set, node_parts const& parts) {
        if constexpr (std::same_as<Arbiter, shared_store>) return policy(set, parts.arbiter);
        else return policy(set);
    }
    static replication_options options_of(node_parts const& parts) {
        replication_options o;
        o.cluster = guid::from_words(1, 2);
        o.self = {parts.number, parts.number};
        for (std::uint32_t n = 1; n <= parts.nodes; ++n)
            if (n != parts.number) o.peers.push_back({n, n});
        o.copies_in_memory = parts.copies_in_memory;
        o.copies_on_disk = parts.copies_on_disk;
        o.disk = parts.disk;
        o.version_min = parts.version_min;
        o.version_max = parts.version_max;
        o.use_ms = parts.tuned.use_ms;
        o.use_min = parts.tuned.use_min;
        o.quiet_ms = parts.tuned.quiet_ms;
        o.call_ms = parts.tuned.call_ms;
        o.ring_size = parts.tuned.ring_size;
        o.unflushed_max = parts.tuned.unflushed_max;
        o.unflushed_node_max = parts.unflushed_node_max;
        return o;
    }
    asio::awaitable<bool> open() {
        bool const may_create = parts_.may_create();
        if (!may_create) co_return co_await journal_.open();
        format::mailbox_transaction first;
        first.raise(uid_validity, 0);
        bytes_view const bytes = first.bytes();
        co_await journal_.create(mailbox_id, bytes);
        co_return true;
    }

    node_parts parts_;
    set_type set_;
    journal_type journal_;
};
using multimaster_node = basic_multimaster_node<own_disks>;
using store_node = basic_multimaster_node<shared_store>;

}  // namespace mailfs::sim
