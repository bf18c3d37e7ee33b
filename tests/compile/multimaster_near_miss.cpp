// SPDX-License-Identifier: BSL-1.0
// An arbiter that the protocol does not know.
#include <mailfs/host/sim_host.hpp>
#include <mailfs/replication/multimaster.hpp>
#include <mailfs/transport/sim_transport.hpp>

#ifdef MUST_FAIL
struct quorum {};
using arbiter = quorum;
#else
using arbiter = mailfs::shared_store;
#endif

using set = mailfs::replica_set<mailfs::sim_transport, mailfs::sim_host>;
auto policy_of(set& s) { return mailfs::multimaster<mailfs::sim_transport, mailfs::sim_host, arbiter>(s); }
