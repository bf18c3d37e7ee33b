// SPDX-License-Identifier: BSL-1.0
// store: all accounts under one root, as one thread of a program uses them.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/tree_operations.hpp>
#include <mailfs/fwd.hpp>
#include <mailfs/store/account.hpp>
#include <mailfs/store/account_directory.hpp>
#include <mailfs/store/detail/account_core.hpp>
#include <mailfs/store/detail/shared_cache.hpp>
#include <mailfs/store/store_options.hpp>
#include <mailfs/store/tree_state.hpp>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/this_coro.hpp>

#include <algorithm>
#include <concepts>
#include <exception>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs {

/// Belongs to one executor, as do the handles it gives; those outlive it. N threads make N stores over copies of one
/// filesystem and see each other's changes through the files. Sessions of one store share trees and indexes.
///
/// Under the root: <account>/tree/ (log of the mailbox tree), <account>/box/<guid>/ (log of each mailbox), <account>/mail/.
template <class Index, message_format Format>
class store {
public:
    using index_type = Index;
    using format_type = Format;
    using fs_type = typename Index::fs_type;
    using host_type = typename Index::host_type;
    using replication_type = typename Index::replication_type;
    static_assert(std::same_as<typename Format::fs_type, fs_type>,
                  "mailfs: the mail format and the index are on different filesystems");
    static_assert(std::same_as<typename Format::host_type, host_type>,
                  "mailfs: the mail format and the index have different hosts");
    using account_type = mailfs::account<Index, Format>;
    using mailbox_type = mailfs::mailbox<Index, Format>;

    explicit store(fs_type fs, store_options options = {}, host_type host = host_type{})
        : store(std::move(fs), options, host, replication_type(host)) {}
    store(fs_type fs, store_options options, host_type host, replication_type replication)
        : services_(std::make_shared<services_type>(std::move(fs), options, std::move(host), std::move(replication))),
          accounts_(options.accounts_kept) {}

    /// The account of that name, any 1 to 255 bytes; made with an INBOX when it is new. Throws bad_name.
    asio::awaitable<account_type> account(std::string name) {
        auto const directory = directory_of(name);
        auto load = load_account(services_, directory, true);
        auto core = co_await accounts_.get(directory, std::move(load));
        co_return account_type(std::move(core));
    }
    /// Nothing when there is none of that name. Throws bad_name.
    asio::awaitable<std::optional<account_type>> find_account(std::string name) {
        auto const directory = directory_of(name);
        auto load = load_account(services_, directory, false);
        auto core = co_await accounts_.get(directory, std::move(load));
        if (!core) co_return std::nullopt;
        co_return account_type(std::move(core));
    }

    /// The names of all accounts, by bytes; also of those whose files are damaged. A list for each directory under the root.
    asio::awaitable<std::vector<std::string>> accounts() {
        std::vector<std::string> names;
        std::vector<std::string> left{""};
        while (!left.empty()) {
            auto const above = std::move(left.back());
            left.pop_back();
            auto const parts = co_await names_in(above);
            for (auto const& part : parts) {
                auto path = above + part;
                if (part.ends_with('+') && path.size() <= 2 * 4 * account_name_size_max) left.push_back(path + '/');
                auto name = account_name(path);
                if (!name) continue;
                path += '/';
                auto const inside = co_await names_in(path);
                auto const ours = [](std::string const& n) { return n == "tree" || n == "box" || n == "mail"; };
                if (std::any_of(inside.begin(), inside.end(), ours)) names.push_back(std::move(*name));
            }
        }
        std::sort(names.begin(), names.end());
        co_return names;
    }

    /// From now on this node opens whatever accounts and mailboxes its peers have open, and so keeps a replica of them, as many as
    /// store_options lets it keep. For stores over `multimaster`; call it once, before the replica_set runs, from the store's
    /// executor; the set has one such store.
    asio::awaitable<void> follow_peers() {
        auto const executor = co_await asio::this_coro::executor;
        auto const opening = std::make_shared<std::set<std::string>>();
        services_->replication.set().on_unknown([this, executor, opening](std::string const& name, bool is_there) {
            if (opening->size() >= opened_at_once_max || !opening->insert(name).second) return;
            asio::co_spawn(executor, open_named(name, is_there), [opening, name](std::exception_ptr) { opening->erase(name); });
        });
    }

