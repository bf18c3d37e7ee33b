// SPDX-License-Identifier: BSL-1.0
// Delivers message files to a user's mailbox, all of them or none, while servers may have it open:
//     deliver DIRECTORY USER FILE...        --mailbox NAME, --create, --seen; a FILE named - is standard input
#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/fs/posix_fs.hpp>
#include <mailfs/index/index.hpp>
#include <mailfs/log/lockless_log.hpp>
#include <mailfs/store/store.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

using disk = mailfs::posix_fs;
using store = mailfs::store<mailfs::index<mailfs::lockless_log, disk>, mailfs::multi_dbox<disk>>;

struct options {
    std::string directory, user, mailbox = "INBOX";
    std::vector<std::string> files;
    bool create = false, seen = false;
};

/// As mail is stored: every line ends in CRLF.
static std::string with_crlf(std::string_view text) {
    std::string out;
    char before = 0;
    for (char const c : text) {
        if (c == '\n' && before != '\r') out += '\r';
        out += before = c;
    }
    if (!out.ends_with("\r\n")) out += "\r\n";
    return out;
}

static std::string read_file(std::string const& name) {
    std::ifstream file;
    if (name != "-") file.open(name, std::ios::binary);
    std::istream& in = name == "-" ? std::cin : file;
    if (!in) throw std::runtime_error("cannot read " + name);
    return with_crlf(std::string(std::istreambuf_iterator<char>(in), {}));
}

static asio::awaitable<void> deliver(store& mail, options const& chosen) {
    std::vector<std::string> texts;
    for (auto const& name : chosen.files) texts.push_back(read_file(name));
    std::vector<mailfs::new_message> messages;
    for (auto const& text : texts)
        messages.push_back({mailfs::as_bytes(text), chosen.seen ? mailfs::flag::seen : mailfs::flag::none, {}, 0});

    auto account = co_await mail.account(chosen.user);
    if (chosen.create) {
        auto const boxes = co_await account.list();
        if (std::ranges::find(boxes, chosen.mailbox, &mailfs::mailbox_info::name) == boxes.end())
            co_await account.create(chosen.mailbox);
    }
    auto mailbox = co_await account.open(chosen.mailbox);
    auto const uids = co_await mailbox.append(std::span<mailfs::new_message const>(messages));
    for (std::size_t i = 0; i < uids.size(); ++i) fmt::print("{}: uid {} in {}\n", chosen.files[i], uids[i], chosen.mailbox);
}

int main(int argc, char** argv) {
    options chosen;
    CLI::App app("Delivers message files to a user's mailbox, all of them or none.", "deliver");
    app.add_option("directory", chosen.directory, "Where the store keeps its files")->required();
    app.add_option("user", chosen.user, "Whose mailbox")->required();
    app.add_option("files", chosen.files, "Message files; - is standard input")->required();
    app.add_option("--mailbox", chosen.mailbox, "Which mailbox")->capture_default_str();
    app.add_flag("--create", chosen.create, "Make the mailbox when it is not there");
    app.add_flag("--seen", chosen.seen, "Mark the messages as read");
    CLI11_PARSE(app, argc, argv);
    try {
        asio::io_context context(1);
        store mail(disk(chosen.directory), {});
        asio::co_spawn(context, deliver(mail, chosen), [](std::exception_ptr error) {
            if (error) std::rethrow_exception(error);
        });
        context.run();
    } catch (std::exception const& error) {
        fmt::print(stderr, "deliver: {}\n", error.what());
        return 1;
    }
}
