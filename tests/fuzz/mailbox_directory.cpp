// SPDX-License-Identifier: BSL-1.0
// The files of a mailbox, any number of them with any contents: opened, read on, written to, and opened again.
#include "checksums.hpp"
#include "fuzz.hpp"

#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/index/index.hpp>

namespace mailfs::fuzz {

namespace {

using policy = basic_standalone<fixed_host>;
using index_type = mailfs::index<lockless_log, memory_fs, policy>;

// `consistent`: there is one snapshot at most, so that none can contradict the logs before it.
asio::awaitable<void> live(memory_fs fs, fixed_host host, std::uint64_t rotate, bool consistent) {
    log_options options;
    options.rotate_size_min = rotate;
    options.rotate_share = 1'000'000;
    index_type one(fs, "box", policy(host), options);
    bool const there = co_await one.open();
    if (!there) co_return;
    auto v = one.make_view();
    co_await one.catch_up();
    v.refresh();
    format::mailbox_transaction t;
    message_entry m;
    m.id = guid::from_words(9, 9);
    t.append(m);
    t.change_flags(uid_set{{1, 3}}, {flag_mode::replace, flag::seen, {"k9"}, {}});
    t.expunge(uid_set{{2, 2}}, false);
    for (int i = 0; i < 3; ++i) {
        auto const operations = t.bytes();
        auto const outcome = co_await one.propose(operations, i == 1 ? durability::stored : durability::none);
        require(outcome.appended == 1 || one.state().uid_next() == uid_max, "an append without a UID");
    }
    v.refresh();
    index_type two(fs, "box", policy(host), options);
    bool const still = co_await two.open();
    require(still, "the mailbox went while it was written to");
    co_await two.catch_up();
    co_await one.catch_up();
    index_type three(fs, "box", policy(host), options);
    co_await three.open();
    require(two.state().dump() == three.state().dump(), "two who open it find different states");
    if (consistent) require(one.state().dump() == two.state().dump(), "who opens it anew finds another state");
}

}  // namespace

void mailbox_directory(bytes_view bytes) {
    input in(bytes);
    auto const mode = in.octet();
    auto const boot = in.octet() % 4U;
    memory_fs fs;
    int snapshots = 0;
    for (int files = 0; !in.empty() && files < 8; ++files) {
        auto const which = in.octet();
        auto const size = in.word();
        auto file = copy_of(in.take(size));
        bool const snapshot = (which & 0x80) != 0;
        snapshots += snapshot ? 1 : 0;
        if (mode % 2 == 1) snapshot ? fix_snapshot(file) : fix_log(file);
        fs.put((snapshot ? "box/index." : "box/log.") + std::to_string(which % 8), file);
    }
    std::uint64_t count = 0;
    try {
        run(live(fs, {boot, &count}, (mode & 2) != 0 ? 1 : 1U << 20, snapshots < 2));
    } catch (error const& e) {
        check_error(e);
    }
}

}  // namespace mailfs::fuzz
