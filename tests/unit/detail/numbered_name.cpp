// SPDX-License-Identifier: BSL-1.0
#include <mailfs/detail/numbered_name.hpp>

#include <doctest/doctest.h>

using mailfs::detail::number_in;

TEST_CASE("numbered_name: a number is read as it is written, and nothing else is one") {
    CHECK(number_in("log.1", "log.") == 1U);
    CHECK(number_in("18446744073709551614", "") == 18446744073709551614U);
    for (auto const* name : {"log.", "log.0", "log.01", "log.-1", "log.+1", "log.1 ", "log.1x", "log. 1", "logs.1", "index.1", "",
                             "log.18446744073709551615", "log.18446744073709551616"})
        CHECK_FALSE(number_in(name, "log."));
}
