// SPDX-License-Identifier: BSL-1.0
// The snapshot of a mailbox with any contents: loaded, verified, shown, searched, changed, written again.
#include "checksums.hpp"
#include "fuzz.hpp"

namespace mailfs::fuzz {

namespace {

void change(mailbox_state& state, bytes_view payload, std::uint64_t counter) {
    format::record_view record;
    record.header.node = 99;
    record.header.incarnation = ~std::uint64_t{0};
    record.header.counter = counter;
    record.payload = payload;
    mailbox_outcome told;
    state.apply(record, &told);
}

}  // namespace

void mailbox_snapshot(bytes_view bytes) {
    input in(bytes);
    auto const mode = in.octet();
    auto const payload = copy_of(in.take(in.octet()));
    auto file = copy_of(in.rest());
    if (mode % 2 == 1) fix_snapshot(file);
    aligned_bytes const mapped(file);
    mailbox_state state;
    try {
        state.load(mapped.bytes(), "index.2");
    } catch (error const& e) {
        check_error(e);
        return;
    }
    try {
        if ((mode & 2) != 0) state.verify();
        use(state, false);
        change(state, payload, 1);
        format::mailbox_transaction t;
        t.change_flags(uid_set{{1, uid_max}}, {flag_mode::add, flag::seen, {"k9"}, {}});
        t.expunge(uid_set{{2, 5}}, false);
        message_entry m;
        m.id = guid::from_words(9, 9);
        t.append(m);
        change(state, t.bytes(), 2);
        use(state, false);
        check_snapshot(state);
    } catch (error const& e) {
        check_error(e);
    }
}

}  // namespace mailfs::fuzz
