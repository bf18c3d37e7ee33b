// SPDX-License-Identifier: BSL-1.0
// A Maildir on disk: its folders, what is in one, and a writer of one.
#pragma once

#include "mail/maildir.hpp"
#include "storage.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailfsctl {

struct maildir_folder {
    std::string path;     ///< of the directory that holds cur and new
    std::string mailbox;  ///< the name it says
};
/// The Maildir itself, ".A.B" below it, and directories below it at any depth; only those that have a cur or a new.
std::vector<maildir_folder> find_folders(std::string const& maildir);
/// Whether the directory, or one below it, is a Maildir.
bool is_maildir(std::string const& path);

/// Reads a folder that others may be changing.
class maildir_source {
public:
    explicit maildir_source(std::string path);

    std::size_t count() const noexcept { return entries_.size(); }
    /// In the order of dovecot-uidlist, else by time of delivery and name. Nothing: that one is gone by now. `size_max`: a
    /// longer one throws cannot_run.
    std::optional<found_message> read(std::size_t n, std::size_t size_max);

private:
    struct entry {
        std::uint32_t uid;
        std::uint64_t seconds;
        std::string directory, name;
    };
    std::string path_;
    keyword_letters letters_;
    std::map<std::string, std::vector<std::string>, std::less<>> more_keywords_;
    std::vector<entry> entries_;
};

/// Writes a folder. A message's file is named after the mailbox's UIDVALIDITY and its UID, so that repeating finds it.
class maildir_target {
public:
    /// Makes the directories. `below`: it is a folder of a Maildir, not the Maildir itself.
    maildir_target(std::string path, bool below);

    /// Before the first message: letters for all keywords there are.
    void assign_letters(std::vector<std::string> const& keywords);
    /// Whether the file is there; its flags are made those of the row.
    bool has(mailfs::message_row const& row, std::uint32_t uid_validity);
    void put(mailfs::message_row const& row, std::uint32_t uid_validity, std::string_view bytes);
    /// Keywords and UIDs.
    void finish(mailbox_reader const& from);

private:
    std::string base_of(mailfs::message_row const& row, std::uint32_t uid_validity) const;
    std::string letters_for(mailfs::message_row const& row, std::string const& base);

    std::string path_;
    keyword_letters letters_;
    std::map<std::string, std::string, std::less<>> there_;  // base name: directory and name
    std::map<std::string, std::vector<std::string>, std::less<>> more_keywords_;
    std::map<std::uint32_t, std::string> written_;  // base name by UID
};

}  // namespace mailfsctl
