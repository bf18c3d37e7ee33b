// SPDX-License-Identifier: BSL-1.0
// Reads mail bodies by UID: where each one is, the index says at that moment.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/store/detail/account_core.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/mail_location.hpp>
#include <mailfs/types/uid.hpp>

#include <asio/awaitable.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// A copyable handle; keeps account and index alive.
template <class Index, class Format>
class body_reader {
public:
    body_reader(std::shared_ptr<account_core<Index, Format>> core, std::shared_ptr<Index> index)
        : core_(std::move(core)), index_(std::move(index)) {}

    /// 0 when the message is not there.
    std::uint64_t size(uid_t uid) const {
        auto const row = find(uid);
        return row ? row->size : 0;
    }

    /// The body, also of a message that was expunged as long as its row and its file are there. Throws not_found, and what
    /// the mail format throws. A body that purge moved in the meantime is looked for where it is now.
    asio::awaitable<std::vector<std::byte>> read(uid_t uid) {
        auto const row = find(uid);
        if (!row) throw error(errc::not_found, index_directory(), "UID " + std::to_string(uid) + " is not there");
        std::exception_ptr failure;
        try {
            co_return co_await core_->mails.read(row->id, row->where, row->size);
        } catch (error const& e) {
            if (e.code() != errc::body_missing) throw;
            failure = std::current_exception();
        }
        co_await index_->catch_up();
        auto const now = find(uid);
        if (!now || now->where == row->where) std::rethrow_exception(failure);
        co_return co_await core_->mails.read(now->id, now->where, now->size);
    }

private:
    struct place {
        guid id;
        mail_location where;
        std::uint32_t size;
    };
    std::optional<place> find(uid_t uid) const {
        auto const& rows = index_->state().rows();
        auto const row = rows.lower_bound(uid);
        if (row == rows.count() || rows.uid[row] != uid) return std::nullopt;
        return place{rows.id[row], rows.where[row], rows.size[row]};
    }
    std::string index_directory() const { return core_->box_directory(index_->state().object()); }

    std::shared_ptr<account_core<Index, Format>> core_;
    std::shared_ptr<Index> index_;
};

}  // namespace mailfs::detail
