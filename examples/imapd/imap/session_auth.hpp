// SPDX-License-Identifier: BSL-1.0
// LOGIN and AUTHENTICATE PLAIN (RFC 4616). Included by session.hpp.
#pragma once

#include "imap/base64.hpp"
#include "imap/session.hpp"

#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

namespace imapd::imap {

template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::try_login(std::string user, std::string password) {
    if (settings_.users.may_login(user, password)) {
        auto opened = co_await store_.account(user);
        account_.emplace(std::move(opened));
        if (!settings_.shared_account.empty()) {
            auto shared = co_await store_.account(settings_.shared_account);
            shared_.emplace(std::move(shared));
        }
        assembler_.set_limits(limits_after_login());
        io_->set_idle_time(limits::imap_idle_time);
        co_return ok(fmt::format("[CAPABILITY {}] Logged in", all_capabilities()));
    }
    asio::steady_timer delay(co_await asio::this_coro::executor, limits::login_failure_delay);
    co_await delay.async_wait(asio::use_awaitable);
    if (++login_failures_ >= limits::login_failures_max) {
        goodbye_ = "* BYE Too many failed logins\r\n";
        logout_ = true;
    }
    co_return no("[AUTHENTICATIONFAILED] Wrong user or password");
}

template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::on(cmd::login const& c) {
    return try_login(c.user, c.password);
}

template <class Store, mime::extractor Extractor>
asio::awaitable<answer> session<Store, Extractor>::on(cmd::authenticate const& c) {
    if (c.mechanism != "PLAIN") co_return no("PLAIN is the only mechanism known");
    std::string encoded = c.initial.value_or("");
    if (!c.initial) {
        say("+ ");
        co_await flush();
        auto const read = co_await net::read_line(*io_, limits::line_preauth_size_max);
        if (read.status == net::line_status::over) throw net::hangup{io_->why()};
        if (read.status == net::line_status::too_long || read.line == "*") co_return bad("Cancelled");
        encoded = read.line;
    }
    auto const decoded = base64_decode(encoded);
    auto const first = decoded ? decoded->find('\0') : std::string::npos;
    auto const second = first == std::string::npos ? first : decoded->find('\0', first + 1);
    if (second == std::string::npos) co_return bad("Not a response of PLAIN");
    auto const as = decoded->substr(0, first);
    auto const user = decoded->substr(first + 1, second - first - 1);
    if (!as.empty() && as != user) co_return no("[AUTHORIZATIONFAILED] Nobody may act for another here");
    co_return co_await try_login(user, decoded->substr(second + 1));
}

}  // namespace imapd::imap
