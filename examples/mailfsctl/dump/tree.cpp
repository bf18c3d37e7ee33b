// SPDX-License-Identifier: BSL-1.0
// The snapshot of a mailbox tree: header, mailboxes, subscriptions, metadata.
#include "dump/kinds.hpp"

#include <mailfs/format/stream_codec.hpp>
#include <mailfs/store/tree_snapshot.hpp>

#include <fmt/format.h>

namespace mailfsctl {
namespace {

namespace f = mailfs::format;

void put_mark(dump_entry& e, std::string_view key, mailfs::change_mark_record const& r) {
    e.time(key, r.stamp >> 16);
    e.text(std::string(key) + "_by",
           fmt::format("{}/{:016x}/{}", std::uint32_t{r.node}, std::uint64_t{r.incarnation}, std::uint64_t{r.counter}), "");
}

/// Takes records off the bytes, until one does not fit.
class tree_dumper {
public:
    tree_dumper(mailfs::bytes_view file, dump_writer& out) : file_(file), rest_(file), out_(&out) {}

    void run() {
        if (file_.size() < sizeof header_) return out_->damage(0, file_.size(), "ends inside the snapshot header");
        take(header_);
        if (header_.checksum != mailfs::detail::tree_checksum(file_))
            out_->damage(0, file_.size(), "fails its checksum: any of what follows may be wrong");
        put_header();
        if (header_.major > mailfs::tree_major)
            return fail(fmt::format("tree format {}: a newer mailfs can read it", std::uint16_t{header_.major}));
        if (header_.size != file_.size())
            out_->damage(file_.size(), file_.size(), fmt::format("the file should have {}", counted(header_.size, "byte")));
        if (!stream()) return fail("the state of the stream is cut or malformed");
        each(header_.mailbox_count, [this] { return mailbox(); }) &&
            each(header_.subscription_count, [this] { return subscription(); }) &&
            each(header_.metadata_count, [this] { return metadata(); });
        if (!failed_ && !rest_.empty()) fail("bytes behind the last record");
    }

private:
    std::uint64_t at() const noexcept { return file_.size() - rest_.size(); }
    void fail(std::string_view why) {
        failed_ = true;
        out_->damage(at(), file_.size(), why);
    }
    template <class Record>
    bool take(Record& r) {
        if (rest_.size() < sizeof r) return false;
        r = f::load<Record>(rest_);
        rest_ = rest_.subspan(sizeof r);
        return true;
    }
    bool take(std::string_view& text, std::size_t size) {
        if (size > rest_.size()) return false;
        text = mailfs::as_text(rest_.first(size));
        rest_ = rest_.subspan(size);
        return true;
    }
    template <class Take>
    bool each(std::uint32_t count, Take const& take_one) {
        for (; count > 0 && !failed_; --count)
            if (!take_one()) fail("a record is cut short");
        return !failed_;
    }

    void put_header() {
        auto const& h = header_;
        dump_entry e("header");
        e.text("version", fmt::format("{}.{}", std::uint16_t{h.major}, std::uint16_t{h.minor})).id("object", {h.object});
        e.number("mailboxes", std::uint32_t{h.mailbox_count}).number("subscriptions", std::uint32_t{h.subscription_count});
        e.number("metadata", std::uint32_t{h.metadata_count})
            .number("last_uid_validity", std::uint32_t{h.uid_validity_last});
        if (h.features_required != 0) e.number("required", std::uint64_t{h.features_required});
        out_->entry(0, e);
    }
    bool stream() {
        auto const offset = at();
        auto const s = f::decode_stream(rest_);
        if (!s) return false;
        dump_entry e("stream");
        e.number("epoch", s->at.epoch).number("n", s->at.n).id("boot", s->boot).time("latest", s->latest.milliseconds());
        out_->entry(offset,
                    e.number("origins", s->seen.size(), fmt::format("{} remembered", counted(s->seen.size(), "origin"))));
        return true;
    }
    bool mailbox() {
        auto const offset = at();
        mailfs::mailbox_record r;
        std::string_view name;
        if (!take(r) || !take(name, r.name_size)) return false;
        dump_entry e("mailbox");
        e.text("name", name, '"' + printable(name) + '"')
            .id("guid", {r.id})
            .number("uid_validity", std::uint32_t{r.uid_validity});
        e.number("use", std::uint16_t{r.use}, r.use == 0 ? "" : fmt::format("use {:#x}", std::uint16_t{r.use}));
        put_mark(e, "created", r.created);
        put_mark(e, "named", r.named);
        out_->entry(offset, e);
        return true;
    }
    bool subscription() {
        auto const offset = at();
        mailfs::subscription_record r;
        std::string_view name;
        if (!take(r) || !take(name, r.name_size)) return false;
        dump_entry e(r.on != 0 ? "subscribed" : "unsubscribed");
        e.text("name", name, '"' + printable(name) + '"');
        put_mark(e, "changed", r.changed);
        out_->entry(offset, e);
        return true;
    }
    bool metadata() {
        auto const offset = at();
        mailfs::metadata_record r;
        std::string_view key, value;
        if (!take(r) || !take(key, r.key_size) || !take(value, r.value_size)) return false;
        dump_entry e("metadata");
        e.id("mailbox", {r.mailbox})
            .text("key", key)
            .truth("present", r.present != 0, r.present != 0 ? "" : "removed")
            .text("value", value);
        put_mark(e, "changed", r.changed);
        out_->entry(offset, e);
        return true;
    }

    mailfs::bytes_view file_, rest_;
    dump_writer* out_;
    mailfs::tree_snapshot_header header_;
    bool failed_ = false;
};

}  // namespace

void dump_tree_snapshot(mailfs::bytes_view file, dump_writer& out) {
    out.title("snapshot of a mailbox tree", file.size());
    tree_dumper(file, out).run();
}

}  // namespace mailfsctl
