// SPDX-License-Identifier: BSL-1.0
// deliver: one message into mailboxes of several accounts, as LMTP has it.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/detail/at_once.hpp>
#include <mailfs/error.hpp>
#include <mailfs/store/detail/common_body.hpp>
#include <mailfs/store/new_message.hpp>
#include <mailfs/types/uid.hpp>

#include <asio/awaitable.hpp>

#include <cstddef>
#include <exception>
#include <new>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace mailfs {

struct recipient {
    std::string account;
    std::string mailbox = "INBOX";
};

/// What became of one recipient's copy.
struct delivered {
    uid_t uid = 0;           ///< in that mailbox; 0: see `error`
    std::error_code error;   ///< of mailfs, or of the standard library for want of memory
    std::string reason;      ///< what the exception said
};

inline constexpr std::size_t deliveries_at_once = 16;  ///< recipients of one deliver() whose copies are under way

/// Appends the message for each recipient, several at a time: those of one account share their syncs, and on a filesystem that does
/// several things at once none waits for another. The body is stored once for all accounts where the mail format and the filesystem can
/// do that (sharing_format) and it pays (dbox_options::shared_size_min): the first recipient's is written, then the others refer to it. One
/// that fails keeps no other from its copy. A recipient named twice gets two. The bytes must stay until it returns. Throws nothing that
/// befell a recipient; cancellation ends it when what was begun has ended. Belongs to the store's executor.
template <class Store>
asio::awaitable<std::vector<delivered>> deliver(Store& store, std::span<recipient const> to, new_message const& message) {
    using format_type = typename Store::format_type;
    detail::common_body<typename Store::index_type, format_type> body;
    bool const shared = sharing_format<format_type> && to.size() > 1 && body.pays(store.services()->options.dbox, message.bytes.size());
    std::vector<delivered> out(to.size());
    auto one = [&](std::size_t n) -> asio::awaitable<void> {
        auto& mine = out[n];
        try {
            auto account = co_await store.account(to[n].account);
            auto box = co_await account.open(to[n].mailbox);
            if constexpr (sharing_format<format_type>) {
                if (shared) {
                    mine.uid = co_await box.append(message, body);
                    co_return;
                }
            }
            auto const uids = co_await box.append(std::span(&message, 1));
            mine.uid = uids.front();
        } catch (std::system_error const& e) {
            mine = {0, e.code(), e.what()};
        } catch (std::bad_alloc const& e) {
            mine = {0, std::make_error_code(std::errc::not_enough_memory), e.what()};
        }
    };
    std::size_t done = 0;
    for (; shared && done < to.size() && !body.is_written(); ++done) co_await one(done);
    auto another = [&](std::size_t n) { return one(done + n); };
    co_await detail::at_once(to.size() - done, deliveries_at_once, std::move(another));
    co_return out;
}

}  // namespace mailfs
