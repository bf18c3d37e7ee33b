// SPDX-License-Identifier: BSL-1.0
#include "mail/maildir.hpp"

#include "imap/utf7.hpp"

#include <mailfs/store/mailbox_name.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace mailfsctl {
namespace {

using mailfs::flag;

constexpr std::array<std::pair<char, flag>, 5> letters{
    {{'D', flag::draft}, {'F', flag::flagged}, {'R', flag::answered}, {'S', flag::seen}, {'T', flag::deleted}}};

template <class Line>
void for_each_line(std::string_view text, Line const& line) {
    while (!text.empty()) {
        auto const end = std::min(text.find('\n'), text.size());
        auto one = text.substr(0, end);
        if (one.ends_with('\r')) one.remove_suffix(1);
        line(one);
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

template <class T>
std::optional<T> number(std::string_view text) {
    T value = 0;
    auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    return ec == std::errc{} && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/// "\2e" to "."
std::string unescaped(std::string_view level) {
    std::string out;
    for (std::size_t i = 0; i < level.size(); ++i) {
        bool const escape =
            level[i] == '\\' && i + 2 < level.size() && hex_digit(level[i + 1]) >= 0 && hex_digit(level[i + 2]) >= 0;
        if (!escape) {
            out += level[i];
            continue;
        }
        out += static_cast<char>(hex_digit(level[i + 1]) * 16 + hex_digit(level[i + 2]));
        i += 2;
    }
    return out;
}

/// One level of a mailbox's name. What is neither modified UTF-7 nor UTF-8 keeps its ASCII.
std::string level_of(std::string_view stored) {
    auto const plain = unescaped(stored);
    auto level = imapd::imap::utf7_decode(plain).value_or(plain);
    std::replace(level.begin(), level.end(), '/', '_');
    if (!mailfs::is_mailbox_name(level))
        for (auto& c : level)
            if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '_';
    return level.empty() ? "_" : level;
}

template <class Escape>
std::string stored_level(std::string_view level, Escape const& escape) {
    std::string out;
    auto const plain = imapd::imap::utf7_encode(level);
    for (std::size_t i = 0; i < plain.size(); ++i)
        if (plain[i] == '\\' || escape(plain, i))
            out += fmt::format("\\{:02x}", static_cast<unsigned char>(plain[i]));
        else
            out += plain[i];
    return out;
}

template <class Each>
void for_each_level(std::string_view name, char separator, Each const& each) {
    for (;;) {
        auto const end = name.find(separator);
        each(name.substr(0, end));
        if (end == name.npos) return;
        name.remove_prefix(end + 1);
    }
}

std::string from_levels(std::string_view stored, char separator) {
    std::string out;
    for_each_level(stored, separator, [&](std::string_view level) {
        if (!out.empty()) out += mailfs::mailbox_separator;
        out += level_of(level);
    });
    return mailfs::canonical_mailbox_name(out).value_or(out);
}

}  // namespace

keyword_letters parse_keyword_letters(std::string_view text) {
    keyword_letters out;
    for_each_line(text, [&](std::string_view line) {
        auto const blank = line.find(' ');
        auto const n = number<std::size_t>(line.substr(0, blank));
        if (n && *n < out.size() && blank != line.npos) out[*n] = line.substr(blank + 1);
    });
    return out;
}

std::string format_keyword_letters(keyword_letters const& keywords) {
    std::string out;
    for (std::size_t i = 0; i < keywords.size(); ++i)
        if (!keywords[i].empty()) out += fmt::format("{} {}\n", i, keywords[i]);
    return out;
}

maildir_name parse_maildir_name(std::string_view file) {
    maildir_name out{file, {}};
    for (char const separator : {':', ';', '!'}) {
        auto const info = file.rfind(std::string{separator, '2', ','});
        if (info == file.npos) continue;
        out.base = file.substr(0, info);
        out.flags = file.substr(info + 3);
        break;
    }
    auto const seconds = number<std::uint64_t>(out.base.substr(0, out.base.find('.')));
    if (seconds && *seconds >= 100'000'000 && *seconds < 100'000'000'000) out.seconds = seconds;
    return out;
}

message_marks marks_of(std::string_view flag_letters, keyword_letters const& keywords) {
    message_marks out;
    for (char const letter : flag_letters) {
        if (letter == ',') break;  // extensions of others
        for (auto const& [known, f] : letters)
            if (letter == known) out.flags |= f;
        if (letter == 'P') out.keywords.emplace_back(forwarded_keyword);
        auto const index = static_cast<std::size_t>(letter - 'a');
        if (letter >= 'a' && index < keywords.size() && !keywords[index].empty()) out.keywords.push_back(keywords[index]);
    }
    return out;
}

std::string letters_of(message_marks const& marks, keyword_letters& keywords, std::vector<std::string>& rest) {
    std::string out;
    for (auto const& [letter, f] : letters)
        if (has(marks.flags, f)) out += letter;
    for (auto const& keyword : marks.keywords) {
        if (keyword == forwarded_keyword) {
            out += 'P';
            continue;
        }
        auto it = is_plain_keyword(keyword) ? std::find(keywords.begin(), keywords.end(), keyword) : keywords.end();
        if (it == keywords.end() && is_plain_keyword(keyword)) it = std::find(keywords.begin(), keywords.end(), "");
        if (it == keywords.end()) {
            rest.push_back(keyword);
            continue;
        }
        *it = keyword;
        out += static_cast<char>('a' + (it - keywords.begin()));
    }
    std::sort(out.begin(), out.end());
    return out;
}

std::uint64_t received_ms_of(maildir_name const& name, std::uint64_t modified_ms) {
    constexpr std::uint64_t tolerance_ms = 2000;
    if (!name.seconds || *name.seconds * 1000 + tolerance_ms >= modified_ms) return modified_ms;
    return *name.seconds * 1000;
}

std::string mailbox_of_folder(std::string_view dotted) {
    if (dotted.starts_with('.')) dotted.remove_prefix(1);
    return dotted.empty() ? std::string(mailfs::inbox_name) : from_levels(dotted, '.');
}
std::string mailbox_of_path(std::string_view path) {
    return path.empty() ? std::string(mailfs::inbox_name) : from_levels(path, '/');
}

std::string folder_of_mailbox(std::string_view mailbox) {
    if (mailbox == mailfs::inbox_name) return {};
    std::string out;
    for_each_level(mailbox, mailfs::mailbox_separator, [&](std::string_view level) {
        out += '.' + stored_level(level, [](std::string const& text, std::size_t i) { return text[i] == '.'; });
    });
    return out;
}

std::string path_of_mailbox(std::string_view mailbox) {
    if (mailbox == mailfs::inbox_name) return {};
    std::string out;
    for_each_level(mailbox, mailfs::mailbox_separator, [&](std::string_view level) {
        bool const taken = level == "cur" || level == "new" || level == "tmp";
        if (!out.empty()) out += '/';
        out +=
            stored_level(level, [&](std::string const& text, std::size_t i) { return i == 0 && (taken || text[0] == '.'); });
    });
    return out;
}

std::map<std::string, std::uint32_t, std::less<>> parse_uidlist(std::string_view text) {
    std::map<std::string, std::uint32_t, std::less<>> out;
    bool first = true;
    for_each_line(text, [&](std::string_view line) {
        if (std::exchange(first, false)) return;  // version, UIDVALIDITY, UIDNEXT
        auto const blank = line.find(' ');
        auto const uid = number<std::uint32_t>(line.substr(0, blank));
        auto const colon = line.find(" :");  // version 3 has fields in between
        auto const name = line.substr(colon != line.npos ? colon + 2 : std::min(blank, line.size() - 1) + 1);
        if (uid && blank != line.npos) out.emplace(parse_maildir_name(name).base, *uid);
    });
    return out;
}

std::vector<std::string> parse_subscriptions(std::string_view text, bool courier) {
    std::vector<std::string> out;
    bool const tabbed = text.starts_with("V\t2");
    bool first = true;
    for_each_line(text, [&](std::string_view line) {
        if (std::exchange(first, false) && tabbed) return;
        if (line.empty()) return;
        if (courier && line.starts_with("INBOX.")) line.remove_prefix(6);  // where all names are below INBOX
        bool const path = line.find('/') != line.npos;
        out.push_back(from_levels(line, tabbed ? '\t' : path ? '/' : '.'));
    });
    return out;
}

}  // namespace mailfsctl
