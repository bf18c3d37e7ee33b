// SPDX-License-Identifier: BSL-1.0
#include "sim/fold_oracle.hpp"

#include "unit/index/fold_fixture.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

using namespace mailfs;
using mailfs::sim::fold_oracle;
using mailfs::test::replica;

TEST_CASE("fold_oracle: a fold as it must be is found good, and each that is not is found out") {
    replica trunk(1);
    trunk.reign(1);
    trunk.append(1, 1);
    auto branch = replica::copy(*trunk.state, 2);
    branch.reign(2);
    branch.append(10, 2);
    trunk.append(20, 3);
    trunk.append(21, 4);
    trunk.reign(3);
    auto const payload = trunk.state->fold(*branch.state);
    CHECK(fold_oracle::judge(*trunk.state, *branch.state, payload) == "");

    auto const judged = [&](auto change) {
        auto fold = *format::decode_mailbox_fold(payload);
        std::vector<format::folded_message*> renumbered, adopted;
        for (auto& m : fold.messages) (m.from == 0 ? adopted : renumbered).push_back(&m);
        REQUIRE(renumbered.size() == 2);
        REQUIRE(adopted.size() == 1);
        change(fold, *renumbered[0], *renumbered[1], *adopted[0]);
        return fold_oracle::judge(*trunk.state, *branch.state, format::encode_mailbox_fold(fold));
    };
    CHECK(judged([](auto&, auto& a, auto& b, auto&) { std::swap(a.uid, b.uid); }).find("order") != std::string::npos);
    CHECK(judged([](auto&, auto& a, auto&, auto&) { a.uid = a.from; }).find("does not look") != std::string::npos);
    CHECK(judged([](auto& f, auto&, auto&, auto& m) { m.uid = f.uid_next++; }).find("may stay") != std::string::npos);
    CHECK(judged([](auto&, auto& a, auto&, auto&) { a.uid = 0; }).find("expunged") != std::string::npos);
    CHECK(judged([](auto&, auto& a, auto&, auto&) { a.uid = 300; }).find("below UIDNEXT") != std::string::npos);
}
