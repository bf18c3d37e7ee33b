// SPDX-License-Identifier: BSL-1.0
// mailfsctl export: an account, or one mailbox, to a Maildir or to mbox files.
#include "commands.hpp"
#include "files.hpp"
#include "mail/exporter.hpp"
#include "mail/maildir.hpp"
#include "mail/mbox.hpp"
#include "progress.hpp"
#include "storage.hpp"
#include "text.hpp"

#include <mailfs/error.hpp>

#include <fmt/format.h>

#include <cstdio>
#include <system_error>

namespace mailfsctl {
namespace {

class export_run {
public:
    explicit export_run(export_options const& o)
        : options_(o),
          storage_(open_storage(o.where, false)),
          account_(account_of(*storage_, o.account)),
          bar_("export", 0, "messages", o.quiet) {}

    int run() {
        std::uint64_t total = 0;
        auto const names = chosen();
        for (auto const& name : names) bar_.total(total += count_of(name));
        for (auto const& name : names) one(name);
        if (options_.mailbox.empty() && options_.kind == "maildir") write_subscriptions();
        if (options_.kind == "maildir" && !options_.no_sync) sync_filesystem(options_.target);
        bar_.clear();
        if (!options_.quiet) report();
        return sum_.unreadable > 0 || left_out_ > 0 ? status_found : status_fine;
    }

private:
    std::uint64_t count_of(std::string const& name) {
        try {
            return account_->status(name).messages;
        } catch (mailfs::error const&) {  // is told when its turn comes
            return 0;
        }
    }
    std::vector<std::string> chosen() {
        if (!options_.mailbox.empty()) return {options_.mailbox};
        std::vector<std::string> names;
        for (auto const& box : account_->list())
            if (box.selectable) names.push_back(box.name);
        return names;
    }

    void complain(std::string const& what) {
        bar_.clear();
        std::fflush(stdout);
        fmt::print(stderr, "mailfsctl: {}\n", what);
    }

    // What is wrong with one mailbox stops no other.
    void one(std::string const& name) {
        bar_.what("export " + name);
        try {
            auto const mailbox = account_->open(name);
            auto const result = write(name, *mailbox);
            sum_.exported += result.exported;
            sum_.there_already += result.there_already;
            sum_.unreadable += result.unreadable;
            ++boxes_;
        } catch (std::system_error const& e) {
            if (!options_.mailbox.empty()) throw;
            ++left_out_;
            complain(fmt::format("{}: {}: left out", printable(name), e.what()));
        }
    }
    export_result write(std::string const& name, mailbox_reader& mailbox) {
        auto const tell = [&](std::string const& what) { complain(printable(name) + ": " + what); };
        bool const alone = !options_.mailbox.empty();
        if (options_.kind == "mbox") {
            auto const path = alone ? options_.target : options_.target + '/' + mbox_path_of_mailbox(name);
            if (auto const slash = path.rfind('/'); slash != path.npos && slash > 0) make_directories(path.substr(0, slash));
            return export_mbox(mailbox, path, options_.ends, !options_.no_sync, bar_, tell);
        }
        bool const flat = options_.layout == "maildir++";
        auto const below = alone ? "" : flat ? folder_of_mailbox(name) : path_of_mailbox(name);
        auto const path = below.empty() ? options_.target : options_.target + '/' + below;
        return export_folder(mailbox, path, flat && !below.empty(), options_.ends, bar_, tell);
    }

    void write_subscriptions() {
        std::string text = "V\t2\n\n";
        for (auto const& name : account_->subscriptions()) {
            auto line = path_of_mailbox(name);
            if (line.empty()) line = name;
            for (auto& c : line)
                if (c == '/') c = '\t';
            text += line + '\n';
        }
        replace_file(options_.target + "/subscriptions", text);
    }

    void report() const {
        fmt::print("exported {} from {} to {}", counted(sum_.exported, "message"), counted(boxes_, "mailbox"),
                   options_.target);
        if (sum_.there_already > 0) fmt::print("; {} there already", grouped(sum_.there_already));
        if (sum_.unreadable > 0) fmt::print("; {} unreadable, see above", grouped(sum_.unreadable));
        if (left_out_ > 0) fmt::print("; {} left out, see above", counted(left_out_, "mailbox"));
        fmt::print("\n");
    }

    export_options const& options_;
    std::unique_ptr<storage> storage_;
    std::unique_ptr<account_access> account_;
    progress bar_;
    export_result sum_;
    std::uint64_t boxes_ = 0, left_out_ = 0;
};

}  // namespace

int export_mail(export_options const& o) { return export_run(o).run(); }

}  // namespace mailfsctl
