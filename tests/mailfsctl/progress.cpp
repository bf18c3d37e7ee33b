// SPDX-License-Identifier: BSL-1.0
#include "progress.hpp"

#include <doctest/doctest.h>

using namespace mailfsctl;

TEST_CASE("progress: a bar with rate and time left, never wider than the terminal") {
    CHECK(progress_line("import", 500, 1000, "messages", 5, 80) ==
          "import  50% [=============              ]  500/1,000 messages  100/s  0:05 left");
    CHECK(progress_line("import", 500, 1000, "messages", 5, 40).size() <= 40);
    CHECK(progress_line("copy", 1'500'000, 0, "B", 3, 80) == "copy  1.5 MB  500.0 kB/s  0:03");
    CHECK(progress_line("x", 0, 10, "messages", 0, 80).find("left") == std::string::npos);
    CHECK(progress_line("x", 20, 10, "messages", 1, 80).find("100%") != std::string::npos);
    for (std::size_t width = 0; width < 100; ++width)
        CHECK(progress_line("a long name of a mailbox", 7, 9, "messages", 1, width).size() <= width);
}

TEST_CASE("progress: nothing is drawn where there is no terminal, or when quiet") {
    progress bar("import", 10, "messages", true);
    for (int i = 0; i < 10; ++i) bar.advance();
    bar.clear();
}
