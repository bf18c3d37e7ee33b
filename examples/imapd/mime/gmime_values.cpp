// SPDX-License-Identifier: BSL-1.0
// Values of header fields and bodies, read by GMime.
#include "imap/cursor.hpp"
#include "limits.hpp"
#include "mime/gmime_extractor.hpp"
#include "mime/gmime_handle.hpp"
#include "mime/header.hpp"

#include <mutex>

namespace imapd::mime {
namespace {

constexpr int addresses_max = 10'000;  // of one field

parameters read_parameters(GMimeParamList* list) {
    parameters out;
    int const count = list != nullptr ? g_mime_param_list_length(list) : 0;
    for (int i = 0; i < count; ++i) {
        auto* const p = g_mime_param_list_get_parameter_at(list, i);
        out.emplace_back(imap::to_upper(copy(g_mime_param_get_name(p))), as_ascii(copy(g_mime_param_get_value(p))));
    }
    return out;
}

std::string read_type(std::string const& value, part& p) {
    object<GMimeContentType> const type(g_mime_content_type_parse(nullptr, value.c_str()));
    p.type = imap::to_upper(copy(g_mime_content_type_get_media_type(type.get())));
    p.subtype = imap::to_upper(copy(g_mime_content_type_get_media_subtype(type.get())));
    p.parameters = read_parameters(g_mime_content_type_get_parameters(type.get()));
    if (p.type.empty()) p.type = "TEXT";
    if (p.subtype.empty()) p.subtype = p.type == "MULTIPART" ? "MIXED" : "PLAIN";
    return p.is_multipart() ? copy(g_mime_content_type_get_parameter(type.get(), "boundary")) : "";
}

void read_disposition(std::string const& value, part& p) {
    object<GMimeContentDisposition> const disposition(g_mime_content_disposition_parse(nullptr, value.c_str()));
    p.disposition = imap::to_upper(copy(g_mime_content_disposition_get_disposition(disposition.get())));
    p.disposition_parameters = read_parameters(g_mime_content_disposition_get_parameters(disposition.get()));
}

std::vector<std::string> read_languages(std::string const& value) {
    std::vector<std::string> out;
    for (std::size_t at = 0; at < value.size();) {
        auto const begin = value.find_first_not_of(" \t,", at);
        if (begin == value.npos) break;
        at = std::min(value.find_first_of(" \t,", begin), value.size());
        out.push_back(value.substr(begin, at - begin));
    }
    return out;
}

void append_address(InternetAddress* from, std::vector<address>& out) {
    auto const name = as_ascii(copy(internet_address_get_name(from)));
    if (INTERNET_ADDRESS_IS_GROUP(from)) {
        out.push_back({{}, name.empty() ? "group" : name, {}, true});
        auto* const members = internet_address_group_get_members(INTERNET_ADDRESS_GROUP(from));
        int const count = members != nullptr ? internet_address_list_length(members) : 0;
        for (int i = 0; i < count; ++i) append_address(internet_address_list_get_address(members, i), out);
        out.push_back({{}, {}, {}, true});
        return;
    }
    auto const whole = copy(internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(from)));
    auto const at = whole.rfind('@');
    out.push_back({name, whole.substr(0, at), at == whole.npos ? std::string() : whole.substr(at + 1), false});
}

}  // namespace

gmime_extractor::gmime_extractor() {
    static std::once_flag once;
    std::call_once(once, [] { g_mime_init(); });
}

std::string read_part_header(std::string_view header, part& p, bool in_digest) {
    if (in_digest) {
        p.type = "MESSAGE";
        p.subtype = "RFC822";
    }
    std::string boundary;
    bool typed = false;
    while (auto const f = take_field(header)) {
        if (imap::equal_nocase(f->name, "Content-Type")) {
            if (!std::exchange(typed, true)) boundary = read_type(unfold(f->value), p);
        } else if (imap::equal_nocase(f->name, "Content-Transfer-Encoding")) {
            if (auto value = unfold(f->value); !value.empty()) p.encoding = imap::to_upper(value);
        } else if (imap::equal_nocase(f->name, "Content-Disposition")) {
            read_disposition(unfold(f->value), p);
        } else if (imap::equal_nocase(f->name, "Content-ID")) {
            p.id = unfold(f->value);
        } else if (imap::equal_nocase(f->name, "Content-Description")) {
            p.description = unfold(f->value);
        } else if (imap::equal_nocase(f->name, "Content-MD5")) {
            p.md5 = unfold(f->value);
        } else if (imap::equal_nocase(f->name, "Content-Location")) {
            p.location = unfold(f->value);
        } else if (imap::equal_nocase(f->name, "Content-Language")) {
            p.languages = read_languages(unfold(f->value));
        }
    }
    return boundary;
}

std::vector<address> read_addresses(std::string_view value) {
    std::vector<address> out;
    object<InternetAddressList> const list(internet_address_list_parse(nullptr, std::string(value).c_str()));
    if (!list) return out;
    int const count = std::min(internet_address_list_length(list.get()), addresses_max);
    for (int i = 0; i < count; ++i) append_address(internet_address_list_get_address(list.get(), i), out);
    return out;
}

mime::envelope gmime_extractor::envelope(std::string_view message) const {
    auto header = message.substr(0, header_size(message));
    mime::envelope out;
    while (auto const f = take_field(header)) {
        auto const text = [&](std::string_view name, std::optional<std::string>& to) {
            if (!to && imap::equal_nocase(f->name, name)) to = unfold(f->value);
        };
        auto const addresses = [&](std::string_view name, std::vector<address>& to) {
            if (to.empty() && imap::equal_nocase(f->name, name)) to = read_addresses(unfold(f->value));
        };
        text("Date", out.date);
        text("Subject", out.subject);
        text("In-Reply-To", out.in_reply_to);
        text("Message-ID", out.message_id);
        addresses("From", out.from);
        addresses("Sender", out.sender);
        addresses("Reply-To", out.reply_to);
        addresses("To", out.to);
        addresses("Cc", out.cc);
        addresses("Bcc", out.bcc);
    }
    if (out.sender.empty()) out.sender = out.from;  // RFC 3501 section 7.4.2
    if (out.reply_to.empty()) out.reply_to = out.from;
    return out;
}

std::string gmime_extractor::header_text(std::string_view value) const {
    return take(g_mime_utils_header_decode_text(nullptr, unfold(value).c_str()));
}

std::string gmime_extractor::fold_case(std::string_view value) const {
    return take(g_utf8_casefold(take(g_utf8_make_valid(value.data(), static_cast<gssize>(value.size()))).c_str(), -1));
}

std::optional<std::chrono::sys_days> gmime_extractor::sent_day(std::string_view value) const {
    std::unique_ptr<GDateTime, unref_date> const date(g_mime_utils_header_decode_date(unfold(value).c_str()));
    if (!date) return std::nullopt;
    int year = 0, month = 0, day = 0;
    g_date_time_get_ymd(date.get(), &year, &month, &day);
    return std::chrono::sys_days(std::chrono::year(year) / month / day);
}

}  // namespace imapd::mime
