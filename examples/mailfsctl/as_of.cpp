// SPDX-License-Identifier: BSL-1.0
// mailfsctl as-of: a mailbox as it was: listed, exported, and what was expunged since brought back.
#include "commands.hpp"
#include "json.hpp"
#include "mail/exporter.hpp"
#include "moment.hpp"
#include "progress.hpp"
#include "text.hpp"
#include "workshop.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <utility>

namespace mailfsctl {
namespace {

/// The part of a past that was asked for.
class chosen_part final : public mailbox_reader {
public:
    chosen_part(past_access& past, mailfs::uid_set uids) : past_(&past), uids_(std::move(uids)) {}
    mailfs::guid id() const override { return past_->id(); }
    std::uint32_t uid_validity() const override { return past_->uid_validity(); }
    mailfs::uid_t uid_next() const override { return past_->uid_next(); }
    mailfs::uid_set uids() const override { return uids_; }
    std::optional<mailfs::message_row> row(mailfs::uid_t uid) const override { return past_->row(uid); }
    void fetch(mailfs::uid_set const& uids, std::function<bool(body&&)> const& take) override { past_->fetch(uids, take); }

private:
    past_access* past_;
    mailfs::uid_set uids_;
};

std::uint64_t now_ms() {
    auto const since = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(since).count());
}

mailfs::log_cut moment_of(std::string const& text) {
    if (auto const cut = parse_moment(text, now_ms())) return *cut;
    throw cannot_run('"' + text + "\" is no moment: give one like 2026-11-23 22:15, 2026-11-23T22:15:00Z, \"2h ago\", @1700000000, or a MODSEQ");
}

class as_of_run {
public:
    explicit as_of_run(as_of_options const& o) : options_(o), workshop_(open_workshop(o.where)) {}

    int run() {
        if (options_.when.empty()) return how_far();
        past_ = workshop_->past(options_.account, options_.mailbox, moment_of(options_.when));
        now_ = past_->now();
        choose();
        if (options_.undo) return undo();
        if (!options_.target.empty()) return export_part();
        list();
        return status_fine;
    }

private:
    void choose() {
        std::optional<mailfs::uid_set> wanted;
        if (!options_.uids.empty()) {
            wanted = mailfs::uid_set::parse(options_.uids, past_->uid_next() - 1);
            if (!wanted) throw cannot_run('"' + options_.uids + "\" is no set of UIDs: give one like 3:7,9");
        }
        past_->uids().for_each([&](mailfs::uid_t uid) {
            bool const counts = (!wanted || wanted->contains(uid)) && (!options_.gone || !now_.contains(uid));
            if (counts) chosen_.add(uid);
        });
    }

    int how_far() {
        auto const all = workshop_->generations(options_.account, options_.mailbox);
        if (!options_.json) fmt::print("{:>6}  {:<24}  {:>20}  {:>10}  {:>10}\n", "number", "begins", "modseq", "log", "snapshot");
        for (auto const& g : all) {
            auto const begins = g.created_ms == 0 ? std::string("not known") : utc(g.created_ms);
            if (options_.json)
                fmt::print("{}\n", json_object().add("number", g.number).add("begins", begins).add("modseq", g.modseq).add("log_size", g.log_size).add("snapshot_size", g.snapshot_size).add("fault", g.fault).str());
            else
                fmt::print("{:>6}  {:<24}  {:>20}  {:>10}  {:>10}{}\n", g.number, begins, g.modseq, g.log_size == 0 ? "none" : readable_size(g.log_size),
                           g.snapshot_size == 0 ? "none" : readable_size(g.snapshot_size), g.fault.empty() ? "" : "  " + g.fault);
        }
        return status_fine;
    }

    void list() {
        if (!options_.json)
            fmt::print("{} of {} as it was at {}: {}, MODSEQ {}{}\n", printable(options_.mailbox), printable(options_.account), utc(past_->time_ms()),
                       counted(past_->uids().size(), "message"), past_->modseq(), past_->is_newest() ? ", and is now" : "");
        chosen_.for_each([&](mailfs::uid_t uid) {
            auto const row = past_->row(uid);
            if (!row) return;
            auto words = flag_names(row->flags);
            for (auto const& keyword : row->keywords) words.push_back(printable(keyword));
            bool const there = now_.contains(uid);
            if (options_.json)
                fmt::print("{}\n", json_object().add("uid", uid).add("flags", words).add("modseq", row->modseq).add("size", row->size).add("received", utc(row->received_ms)).add("guid", row->id.hex()).add("there_now", there).str());
            else
                fmt::print("{:>10}  {}  {:>10}  {}{}{}\n", uid, utc(row->received_ms).substr(0, 19) + 'Z', readable_size(row->size), there ? "" : "GONE",
                           there || words.empty() ? "" : "  ", joined(words, " "));
        });
    }

    void complain(std::string const& what) {
        std::fflush(stdout);
        fmt::print(stderr, "mailfsctl: {}\n", what);
    }

    int undo() {
        auto const back = past_->undo(chosen_);
        for (auto const& lost : back.lost) complain(lost);
        if (!options_.quiet) {
            for (auto const& [was, is] : back.uids) fmt::print("UID {} is back as {}\n", was, is);
            fmt::print("{} brought back to {}\n", counted(back.uids.size(), "message"), printable(options_.mailbox));
        }
        return back.lost.empty() ? status_fine : status_found;
    }

    int export_part() {
        progress bar("export " + options_.mailbox, chosen_.size(), "messages", options_.quiet);
        chosen_part part(*past_, chosen_);
        auto const tell = [&](std::string const& what) { complain(what); };
        auto const result = options_.kind == "mbox" ? export_mbox(part, options_.target, line_ends::keep, true, bar, tell)
                                                    : export_folder(part, options_.target, false, line_ends::keep, bar, tell);
        bar.clear();
        if (!options_.quiet) fmt::print("exported {} to {}\n", counted(result.exported, "message"), options_.target);
        return result.unreadable > 0 ? status_found : status_fine;
    }

    as_of_options const& options_;
    std::unique_ptr<workshop> workshop_;
    std::unique_ptr<past_access> past_;
    mailfs::uid_set now_, chosen_;
};

}  // namespace

int as_of(as_of_options const& o) { return as_of_run(o).run(); }

}  // namespace mailfsctl
