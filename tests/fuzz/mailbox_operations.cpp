// SPDX-License-Identifier: BSL-1.0
// The operations of one transaction after another, applied to a mailbox that has messages.
#include "fuzz.hpp"

namespace mailfs::fuzz {

void mailbox_operations(bytes_view bytes) {
    input in(bytes);
    mailbox_state state;
    state.reset(guid::from_words(1, 2));
    format::record_view record;
    record.header.incarnation = 7;
    std::uint64_t counter = 0;
    auto const apply = [&](bytes_view payload) {
        record.header.counter = ++counter;
        record.header.stamp = counter << 16;
        record.payload = payload;
        mailbox_outcome told;
        auto const next = mailbox_state::next_id_after(state.next_id(), record);
        auto const before = state.highest_modseq();
        state.apply(record, &told);
        require(state.next_id() <= next, "more UIDs were given than were foreseen");
        require(state.highest_modseq() > before, "MODSEQ does not ascend");
        require(told.appended == 0 || told.first_uid + told.appended <= state.uid_next(), "UIDs beyond UIDNEXT");
    };
    format::mailbox_transaction first;
    first.raise(5, 0);
    for (std::uint64_t i = 1; i <= 20; ++i) {
        message_entry m;
        m.id = guid::from_words(3, i);
        m.size = 10;
        if (i % 3 == 0) m.keywords = {"k1"};
        first.append(m);
    }
    apply(first.bytes());
    while (!in.empty()) {
        auto const payload = copy_of(in.take(in.word()));
        auto const before = state.dump();
        try {
            apply(payload);
        } catch (error const& e) {
            require(e.code() == errc::newer_version, std::string("an operation failed: ") + e.what());
            require(state.dump() == before, "a transaction that was refused left something behind");
        }
        use(state, true);
        check_snapshot(state);
    }
}

}  // namespace mailfs::fuzz
