// SPDX-License-Identifier: BSL-1.0
// One life of a node that shares a mailbox and its mail: the body goes to the disks of nodes, then the record to the master.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/detail/body_mutant.hpp>
#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/dbox/replicated_dbox.hpp>
#include <mailfs/dbox/single_dbox.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/index/index.hpp>
#include <mailfs/log/lockless_log.hpp>
#include <mailfs/replication/multimaster.hpp>
#include <mailfs/replication/replica_set.hpp>
#include <mailfs/store/detail/body_keeper.hpp>
#include <mailfs/transport/sim_transport.hpp>

#include "../machine.hpp"

#include <asio/awaitable.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace mailfs::sim {

/// Bodies are told by their number: which bytes they have, and which guid.
inline guid body_id(std::uint64_t number) { return guid::from_words(number * 0x9e37'79b9'7f4a'7c15U, number); }
inline std::vector<std::byte> body_bytes(std::uint64_t number) {
    std::size_t const size = number % 7 == 3 ? 200'000 + number % 1000 : number % 11 == 5 ? 0 : 100 + number % 900;
    std::vector<std::byte> all(size);
    for (std::size_t i = 0; i < size; ++i) all[i] = static_cast<std::byte>((number * 131 + i * 7 + i / 251) & 0xff);
    return all;
}

template <template <class, class> class Dbox>
class body_node {
    using policy = multimaster<sim_transport, sim_host>;
    using set_type = replica_set<sim_transport, sim_host>;
    using journal_type = index<lockless_log, sim_fs, policy>;
    struct mail_owner {
        mail_owner(node_parts& p, set_type& s) : mails(p.fs, "mail", p.host, {}, s) {}
        replicated_dbox<Dbox<sim_fs, sim_host>, sim_transport, sim_host> mails;
    };

public:
    static constexpr sim_time retry_time = 100'000;  // until what could not be opened is tried again

    explicit body_node(node_parts parts)
        : parts_(std::move(parts)), set_(sim_transport(*parts_.network, parts_.process, parts_.host.clock()), parts_.host, options_of(parts_)),
          journal_(std::make_shared<journal_type>(parts_.fs, "box", policy(set_))), owner_(std::make_shared<mail_owner>(parts_, set_)) {}

    asio::awaitable<void> run() {
        parts_.process->spawn(set_.run());
        for (bool there = false; !there;) {
            try {
                co_await owner_->mails.open();
                there = co_await open();
            } catch (error const&) {  // of its disk
            }
            if (!there) co_await parts_.process->sleep(retry_time);
        }
        auto const keeper = std::make_shared<mailfs::detail::body_keeper<mail_owner, journal_type>>(owner_, journal_);
        co_await keeper->run(keeper);
    }
    bool shows() const { return journal_->can_serve() && owner_->mails.is_open(); }
    bool keeps_mail() const { return owner_->mails.is_open(); }
    bool is_up(std::uint32_t node) const { return set_.is_up(node); }
    mailbox_state const& state() const { return journal_->state(); }
    bool has(std::uint64_t number) const { return owner_->mails.has(body_id(number)); }

    /// Body, then record. On how many disks the body was in between goes to `copies`.
    asio::awaitable<uid_t> append(std::uint64_t number, std::size_t& copies) {
        auto const body = body_bytes(number);
        mail_to_write const mail{body_id(number), 1000, body, mailbox_id};
        if (!mailfs::detail::mutated(mailfs::detail::body_mutant::row_before_body)) copies = co_await owner_->mails.put(std::span(&mail, 1), durability::stored);
        format::mailbox_transaction t;
        message_entry entry;
        entry.id = mail.id;
        entry.where = mailfs::detail::alone_in_its_file;
        entry.size = static_cast<std::uint32_t>(body.size());
        t.append(entry);
        auto const operations = t.bytes();
        auto const outcome = co_await journal_->propose(operations, durability::stored);
        if (mailfs::detail::mutated(mailfs::detail::body_mutant::row_before_body)) copies = co_await owner_->mails.put(std::span(&mail, 1), durability::stored);
        co_return outcome.first_uid;
    }
    asio::awaitable<void> expunge(uid_t uid) {
        format::mailbox_transaction t;
        t.expunge(uid_set::one(uid), false);
        auto const operations = t.bytes();
        co_await journal_->propose(operations, durability::stored);
    }
    /// From this node's disk, or another's.
    asio::awaitable<std::vector<std::byte>> read(guid id, std::uint64_t size) {
        co_return co_await owner_->mails.read(id, mailfs::detail::alone_in_its_file, size);
    }

private:
    static constexpr std::uint32_t uid_validity = 1000;

    static replication_options options_of(node_parts const& parts) {
        replication_options o;
        o.cluster = guid::from_words(1, 2);
        o.self = {parts.number, parts.number};
        for (std::uint32_t n = 1; n <= parts.nodes; ++n)
            if (n != parts.number) o.peers.push_back({n, n});
        o.copies_in_memory = parts.copies_in_memory;
        o.copies_on_disk = parts.copies_on_disk;
        return o;
    }
    asio::awaitable<bool> open() {
        bool const may_create = parts_.may_create();
        if (!may_create) co_return co_await journal_->open();
        format::mailbox_transaction first;
        first.raise(uid_validity, 0);
        bytes_view const bytes = first.bytes();
        co_await journal_->create(mailbox_id, bytes);
        co_return true;
    }

    node_parts parts_;
    set_type set_;
    std::shared_ptr<journal_type> journal_;
    std::shared_ptr<mail_owner> owner_;
};

}  // namespace mailfs::sim
