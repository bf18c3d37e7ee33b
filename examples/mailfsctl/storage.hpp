// SPDX-License-Identifier: BSL-1.0
// A store on a local disk as the commands use it: blocking, and the same for either format of mail files.
#pragma once

#include "commands.hpp"

#include <mailfs/index/view.hpp>
#include <mailfs/store/new_message.hpp>
#include <mailfs/store/special_use.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/shared_bytes.hpp>
#include <mailfs/types/uid_set.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace mailfsctl {

struct box_info {
    std::string name;
    mailfs::guid id;
    bool selectable = false, subscribed = false;
    mailfs::special_use use = mailfs::special_use::none;
};

struct box_status {
    std::uint64_t messages = 0, unseen = 0, deleted = 0, bytes = 0;
    mailfs::uid_t uid_next = 0;
    std::uint32_t uid_validity = 0;
    mailfs::modseq_t highest_modseq = 0;
    mailfs::guid id;
};

/// A body, or why there is none.
struct body {
    mailfs::uid_t uid = 0;
    mailfs::shared_bytes bytes;
    std::string failure;  ///< empty: none
};

/// A mailbox as it is, or as it was. Calls block, and throw mailfs::error.
class mailbox_reader {
public:
    virtual ~mailbox_reader() = default;

    virtual mailfs::guid id() const = 0;
    virtual std::uint32_t uid_validity() const = 0;
    virtual mailfs::uid_t uid_next() const = 0;
    virtual mailfs::uid_set uids() const = 0;
    virtual std::optional<mailfs::message_row> row(mailfs::uid_t uid) const = 0;
    /// Bodies in the order of the UIDs; `take` returns false to stop.
    virtual void fetch(mailfs::uid_set const& uids, std::function<bool(body&&)> const& take) = 0;
};

class mailbox_access : public mailbox_reader {
public:
    virtual std::vector<mailfs::uid_t> append(std::span<mailfs::new_message const> messages) = 0;
    virtual std::vector<std::byte> read(mailfs::uid_t uid) = 0;
};

class account_access {
public:
    virtual ~account_access() = default;

    virtual std::vector<box_info> list() = 0;
    virtual std::vector<std::string> subscriptions() = 0;
    virtual box_status status(std::string const& name) = 0;
    virtual void create(std::string const& name) = 0;
    virtual void subscribe(std::string const& name) = 0;
    virtual std::unique_ptr<mailbox_access> open(std::string const& name) = 0;
};

class storage {
public:
    virtual ~storage() = default;

    /// Names, in their order.
    virtual std::vector<std::string> accounts() = 0;
    /// Null when there is none of that name.
    virtual std::unique_ptr<account_access> find_account(std::string const& name) = 0;
    /// Made when it is new.
    virtual std::unique_ptr<account_access> account(std::string const& name) = 0;
};

/// `make`: a directory that is not there is made. Throws cannot_run, with what to do.
std::unique_ptr<storage> open_storage(data_options const& where, bool make);
/// "multi" or "single". `make`: as above.
std::string format_of(data_options const& where, bool make);
cannot_run no_such_account(std::string const& name);
/// The account, or cannot_run.
std::unique_ptr<account_access> account_of(storage& all, std::string const& name);

// One for each format of mail files, each compiled in a file of its own.
std::unique_ptr<storage> open_multi(std::string const& root, int compress);
std::unique_ptr<storage> open_single(std::string const& root, int compress);

}  // namespace mailfsctl
