// SPDX-License-Identifier: BSL-1.0
// Transactions of a mailbox tree, one after another.
#include "fuzz.hpp"

namespace mailfs::fuzz {

void tree_operations(bytes_view bytes) {
    input in(bytes);
    tree_state state;
    state.reset(guid::from_words(1, 2));
    format::record_view record;
    record.header.incarnation = 7;
    std::uint64_t counter = 0;
    auto const apply = [&](bytes_view payload) {
        record.header.counter = ++counter;
        record.header.stamp = counter << 16;
        record.payload = payload;
        tree_outcome told;
        state.apply(record, &told);
        require(told.verdict != tree_verdict::none, "a transaction was not decided");
    };
    format::tree_transaction first;
    first.create({guid::from_words(5, 1), 16, 0, false, "INBOX"});
    first.create({guid::from_words(5, 2), 32, 0, false, "a/b"});
    first.subscribe({true, "a/b"});
    apply(first.bytes());
    while (!in.empty()) {
        auto const payload = copy_of(in.take(in.word()));
        auto rest = bytes_view(payload);
        while (format::take_tree_operation(rest)) {}
        apply(payload);
        if (state.needs_newer()) return;
        check_snapshot(state);
        for (auto const& [name, entry] : state.contents().mailboxes) {
            require(state.find(name) != nullptr && state.name_of(entry.id) != nullptr && *state.name_of(entry.id) == name, "a name is not found again");
            require(entry.uid_validity <= state.contents().uid_validity_last, "UIDVALIDITY above the last");
        }
    }
}

}  // namespace mailfs::fuzz
