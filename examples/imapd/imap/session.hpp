// SPDX-License-Identifier: BSL-1.0
// One IMAP connection: its states, its loop, and what every command needs. The commands stand in session_*.hpp.
#pragma once

#include "imap/assembler.hpp"
#include "imap/command.hpp"
#include "imap/cursor.hpp"
#include "imap/expectations.hpp"
#include "imap/numbering.hpp"
#include "imap/parse.hpp"
#include "imap/search.hpp"
#include "imap/writer.hpp"
#include "net/read_line.hpp"
#include "settings.hpp"

#include <mailfs/error.hpp>
#include <mailfs/store/store.hpp>

#include <fmt/format.h>

#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace imapd::imap {

/// The end of a command: what stands behind its tag.
struct answer {
    std::string_view status = "OK";
    std::string text;  ///< a response code first, if any
};
inline answer ok(std::string text) { return {"OK", std::move(text)}; }
inline answer no(std::string text) { return {"NO", std::move(text)}; }
inline answer bad(std::string text) { return {"BAD", std::move(text)}; }

/// The store's error: its code, and no word on files.
inline answer answer_of(std::error_code code) { return no(std::string(code_of(code)) + one_line(code.message())); }

/// Whether it is for the one who runs the server, too, and not only for the client.
inline bool is_trouble(std::error_code code) {
    for (auto const expected : {mailfs::errc::not_found, mailfs::errc::exists, mailfs::errc::denied, mailfs::errc::bad_name,
                                mailfs::errc::too_big, mailfs::errc::bad_message})
        if (code == expected) return false;
    return true;
}

/// May be said before and after login alike.
inline constexpr std::string_view capabilities =
    "IMAP4rev1 LITERAL+ SASL-IR AUTH=PLAIN ID ENABLE IDLE NAMESPACE UIDPLUS UNSELECT CHILDREN SPECIAL-USE "
    "CREATE-SPECIAL-USE MOVE MULTIAPPEND "
    "CONDSTORE QRESYNC STATUS=SIZE ESEARCH SEARCHRES WITHIN SAVEDATE OBJECTID";

/// Belongs to the connection's executor, as does the store. Memory: the limits, one message of an APPEND, and the window
/// of a FETCH.
template <class Store, mime::extractor Extractor>
class session {
public:
    session(std::shared_ptr<net::connection> c, Store& store, settings const& s)
        : io_(std::move(c)), store_(store), settings_(s), assembler_(limits_before_login()) {}

    /// Serves until the connection is over. Never throws but for want of memory.
    asio::awaitable<void> run();

private:
    using account = account_of<Store>;
    using mailbox = mailbox_of<Store>;
    struct selected {
        mailbox box;
        std::string name;
        bool read_only;
        numbering numbers;
        std::uint32_t told = 0;  // messages that the client counts
        mailfs::uid_set gone{};  // UIDs that it is still to be told of
    };
    struct place {  // of a mailbox
        account& in;
        std::string name;
    };
    struct sync_options {
        bool expunges = true;       // EXPUNGE may be said now
        bool uids = false;          // FETCH shall name the UID
        mailfs::uid_set also = {};  // to be told whether changed or not
    };

    // The loop (session_loop.hpp).
    static assembler::limits limits_before_login();
    assembler::limits limits_after_login() const;
    asio::awaitable<void> serve();
    asio::awaitable<void> take_input();
    asio::awaitable<void> execute(std::string_view text);
    asio::awaitable<answer> dispatch(command const& c);
    std::optional<answer> refuse_in_state(command const& c) const;

    // Output.
    void say(std::string_view line) { out_.append(line).append("\r\n"); }
    template <class... Args>
    void say_format(fmt::format_string<Args...> format, Args&&... args) {
        fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
        out_ += "\r\n";
    }
    asio::awaitable<void> flush();
    asio::awaitable<void> flush_if_large();
    asio::awaitable<void> let_others_go();

    // What changed in the selected mailbox (session_sync.hpp).
    asio::awaitable<void> sync(sync_options o);
    void say_flags();
    void say_fetch_flags(mailfs::uid_t uid, bool with_uid);
    std::optional<mailfs::uid_set> targets(sequence_set const& set, bool uid) const;
    void enable_condstore();

    // A client that comes back (session_resync.hpp).
    mailfs::modseq_t known_since(mailfs::modseq_t told) const;
    mailfs::uid_set gone_since(mailfs::modseq_t told, mailfs::uid_set const& known) const;
    void say_vanished_earlier(mailfs::modseq_t told, mailfs::uid_set const& known);
    asio::awaitable<void> say_resync(cmd::resync const& r);

