// SPDX-License-Identifier: BSL-1.0
#include "run.hpp"

#include "multimaster_node.hpp"

namespace mailfs::sim {

run_result run_with_store(schedule const& s, run_observer* observer) { return simulation<store_node>(s, observer).run(); }

}  // namespace mailfs::sim
