// SPDX-License-Identifier: BSL-1.0
// What the store alone tells, as a process finds it that knows nothing else: R11.
#pragma once

#include <mailfs/host/sim_host.hpp>
#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/replication/arbiter.hpp>
#include <mailfs/replication/detail/shared_log.hpp>

#include "sim_fs.hpp"
#include "violation.hpp"

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <exception>
#include <memory>

namespace mailfs::sim {

struct stored_state {
    using log_type = mailfs::detail::shared_log<memory_fs, sim_host, mailbox_state>;
    std::unique_ptr<log_type::tail> held;  // what the state stands on
    std::unique_ptr<mailbox_state> state;
};

/// Throws what opening it throws.
inline stored_state state_of_store(sim_store const& store, sim_clock const& clock) {
    stored_state out{std::make_unique<stored_state::log_type::tail>(), std::make_unique<mailbox_state>()};
    sim_host host(store.world(), clock, 0);
    stored_state::log_type log(store.files().clone(), host, "box", {}, {}, [] { return std::uint64_t{0}; });
    asio::io_context context;
    std::exception_ptr failure;
    bool there = false;
    asio::co_spawn(context, log.read(*out.state, *out.held), [&](std::exception_ptr thrown, bool found) {
        failure = thrown;
        there = found;
    });
    context.run();
    if (failure) std::rethrow_exception(failure);
    require(there, "R11", "the store is empty");
    return out;
}

}  // namespace mailfs::sim
