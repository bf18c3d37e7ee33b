// SPDX-License-Identifier: BSL-1.0
// mailfsctl info: what is in a store, and which files it lies in.
#include "json.hpp"
#include "storage.hpp"

#include <mailfs/error.hpp>
#include <mailfs/store/account_directory.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <map>

namespace mailfsctl {
namespace {

namespace fs = std::filesystem;

struct file_size {
    std::string name;
    std::uint64_t size = 0;
};

/// log.<n> and index.<n> of a directory, by their numbers, and the sum of their sizes.
struct generations {
    explicit generations(fs::path const& directory) {
        std::map<std::uint64_t, std::vector<file_size>> by_number;
        std::error_code ec;
        for (auto const& entry : fs::directory_iterator(directory, ec)) {
            auto const name = entry.path().filename().string();
            auto const dot = name.find('.');
            std::uint64_t n = 0;
            bool const ours = name.starts_with("log.") || name.starts_with("index.");
            if (!ours || std::from_chars(name.data() + dot + 1, name.data() + name.size(), n).ec != std::errc{}) continue;
            std::error_code gone;  // by a rotation
            auto const size = entry.file_size(gone);
            if (!gone) by_number[n].push_back({name, size});
        }
        for (auto& [n, pair] : by_number)
            for (auto& file : pair) {
                bytes += file.size;
                files.push_back(std::move(file));
            }
        std::stable_sort(files.begin(), files.end(),
                         [](auto const& a, auto const& b) { return a.name.starts_with('l') < b.name.starts_with('l'); });
    }

    std::vector<file_size> files;
    std::uint64_t bytes = 0;

    std::string text() const {
        std::vector<std::string> out;
        for (auto const& f : files) out.push_back(fmt::format("{} ({})", f.name, readable_size(f.size)));
        return joined(out, ", ");
    }
    std::vector<std::string> json() const {
        std::vector<std::string> out;
        for (auto const& f : files) out.push_back(json_object().add("name", f.name).add("size", f.size).str());
        return out;
    }
};

struct mail_files {
    explicit mail_files(fs::path const& directory) {
        std::error_code ec;
        for (fs::recursive_directory_iterator it(directory, ec), end; !ec && it != end; it.increment(ec)) {
            std::error_code gone;
            if (!it->is_regular_file(gone) || it->path().filename().string().starts_with('.')) continue;
            auto const size = it->file_size(gone);
            if (gone) continue;
            ++count;
            bytes += size;
        }
    }
    std::uint64_t count = 0, bytes = 0;
};

struct totals {
    std::uint64_t boxes = 0, messages = 0, unseen = 0, deleted = 0, bytes = 0;
    void add(box_status const& s) {
        ++boxes;
        messages += s.messages;
        unseen += s.unseen;
        deleted += s.deleted;
        bytes += s.bytes;
    }
};

std::string words_for(mailfs::special_use use) {
    constexpr std::string_view names[] = {"\\All",  "\\Archive", "\\Drafts", "\\Flagged",
                                          "\\Junk", "\\Sent",    "\\Trash",  "\\Important"};
    std::vector<std::string> out;
    for (unsigned bit = 0; bit < std::size(names); ++bit)
        if (has(use, mailfs::special_use(static_cast<std::uint16_t>(1U << bit)))) out.emplace_back(names[bit]);
    return joined(out, " ");
}

/// All that is told of one account.
class account_report {
public:
    account_report(storage& all, info_options const& o, std::string name)
        : name_(std::move(name)),
          root_(fs::path(o.where.data) / mailfs::account_directory(name_).value_or("")),
          account_(account_of(all, name_)) {
        for (auto const& listed : account_->list())
            if (listed.selectable && (o.mailbox.empty() || listed.name == o.mailbox)) add(listed);
        if (!o.mailbox.empty() && boxes_.empty())
            throw cannot_run(fmt::format("{} has no mailbox \"{}\": `mailfsctl info {} {}` lists those that there are",
                                         name_, o.mailbox, o.where.data, name_));
    }

    totals const& sum() const noexcept { return sum_; }
    bool complete() const noexcept { return complete_; }

