// SPDX-License-Identifier: BSL-1.0
// Appends, polls at the end and reads back, each COUNT times, for posix_calls.py to watch:  posix_calls COUNT
#include <mailfs/fs/posix_fs.hpp>

#include "support/run.hpp"

#include <array>
#include <cstdlib>

using namespace mailfs;

int main(int argc, char** argv) {
    int const count = argc > 1 ? std::atoi(argv[1]) : 0;
    test::temporary_directory const root;
    posix_fs fs(root.path());
    test::run([&]() -> asio::awaitable<void> {
        co_await fs.create("a/log", as_bytes("head"), durability::none);
        auto file = co_await fs.open("a/log");
        std::array<std::byte, 4096> buffer;
        std::uint64_t end = co_await file->append(as_bytes("first"));
        for (int n = 0; n < count; ++n) {
            end = co_await file->append(as_bytes("x")) + 1;
            co_await file->read(end, buffer);                          // polling: nothing new
            co_await file->read(end - 1, std::span(buffer).first(1));  // as much as is known to be there
        }
    });
}
