// SPDX-License-Identifier: BSL-1.0
#include "accounts.hpp"

#include "commands.hpp"

#include <algorithm>
#include <filesystem>

namespace mailfsctl {
namespace {

namespace fs = std::filesystem;

bool is_there(fs::path const& path) {
    std::error_code ec;
    return fs::is_directory(path, ec);
}

void collect(fs::path const& root, std::string const& below, std::vector<std::string>& out) {
    std::error_code ec;
    for (auto const& entry : fs::directory_iterator(root / below, ec)) {
        auto const name = entry.path().filename().string();
        auto const path = below + name;
        if (!entry.is_directory(ec) || name.starts_with('.')) continue;
        if (name.ends_with('+'))
            collect(root, path + '/', out);
        else if (is_there(entry.path() / "tree"))
            out.push_back(path);
    }
    if (ec) throw cannot_run((root / below).string() + ": " + ec.message());
}

}  // namespace

std::vector<std::string> account_directories(std::string const& root) {
    std::vector<std::string> out;
    collect(root, "", out);
    std::sort(out.begin(), out.end());
    return out;
}

std::string format_found(std::string const& root) {
    bool multi = false, single = false;
    for (auto const& account : account_directories(root)) {
        std::error_code ec;
        for (auto const& entry : fs::directory_iterator(fs::path(root) / account / "mail", ec)) {
            auto const name = entry.path().filename().string();
            multi = multi || name.starts_with("m.");
            single = single || (name.size() == 2 && entry.is_directory(ec));
        }
        if (multi || single) break;  // one account tells
    }
    if (multi && single)
        throw cannot_run(root + " has mail files of both formats: say which one with --format multi or --format single");
    return multi ? "multi" : single ? "single" : "";
}

}  // namespace mailfsctl
