// SPDX-License-Identifier: BSL-1.0
#include "mail/maildir_folder.hpp"

#include "files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <tuple>

namespace mailfsctl {
namespace {

constexpr std::size_t small_file_max = std::size_t{64} << 20;  // keywords, UIDs: bytes
constexpr int depth_max = 64;
constexpr auto more_keywords_name = "mailfs-keywords";  // those that no letter stands for: "BASE<TAB>WORD<TAB>WORD"

bool is_folder(std::string const& path) {
    return kind_of(path + "/cur") == entry_kind::directory || kind_of(path + "/new") == entry_kind::directory;
}

bool is_inner(std::string const& name) { return name == "cur" || name == "new" || name == "tmp"; }

void find_below(std::string const& root, std::string const& below, int depth, std::vector<maildir_folder>& out) {
    if (depth > depth_max) return;
    for (auto const& e : list_directory(root + '/' + below)) {
        if (!e.is_directory || is_inner(e.name) || e.name.starts_with('.')) continue;
        auto const path = below.empty() ? e.name : below + '/' + e.name;
        if (is_folder(root + '/' + path)) out.push_back({root + '/' + path, mailbox_of_path(path)});
        find_below(root, path, depth + 1, out);
    }
}

std::string text_of(std::string const& path) {
    auto const file = read_whole(path, small_file_max);
    return file ? file->bytes : std::string{};
}

std::map<std::string, std::vector<std::string>, std::less<>> parse_more_keywords(std::string_view text) {
    std::map<std::string, std::vector<std::string>, std::less<>> out;
    while (!text.empty()) {
        auto const end = std::min(text.find('\n'), text.size());
        auto line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        auto tab = line.find('\t');
        auto& words = out[std::string(line.substr(0, tab))];
        while (tab != line.npos) {
            line.remove_prefix(tab + 1);
            tab = line.find('\t');
            words.push_back(keyword_of_word(line.substr(0, tab)));
        }
    }
    return out;
}

}  // namespace

std::vector<maildir_folder> find_folders(std::string const& maildir) {
    std::vector<maildir_folder> out;
    if (is_folder(maildir)) out.push_back({maildir, mailbox_of_path("")});
    for (auto const& e : list_directory(maildir))
        if (e.is_directory && e.name.starts_with('.') && is_folder(maildir + '/' + e.name))
            out.push_back({maildir + '/' + e.name, mailbox_of_folder(e.name)});
    find_below(maildir, "", 0, out);
    return out;
}

bool is_maildir(std::string const& path) { return kind_of(path) == entry_kind::directory && !find_folders(path).empty(); }

maildir_source::maildir_source(std::string path)
    : path_(std::move(path)),
      letters_(parse_keyword_letters(text_of(path_ + "/dovecot-keywords"))),
      more_keywords_(parse_more_keywords(text_of(path_ + '/' + more_keywords_name))) {
    auto const uids = parse_uidlist(text_of(path_ + "/dovecot-uidlist"));
    for (auto const* directory : {"new", "cur"})
        for (auto const& e : list_directory(path_ + '/' + directory)) {
            if (e.is_directory || e.name.starts_with('.')) continue;
            auto const name = parse_maildir_name(e.name);
            auto const uid = uids.find(name.base);
            entries_.push_back({uid == uids.end() ? std::numeric_limits<std::uint32_t>::max() : uid->second,
                                name.seconds.value_or(0), directory, e.name});
        }
    std::sort(entries_.begin(), entries_.end(), [](entry const& a, entry const& b) {
        return std::tie(a.uid, a.seconds, a.name) < std::tie(b.uid, b.seconds, b.name);
    });
}

std::optional<found_message> maildir_source::read(std::size_t n, std::size_t size_max) {
    auto& e = entries_[n];
    auto file = read_whole(path_ + '/' + e.directory + '/' + e.name, size_max);
    if (!file) {  // it was read, or its flags changed, since we looked
        auto const base = std::string(parse_maildir_name(e.name).base);
        for (auto const& now : list_directory(path_ + "/cur"))
            if (parse_maildir_name(now.name).base == base) e = {e.uid, e.seconds, "cur", now.name};
        file = read_whole(path_ + '/' + e.directory + '/' + e.name, size_max);
        if (!file) return std::nullopt;
    }
    found_message out;
    out.place = path_ + '/' + e.directory + '/' + e.name;
    if (file->too_long) throw cannot_run(out.place + " is longer than a message may be");
    auto const name = parse_maildir_name(e.name);
    out.marks = marks_of(name.flags, letters_);
    if (auto const more = more_keywords_.find(name.base); more != more_keywords_.end())
        out.marks.keywords.insert(out.marks.keywords.end(), more->second.begin(), more->second.end());
    out.received_ms = received_ms_of(name, file->modified_ms);
    out.bytes = std::move(file->bytes);
    return out;
}

maildir_target::maildir_target(std::string path, bool below) : path_(std::move(path)) {
    for (auto const* directory : {"tmp", "new", "cur"}) make_directories(path_ + '/' + directory);
    if (below && kind_of(path_ + "/maildirfolder") == entry_kind::none) replace_file(path_ + "/maildirfolder", "");
    letters_ = parse_keyword_letters(text_of(path_ + "/dovecot-keywords"));
    more_keywords_ = parse_more_keywords(text_of(path_ + '/' + more_keywords_name));
    for (std::string const directory : {"new", "cur"})
        for (auto const& e : list_directory(path_ + '/' + directory))
            if (!e.is_directory) there_.emplace(parse_maildir_name(e.name).base, directory + '/' + e.name);
}

void maildir_target::assign_letters(std::vector<std::string> const& keywords) {
    auto const before = letters_;
    std::vector<std::string> rest;
    letters_of({mailfs::flag::none, keywords}, letters_, rest);
    if (letters_ != before) replace_file(path_ + "/dovecot-keywords", format_keyword_letters(letters_));
}

std::string maildir_target::base_of(mailfs::message_row const& row, std::uint32_t uid_validity) const {
    return fmt::format("{}.V{}U{}_{}.mailfs", row.received_ms / 1000, uid_validity, row.uid, row.id.hex());
}

std::string maildir_target::letters_for(mailfs::message_row const& row, std::string const& base) {
    std::vector<std::string> rest;
    auto letters = letters_of({row.flags, row.keywords}, letters_, rest);
    if (rest.empty())
        more_keywords_.erase(base);
    else
        more_keywords_[base] = std::move(rest);
    return letters;
}

bool maildir_target::has(mailfs::message_row const& row, std::uint32_t uid_validity) {
    auto const base = base_of(row, uid_validity);
    auto const it = there_.find(base);
    if (it == there_.end()) return false;
    auto const wanted = "cur/" + base + ":2," + letters_for(row, base);
    if (it->second != wanted && rename_file(path_ + '/' + it->second, path_ + '/' + wanted)) it->second = wanted;
    written_.emplace(row.uid, base);
    return true;
}

void maildir_target::put(mailfs::message_row const& row, std::uint32_t uid_validity, std::string_view bytes) {
    auto const base = base_of(row, uid_validity);
    new_file file(path_ + "/tmp/" + base);
    file.write(bytes);
    file.finish(path_ + "/cur/" + base + ":2," + letters_for(row, base), row.received_ms, false);
    written_.emplace(row.uid, base);
}

void maildir_target::finish(mailbox_reader const& from) {
    std::string more;
    for (auto const& [base, words] : more_keywords_) {
        more += base;
        for (auto const& word : words) more += '\t' + keyword_word(word);
        more += '\n';
    }
    auto const more_path = path_ + '/' + more_keywords_name;
    if (!more.empty() || kind_of(more_path) == entry_kind::file) replace_file(more_path, more);

    auto const uidlist = path_ + "/dovecot-uidlist";
    bool ours = true;  // else someone has put other mail there since, and keeps its own list
    for (auto const& [base, uid] : parse_uidlist(text_of(uidlist))) ours = ours && base.ends_with(".mailfs");
    if (ours) {
        auto text = fmt::format("3 V{} N{} G{}\n", from.uid_validity(), from.uid_next(), from.id().hex());
        for (auto const& [uid, base] : written_) text += fmt::format("{} :{}\n", uid, base);
        replace_file(uidlist, text);
    }
}

}  // namespace mailfsctl
