// SPDX-License-Identifier: BSL-1.0
// Opens a store in the format that its mail files have.
#include "accounts.hpp"
#include "storage.hpp"
#include "workshop.hpp"

#include <filesystem>

namespace mailfsctl {

std::string format_of(data_options const& where, bool make) {
    std::error_code ec;
    bool const there = std::filesystem::is_directory(where.data, ec);
    if (!there && !make) throw cannot_run(where.data + " is no directory: name the one that the server has as its root");
    auto const format = where.format != "auto" ? where.format : there ? format_found(where.data) : "";
    return format == "single" ? format : "multi";
}

std::unique_ptr<storage> open_storage(data_options const& where, bool make) {
    return format_of(where, make) == "single" ? open_single(where.data, where.compress) : open_multi(where.data, where.compress);
}
std::unique_ptr<workshop> open_workshop(data_options const& where, std::uint64_t grace_ms) {
    return format_of(where, false) == "single" ? open_workshop_single(where.data, grace_ms) : open_workshop_multi(where.data, grace_ms);
}

cannot_run no_such_account(std::string const& name) {
    return cannot_run("there is no account \"" + name + "\": `mailfsctl info DATA` lists those that there are");
}

std::unique_ptr<account_access> account_of(storage& all, std::string const& name) {
    auto account = all.find_account(name);
    if (!account) throw no_such_account(name);
    return account;
}

}  // namespace mailfsctl
