// SPDX-License-Identifier: BSL-1.0
// How long does it take to fold two histories of one mailbox that parted, and to apply the fold?
//   fold [messages]      default 100,000, and a hundredth of them changed on each side: half of these flags, a quarter arrived, a
//   quarter expunged. Baseline: the same number of changes as transactions, one after another.
#include "bench.hpp"
#include "mailbox.hpp"

#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/format/replication_record.hpp>
#include <mailfs/index/mailbox_state.hpp>

#include <algorithm>
#include <stdexcept>
#include <vector>

namespace {

using namespace mailfs;

struct node {
    explicit node(std::uint32_t of) : slot(of) { state.reset(guid::from_words(1, 2)); }
    node(std::uint32_t of, std::vector<std::byte>& snapshot) : node(of) { state.load(snapshot, "snapshot"); }

    void step(format::record_kind kind, bytes_view payload) {
        format::record_view record;
        record.header.kind = static_cast<std::uint8_t>(kind);
        record.header.node = slot;
        record.header.incarnation = slot;
        record.header.counter = ++counter;
        record.header.stamp = stamp::at(1'700'000'000'000 + counter).value + slot;
        record.payload = payload;
        state.apply_step(record, nullptr);
    }
    void reign(std::uint32_t count, uid_block ids) {
        step(format::record_kind::epoch, format::encode_epoch_start({count << 4 | slot, {slot, slot}, ids.first, ids.last, state.uid_next()}));
    }
    void append(std::uint64_t n) {
        format::mailbox_transaction t;
        t.append(bench::message(n));
        step(format::record_kind::transaction, t.bytes());
    }
    void flag(uid_t uid, mailfs::flag f) {
        format::mailbox_transaction t;
        t.change_flags(uid_set::one(uid), {flag_mode::add, f, {}, {}});
        step(format::record_kind::transaction, t.bytes());
    }
    void expunge(uid_t uid) {
        format::mailbox_transaction t;
        t.expunge(uid_set::one(uid), false);
        step(format::record_kind::transaction, t.bytes());
    }

    mailbox_state state;
    std::uint32_t slot;
    std::uint64_t counter = 1'000'000;
};

void change(node& n, std::uint64_t messages, std::uint64_t changes) {
    for (std::uint64_t i = 0; i < changes; ++i) {
        auto const uid = static_cast<uid_t>(1 + (i * 7919 + n.slot * 31) % messages);
        if (i % 4 == 0) n.append(messages + i);
        else if (i % 4 == 1) n.expunge(uid);
        else n.flag(uid, i % 8 < 4 ? flag::flagged : flag::answered);
    }
}

void fold(bench::run& run) {
    auto const messages = std::max<std::uint64_t>(run.size(100'000), 100), changes = messages / 100;
    node base(1);
    base.reign(1, {1, 100'000'000});
    for (std::uint64_t i = 0; i < messages; ++i) base.append(i);
    auto snapshot = base.state.dump();
    auto for_branch = snapshot;
    node trunk(2, snapshot), branch(1, for_branch);
    branch.counter = base.counter;
    branch.reign(2, {200'000'000, 300'000'000});
    trunk.reign(3, {400'000'000, 500'000'000});
    change(branch, messages, changes);
    auto const one_by_one = bench::seconds([&] { change(trunk, messages, changes); });
    trunk.reign(4, {trunk.state.uid_next(), 500'000'000});

    std::vector<std::byte> payload;
    auto const folding = bench::seconds([&] { payload = trunk.state.fold(branch.state); });
    auto const applying = bench::seconds([&] { trunk.step(format::record_kind::fold, payload); });
    if (payload.empty() || trunk.state.stream().past.size() != 3) throw std::runtime_error("there was no fold");
    run.figure("fold.fold", folding * 1e3, "ms");
    run.figure("fold.apply", applying * 1e3, "ms");
    run.figure("fold.payload", static_cast<double>(payload.size()) / 1024, "KiB");
    run.figure("fold.changes_one_by_one", one_by_one * 1e3, "ms");
    run.digest(trunk.state.digest());
}
bench::entry const here{"fold", "How long does it take to fold two histories of a mailbox?", fold};

}  // namespace