    /// The names of those accounts that somebody on this executor has, or that are kept open. No I/O.
    std::vector<std::string> open_accounts() const {
        std::vector<std::string> names;
        for (auto const& path : accounts_.keys())
            if (auto name = account_name(path)) names.push_back(std::move(*name));
        return names;
    }

    /// For verify() and rebuild(), which work on accounts that cannot be opened.
    std::shared_ptr<detail::store_services<Index, Format>> const& services() const noexcept { return services_; }
    /// Whoever asks for the account next reads it anew. Throws bad_name.
    void forget(std::string const& name) { accounts_.drop(directory_of(name)); }
    /// Where its files lie, under the root. Throws bad_name.
    static std::string directory_of(std::string const& name) {
        auto path = account_directory(name);
        if (!path) throw error(errc::bad_name, "account", "a name has 1 to 255 bytes");
        return std::move(*path);
    }

private:
    using services_type = detail::store_services<Index, Format>;
    using core_type = detail::account_core<Index, Format>;

    static constexpr std::size_t opened_at_once_max = 64;  // because a peer has them open

    // As peers name it: DIRECTORY/tree, DIRECTORY/mail, DIRECTORY/box/GUID. What cannot be opened now is heard of again.
    asio::awaitable<void> open_named(std::string name, bool is_there) {
        auto const part = name.rfind('/');
        if (part == name.npos) co_return;
        auto directory = name.substr(0, part);
        auto const id = directory.ends_with("/box") ? guid::parse(std::string_view(name).substr(part + 1)) : std::nullopt;
        if (id) directory.resize(directory.size() - 4);
        auto const user = account_name(directory);
        if (!user) co_return;
        if (!is_there) {
            auto const ours = id ? name + '/' : directory + "/tree/";
            auto const files = co_await names_in(ours);
            if (files.empty()) co_return;
        }
        auto const found = co_await find_account(*user);
        if (found && id) co_await found->core()->open_index(*id);
    }

    // `directory` ends in '/' or is the root; nothing where a file stands in its place.
    asio::awaitable<std::vector<std::string>> names_in(std::string directory) {
        if (!directory.empty()) directory.pop_back();
        try {
            co_return co_await services_->fs.list(directory);
        } catch (error const& e) {
            if (e.code() != errc::not_found) throw;
        }
        co_return std::vector<std::string>{};
    }

    static asio::awaitable<std::shared_ptr<core_type>> load_account(std::shared_ptr<services_type> services,
                                                                    std::string directory, bool make) {
        auto core = std::make_shared<core_type>(std::move(services), std::move(directory));
        bool there = co_await core->open();
        if (!there && make) {
            co_await make_tree(*core);
            there = co_await core->open();
            if (!there) throw error(errc::not_found, core->directory, "the account went as soon as it was made");
        }
        if (!there) core.reset();
        co_return core;
    }

    // INBOX first, then the tree that names it, in one file: an account without an INBOX is never seen.
    static asio::awaitable<void> make_tree(core_type& core) {
        auto& services = *core.services;
        auto const inbox = services.new_guid();
        auto const validity = next_uid_validity(services.host.now_ms(), 0);
        co_await core.make_mailbox(inbox, validity, std::string(inbox_name));
        format::tree_transaction transaction;
        transaction.create({inbox, validity, 0, false, inbox_name});
        auto const operations = transaction.bytes();
        std::exception_ptr failure;
        bool made = false;
        try {
            made = co_await core.tree.create(services.new_guid(), operations);
        } catch (error const& e) {
            if (e.code() != errc::no_space) throw;
            failure = std::current_exception();
        }
        if (!made) co_await core.discard_mailbox(inbox);  // someone was faster, or there is no room
        if (failure) std::rethrow_exception(failure);
    }

    std::shared_ptr<services_type> services_;
    detail::shared_cache<std::string, core_type> accounts_;
};

}  // namespace mailfs
