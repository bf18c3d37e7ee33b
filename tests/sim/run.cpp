// SPDX-License-Identifier: BSL-1.0
#include "run.hpp"

#include "multimaster_node.hpp"

namespace mailfs::sim {

run_result run(schedule const& s, run_observer* observer) {
    if (s.store != storage::own) return run_with_store(s, observer);
    return simulation<multimaster_node>(s, observer).run();
}
std::string violation_of(schedule const& s) { return run(s).violation; }

}  // namespace mailfs::sim
