// SPDX-License-Identifier: BSL-1.0
// The commands of IMAP4rev1 and our extensions as plain data, between the parser and the session.
#pragma once

#include "imap/date.hpp"
#include "imap/sequence_set.hpp"

#include <mailfs/store/special_use.hpp>
#include <mailfs/types/flags.hpp>
#include <mailfs/types/uid.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace imapd::imap {

/// Flags and keywords of STORE and APPEND. \Recent is not a client's to set and is refused by the parser.
struct flag_list {
    mailfs::flag flags = mailfs::flag::none;
    std::vector<std::string> keywords;
};

/// What stands between the brackets of BODY[...].
struct section {
    enum class part : std::uint8_t { all, header, text, mime, fields, fields_not };
    std::vector<std::uint32_t> path;  ///< "1.2" as {1, 2}
    part what = part::all;
    std::vector<std::string> fields;  ///< of HEADER.FIELDS and HEADER.FIELDS.NOT
};

struct fetch_item {
    enum class kind : std::uint8_t {
        envelope,
        flags,
        internal_date,
        size,
        uid,
        modseq,
        save_date,
        email_id,
        thread_id,
        body,
        body_structure,
        rfc822,
        rfc822_header,
        rfc822_text,
        section
    };
    kind what = kind::flags;
    imap::section section;
    bool peek = false;
    struct range {
        std::uint32_t offset = 0;
        std::uint32_t count = 0;
    };
    std::optional<range> partial;  ///< "<offset.count>"
};

struct search_key {
    enum class kind : std::uint8_t {
        all,
        none,
        conjunction,
        either,
        negation,
        flag_set,
        flag_unset,
        keyword,
        unkeyword,
        before,
        on,
        since,
        sent_before,
        sent_on,
        sent_since,
        larger,
        smaller,
        header,
        body,
        text,
        uids,
        numbers,
        modseq,
        older,
        younger,
        saved_before,
        saved_on,
        saved_since,
        email_id
    };
    kind what = kind::all;
    mailfs::flag flag = mailfs::flag::none;
    std::string text;                  ///< keyword, EMAILID, or what to look for
    std::string field;                 ///< of kind::header
    std::uint64_t number = 0;          ///< larger, smaller, modseq; older, younger: seconds, and milliseconds since 1970 once resolved
    imap::day date{};                  ///< of the kinds that compare days
    sequence_set set;                  ///< uids, numbers
    std::vector<search_key> children;  ///< conjunction, either (two), negation (one)
};

enum class status_item : std::uint8_t { messages, recent, uid_next, uid_validity, unseen, highest_modseq, size, mailbox_id, append_limit };

/// Commands without arguments.
enum class word : std::uint8_t { capability, noop, logout, check, close, unselect, idle, name_space, starttls };

namespace cmd {
struct bare {
    word what;
};
struct id {};
struct login {
    std::string user, password;
};
struct authenticate {
    std::string mechanism;
    std::optional<std::string> initial;
};  // initial: still base64
struct enable {
    std::vector<std::string> capabilities;
};
/// What a client knows that comes back (RFC 7162 section 3.2.5).
struct resync {
    std::uint32_t uid_validity = 0;
    mailfs::modseq_t modseq = 0;
    std::optional<sequence_set> known;  ///< its UIDs; nothing: all that there were
};
struct select {
    std::string mailbox;
    bool examine = false;
    bool condstore = false;
    std::optional<cmd::resync> resync{};
};
struct create {
    std::string mailbox;
    mailfs::special_use use = mailfs::special_use::none;
};
struct remove {
    std::string mailbox;
};
struct rename {
    std::string from, to;
};
struct subscribe {
    std::string mailbox;
    bool on = true;
};
struct list {
    bool lsub = false;
    bool only_subscribed = false, only_special_use = false;  // selection options
    bool say_subscribed = false;                             // RETURN (SUBSCRIBED)
    std::string reference;
    std::vector<std::string> patterns;
};
struct status {
    std::string mailbox;
    std::vector<status_item> items;
};
/// One message of an APPEND.
struct appended {
    flag_list flags;
    std::uint64_t received_ms = 0;
    std::string_view message;  // into the command's text
};
struct append {
    std::string mailbox;
    std::vector<appended> mails;  ///< one, or more (MULTIAPPEND, RFC 3502)
};
struct fetch {
    bool uid = false;
    sequence_set set;
    std::vector<fetch_item> items;
    std::optional<mailfs::modseq_t> changed_since;
    bool vanished = false;  ///< tells what went since then, too (RFC 7162)
};
struct store {
    enum class mode : std::uint8_t { replace, add, remove };
    bool uid = false;
    sequence_set set;
    mode what = mode::replace;
    bool silent = false;
    flag_list flags;
    std::optional<mailfs::modseq_t> unchanged_since;
};
/// RETURN of a SEARCH (RFC 4731, 5182).
struct search_return {
    bool min = false, max = false, all = false, count = false, save = false;
};
struct search {
    bool uid = false;
    std::optional<search_return> wanted;  ///< nothing: the old answer
    search_key key;
    bool charset_known = true;
};
struct copy {
    bool uid = false;
    bool move = false;
    sequence_set set;
    std::string mailbox;
};
struct expunge {
    std::optional<sequence_set> uids;
};
}  // namespace cmd

using arguments = std::variant<cmd::bare, cmd::id, cmd::login, cmd::authenticate, cmd::enable, cmd::select, cmd::create,
                               cmd::remove, cmd::rename, cmd::subscribe, cmd::list, cmd::status, cmd::append, cmd::fetch,
                               cmd::store, cmd::search, cmd::copy, cmd::expunge>;

struct command {
    std::string tag;
    std::string name;  ///< as it stands in "NAME completed", upper case
    imap::arguments arguments;
};

}  // namespace imapd::imap
