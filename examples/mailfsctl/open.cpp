// SPDX-License-Identifier: BSL-1.0
// Opens a store in the format that its mail files have.
#include "accounts.hpp"
#include "storage.hpp"

#include <filesystem>

namespace mailfsctl {

std::unique_ptr<storage> open_storage(data_options const& where, bool make) {
    std::error_code ec;
    bool const there = std::filesystem::is_directory(where.data, ec);
    if (!there && !make) throw cannot_run(where.data + " is no directory: name the one that the server has as its root");
    auto const format = where.format != "auto" ? where.format : there ? format_found(where.data) : "";
    return format == "single" ? open_single(where.data) : open_multi(where.data);
}

std::unique_ptr<account_access> account_of(storage& all, std::string const& name) {
    auto account = all.find_account(name);
    if (!account) throw cannot_run("there is no account \"" + name + "\": `mailfsctl info DATA` lists those that there are");
    return account;
}

}  // namespace mailfsctl
