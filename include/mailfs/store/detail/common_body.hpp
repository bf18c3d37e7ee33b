// SPDX-License-Identifier: BSL-1.0
// One body of a message that goes to several accounts: docs/decisions/one-body-for-many-recipients.md
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/store/detail/account_core.hpp>
#include <mailfs/store/new_message.hpp>
#include <mailfs/types/durability.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/mail_location.hpp>

#include <asio/awaitable.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

namespace mailfs::detail {

/// Belongs to one executor. The first call of place_in() must have returned before others begin.
template <class Index, class Format>
class common_body {
public:
    using core_pointer = std::shared_ptr<account_core<Index, Format>>;

    /// Whether it is worth it for a body as long.
    static bool pays(dbox_options const& options, std::uint64_t size) noexcept { return !Format::shares_files || size >= options.shared_size_min; }

    bool is_written() const noexcept { return holder_ != nullptr; }

    /// The body is among the account's mail; since when, at the latest, nothing may have referred to it. Nothing: it could not be shared.
    asio::awaitable<std::optional<std::uint64_t>> place_in(core_pointer core, new_message const& message, durability d)
        requires sharing_format<Format>
    {
        auto const now_ms = core->services->host.now_ms();
        if (!holder_) {
            check_size(message, core->directory);
            auto const id = core->services->new_guid();
            received_ms_ = message.received_ms == 0 ? now_ms : message.received_ms;
            mail_to_write const mail{id, received_ms_, message.bytes};
            where_ = co_await core->mails.write_apart(mail, d);
            id_ = id;
            begun_ms_ = now_ms;
            holder_ = std::move(core);
            co_return begun_ms_;
        }
        if (core->services != holder_->services) co_return std::nullopt;
        if (core != holder_) {
            bool const shared = co_await core->mails.share(holder_->mails, id_, where_, d);
            if (shared) co_return now_ms;
        }
        bool const here = co_await is_in(*core);  // the holder's, or that of an account that is named twice; as durable, too
        if (!here) co_return std::nullopt;
        co_return begun_ms_;
    }

    message_entry entry(new_message const& m) const {
        return {id_, where_, static_cast<std::uint32_t>(m.bytes.size()), received_ms_, m.flags, m.keywords};
    }

private:
    asio::awaitable<bool> is_in(account_core<Index, Format>& core) const {
        try {
            auto const found = co_await core.mails.look(id_, where_);
            co_return found.id == id_;
        } catch (error const&) {
        }
        co_return false;
    }

    core_pointer holder_;  // who wrote it
    guid id_{};
    mail_location where_;
    std::uint64_t received_ms_ = 0;
    std::uint64_t begun_ms_ = 0;
};

}  // namespace mailfs::detail
