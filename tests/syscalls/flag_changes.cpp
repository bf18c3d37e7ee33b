// SPDX-License-Identifier: BSL-1.0
// What does a flag change on an open mailbox ask of the kernel? Run under strace by run.py, which counts between the
// two marks.   flag_changes [changes=1000]
#include <mailfs/fs/posix_fs.hpp>
#include <mailfs/index/index.hpp>

#include "support/run.hpp"
#include "support/temporary_directory.hpp"

#include <unistd.h>

#include <cstdlib>

namespace {

using box_index = mailfs::index<mailfs::lockless_log, mailfs::posix_fs>;
using mailfs::format::mailbox_transaction;

void mark(char const* name) { (void)::access(name, F_OK); }

asio::awaitable<void> change(box_index& box, int i) {
    mailbox_transaction t;
    mailfs::flag_change const c{i % 2 ? mailfs::flag_mode::add : mailfs::flag_mode::remove, mailfs::flag::seen, {}, {}};
    t.change_flags(mailfs::uid_set::one(1), c);
    co_await box.propose(t.bytes(), mailfs::durability::none);
}

asio::awaitable<void> tour(std::string root, int changes) {
    box_index box(mailfs::posix_fs(root), "box", mailfs::standalone{});
    mailbox_transaction t;
    t.raise(1, 0).append({});
    co_await box.create(mailfs::guid::from_words(1, 1), t.bytes());
    co_await box.open();
    co_await change(box, 0);
    mark("mailfs-mark-begin");
    for (int i = 1; i <= changes; ++i) co_await change(box, i);
    mark("mailfs-mark-end");
    co_await box.log().rotate();
}

}  // namespace

int main(int argc, char** argv) {
    int const changes = argc > 1 ? std::atoi(argv[1]) : 500;
    mailfs::test::temporary_directory const root;
    mailfs::test::run([&] { return tour(root.path(), changes); });
}
