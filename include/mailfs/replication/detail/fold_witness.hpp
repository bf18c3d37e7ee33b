// SPDX-License-Identifier: BSL-1.0
// Who looks on when a fold is computed: a test that computes it in another way.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/types/bytes.hpp>

namespace mailfs::detail {

/// Of this thread: called with trunk, branch and the fold's payload; null, and always null without MAILFS_UNDER_TEST, for nobody.
template <class State>
using fold_listener = void (*)(State const& trunk, State const& branch, bytes_view payload);
template <class State>
inline fold_listener<State>& fold_witness() noexcept {
    static thread_local constinit fold_listener<State> here = nullptr;
    return here;
}

template <class State>
void tell_witness([[maybe_unused]] State const& trunk, [[maybe_unused]] State const& branch, [[maybe_unused]] bytes_view payload) {
    if constexpr (under_test)
        if (auto const& f = fold_witness<State>()) f(trunk, branch, payload);
}

}  // namespace mailfs::detail
