// SPDX-License-Identifier: BSL-1.0
// Operations of mailboxes and of mailbox trees, spelled out.
#include "dump/kinds.hpp"

#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/format/tree_operations.hpp>
#include <mailfs/store/mailbox_name.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <variant>

namespace mailfsctl {
namespace {

using mailfs::bytes_view;
using mailfs::format::load;
using operation = mailfs::format::mailbox_operation;

std::vector<std::string> words_of(std::uint32_t flags, bytes_view rest, std::uint16_t count) {
    auto words = flag_names(static_cast<mailfs::flag>(flags));
    for (auto const& name : mailfs::format::names_of(rest, count)) words.push_back(printable(name));
    return words;
}

/// "3:7,9" of the ranges as they stand; consumes them.
std::string ranges_of(bytes_view& rest, std::uint32_t count) {
    std::string out;
    for (; count > 0 && rest.size() >= sizeof(mailfs::format::range_layout); --count) {
        auto const r = load<mailfs::format::range_layout>(rest);
        rest = rest.subspan(sizeof r);
        if (!out.empty()) out += ',';
        out += std::to_string(r.first);
        if (r.last != r.first) out += fmt::format(":{}", std::uint32_t{r.last});
    }
    return out;
}

dump_entry malformed(std::uint16_t kind, std::size_t size) {
    dump_entry e("malformed");
    return e.number("kind", kind).number("size", size, counted(size, "byte"));
}

template <class Op, class Spell>
dump_entry spell(std::uint16_t kind, bytes_view bytes, Spell const& how) {
    auto const v = mailfs::format::view_operation<Op>(bytes);
    return v ? how(v->op, v->rest) : malformed(kind, bytes.size());
}

dump_entry& put_place(dump_entry& e, std::uint64_t file, std::uint64_t offset) {
    auto const name = fmt::format("{:016x}", file);
    return e.text("mail_file", name, "in " + name).number("mail_offset", offset, fmt::format("at {}", offset));
}

dump_entry spell_append(mailfs::format::append_operation const& op, bytes_view rest) {
    dump_entry e("append");
    auto const words = words_of(op.flags, rest, op.keyword_count);
    e.id("guid", mailfs::format::get_guid(op.id)).number("size", std::uint32_t{op.size}, counted(op.size, "byte"));
    e.texts("flags", words, words.empty() ? "" : "flags " + joined(words, " ")).time("received", op.received_ms);
    return put_place(e, op.file, op.offset);
}

dump_entry spell_flags(mailfs::format::flags_operation const& op, bytes_view rest) {
    constexpr std::string_view modes[] = {"add", "remove", "replace"}, signs[] = {"+", "-", "="};
    dump_entry e("flags");
    auto const mode = std::min<std::uint32_t>(op.mode, 2);
    auto const uids = ranges_of(rest, op.range_count);
    auto const words = words_of(op.flags, rest, op.keyword_count);
    e.text("mode", modes[mode], "").texts("flags", words, std::string(signs[mode]) + joined(words, " ")).text("uids", uids);
    if (op.unchanged_since != mailfs::format::no_condition) e.number("unchanged_since", std::uint64_t{op.unchanged_since});
    return e;
}

dump_entry spell_expunge(mailfs::format::expunge_operation const& op, bytes_view rest) {
    dump_entry e("expunge");
    e.text("uids", ranges_of(rest, op.range_count));
    return e.truth("only_deleted", op.only_deleted != 0, op.only_deleted != 0 ? "those with \\Deleted" : "");
}

dump_entry spell_metadata(mailfs::format::metadata_operation const& op, bytes_view rest) {
    dump_entry e("metadata");
    bool const remove = op.value_size == std::numeric_limits<std::uint32_t>::max();
    if (op.key_size > rest.size()) return malformed(5, rest.size());
    e.text("key", mailfs::as_text(rest.first(op.key_size)));
    rest = rest.subspan(op.key_size);
    if (remove) return e.truth("removed", true, "removed");
    return e.text("value", mailfs::as_text(rest.first(std::min<std::size_t>(op.value_size, rest.size()))));
}

dump_entry spell_relocate(mailfs::format::relocate_operation const& op) {
    dump_entry e("relocate");
    e.number("uid", std::uint32_t{op.uid}).id("guid", mailfs::format::get_guid(op.id));
    return put_place(e, op.file, op.offset);
}

dump_entry spell_operation(std::uint16_t kind, bytes_view bytes) {
    namespace f = mailfs::format;
    switch (static_cast<operation>(kind)) {
        case operation::append: return spell<f::append_operation>(kind, bytes, spell_append);
        case operation::flags: return spell<f::flags_operation>(kind, bytes, spell_flags);
        case operation::expunge: return spell<f::expunge_operation>(kind, bytes, spell_expunge);
        case operation::metadata: return spell<f::metadata_operation>(kind, bytes, spell_metadata);
        case operation::header:
            return spell<f::header_operation>(kind, bytes, [](auto const& op, bytes_view) {
                dump_entry e("raise");
                return e.number("uid_validity", std::uint32_t{op.uid_validity})
                    .number("uid_next", std::uint32_t{op.uid_next});
            });
        case operation::cache:
            return spell<f::cache_operation>(kind, bytes, [](auto const& op, bytes_view) {
                dump_entry e("cache");
                return e.number("uid", std::uint32_t{op.uid}).number("at", std::uint64_t{op.where});
            });
        case operation::relocate:
            return spell<f::relocate_operation>(kind, bytes, [](auto const& op, bytes_view) { return spell_relocate(op); });
    }
    dump_entry e("unknown");
    return e.number("kind", kind).number("size", bytes.size(), counted(bytes.size(), "byte"));
}

struct tree_speller {
    dump_entry operator()(mailfs::format::tree_malformed const&) const { return dump_entry("malformed"); }
    dump_entry operator()(mailfs::format::tree_unknown const& o) const {
        dump_entry e("unknown");
        return e.truth("may_skip", o.may_skip, o.may_skip ? "may be skipped" : "of a newer version");
    }
    dump_entry operator()(mailfs::format::tree_create const& o) const {
        dump_entry e("create");
        e.text("name", o.name, '"' + printable(o.name) + '"').id("guid", o.id).number("uid_validity", o.uid_validity);
        return e.number("use", o.use, o.use == 0 ? "" : fmt::format("use {:#x}", o.use))
            .truth("if_absent", o.if_absent, o.if_absent ? "if absent" : "");
    }
    dump_entry operator()(mailfs::format::tree_remove const& o) const {
        dump_entry e("remove");
        return e.id("guid", o.id);
    }
    dump_entry operator()(mailfs::format::tree_rename const& o) const {
        dump_entry e("rename");
        return e.text("from", o.from, '"' + printable(o.from) + '"')
            .text("to", o.to, "to \"" + printable(o.to) + '"')
            .id("guid", o.id);
    }
    dump_entry operator()(mailfs::format::tree_subscribe const& o) const {
        dump_entry e(o.on ? "subscribe" : "unsubscribe");
        return e.text("name", o.name, '"' + printable(o.name) + '"');
    }
    dump_entry operator()(mailfs::format::tree_metadata const& o) const {
        dump_entry e("metadata");
        e.id("mailbox", o.id).text("key", o.key);
        if (!o.present) return e.truth("removed", true, "removed");
        return e.text("value", o.value);
    }
};

}  // namespace

std::vector<dump_entry> mailbox_operations(bytes_view payload) {
    std::vector<dump_entry> out;
    std::size_t read = 0;
    mailfs::format::for_each_operation(payload, [&](std::uint16_t kind, std::uint16_t, bytes_view bytes) {
        out.push_back(spell_operation(kind, bytes));
        read += bytes.size();
        return true;
    });
    if (read < payload.size()) out.push_back(malformed(0, payload.size() - read));
    return out;
}

std::vector<dump_entry> tree_operations(bytes_view payload) {
    std::vector<dump_entry> out;
    while (auto const o = mailfs::format::take_tree_operation(payload)) out.push_back(std::visit(tree_speller{}, *o));
    return out;
}

bool is_of_mailbox(bytes_view payload) {
    namespace f = mailfs::format;
    constexpr std::size_t least[] = {0,
                                     sizeof(f::append_operation),
                                     sizeof(f::flags_operation),
                                     sizeof(f::expunge_operation),
                                     sizeof(f::header_operation),
                                     sizeof(f::metadata_operation),
                                     sizeof(f::cache_operation),
                                     sizeof(f::relocate_operation)};
    std::size_t read = 0;
    f::for_each_operation(payload, [&](std::uint16_t kind, std::uint16_t, bytes_view bytes) {
        if (kind >= std::size(least) || bytes.size() < least[kind]) return false;
        read += bytes.size();
        return true;
    });
    return read == payload.size();
}

bool is_of_tree(bytes_view payload) {
    namespace f = mailfs::format;
    auto const named = [](std::string_view name) { return mailfs::is_canonical_mailbox_name(name); };
    while (auto const o = f::take_tree_operation(payload)) {
        if (std::holds_alternative<f::tree_malformed>(*o) || std::holds_alternative<f::tree_unknown>(*o)) return false;
        if (auto const* c = std::get_if<f::tree_create>(&*o); c != nullptr && !named(c->name)) return false;
        if (auto const* r = std::get_if<f::tree_rename>(&*o); r != nullptr && !(named(r->from) && named(r->to)))
            return false;
        if (auto const* s = std::get_if<f::tree_subscribe>(&*o); s != nullptr && !named(s->name)) return false;
    }
    return true;
}

}  // namespace mailfsctl