    /// One line.
    void print_line() const {
        fmt::print("{:<24} {:>9} {:>12} {:>10} {:>10}\n", printable(name_), grouped(boxes_.size()), grouped(sum_.messages),
                   grouped(sum_.unseen), readable_size(sum_.bytes));
    }
    void print_boxes() const {
        fmt::print("account {}\n  in {}\n", printable(name_), root_.string());
        mail_files const mail(root_ / "mail");
        generations const tree(root_ / "tree");
        fmt::print("  mail files  {}, {}\n  tree        {}\n\n", counted(mail.count, "file"), readable_size(mail.bytes),
                   tree.text());
        fmt::print("{:>10} {:>9} {:>8} {:>10} {:>11} {:>9} {:>9}  {}\n", "messages", "unseen", "deleted", "size",
                   "uidvalidity", "uidnext", "index", "mailbox");
        for (auto const& b : boxes_) {
            if (!b.failure.empty()) {
                fmt::print("{:>72}  {}: {}\n", "cannot be read", printable(b.info.name), b.failure);
                continue;
            }
            auto const use = words_for(b.info.use);
            fmt::print("{:>10} {:>9} {:>8} {:>10} {:>11} {:>9} {:>9}  {}{}\n", grouped(b.status.messages),
                       grouped(b.status.unseen), grouped(b.status.deleted), readable_size(b.status.bytes),
                       b.status.uid_validity, b.status.uid_next, readable_size(files_of(b).bytes), printable(b.info.name),
                       use.empty() ? "" : "  " + use);
        }
    }
    void print_box() const {
        auto const& b = boxes_.front();
        if (!b.failure.empty()) return print_boxes();
        fmt::print("mailbox {} of {}\n", printable(b.info.name), printable(name_));
        auto const line = [](char const* key, std::string const& value) { fmt::print("  {:<14} {}\n", key, value); };
        line("guid", b.info.id.hex());
        line("messages", grouped(b.status.messages));
        line("unseen", grouped(b.status.unseen));
        line("deleted", grouped(b.status.deleted));
        line("size", readable_size(b.status.bytes));
        line("UIDVALIDITY", std::to_string(b.status.uid_validity));
        line("UIDNEXT", std::to_string(b.status.uid_next));
        line("HIGHESTMODSEQ", std::to_string(b.status.highest_modseq));
        line("subscribed", b.info.subscribed ? "yes" : "no");
        if (auto const use = words_for(b.info.use); !use.empty()) line("special use", use);
        line("directory", directory_of(b).string());
        for (auto const& f : files_of(b).files) line("", fmt::format("{:<12} {}", f.name, readable_size(f.size)));
    }

    std::string json() const {
        mail_files const mail(root_ / "mail");
        json_object out;
        out.add("account", name_)
            .add("directory", root_.string())
            .add("mail_files", mail.count)
            .add("mail_file_bytes", mail.bytes);
        out.list("tree", generations(root_ / "tree").json());
        std::vector<std::string> boxes;
        for (auto const& b : boxes_) boxes.push_back(json_of(b));
        return out.list("mailboxes", boxes).str();
    }

private:
    struct box {
        box_info info;
        box_status status;
        std::string failure;
    };

    void add(box_info const& info) {
        box b{info, {}, {}};
        try {
            b.status = account_->status(info.name);
            sum_.add(b.status);
        } catch (mailfs::error const& e) {
            b.failure = e.what();
            complete_ = false;
        }
        boxes_.push_back(std::move(b));
    }
    fs::path directory_of(box const& b) const { return root_ / "box" / b.info.id.hex(); }
    generations files_of(box const& b) const { return generations(directory_of(b)); }

    std::string json_of(box const& b) const {
        json_object out;
        out.add("name", b.info.name)
            .add("guid", b.info.id.hex())
            .add("subscribed", b.info.subscribed)
            .add("special_use", words_for(b.info.use));
        if (!b.failure.empty()) return out.add("failure", b.failure).str();
        auto const& s = b.status;
        out.add("messages", s.messages).add("unseen", s.unseen).add("deleted", s.deleted).add("bytes", s.bytes);
        out.add("uid_validity", s.uid_validity).add("uid_next", s.uid_next).add("highest_modseq", s.highest_modseq);
        return out.add("directory", directory_of(b).string()).list("index", files_of(b).json()).str();
    }

    std::string name_;
    fs::path root_;
    std::unique_ptr<account_access> account_;
    std::vector<box> boxes_;
    totals sum_;
    bool complete_ = true;
};

/// One line for each account, or one object.
bool all_accounts(storage& all, info_options const& o) {
    bool complete = true;
    totals sum;
    auto const names = all.accounts();
    if (!o.json) fmt::print("{:<24} {:>9} {:>12} {:>10} {:>10}\n", "account", "mailboxes", "messages", "unseen", "size");
    for (auto const& name : names) {
        try {
            account_report const report(all, o, name);
            if (o.json)
                fmt::print("{}\n", report.json());
            else
                report.print_line();
            sum.boxes += report.sum().boxes;
            sum.messages += report.sum().messages;
            sum.unseen += report.sum().unseen;
            sum.bytes += report.sum().bytes;
            complete = complete && report.complete();
        } catch (mailfs::error const& e) {
            std::fflush(stdout);
            fmt::print(stderr, "mailfsctl: {}: {}\n", printable(name), e.what());
            complete = false;
        }
    }
    if (!o.json)
        fmt::print("{:<24} {:>9} {:>12} {:>10} {:>10}\n", counted(names.size(), "account"), grouped(sum.boxes),
                   grouped(sum.messages), grouped(sum.unseen), readable_size(sum.bytes));
    return complete;
}

}  // namespace

int info(info_options const& o) {
    auto const all = open_storage(o.where, false);
    bool complete = true;
    if (o.account.empty()) {
        complete = all_accounts(*all, o);
    } else {
        account_report const report(*all, o, o.account);
        complete = report.complete();
        if (o.json)
            fmt::print("{}\n", report.json());
        else if (o.mailbox.empty())
            report.print_boxes();
        else
            report.print_box();
    }
    return complete ? status_fine : status_found;
}

}  // namespace mailfsctl
