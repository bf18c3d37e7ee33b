// SPDX-License-Identifier: BSL-1.0
// The snapshot of a mailbox tree with any contents: what is taken is written again, and takes changes.
#include "checksums.hpp"
#include "fuzz.hpp"

namespace mailfs::fuzz {

void tree_snapshot(bytes_view bytes) {
    input in(bytes);
    auto const mode = in.octet();
    auto const payload = copy_of(in.take(in.octet()));
    auto file = copy_of(in.rest());
    if (mode % 2 == 1) fix_tree_snapshot(file);
    tree_state state;
    try {
        state.load(file, "index.2");
    } catch (error const& e) {
        check_error(e);
        return;
    }
    check_snapshot(state);
    format::record_view record;
    record.header.node = 99;
    record.header.incarnation = ~std::uint64_t{0};
    record.header.counter = 1;
    record.payload = payload;
    tree_outcome told;
    state.apply(record, &told);
    if (!state.needs_newer()) check_snapshot(state);
}

}  // namespace mailfs::fuzz
