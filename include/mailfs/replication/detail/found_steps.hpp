// SPDX-License-Identifier: BSL-1.0
// What a node's log has behind a place in the stream.
#pragma once

#include <mailfs/format/peer_message.hpp>

#include <cstdint>
#include <optional>
#include <vector>

namespace mailfs::detail {

struct found_steps {
    std::vector<format::stream_step> steps{};    ///< all there are; none: the log has not all, or they are too many bytes
    std::optional<std::uint64_t> other_chain{};  ///< the chain hash that it has at that position, which is not the one asked for
};

}  // namespace mailfs::detail
