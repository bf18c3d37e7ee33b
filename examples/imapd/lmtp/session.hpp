// SPDX-License-Identifier: BSL-1.0
// One LMTP connection (RFC 2033): a message is acknowledged, recipient by recipient, when the store has it.
#pragma once

#include "lmtp/command.hpp"
#include "net/read_line.hpp"
#include "settings.hpp"

#include <mailfs/error.hpp>
#include <mailfs/store/deliver.hpp>
#include <mailfs/store/store.hpp>

#include <fmt/format.h>

#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace imapd::lmtp {

/// The reply to a recipient whose delivery failed: 4xx where the sender shall try again.
inline std::string failure_reply(std::error_code code) {
    auto const text = code.message();
    if (code == mailfs::errc::no_space) return "452 4.3.1 " + text;
    if (code == mailfs::errc::too_big) return "552 5.3.4 " + text;
    if (code == mailfs::errc::bad_message) return "554 5.6.0 " + text;
    return "451 4.3.0 " + text;
}

/// Belongs to the connection's executor, as does the store.
template <class Store>
class session {
public:
    session(std::shared_ptr<net::connection> c, Store& store, settings const& s)
        : io_(std::move(c)), store_(store), settings_(s) {}

    /// Serves until the connection is over. Never throws but for want of memory.
    asio::awaitable<void> run() {
        say(fmt::format("220 {} LMTP mailfs", settings_.host_name));
        auto last_words = std::string();
        try {
            co_await serve();
        } catch (net::hangup const&) {
        }
        if (io_->why() == net::ending::timeout) last_words = "421 4.4.2 Silent for too long\r\n";
        if (io_->why() == net::ending::stopping)
            last_words = out_ + "421 4.3.2 The server is stopping\r\n";  // what is stored is said
        if (io_->why() == net::ending::none) last_words = std::move(out_);
        co_await io_->say_farewell(last_words);
    }

private:
    void say(std::string_view line) { out_.append(line).append("\r\n"); }
    void refuse(std::string_view line) {
        say(line);
        ++errors_;
    }
    asio::awaitable<void> flush() {
        if (io_->why() != net::ending::none) throw net::hangup{io_->why()};  // the farewell takes what is unsaid
        auto const sent = std::exchange(out_, {});
        co_await io_->write(sent);
    }

    asio::awaitable<void> serve() {
        while (!quit_) {
            if (io_->pending().find('\n') == std::string_view::npos)
                co_await flush();  // answers to pipelined commands go together
            auto const read = co_await net::read_line(*io_, limits::lmtp_line_size_max);
            if (read.status == net::line_status::over) co_return;
            if (read.status == net::line_status::too_long)
                refuse("500 5.5.2 Line too long");
            else
                co_await execute(parse(read.line));
            if (errors_ <= limits::lmtp_errors_max) continue;
            say("421 4.7.0 Too many errors");
            co_return;
        }
    }

    asio::awaitable<void> execute(command const& c) {
        if (std::holds_alternative<cmd::data>(c)) {
            co_await data();
        } else {
            std::visit([this](auto const& arguments) { this->on(arguments); }, c);
        }
    }

    void on(bad_line const& bad) { refuse(bad.reply); }
    void on(cmd::data const&) {}
    void on(cmd::noop const&) { say("250 2.0.0 OK"); }
    void on(cmd::verify const&) { say("252 2.5.0 Try to deliver"); }
    void on(cmd::quit const&) {
        say("221 2.0.0 Bye");
        quit_ = true;
    }
    void on(cmd::reset const&) {
        reset();
        say("250 2.0.0 OK");
    }
    void on(cmd::lhlo const&) {
        reset();
        greeted_ = true;
        say("250-" + settings_.host_name);
        say("250-8BITMIME");
        say("250-ENHANCEDSTATUSCODES");
        say("250-PIPELINING");
        say("250-SMTPUTF8");
        say(fmt::format("250 SIZE {}", settings_.message_size_max));
    }
    void on(cmd::mail const& mail) {
        if (!greeted_) return refuse("503 5.5.1 LHLO first");
        if (in_transaction_) return refuse("503 5.5.1 A transaction is under way");
        if (mail.size > settings_.message_size_max) return refuse("552 5.3.4 Message too big");
        in_transaction_ = true;
        say("250 2.1.0 OK");
    }
    void on(cmd::rcpt const& rcpt) {
        if (!in_transaction_) return refuse("503 5.5.1 MAIL first");
        if (recipients_.size() >= limits::recipients_max) return refuse("452 4.5.3 Too many recipients");
        if (!settings_.users.knows(rcpt.user)) return refuse("550 5.1.1 No such user");
        recipients_.push_back(rcpt.user);
        say("250 2.1.5 OK");
    }

    void reset() {
        in_transaction_ = false;
        recipients_.clear();
    }

    asio::awaitable<void> data() {
        if (recipients_.empty()) {
            refuse("503 5.5.1 No recipients");
            co_return;
        }
        say("354 End with a dot on a line of its own");
        co_await flush();
        std::string message;
        dot_decoder decoder;
        for (bool ended = false; !ended;) {
            auto input = io_->pending();
            auto const size = input.size();
            ended = decoder.feed(input, message, settings_.message_size_max);
            io_->consume(size - input.size());
            if (ended) break;
            if (decoder.size() > settings_.message_size_max + limits::drain_size_max) {
                say("421 5.3.4 Message much too big");
                quit_ = true;
                co_return;
            }
            bool const more = co_await io_->fill();
            if (!more) throw net::hangup{io_->why()};  // without its end a message is no message
        }
        co_await deliver_to_all(message, decoder.size() > settings_.message_size_max);
        reset();
    }

    /// One reply for each recipient, in their order; a user named twice gets one copy.
    asio::awaitable<void> deliver_to_all(std::string const& message, bool too_big) {
        if (too_big) {
            for (std::size_t n = recipients_.size(); n > 0; --n) say("552 5.3.4 Message too big");
            co_return;
        }
        std::vector<mailfs::recipient> to;
        for (auto const& user : std::set(recipients_.begin(), recipients_.end())) to.push_back({user});
        mailfs::new_message mail;
        mail.bytes = mailfs::as_bytes(message);
        auto const done = co_await mailfs::deliver(store_, to, mail);
        std::map<std::string, std::string> replies;
        for (std::size_t n = 0; n < to.size(); ++n) replies[to[n].account] = reply_to(done[n]);
        for (auto const& user : recipients_) say(replies[user]);
    }
    static std::string reply_to(mailfs::delivered const& d) {
        if (!d.error) return fmt::format("250 2.0.0 Stored as UID {}", d.uid);
        fmt::print(stderr, "imapd: delivery failed: {}\n", d.reason);
        return failure_reply(d.error);
    }

    std::shared_ptr<net::connection> io_;
    Store& store_;
    settings const& settings_;
    std::string out_;
    bool greeted_ = false;
    bool in_transaction_ = false;
    bool quit_ = false;
    std::size_t errors_ = 0;
    std::vector<std::string> recipients_;
};

}  // namespace imapd::lmtp
