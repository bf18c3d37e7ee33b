// SPDX-License-Identifier: BSL-1.0
// BODY[section].
#include "mime/section.hpp"

#include "mime/header.hpp"

#include <algorithm>

namespace imapd::mime {
namespace {

/// A numbered part, or the message itself, and what its specifiers mean there.
struct place {
    part const* node = nullptr;     ///< whose body BODY[n] is, and whose header MIME is
    part const* message = nullptr;  ///< whose HEADER and TEXT they are; null: it is no message
};

/// One step down. A message that is no multipart has one part, number 1, which is its body.
std::optional<place> step(place from, std::uint32_t number) {
    part const* inside = from.message != nullptr ? from.message : from.node;
    part const* next = nullptr;
    if (inside->is_multipart()) {
        if (number > inside->children.size()) return std::nullopt;
        next = &inside->children[number - 1];
    } else {
        if (number != 1 || from.message == nullptr) return std::nullopt;
        next = inside;
    }
    return place{next, next->holds_message() ? &next->children[0] : nullptr};
}

section_bytes range(std::string_view message, std::size_t begin, std::size_t end) {
    return {{}, message.substr(begin, end - begin), true};
}

std::optional<section_bytes> pick(std::string_view message, part const& p, imap::section const& s) {
    using what = imap::section::part;
    auto const header = message.substr(p.header_begin, p.body_begin - p.header_begin);
    switch (s.what) {
        case what::all:
        case what::text: return range(message, p.body_begin, p.body_end);
        case what::header:
        case what::mime: return range(message, p.header_begin, p.body_begin);
        case what::fields:
        case what::fields_not: return section_bytes{select_fields(header, s.fields, s.what == what::fields_not), {}, false};
    }
    return std::nullopt;
}

}  // namespace

bool needs_tree(imap::section const& s) noexcept { return !s.path.empty(); }

std::optional<section_bytes> find_section(std::string_view message, part const* tree, imap::section const& s) {
    using what = imap::section::part;
    if (s.path.empty()) {
        if (s.what == what::all) return range(message, 0, message.size());
        part whole;
        whole.body_begin = header_size(message);
        whole.body_end = message.size();
        return pick(message, whole, s);
    }
    place at{tree, tree};
    for (auto const number : s.path) {
        auto const next = step(at, number);
        if (!next) return std::nullopt;
        at = *next;
    }
    if (s.what == what::all || s.what == what::mime) return pick(message, *at.node, s);
    if (at.message == nullptr) return std::nullopt;
    return pick(message, *at.message, s);
}

std::string_view cut(std::string_view bytes, std::optional<imap::fetch_item::range> const& partial) noexcept {
    if (!partial) return bytes;
    if (partial->offset >= bytes.size()) return {};
    return bytes.substr(partial->offset, partial->count);
}

}  // namespace imapd::mime
