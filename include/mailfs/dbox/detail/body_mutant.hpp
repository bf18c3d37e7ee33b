// SPDX-License-Identifier: BSL-1.0
// Errors in how nodes hand each other mail bodies, planted one at a time to see whether tests/sim/bodies finds them; as
// replication/detail/mutant.hpp, whose simulation has no bodies.
#pragma once

#include <mailfs/config.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mailfs::detail {

/// Each bears the name of what goes wrong. `body_mutant_names` has the same order.
enum class body_mutant : std::uint8_t {
    none,
    have_before_sync,         ///< a peer says that it has what it has not written yet
    found_is_not_looked_for,  ///< bodies that a start finds in files are not known
    offer_counts_as_copy,     ///< a peer that was offered it counts before it says so
    refusal_counts_as_copy,   ///< one that will not take it counts, too
    row_before_body,          ///< the record is proposed first
    failed_fetch_forgotten,   ///< a body that could not be had is not tried again
    count_,
};
inline constexpr std::array<std::string_view, static_cast<std::size_t>(body_mutant::count_)> body_mutant_names{
    "none", "have_before_sync", "found_is_not_looked_for", "offer_counts_as_copy", "refusal_counts_as_copy", "row_before_body", "failed_fetch_forgotten"};
static_assert(!body_mutant_names.back().empty(), "a mutant without a name");

inline body_mutant& planted_in_bodies() noexcept {
    static thread_local constinit body_mutant here = body_mutant::none;
    return here;
}
/// Whether the code is to do the wrong thing here. Without MAILFS_UNDER_TEST it is false when the program is compiled.
inline bool mutated([[maybe_unused]] body_mutant m) noexcept {
    if constexpr (under_test) return planted_in_bodies() == m;
    return false;
}

}  // namespace mailfs::detail
