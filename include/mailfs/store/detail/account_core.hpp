// SPDX-License-Identifier: BSL-1.0
// What all handles of one account share: its mailbox tree, its mail bodies, and the way to its mailboxes.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/store/detail/body_keeper.hpp>
#include <mailfs/store/detail/shared_cache.hpp>
#include <mailfs/store/store_options.hpp>
#include <mailfs/store/tree_state.hpp>
#include <mailfs/types/guid.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace mailfs::detail {

/// Metadata of a mailbox: the name that it was made or last renamed with. No key of a client's begins so (RFC 5464).
inline constexpr std::string_view mailbox_name_hint = "mailfs.name";

/// What all accounts of a store share. Indexes are found by their directory.
template <class Index, class Format>
struct store_services {
    using fs_type = typename Index::fs_type;
    using host_type = typename Index::host_type;
    using replication_type = typename Index::replication_type;

    store_services(fs_type f, store_options const& o, host_type h, replication_type r)
        : fs(std::move(f)), options(o), host(std::move(h)), replication(std::move(r)), indexes(o.mailboxes_kept) {}

    guid new_guid() {
        auto const high = host.random();
        return guid::from_words(high, host.random());
    }

    /// Whether what was begun then, and wrote bodies that nothing refers to yet, may have been overtaken by a purge. A clock
    /// that was set is as good a reason to think so.
    bool is_late(std::uint64_t begun_ms) {
        auto const now = host.now_ms();
        auto const apart = now > begun_ms ? now - begun_ms : begun_ms - now;
        return options.grace_ms > 0 && apart > options.grace_ms / 2;
    }

    fs_type fs;
    store_options options;
    host_type host;
    replication_type replication;
    shared_cache<std::string, Index> indexes;
};

template <class Index, class Format>
class account_core : public std::enable_shared_from_this<account_core<Index, Format>> {
public:
    using services_type = store_services<Index, Format>;
    using tree_journal = typename Index::template journal<tree_state>;

    account_core(std::shared_ptr<services_type> s, std::string dir)
        : services(std::move(s)),
          directory(std::move(dir)),
          tree(services->fs, directory + "/tree", services->replication, services->options.log),
          mails(make_format()) {}

    tree_state const& state() const noexcept { return tree.state(); }

    /// What others did to the tree. One read when they did nothing.
    asio::awaitable<void> refresh_tree() {
        co_await tree.catch_up();
        if (state().needs_newer())
            throw error(errc::newer_version, directory + "/tree",
                        "the mailbox tree has changes that this version does not know");
    }

    [[noreturn]] void fail(errc code, std::string_view name, std::string_view why) const {
        throw error(code, directory + "/tree", "\"" + std::string(name) + "\" " + std::string(why));
    }
    /// The form in which a name is stored. Throws bad_name.
    std::string canonical(std::string_view name) const {
        auto c = canonical_mailbox_name(name);
        if (!c) throw error(errc::bad_name, directory + "/tree", "not the name of a mailbox");
        return std::move(*c);
    }

    /// The account's mail bodies, written to files of one's own.
    Format make_format() const {
        auto how = services->options.dbox;
        if (services->options.grace_ms > 0) how.idle_ms_max = std::min(how.idle_ms_max, services->options.grace_ms / 2);
        if constexpr (made_among_nodes<Format>) return Format(services->fs, directory + "/mail", services->host, how, services->replication.set());
        else return Format(services->fs, directory + "/mail", services->host, how);
    }
    /// The tree and the mail; false: there is no such account. After that mail is taken from other nodes, where they have a part in it.
    asio::awaitable<bool> open() {
        bool const there = co_await tree.open();
        if constexpr (made_among_nodes<Format>) {
            if (there) co_await mails.open();
        }
        co_return there;
    }

    std::string marks_directory() const { return directory + "/marks"; }
    std::string box_directory(guid const& id) const { return directory + "/box/" + id.hex(); }

    /// The index of a mailbox that the tree names. Throws not_found when it was removed meanwhile.
    asio::awaitable<std::shared_ptr<Index>> open_index(guid id) {
        auto const path = box_directory(id);
        auto load = load_and_keep(this->weak_from_this(), services, path);
        auto index = co_await services->indexes.get(path, std::move(load));
        if (index) co_return index;
        co_await refresh_tree();
        if (state().name_of(id) == nullptr) throw error(errc::not_found, path, "the mailbox was removed");
        throw error(errc::corrupt, path, "the tree names this mailbox, but its log is gone");
    }

