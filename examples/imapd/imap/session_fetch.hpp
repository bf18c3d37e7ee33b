// SPDX-License-Identifier: BSL-1.0
// FETCH and UID FETCH: rows from the index at once, bodies through a bounded window. Included by session.hpp.
#pragma once

#include "imap/session.hpp"
#include "mime/section.hpp"

#include <algorithm>
#include <exception>
#include <iterator>
#include <optional>
#include <vector>

namespace imapd::imap {

/// Items that the index row answers without the message.
inline bool is_row_item(fetch_item::kind what) noexcept {
    using kind = fetch_item::kind;
    return what == kind::flags || what == kind::modseq || what == kind::uid || what == kind::size ||
           what == kind::internal_date || what == kind::save_date || what == kind::email_id || what == kind::thread_id;
}

/// Items that the message's header answers.
inline bool is_header_item(fetch_item const& i) noexcept {
    using kind = fetch_item::kind;
    using part = section::part;
    if (i.what == kind::envelope || i.what == kind::rfc822_header) return true;
    auto const what = i.section.what;
    return i.what == kind::section && i.section.path.empty() && (what == part::header || what == part::fields || what == part::fields_not);
}
/// BODY[]<a.b>, whose bytes are those of the file.
inline bool is_range_item(fetch_item const& i) noexcept {
    return i.what == fetch_item::kind::section && i.section.path.empty() && i.section.what == section::part::all && i.partial;
}

/// What must be read of a message to answer all items; nothing: the rows are enough.
inline std::optional<mailfs::mail_part> part_needed(std::vector<fetch_item> const& items) {
    std::vector<fetch_item> bodies;
    std::copy_if(items.begin(), items.end(), std::back_inserter(bodies), [](auto const& i) { return !is_row_item(i.what); });
    if (bodies.empty()) return std::nullopt;
    if (std::all_of(bodies.begin(), bodies.end(), is_header_item)) return mailfs::mail_part::header();
    if (bodies.size() > 1 || !is_range_item(bodies.front())) return mailfs::mail_part::whole();
    return mailfs::mail_part::range(bodies.front().partial->offset, bodies.front().partial->count);
}

/// What one FETCH asks for, sorted by what it costs.
template <class Store, mime::extractor Extractor>
struct session<Store, Extractor>::fetch_plan {
    std::vector<fetch_item> items;
    std::optional<mailfs::mail_part> part;  // of the messages' bytes that some item needs
    bool tree = false;       // some item needs its parts
    bool flags = false;      // FLAGS was asked for
    bool sets_seen = false;  // some item is not a peek
    mailfs::uid_set seen;    // messages that are \Seen by this
    mailfs::uid_set unreadable;
    std::error_code failure;  // of the last unreadable one
    std::string reason;       // the same, in full
};

template <class Store, mime::extractor Extractor>
auto session<Store, Extractor>::plan_fetch(cmd::fetch const& f) -> fetch_plan {
    using kind = fetch_item::kind;
    fetch_plan plan;
    plan.items = f.items;
    auto const add = [&](kind what) {
        bool const there = std::any_of(plan.items.begin(), plan.items.end(), [&](auto const& i) { return i.what == what; });
        fetch_item item;
        item.what = what;
        item.peek = true;
        if (!there) plan.items.push_back(item);
    };
    if (f.uid) add(kind::uid);
    if (f.changed_since) add(kind::modseq);
    for (auto const& i : plan.items) {
        if (i.what == kind::flags) plan.flags = true;
        if (i.what == kind::modseq) enable_condstore();
        if (is_row_item(i.what)) continue;
        bool const plain = i.what == kind::rfc822 || i.what == kind::rfc822_header || i.what == kind::rfc822_text ||
                           i.what == kind::envelope;
        if (i.what == kind::section ? mime::needs_tree(i.section) : !plain) plan.tree = true;
        bool const marks = i.what == kind::section || i.what == kind::rfc822 || i.what == kind::rfc822_text;
        if (marks && !i.peek && !box_->read_only) plan.sets_seen = true;
    }
    plan.part = part_needed(plan.items);
    return plan;
}

template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::on(cmd::fetch const& c) {
    if (c.vanished && (!qresync_ || !c.uid || !c.changed_since)) co_return bad("VANISHED goes with UID FETCH, CHANGEDSINCE and ENABLE QRESYNC");
    auto plan = plan_fetch(c);
    auto found = targets(c.set, c.uid);
    if (!found) co_return bad("There is no such message number");
    auto uids = *std::move(found);
    if (c.changed_since) {
        auto const last = box_->box.view().uid_next() - 1;
        if (c.vanished) say_vanished_earlier(*c.changed_since, c.set.resolve(last));
        auto const since = known_since(*c.changed_since);
        mailfs::uid_set newer;
        uids.for_each([&](mailfs::uid_t uid) {
            auto const row = box_->box.view().row(uid);
            if (row && row->modseq > since) newer.add(uid);
        });
        uids = std::move(newer);
    }
    std::exception_ptr failed;
    try {
        co_await stream(plan, uids);
    } catch (...) {
        failed = std::current_exception();
    }
    if (!plan.seen.empty()) {  // what was sent was seen, though the client went in the middle
        mailfs::flag_change change;
        change.mode = mailfs::flag_mode::add;
        change.flags = mailfs::flag::seen;
        co_await box_->box.set_flags(plan.seen, change);
    }
    if (failed) std::rethrow_exception(failed);
    if (plan.unreadable.empty()) co_return answer{};
    fmt::print(stderr, "imapd: FETCH failed: {}\n", plan.reason);
    auto result = answer_of(plan.failure);
    result.text += ": UID " + plan.unreadable.text();
    co_return result;
}

/// FETCH commands that the client has sent already, behind this one: their mail is read while this one is answered.
template <class Store, mime::extractor Extractor>
asio::awaitable<void> session<Store, Extractor>::announce_what_comes() {
    auto input = io_->pending();
    assembler ahead(limits_after_login());
    for (std::size_t n = 0; n < limits::fetch_hints_max && !input.empty(); ++n) {
        if (ahead.feed(input) != assembler::result::complete) co_return;
        auto const parsed = parse(ahead.text());
        auto const* const next = std::get_if<command>(&parsed);
        auto const* const f = next == nullptr ? nullptr : std::get_if<cmd::fetch>(&next->arguments);
        if (f == nullptr) co_return;
        auto const part = part_needed(f->items);
        auto const uids = targets(f->set, f->uid);
        if (!part || !uids || f->changed_since) continue;
        mailfs::fetch_options options;
        options.window = limits::fetch_window_max;
        options.bytes_max = limits::fetch_window_size / limits::fetch_hints_max;
        options.part = *part;
        co_await box_->box.will_need(*uids, options);
    }
}

template <class Store, mime::extractor Extractor>
asio::awaitable<void> session<Store, Extractor>::stream(fetch_plan& plan, mailfs::uid_set const& uids) {
    if (!plan.part) {
        for (auto const range : uids.ranges()) {
            for (std::uint64_t uid = range.first; uid <= range.last; ++uid) {
                if (write_row_items(plan, static_cast<mailfs::uid_t>(uid), false)) out_ += ")\r\n";
                co_await flush_if_large();
            }
        }
        co_return;
    }
    mailfs::fetch_options options;
    options.window = limits::fetch_window_max;
    options.bytes_max = limits::fetch_window_size;
    options.part = *plan.part;
    auto mails = box_->box.fetch(uids, options);
    co_await announce_what_comes();
    while (true) {
        auto const mail = co_await mails.next();
        if (!mail) break;
        if (mail->error) {
            plan.unreadable.add(mail->uid);
            plan.failure = mail->error;
            plan.reason = mail->reason;
            continue;
        }
        auto const flags = box_->box.view().flags(mail->uid);
        bool const now_seen = plan.sets_seen && flags && !mailfs::has(*flags, mailfs::flag::seen);
        auto const any = write_row_items(plan, mail->uid, now_seen);
        if (!any) continue;
        co_await write_body_items(plan, mailfs::as_text(mail->bytes), !*any);
        out_ += ")\r\n";
        if (now_seen) plan.seen.add(mail->uid);
        co_await flush_if_large();
    }
}

/// Opens the response, with all that the index knows; tells whether that was anything, or nothing when the message is gone.
template <class Store, mime::extractor Extractor>
std::optional<bool> session<Store, Extractor>::write_row_items(fetch_plan const& plan, mailfs::uid_t uid, bool now_seen) {
    using kind = fetch_item::kind;
    auto const& view = box_->box.view();
    auto const number = view.number(uid);
    auto const row = view.row(uid);
    if (!number || !row) return std::nullopt;
    auto const to = std::back_inserter(out_);
    fmt::format_to(to, "* {} FETCH (", box_->numbers.to_client(*number));
    char const* gap = "";
    for (auto const& item : plan.items) {
        switch (item.what) {
            case kind::uid: fmt::format_to(to, "{}UID {}", gap, uid); break;
            case kind::size: fmt::format_to(to, "{}RFC822.SIZE {}", gap, row->size); break;
            case kind::modseq: fmt::format_to(to, "{}MODSEQ ({})", gap, row->modseq); break;
            case kind::save_date: fmt::format_to(to, "{}SAVEDATE \"{}\"", gap, format_date_time(row->saved_ms)); break;
            case kind::email_id: fmt::format_to(to, "{}EMAILID ({})", gap, row->id.hex()); break;
            case kind::thread_id: fmt::format_to(to, "{}THREADID NIL", gap); break;
            case kind::internal_date:
                fmt::format_to(to, "{}INTERNALDATE \"{}\"", gap, format_date_time(row->received_ms));
                break;
            default: continue;
        }
        gap = " ";
    }
    if (!plan.flags && !now_seen) return *gap != '\0';
    auto const flags = now_seen ? row->flags | mailfs::flag::seen : row->flags;
    fmt::format_to(to, "{}FLAGS ", gap);
    write_flags(out_, flags, row->keywords);
    if (now_seen) expected_.add(uid, flags, keyword_digest(row->keywords));  // told here, ahead of the change
    return true;
}

template <class Store, mime::extractor Extractor>
asio::awaitable<void> session<Store, Extractor>::write_bytes(std::string_view bytes) {
    fmt::format_to(std::back_inserter(out_), "{{{}}}\r\n", bytes.size());
    if (bytes.size() < limits::flush_size) {
        out_ += bytes;
        co_return;
    }
    co_await flush();  // what is large goes out from where it lies
    co_await io_->write(bytes);
}

template <class Store, mime::extractor Extractor>
asio::awaitable<void> session<Store, Extractor>::write_body_items(fetch_plan const& plan, std::string_view message,
                                                                  bool first) {
    using kind = fetch_item::kind;
    std::optional<mime::part> tree;
    if (plan.tree) tree = extractor_.parse(message);
    auto const header = mime::header_size(message);
    for (auto const& item : plan.items) {
        if (is_row_item(item.what)) continue;
        if (!std::exchange(first, false)) out_ += ' ';
        switch (item.what) {
            case kind::envelope:
                out_ += "ENVELOPE ";
                write_envelope(out_, extractor_.envelope(message));
                break;
            case kind::body:
            case kind::body_structure:
                out_ += item.what == kind::body ? "BODY " : "BODYSTRUCTURE ";
                write_structure(out_, *tree, item.what == kind::body_structure);
                break;
            case kind::rfc822:
                out_ += "RFC822 ";
                co_await write_bytes(message);
                break;
            case kind::rfc822_header:
                out_ += "RFC822.HEADER ";
                co_await write_bytes(message.substr(0, header));
                break;
            case kind::rfc822_text:
                out_ += "RFC822.TEXT ";
                co_await write_bytes(message.substr(header));
                break;
            case kind::section: {
                write_section_name(out_, item);
                out_ += ' ';
                auto const bytes = mime::find_section(message, tree ? &*tree : nullptr, item.section);
                if (bytes && is_range_item(item) && !plan.part->is_whole())
                    co_await write_bytes(bytes->get());  // nothing else was read
                else if (bytes)
                    co_await write_bytes(mime::cut(bytes->get(), item.partial));
                else
                    out_ += "NIL";
                break;
            }
            default: break;
        }
    }
}

}  // namespace imapd::imap
