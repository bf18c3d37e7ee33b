// SPDX-License-Identifier: BSL-1.0
// Where a mailbox is: among the user's own, or among those that everyone has (RFC 2342: shared namespace). Included by session.hpp.
#pragma once

#include "imap/list_match.hpp"
#include "imap/session.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace imapd::imap {

namespace detail {

inline constexpr std::string_view shared_root = "Shared";

/// `Shared` itself, or below it.
inline bool is_shared(std::string_view name) noexcept {
    return name.starts_with(shared_root) && (name.size() == shared_root.size() || name[shared_root.size()] == separator);
}

}  // namespace detail

/// `Shared` itself is no mailbox: its name is empty here, which the account refuses.
template <class Store, mime::extractor Extractor>
auto session<Store, Extractor>::locate(std::string const& name) -> place {
    if (!shared_ || !detail::is_shared(name)) return {*account_, name};
    return {*shared_, name.substr(std::min(name.size(), detail::shared_root.size() + 1))};
}

/// Subscriptions are the user's own; special uses are not shared (RFC 6154: they are each user's).
template <class Store, mime::extractor Extractor>
asio::awaitable<void> session<Store, Extractor>::add_shared(std::vector<mailfs::mailbox_info>& infos) {
    std::erase_if(infos, [](auto const& info) { return detail::is_shared(info.name); });
    auto const mine = co_await account_->subscriptions();
    std::set<std::string_view> const subscribed(mine.begin(), mine.end());
    auto const theirs = co_await shared_->list();
    mailfs::mailbox_info root;
    root.name = detail::shared_root;
    root.selectable = false;
    root.has_children = true;
    infos.push_back(std::move(root));
    for (auto info : theirs) {
        info.name.insert(0, std::string(detail::shared_root) + separator);
        info.use = mailfs::special_use::none;
        infos.push_back(std::move(info));
    }
    for (auto& info : infos)
        if (detail::is_shared(info.name)) info.subscribed = subscribed.contains(info.name);
}

}  // namespace imapd::imap