    /// The same for who goes through all mailboxes: one that nobody has open is opened for the caller alone. Null: it was
    /// removed.
    asio::awaitable<std::shared_ptr<Index>> borrow_index(guid id) {
        auto const path = box_directory(id);
        auto index = services->indexes.find(path);
        if (!index) index = co_await load_index(services, path);
        if (index) co_return index;
        co_await refresh_tree();
        if (state().name_of(id) == nullptr) co_return nullptr;
        throw error(errc::corrupt, path, "the tree names this mailbox, but its log is gone");
    }

    /// Makes the log of a mailbox that no tree names yet; until one does it is an orphan that harms nobody. The name is for
    /// rebuild() alone, should the tree be lost.
    asio::awaitable<void> make_mailbox(guid id, std::uint32_t uid_validity, std::string name = {}) {
        Index fresh(services->fs, box_directory(id), services->replication, services->options.log);
        format::mailbox_transaction first;
        first.raise(uid_validity, 0);
        if (!name.empty()) first.metadata(mailbox_name_hint, name);
        auto const operations = first.bytes();
        bool const made = co_await fresh.create(id, operations);
        if (!made) throw error(errc::exists, box_directory(id), "a guid that was just made up is in use");
    }

    /// Removes the files of a mailbox that no tree names. What cannot be removed stays as an orphan: whether the mailbox
    /// exists was decided by the tree, so an error changes nothing and is not worth one.
    asio::awaitable<void> discard_mailbox(guid id) {
        auto const path = box_directory(id);
        services->indexes.drop(path);
        try {
            auto const names = co_await services->fs.list(path);
            for (auto const& name : names) {
                auto const file = path + '/' + name;
                co_await services->fs.remove(file);
            }
            co_await services->fs.remove(path);
        } catch (error const&) {
        }
    }

    /// Whether the tree still has a mailbox. INBOX always is, so that a delivery does not read the tree. `stored`: and will
    /// have it after a power cut, for who made it may have been stopped before the sync, or not be so far.
    asio::awaitable<bool> still_there(guid id, durability wanted) {
        auto const* name = state().name_of(id);
        if (name != nullptr && *name == inbox_name) co_return true;
        co_await refresh_tree();
        if (state().name_of(id) == nullptr) co_return false;
        if (wanted == durability::stored) co_await sync_tree();
        co_return true;
    }

    std::shared_ptr<services_type> services;
    std::string directory;
    tree_journal tree;
    Format mails;

private:
    asio::awaitable<void> sync_tree() {
        try {
            co_await tree.sync();
        } catch (error const& e) {
            throw error(errc::may_have_happened, directory + "/tree", std::string("the mailbox may not last: ") + e.what());
        }
    }
    static asio::awaitable<std::shared_ptr<Index>> load_index(std::shared_ptr<services_type> s, std::string path) {
        auto index = std::make_shared<Index>(s->fs, path, s->replication, s->options.log);
        bool const there = co_await index->open();
        if (!there) index.reset();
        co_return index;
    }
    // And fetches the bodies that this node lacks as long as somebody has it open.
    static asio::awaitable<std::shared_ptr<Index>> load_and_keep(std::weak_ptr<account_core> core, std::shared_ptr<services_type> s, std::string path) {
        auto index = co_await load_index(std::move(s), std::move(path));
        if constexpr (made_among_nodes<Format>) {
            if (index) {
                auto const keeper = std::make_shared<body_keeper<account_core, Index>>(std::move(core), index);
                auto const executor = co_await asio::this_coro::executor;
                asio::co_spawn(executor, keeper->run(keeper), asio::detached);
            }
        }
        co_return index;
    }
};

/// What a refused transaction on the tree means to the caller.
inline errc to_errc(tree_verdict v) noexcept {
    switch (v) {
        case tree_verdict::name_taken: return errc::exists;
        case tree_verdict::not_found: return errc::not_found;
        case tree_verdict::denied: return errc::denied;
        case tree_verdict::bad_name: return errc::bad_name;
        case tree_verdict::stale: return errc::busy;
        case tree_verdict::full: return errc::too_big;
        case tree_verdict::newer: return errc::newer_version;
        case tree_verdict::none:
        case tree_verdict::applied:
        case tree_verdict::malformed: break;
    }
    return errc::corrupt;
}

}  // namespace mailfs::detail
