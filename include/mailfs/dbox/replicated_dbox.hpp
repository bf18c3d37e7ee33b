// SPDX-License-Identifier: BSL-1.0
// Mail bodies that each node of a replica set keeps on its own disk, in files of its own.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/detail/body_exchange.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fwd.hpp>
#include <mailfs/replication/replica_set.hpp>
#include <mailfs/transport/transport.hpp>
#include <mailfs/types/durability.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/mail_location.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace mailfs {

/// A message_format over another, which is the same on no two nodes: a location is alone_in_its_file for all bodies, and each node
/// finds its own copy by guid. Belongs to the executor of its replica_set, which outlives it; must not be moved or destroyed
/// while a call is under way. open() it first: from then on it takes, and hands out, bodies for other nodes.
template <message_format Format, transport Transport, host Host>
class replicated_dbox {
    using exchange = detail::body_exchange<Format, Transport, Host>;

public:
    using fs_type = typename Format::fs_type;
    using host_type = typename Format::host_type;
    using set_type = replica_set<Transport, Host>;
    /// Files go as a whole: what is left of one is not written anew, for rows do not say where a body lies.
    static constexpr bool shares_files = false;

    /// Directories have one name on all nodes. Only one object for each, of one set, can be open.
    replicated_dbox(fs_type fs, std::string directory, host_type h, dbox_options options, set_type& set)
        : exchange_(std::make_shared<exchange>(Format(std::move(fs), directory, std::move(h), options), directory, options, set)) {}
    replicated_dbox(replicated_dbox&&) noexcept = default;
    replicated_dbox& operator=(replicated_dbox&& other) noexcept {
        std::swap(exchange_, other.exchange_);
        return *this;
    }
    ~replicated_dbox() {
        if (exchange_) exchange_->close();
    }

    /// Finds out what is on this node's disk (in multi_dbox: reads all of it) and looks for the other nodes. Again is nothing.
    /// Throws what files() and scan() of the node's own format throw; busy: another object has the directory open.
    asio::awaitable<void> open() { return exchange_->open(); }
    /// What is under way ends with closed. The destructor does it too.
    void close() noexcept { exchange_->close(); }

    /// See message_format. `stored`: they are on as many disks as replication_options::copies_on_disk says, this node's among
    /// them, or on those of all nodes that keep this directory and can be reached. `none`: in files of this node. A body that is
    /// there already is not written again. Also throws busy: a node that is up does not answer, and no other is left.
    asio::awaitable<std::vector<mail_location>> write(std::span<mail_to_write const> mails, durability d) {
        co_await put(mails, d);
        co_return std::vector<mail_location>(mails.size(), detail::alone_in_its_file);
    }
    /// The same; on how many disks each of them is at least.
    asio::awaitable<std::size_t> put(std::span<mail_to_write const> mails, durability d) {
        auto const e = exchange_;
        co_return co_await e->put(mails, d);
    }

    /// See message_format. A body that is not on this node's disk, or is damaged there, comes from another node, and is here from
    /// then on. Throws body_missing when no node has it, unreachable when those that answer have not.
    asio::awaitable<std::vector<std::byte>> read(guid id, mail_location, std::uint64_t size_hint = size_unknown) {
        auto const e = exchange_;
        std::optional<std::uint64_t> expected;
        if (size_hint != size_unknown) expected = size_hint;
        auto const* here = e->places().find(id);
        if (here != nullptr) {
            auto const where = here->where;
            std::exception_ptr failure;
            try {
                co_return co_await e->own().read(id, where, size_hint);
            } catch (error const& damage) {
                if (damage.code() != errc::body_missing && damage.code() != errc::corrupt) throw;
                failure = std::current_exception();
            }
            if (auto const* now = e->places().find(id); now != nullptr && now->where == where) e->places().forget(id);
        }
        co_await e->get(id, expected, asked_at_once);
        here = e->places().find(id);
        if (here == nullptr) throw error(errc::body_missing, "mail " + id.hex(), "it went as soon as it came");
        auto const where = here->where;
        co_return co_await e->own().read(id, where, size_hint);
    }
    /// See message_format. The whole body comes from another node first, if it is not here.
    asio::awaitable<std::vector<std::byte>> read_part(guid id, mail_location, std::uint64_t begin, std::uint64_t size) {
        auto const e = exchange_;
        auto const where = co_await place_of(e, id);
        co_return co_await e->own().read_part(id, where, begin, size);
    }
    /// See message_format; as read_part.
    asio::awaitable<stored_mail> look(guid id, mail_location) {
        auto const e = exchange_;
        auto const where = co_await place_of(e, id);
        auto found = co_await e->own().look(id, where);
        found.where = detail::alone_in_its_file;
        co_return found;
    }

    /// What follows is about the files of this node, as its own format has them.
    asio::awaitable<std::vector<mail_file>> files() {
        auto const e = exchange_;
        co_return co_await e->own().files();
    }
    /// See message_format. Locations are those of rows: alone_in_its_file.
    asio::awaitable<mail_file_contents> scan(mail_file file) {
        auto const e = exchange_;
        auto found = co_await e->own().scan(std::move(file));
        for (auto& mail : found.mails) mail.where = detail::alone_in_its_file;
        co_return found;
    }
    /// See message_format. That of the file in which this node has it; 0 when it has it not.
    std::uint64_t file_number(guid id, mail_location) const noexcept {
        auto const* const here = exchange_->places().find(id);
        return here == nullptr ? 0 : exchange_->own().file_number(id, here->where);
    }
    /// See message_format. False also for a file of which nobody knows what is in it.
    asio::awaitable<bool> remove(mail_file file) {
        auto const e = exchange_;
        if (e->places().is_unread(file.number)) co_return false;
        e->places().forget_file(e->own(), file.number);
        co_return co_await e->own().remove(std::move(file));
    }

    // --- what other formats do not have --------------------------------------------------------------------------

    /// Whether this node has the body, as far as it knows.
    bool has(guid id) const noexcept { return exchange_->places().find(id) != nullptr; }
    /// Bodies that this node has.
    std::size_t count() const noexcept { return exchange_->places().size(); }
    bool is_open() const noexcept { return exchange_->is_open(); }
    set_type& set() const noexcept { return exchange_->set(); }

    /// Gets a body that nobody waits for, if it is not here: bodies_at_once at a time, of one peer each, behind all other traffic.
    /// Throws what read() throws, but for damage.
    asio::awaitable<void> fetch(guid id, std::uint64_t size) {
        auto const e = exchange_;
        co_await e->get_quietly(id, size);
    }
    std::size_t fetched_at_once() const noexcept { return std::max<std::size_t>(1, exchange_->options().bodies_at_once); }

private:
    static constexpr std::size_t asked_at_once = 2;  // peers, while a reader waits

    static asio::awaitable<mail_location> place_of(std::shared_ptr<exchange> e, guid id) {
        if (e->places().find(id) == nullptr) co_await e->get(id, std::nullopt, asked_at_once);
        auto const* const here = e->places().find(id);
        if (here == nullptr) throw error(errc::body_missing, "mail " + id.hex(), "it went as soon as it came");
        co_return here->where;
    }

    std::shared_ptr<exchange> exchange_;
};

}  // namespace mailfs
