// SPDX-License-Identifier: BSL-1.0
// Counts what a flag change on an open mailbox takes from the heap: nothing, when nobody else writes meanwhile.
//   Exits 1, and says how many, when there are any.
#include <mailfs/fs/posix_fs.hpp>
#include <mailfs/index/index.hpp>

#include "support/temporary_directory.hpp"

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <cstddef>
#include <cstdio>
#include <cstdlib>

namespace {
bool counting = false;
unsigned long taken = 0;
}  // namespace

// Asio takes its frames by aligned_alloc, all else comes by malloc; glibc has both under a second name.
extern "C" {
void* __libc_malloc(std::size_t);                 // NOLINT: glibc's
void* __libc_memalign(std::size_t, std::size_t);  // NOLINT: glibc's
void* malloc(std::size_t size) {
    taken += counting ? 1 : 0;
    return __libc_malloc(size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
    taken += counting ? 1 : 0;
    return __libc_memalign(alignment, size);
}
}

namespace {

using namespace mailfs;
using box = mailfs::index<lockless_log, posix_fs>;
constexpr unsigned long changes = 1000;

asio::awaitable<void> change_flags(box& b, bytes_view add, bytes_view remove, unsigned long count) {
    for (unsigned long n = 0; n < count; ++n) {
        auto const operations = n % 2 == 0 ? add : remove;
        auto const done = co_await b.propose(operations, durability::none);
        if (done.changed != uid_set::one(2)) std::abort();
    }
}
asio::awaitable<void> count(box& b) {
    format::mailbox_transaction three, add, remove;
    for (int n = 0; n < 3; ++n) three.append({});
    add.change_flags(uid_set::one(2), {flag_mode::add, flag::seen, {}, {}});
    remove.change_flags(uid_set::one(2), {flag_mode::remove, flag::seen, {}, {}});
    co_await b.create(guid::from_words(1, 2), three.bytes());
    co_await b.open();
    co_await change_flags(b, add.bytes(), remove.bytes(), 100);
    counting = true;
    co_await change_flags(b, add.bytes(), remove.bytes(), changes);
    counting = false;
}

}  // namespace

int main() {
    mailfs::test::temporary_directory const root;
    box b(posix_fs(root.path()), "box", standalone{}, {.rotate_size_min = format::log_size_max});
    asio::io_context context(1);
    bool failed = false;
    asio::co_spawn(context, count(b), [&](std::exception_ptr e) { failed = e != nullptr; });
    context.run();
    std::printf("%lu flag changes took %lu pieces of memory\n", changes, taken);
    return failed || taken > 2 ? 1 : 0;  // the frame of the loop itself
}