    // Commands (session_auth, session_mailboxes, session_select, session_fetch, session_store, session_search,
    // session_copy).
    asio::awaitable<answer> on(cmd::bare const&);
    asio::awaitable<answer> on(cmd::id const&);
    asio::awaitable<answer> on(cmd::login const&);
    asio::awaitable<answer> on(cmd::authenticate const&);
    asio::awaitable<answer> on(cmd::enable const&);
    asio::awaitable<answer> on(cmd::select const&);
    asio::awaitable<answer> on(cmd::create const&);
    asio::awaitable<answer> on(cmd::remove const&);
    asio::awaitable<answer> on(cmd::rename const&);
    asio::awaitable<answer> on(cmd::subscribe const&);
    asio::awaitable<answer> on(cmd::list const&);
    asio::awaitable<answer> on(cmd::status const&);
    asio::awaitable<answer> on(cmd::append const&);
    asio::awaitable<answer> on(cmd::fetch const&);
    asio::awaitable<answer> on(cmd::store const&);
    asio::awaitable<answer> on(cmd::search const&);
    asio::awaitable<answer> on(cmd::copy const&);
    asio::awaitable<answer> on(cmd::expunge const&);

    // Namespaces (session_places.hpp).
    place locate(std::string const& name);
    asio::awaitable<void> add_shared(std::vector<mailfs::mailbox_info>& infos);

    asio::awaitable<answer> try_login(std::string user, std::string password);
    asio::awaitable<answer> idle();
    asio::awaitable<void> wait_for_change();
    asio::awaitable<answer> close(bool expunge);
    void say_selected();

    struct fetch_plan;
    fetch_plan plan_fetch(cmd::fetch const& f);
    std::optional<bool> write_row_items(fetch_plan const& plan, mailfs::uid_t uid, bool now_seen);
    asio::awaitable<void> write_body_items(fetch_plan const& plan, std::string_view message, bool first);
    asio::awaitable<void> write_bytes(std::string_view bytes);
    asio::awaitable<void> announce_what_comes();
    asio::awaitable<void> stream(fetch_plan& plan, mailfs::uid_set const& uids);

    asio::awaitable<std::optional<mailbox>> open_target(std::string const& name);
    asio::awaitable<void> report_store(cmd::store const& s, mailfs::uid_set const& uids);
    mailfs::uid_set client_numbers(mailfs::uid_set const& uids) const;
    void expect_change(cmd::store const& s, mailfs::uid_set const& uids);
    struct row_facts;
    std::optional<row_facts> facts(mailfs::uid_t uid) const;
    asio::awaitable<mailfs::uid_set> search_bodies(search_key const& key, mailfs::uid_set const& uids);
    void say_found(cmd::search const& s, mailfs::uid_set const& found);
    void say_returned(cmd::search const& s, mailfs::uid_set const& found);
    std::string all_capabilities() const { return fmt::format("{} APPENDLIMIT={}", capabilities, settings_.message_size_max); }
    void list_one(cmd::list const& l, std::string const& name, std::string_view attributes);

    std::shared_ptr<net::connection> io_;
    Store& store_;
    settings const& settings_;
    [[no_unique_address]] Extractor extractor_;
    assembler assembler_;
    std::string out_;
    bool out_is_whole_ = true;  // no response in it has only begun
    std::optional<account> account_;
    std::optional<account> shared_;  // whose mailboxes everyone has
    std::optional<selected> box_;
    std::string tag_;         // of the command that is being executed
    mailfs::uid_set saved_;   // by the last SEARCH RETURN (SAVE) in this mailbox
    expectations expected_;   // of the command that is being executed
    bool condstore_ = false;  // FETCH responses carry MODSEQ
    bool qresync_ = false;    // VANISHED takes the place of EXPUNGE, and FETCH responses carry the UID
    bool logout_ = false;
    bool watch_failed_ = false;  // it was said on stderr
    std::string goodbye_;        // why we end it, when we do
    std::size_t login_failures_ = 0;
    std::size_t bad_in_a_row_ = 0;
    std::size_t commands_before_login_ = 0;
};

}  // namespace imapd::imap

#include "imap/session_auth.hpp"
#include "imap/session_copy.hpp"
#include "imap/session_fetch.hpp"
#include "imap/session_loop.hpp"
#include "imap/session_mailboxes.hpp"
#include "imap/session_places.hpp"
#include "imap/session_resync.hpp"
#include "imap/session_search.hpp"
#include "imap/session_select.hpp"
#include "imap/session_store.hpp"
#include "imap/session_sync.hpp"
