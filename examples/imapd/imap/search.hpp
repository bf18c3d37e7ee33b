// SPDX-License-Identifier: BSL-1.0
// Whether one message matches a search, from its index row first and from its bytes only where the row cannot tell.
#pragma once

#include "imap/command.hpp"
#include "mime/extractor.hpp"
#include "mime/header.hpp"

#include <mailfs/types/guid.hpp>

#include <algorithm>
#include <span>

namespace imapd::imap {

enum class verdict : std::uint8_t { no, yes, needs_bytes };

/// What the index knows of a message. `number` is the client's.
struct message_facts {
    std::uint32_t number = 0;
    mailfs::uid_t uid = 0;
    mailfs::flag flags = mailfs::flag::none;
    std::span<std::string const> keywords;
    mailfs::modseq_t modseq = 0;
    std::uint64_t size = 0;
    std::uint64_t received_ms = 0;
    std::uint64_t saved_ms = 0;
    mailfs::guid id{};
};

/// What a search is resolved against.
struct search_context {
    std::uint32_t last_number = 0;
    mailfs::uid_t last_uid = 0;
    mailfs::uid_set saved{};   ///< what "$" stands for
    std::uint64_t now_ms = 0;  ///< since 1970
};

/// Makes a search definite: "*" is the last number or UID, "$" what was saved, an age a time. In place; once, before matching.
void resolve(search_key& key, search_context const& context);

/// By the row alone.
verdict match_row(search_key const& key, message_facts const& m);

/// Whether any key of the search asks for mod-sequences.
bool asks_modseq(search_key const& key);

namespace detail {
bool in_set(sequence_set const& set, std::uint32_t n);
bool compare_days(search_key::kind what, day message, day wanted);
}  // namespace detail

/// By the row and the bytes.
template <mime::extractor Extractor>
class content_matcher {
public:
    /// The message must outlive the matcher.
    content_matcher(Extractor const& extractor, std::string_view message) : extractor_(extractor), message_(message) {}

    bool matches(search_key const& key, message_facts const& m) {
        using kind = search_key::kind;
        switch (key.what) {
            case kind::conjunction:
                return std::all_of(key.children.begin(), key.children.end(), [&](auto const& c) { return matches(c, m); });
            case kind::either: return matches(key.children[0], m) || matches(key.children[1], m);
            case kind::negation: return !matches(key.children[0], m);
            case kind::header: return header_contains(key.field, key.text);
            case kind::body: return contains(body_text(), key.text);
            case kind::text: return contains(header_text(), key.text) || contains(body_text(), key.text);
            case kind::sent_before:
            case kind::sent_on:
            case kind::sent_since: return sent(key);
            default: return match_row(key, m) == verdict::yes;
        }
    }

private:
    std::string_view header() const { return message_.substr(0, mime::header_size(message_)); }

    bool contains(std::string const& folded, std::string const& wanted) const {
        return folded.find(extractor_.fold_case(wanted)) != std::string::npos;
    }
    bool header_contains(std::string const& name, std::string const& wanted) const {
        auto rest = header();
        while (auto const f = mime::take_field(rest))
            if (mime::equal_name(f->name, name) && contains(extractor_.fold_case(extractor_.header_text(f->value)), wanted))
                return true;
        return false;
    }
    bool sent(search_key const& key) const {
        auto const value = mime::find_value(header(), "Date");
        auto const date = value ? extractor_.sent_day(*value) : std::nullopt;
        return date && detail::compare_days(key.what, *date, key.date);
    }
    std::string const& header_text() {
        if (!header_text_) {
            header_text_.emplace();
            auto rest = header();
            while (auto const f = mime::take_field(rest))
                *header_text_ += extractor_.fold_case(std::string(f->name) + ": " + extractor_.header_text(f->value)) + '\n';
        }
        return *header_text_;
    }
    std::string const& body_text() {
        if (!body_text_) {
            body_text_.emplace();
            gather(extractor_.parse(message_));
        }
        return *body_text_;
    }
    void gather(mime::part const& p) {
        if (p.type == "TEXT") *body_text_ += extractor_.fold_case(extractor_.text(message_, p)) + '\n';
        for (auto const& child : p.children) {
            if (p.holds_message())
                *body_text_ +=
                    extractor_.fold_case(message_.substr(child.header_begin, child.body_begin - child.header_begin)) + '\n';
            gather(child);
        }
    }

    Extractor const& extractor_;
    std::string_view message_;
    std::optional<std::string> header_text_, body_text_;  // folded; made when first asked for
};

}  // namespace imapd::imap
