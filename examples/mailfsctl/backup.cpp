// SPDX-License-Identifier: BSL-1.0
// mailfsctl backup: a copy that is sound though writers go on meanwhile. Why it is: backup/plan.hpp.
#include "../second_disk.hpp"
#include "accounts.hpp"
#include "backup/copier.hpp"
#include "commands.hpp"
#include "files.hpp"
#include "progress.hpp"
#include "text.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

namespace mailfsctl {
namespace {

constexpr int passes_max = 256;  // over tree and mailboxes of one account
constexpr int rounds_max = 64;   // over mailboxes and mail files, while mail files go

/// The right to write to a target. Two backups at once would mix what they append.
class target_hold {
public:
    explicit target_hold(std::string const& path) : file_(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
        if (file_ < 0) throw std::system_error(errno, std::generic_category(), path);
        if (::flock(file_, LOCK_EX | LOCK_NB) == 0) return;
        ::close(file_);
        throw cannot_run("another backup is writing to " + path + ": wait until it has ended");
    }
    ~target_hold() { ::close(file_); }
    target_hold(target_hold const&) = delete;
    target_hold& operator=(target_hold const&) = delete;

private:
    int file_;
};

class backup_run {
public:
    explicit backup_run(backup_options const& o)
        : options_(o), bar_("backup", 0, "B", o.quiet), copier_(checked_source(o), second_disk_of(o), made_target(o), bar_), hold_(o.target) {}

    int run() {
        auto const accounts = account_directories(options_.data);
        if (accounts.empty())
            throw cannot_run(options_.data + " has no account: is it the root of a store, and is it mounted?");
        for (auto const& account : accounts) {
            bar_.what("backup " + account);
            take(account);
        }
        rest(accounts);
        copier_.settle();
        if (options_.prune) prune(accounts);
        bar_.clear();
        if (!options_.quiet) report(accounts.size());
        return unquiet_ ? status_found : status_fine;
    }

private:
    static std::string checked_source(backup_options const& o) {
        if (kind_of(o.data) != entry_kind::directory)
            throw cannot_run(o.data + " is no directory: name the one that the server has as its root");
        return o.data;
    }
    static std::string second_disk_of(backup_options const& o) { return mailfs_examples::second_disk(checked_source(o)); }
    static std::string made_target(backup_options const& o) {
        auto const source = std::filesystem::canonical(checked_source(o));
        make_directories(o.target);
        auto const target = std::filesystem::canonical(o.target);
        auto const holds = [](auto const& outer, auto const& inner) {
            return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
        };
        if (holds(source, target) || holds(target, source))
            throw cannot_run("one of " + o.data + " and " + o.target + " lies within the other: name a target elsewhere");
        return o.target;
    }

    void complain(std::string const& what) {
        unquiet_ = true;
        bar_.clear();
        std::fflush(stdout);
        fmt::print(stderr, "mailfsctl: {}\n", what);
    }

    /// Tree, mailboxes, mail; again where mail files went meanwhile.
    void take(std::string const& account) {
        auto const mail = account + "/mail";
        for (int i = 0; i < rounds_max; ++i) {
            auto const before = copier_.files_below(mail);
            take_mailboxes(account);
            copier_.begin_pass(mail);
            copier_.below(mail);
            if (all_are_left(before, copier_.files_below(mail))) {
                copier_.below(account, {"tree", "box", "mail", "marks"});  // of later versions; marks are a purge's own
                copier_.settle();
                return;
            }
        }
        complain(account +
                 ": mail files went at every try: messages may be without their bodies; try again when no purge runs");
    }

    void take_mailboxes(std::string const& account) {
        for (int pass = 0; pass < passes_max; ++pass) {
            copier_.begin_pass(account + "/tree");
            copier_.begin_pass(account + "/box");
            bool quiet = !copier_.directory(account + "/tree").changed && pass > 0;
            for (auto const& box : copier_.directories_in(account + "/box")) {
                auto const copied = copier_.directory(account + "/box/" + box);
                quiet = quiet && !copied.removes;
            }
            if (quiet) return;
        }
        complain(account +
                 ": messages went at every try: one that was moved meanwhile may be in neither mailbox; try again");
    }

    /// Files that are no account's.
    void rest(std::vector<std::string> const& accounts) {
        std::vector<std::string> tops;
        for (auto const& account : accounts) tops.push_back(account.substr(0, account.find('/')));
        copier_.below("", tops);
    }

    void prune(std::vector<std::string> const& accounts) {
        for (auto const& account : accounts) copier_.prune(account);
        for (auto const& account : account_directories(options_.target))
            if (!std::binary_search(accounts.begin(), accounts.end(), account)) copier_.prune(account);
    }

    void report(std::size_t accounts) const {
        auto const& t = copier_.totals();
        fmt::print("backup of {} in {}: {} in {} copied", counted(accounts, "account"), options_.target,
                   readable_size(t.bytes_copied), counted(t.files_copied, "file"));
        if (t.files_removed > 0) fmt::print(", {} removed", counted(t.files_removed, "file"));
        fmt::print("\n");
    }

    backup_options const& options_;
    progress bar_;
    copier copier_;
    target_hold hold_;
    bool unquiet_ = false;
};

}  // namespace

int backup(backup_options const& o) { return backup_run(o).run(); }

}  // namespace mailfsctl
