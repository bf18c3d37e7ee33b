// SPDX-License-Identifier: BSL-1.0
// The loop of an IMAP session: gather a command, execute it, answer. Included by session.hpp.
#pragma once

#include "imap/session.hpp"

#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

namespace imapd::imap {

template <class Store, mime::extractor Extractor>
assembler::limits session<Store, Extractor>::limits_before_login() {
    return {limits::line_preauth_size_max, limits::line_preauth_size_max, limits::drain_size_max};
}
template <class Store, mime::extractor Extractor>
assembler::limits session<Store, Extractor>::limits_after_login() const {
    return {limits::line_size_max, settings_.message_size_max, limits::drain_size_max};
}

template <class Store, mime::extractor Extractor>
asio::awaitable<void> session<Store, Extractor>::run() {
    say_format("* OK [CAPABILITY {}] mailfs is ready", all_capabilities());
    try {
        co_await serve();
    } catch (net::hangup const&) {
    }
    if (io_->why() == net::ending::timeout) goodbye_ = "* BYE Silent for too long\r\n";
    if (io_->why() == net::ending::stopping) goodbye_ = (out_is_whole_ ? out_ : "") + "* BYE The server is stopping\r\n";
    box_.reset();
    account_.reset();
    shared_.reset();
    co_await io_->say_farewell(goodbye_);
}

template <class Store, mime::extractor Extractor>
asio::awaitable<void> session<Store, Extractor>::flush() {
    if (io_->why() != net::ending::none) throw net::hangup{io_->why()};  // the farewell takes what is unsaid
    auto const sent = std::exchange(out_, {});
    co_await io_->write(sent);
}
template <class Store, mime::extractor Extractor>
asio::awaitable<void> session<Store, Extractor>::flush_if_large() {
    if (out_.size() >= limits::flush_size) co_await flush();
}

/// Others of this thread go first.
template <class Store, mime::extractor Extractor>
asio::awaitable<void> session<Store, Extractor>::let_others_go() {
    auto const executor = co_await asio::this_coro::executor;
    co_await asio::post(executor, asio::use_awaitable);
}

template <class Store, mime::extractor Extractor>
asio::awaitable<void> session<Store, Extractor>::serve() {
    while (!logout_) {
        co_await flush();
        if (io_->pending().empty()) {
            bool const more = co_await io_->fill();
            if (!more) co_return;
        }
        co_await take_input();
        if (bad_in_a_row_ < (account_ ? limits::bad_in_a_row_max : limits::bad_preauth_max)) continue;
        goodbye_ = "* BYE Too many malformed commands\r\n";
        logout_ = true;
    }
    co_await flush();
}

template <class Store, mime::extractor Extractor>
asio::awaitable<void> session<Store, Extractor>::take_input() {
    using result = assembler::result;
    auto input = io_->pending();
    auto const size = input.size();
    auto const got = assembler_.feed(input);
    io_->consume(size - input.size());
    switch (got) {
        case result::more: break;
        case result::proceed: say("+ Go on"); break;
        case result::complete: co_await execute(assembler_.text()); break;
        case result::too_long:
            say_format("{} BAD The command is too long", assembler_.tag());
            ++bad_in_a_row_;
            break;
        case result::too_big:
            say_format("{} NO [TOOBIG] The literal is too big", assembler_.tag());
            ++bad_in_a_row_;
            break;
        case result::hopeless:
            goodbye_ = "* BYE [TOOBIG] The command is much too big\r\n";
            logout_ = true;
            break;
    }
}

template <class Store, mime::extractor Extractor>
asio::awaitable<void> session<Store, Extractor>::execute(std::string_view text) {
    auto const parsed = parse(text);
    if (auto const* malformed = std::get_if<bad_command>(&parsed)) {
        say_format("{} BAD {}", malformed->tag, malformed->why);
        ++bad_in_a_row_;
        co_return;
    }
    bad_in_a_row_ = 0;
    if (!account_ && ++commands_before_login_ > limits::commands_preauth_max) {
        goodbye_ = "* BYE Log in sooner\r\n";
        logout_ = true;
        co_return;
    }
    auto const& c = std::get<command>(parsed);
    out_is_whole_ = false;
    tag_ = c.tag;
    auto result = co_await dispatch(c);
    expected_.clear();
    if (result.text.empty()) result.text = c.name + " completed";
    say_format("{} {} {}", c.tag, result.status, result.text);
    out_is_whole_ = true;
    if (c.name == "LOGOUT") logout_ = true;
}

template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::dispatch(command const& c) {
    if (auto refused = refuse_in_state(c)) co_return *std::move(refused);
    answer result;
    try {
        auto pending = std::visit([this](auto const& what) { return this->on(what); }, c.arguments);
        result = co_await std::move(pending);
        if (box_) {
            bool const expunges = c.name != "FETCH" && c.name != "STORE" && c.name != "SEARCH";  // RFC 3501 section 7.4.1
            sync_options const how{.expunges = expunges, .uids = c.name.starts_with("UID ")};
            co_await sync(how);
        }
    } catch (std::system_error const& error) {
        result = answer_of(error.code());
        if (is_trouble(error.code())) fmt::print(stderr, "imapd: {} failed: {}\n", c.name, error.what());
    }
    co_return result;
}

template <class Store, mime::extractor Extractor>
std::optional<answer> session<Store, Extractor>::refuse_in_state(command const& c) const {
    bool const login =
        std::holds_alternative<cmd::login>(c.arguments) || std::holds_alternative<cmd::authenticate>(c.arguments);
    if (login) return account_ ? std::optional(bad("Logged in already")) : std::nullopt;
    auto const* plain = std::get_if<cmd::bare>(&c.arguments);
    bool const any = std::holds_alternative<cmd::id>(c.arguments) ||
                     (plain != nullptr && (plain->what == word::capability || plain->what == word::noop ||
                                           plain->what == word::logout || plain->what == word::starttls));
    if (any) return std::nullopt;
    if (!account_) return bad("Log in first");
    bool const needs_mailbox =
        std::holds_alternative<cmd::fetch>(c.arguments) || std::holds_alternative<cmd::store>(c.arguments) ||
        std::holds_alternative<cmd::search>(c.arguments) || std::holds_alternative<cmd::copy>(c.arguments) ||
        std::holds_alternative<cmd::expunge>(c.arguments) ||
        (plain != nullptr && (plain->what == word::check || plain->what == word::close || plain->what == word::unselect));
    if (needs_mailbox && !box_) return bad("Select a mailbox first");
    return std::nullopt;
}

template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::on(cmd::bare const& c) {
    switch (c.what) {
        case word::capability: say_format("* CAPABILITY {}", all_capabilities()); break;
        case word::logout: say("* BYE Until next time"); break;
        case word::name_space: say_format("* NAMESPACE ((\"\" \"/\")) NIL {}", shared_ ? "((\"Shared/\" \"/\"))" : "NIL"); break;
        case word::starttls: co_return bad("There is no TLS here");
        case word::close: co_return co_await close(true);
        case word::unselect: co_return co_await close(false);
        case word::idle: co_return co_await idle();
        case word::noop:
        case word::check: break;  // what changed is said behind every command
    }
    co_return answer{};
}

template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::on(cmd::id const&) {
    say("* ID (\"name\" \"mailfs imapd\")");
    co_return answer{};
}

}  // namespace imapd::imap
