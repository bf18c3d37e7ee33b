// SPDX-License-Identifier: BSL-1.0
#include "imap/numbering.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace imapd::imap;

TEST_CASE("numbering: numbers agree with a client that keeps a list, whatever is expunged and whenever it is told") {
    std::mt19937 random(7);
    for (int round = 0; round < 200; ++round) {
        std::vector<int> client(20), view;  // messages by identity
        for (int i = 0; i < 20; ++i) client[static_cast<std::size_t>(i)] = i;
        view = client;
        numbering numbers;
        for (int step = 0; step < 12; ++step) {
            std::vector<std::uint32_t> lost;  // applied one after the other, from the end, or in any order
            bool const descending = random() % 2 == 0;
            std::uint32_t bound = static_cast<std::uint32_t>(view.size());
            for (unsigned n = random() % 4; n-- > 0 && bound > 0;) {
                auto const number = 1 + static_cast<std::uint32_t>(random() % bound);
                lost.push_back(number);
                view.erase(view.begin() + number - 1);
                bound = descending ? number - 1 : static_cast<std::uint32_t>(view.size());
            }
            numbers.hold(lost);
            client.push_back(100 * round + step + 1000);
            view.push_back(client.back());
            for (std::uint32_t n = 1; n <= view.size(); ++n) {
                REQUIRE(client[numbers.to_client(n) - 1] == view[n - 1]);
                REQUIRE(numbers.to_view(numbers.to_client(n)) == n);
            }
            REQUIRE(client.size() == view.size() + numbers.untold());
            auto const [first, last] = numbers.to_view(3, 9);
            for (std::uint32_t n = 1; n <= view.size(); ++n) {
                auto const c = numbers.to_client(n);
                REQUIRE((n >= first && n <= last) == (c >= 3 && c <= 9));
            }
            if (random() % 3 != 0) continue;
            for (auto const number : numbers.release()) client.erase(client.begin() + number - 1);
            REQUIRE(client == view);
        }
    }
}
